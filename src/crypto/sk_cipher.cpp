#include "crypto/sk_cipher.hpp"

#include <array>
#include <variant>

#include "crypto/evp_cipher.hpp"
#include "crypto/hmac.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {

namespace {

struct CbcHmac {
  EvpCbc cbc;
  Hmac hmac;
};

// RFC 7296 3.14: the ICV is over everything from the IKE header to the end of the ciphertext.
void authenticate(Hmac& hmac, ByteView associated, ByteView iv, ByteView text, MutableByteView icv) {
  hmac.begin();
  hmac.update(associated);
  hmac.update(iv);
  hmac.update(text);
  hmac.finish(icv);
}

}  // namespace

struct SkCipher::Impl {
  CipherSizes sizes;
  std::variant<EvpAead, CbcHmac> cipher;
};

SkCipher::SkCipher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SkCipher::~SkCipher() = default;
SkCipher::SkCipher(SkCipher&&) noexcept = default;
SkCipher& SkCipher::operator=(SkCipher&&) noexcept = default;

Result<SkCipher> SkCipher::create(const CipherSuite& suite, ByteView sk_e, ByteView sk_a) {
  if (!cipher_available(suite)) return fail(ErrorKind::Internal, to_string(suite), "is not available");
  return create_unchecked(suite, sk_e, sk_a);
}

Result<SkCipher> SkCipher::create_unchecked(const CipherSuite& suite, ByteView sk_e, ByteView sk_a) {
  const CipherSizes sizes = cipher_sizes(suite);
  if (sizes.encr_key == 0 || sk_e.size() != sizes.encr_key || sk_a.size() != sizes.integ_key) {
    return fail(ErrorKind::Internal, to_string(suite), "keys of the wrong size");
  }
  if (suite.is_aead()) {
    QANAT_ASSIGN(EvpAead aead, EvpAead::create(suite, sk_e));
    return SkCipher{std::make_unique<Impl>(Impl{.sizes = sizes, .cipher = std::move(aead)})};
  }
  QANAT_ASSIGN(EvpCbc cbc, EvpCbc::create(suite, sk_e));
  return SkCipher{std::make_unique<Impl>(
      Impl{.sizes = sizes, .cipher = CbcHmac{.cbc = std::move(cbc), .hmac = Hmac{integ_hash(suite.integ), sk_a}}})};
}

const CipherSizes& SkCipher::sizes() const {
  return impl_->sizes;
}

Status SkCipher::seal(ByteView associated, ByteView iv, MutableByteView text, MutableByteView icv) {
  const CipherSizes& sizes = impl_->sizes;
  ensure(iv.size() == sizes.iv && icv.size() == sizes.icv && text.size() % sizes.block == 0,
         "an SK payload laid out by the suite's sizes");
  if (auto* aead = std::get_if<EvpAead>(&impl_->cipher)) {
    if (!aead->seal(associated, iv, text, text, icv)) return openssl_failure("SK payload");
    return {};
  }
  auto& suite = std::get<CbcHmac>(impl_->cipher);
  if (!suite.cbc.encrypt(iv, text, text)) return openssl_failure("SK payload");
  authenticate(suite.hmac, associated, iv, text, icv);
  return {};
}

Status SkCipher::open(ByteView associated, ByteView iv, MutableByteView text, ByteView icv) {
  const CipherSizes& sizes = impl_->sizes;
  ensure(iv.size() == sizes.iv && icv.size() == sizes.icv, "an SK payload cut by the suite's sizes");
  // The length of the ciphertext is the peer's choice.
  if (text.size() % sizes.block != 0)
    return fail(ErrorKind::AuthFailed, "SK payload", "is not a whole number of cipher blocks");
  if (auto* aead = std::get_if<EvpAead>(&impl_->cipher)) {
    if (!aead->open(associated, iv, text, text, icv))
      return fail(ErrorKind::AuthFailed, "SK payload", "the integrity check failed");
    return {};
  }
  auto& suite = std::get<CbcHmac>(impl_->cipher);
  std::array<std::uint8_t, Hmac::kMaxSize> expected{};
  const MutableByteView mac = MutableByteView{expected}.first(sizes.icv);
  authenticate(suite.hmac, associated, iv, text, mac);
  if (!constant_time_equal(mac, icv)) return fail(ErrorKind::AuthFailed, "SK payload", "the integrity check failed");
  if (!suite.cbc.decrypt(iv, text, text)) return openssl_failure("SK payload");
  return {};
}

}  // namespace qanat::crypto
