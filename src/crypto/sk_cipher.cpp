#include "crypto/sk_cipher.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "crypto/evp_cipher.hpp"
#include "crypto/hmac.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {

// The keys alone. An IKE SA says something every few seconds, and OpenSSL's contexts for it would take more memory than
// everything else of it; keying one for a message costs less than a microsecond.
struct SkCipher::Impl {
  CipherSuite suite;
  CipherSizes sizes;
  SecretBytes keys;  // sk_e | sk_a
  [[nodiscard]] ByteView sk_e() const { return keys.expose().first(sizes.encr_key); }
  [[nodiscard]] ByteView sk_a() const { return keys.expose().subspan(sizes.encr_key); }
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
  SecretBytes keys{sk_e.size() + sk_a.size()};
  std::copy(sk_e.begin(), sk_e.end(), keys.expose_mutable().begin());
  std::copy(sk_a.begin(), sk_a.end(), keys.expose_mutable().last(sk_a.size()).begin());
  return SkCipher{std::make_unique<Impl>(Impl{.suite = suite, .sizes = sizes, .keys = std::move(keys)})};
}

const CipherSizes& SkCipher::sizes() const {
  return impl_->sizes;
}

namespace {

// RFC 7296 3.14: the ICV is over everything from the IKE header to the end of the ciphertext.
void authenticate(const CipherSuite& suite, ByteView sk_a, std::initializer_list<ByteView> parts, MutableByteView icv) {
  Hmac hmac{integ_hash(suite.integ), sk_a};
  hmac.begin();
  for (const ByteView part : parts) hmac.update(part);
  hmac.finish(icv);
}

}  // namespace

Status SkCipher::seal(ByteView associated, ByteView iv, MutableByteView text, MutableByteView icv) {
  const CipherSizes& sizes = impl_->sizes;
  ensure(iv.size() == sizes.iv && icv.size() == sizes.icv && text.size() % sizes.block == 0,
         "an SK payload laid out by the suite's sizes");
  if (impl_->suite.is_aead()) {
    QANAT_ASSIGN(EvpAead aead, EvpAead::create(impl_->suite, impl_->sk_e()));
    if (!aead.seal(associated, iv, text, text, icv)) return openssl_failure("SK payload");
    return {};
  }
  QANAT_ASSIGN(EvpCbc cbc, EvpCbc::create(impl_->suite, impl_->sk_e()));
  if (!cbc.encrypt(iv, text, text)) return openssl_failure("SK payload");
  authenticate(impl_->suite, impl_->sk_a(), {associated, iv, text}, icv);
  return {};
}

Status SkCipher::open(ByteView associated, ByteView iv, MutableByteView text, ByteView icv) {
  const CipherSizes& sizes = impl_->sizes;
  ensure(iv.size() == sizes.iv && icv.size() == sizes.icv, "an SK payload cut by the suite's sizes");
  // The length of the ciphertext is the peer's choice.
  if (text.size() % sizes.block != 0)
    return fail(ErrorKind::AuthFailed, "SK payload", "is not a whole number of cipher blocks");
  if (impl_->suite.is_aead()) {
    QANAT_ASSIGN(EvpAead aead, EvpAead::create(impl_->suite, impl_->sk_e()));
    if (!aead.open(associated, iv, text, text, icv))
      return fail(ErrorKind::AuthFailed, "SK payload", "the integrity check failed");
    return {};
  }
  std::array<std::uint8_t, Hmac::kMaxSize> expected{};
  const MutableByteView mac = MutableByteView{expected}.first(sizes.icv);
  authenticate(impl_->suite, impl_->sk_a(), {associated, iv, text}, mac);
  if (!constant_time_equal(mac, icv)) return fail(ErrorKind::AuthFailed, "SK payload", "the integrity check failed");
  QANAT_ASSIGN(EvpCbc cbc, EvpCbc::create(impl_->suite, impl_->sk_e()));
  if (!cbc.decrypt(iv, text, text)) return openssl_failure("SK payload");
  return {};
}

}  // namespace qanat::crypto
