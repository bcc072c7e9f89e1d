#include "crypto/evp_cipher.hpp"

#include <algorithm>
#include <limits>

namespace qanat::crypto {

namespace {

constexpr std::size_t kIcv = 16;
constexpr int kKeep = -1;  // EVP_CipherInit_ex: the direction stays

EvpCipher fetch(const char* name) {
  return EvpCipher{EVP_CIPHER_fetch(nullptr, name, nullptr)};
}

// nullptr when OpenSSL has no such cipher.
const EVP_CIPHER* evp_cipher(EncrId id, std::uint16_t key_bits) {
  static const std::array<EvpCipher, 3> kGcm{fetch("AES-128-GCM"), fetch("AES-192-GCM"), fetch("AES-256-GCM")};
  static const std::array<EvpCipher, 3> kCbc{fetch("AES-128-CBC"), fetch("AES-192-CBC"), fetch("AES-256-CBC")};
  static const EvpCipher kChaCha = fetch("ChaCha20-Poly1305");
  if (id == EncrId::ENCR_CHACHA20_POLY1305) return kChaCha.get();
  const std::size_t index = key_bits / 64U - 2U;
  return (id == EncrId::ENCR_AES_GCM_16 ? kGcm : kCbc).at(index).get();
}

bool fits_int(std::size_t size) {
  return size <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

// Exactly in.size() octets come out of an update: none of these ciphers buffers whole blocks.
bool update(EVP_CIPHER_CTX* context, std::uint8_t* out, ByteView in) {
  if (in.empty()) return true;
  int written = 0;
  return ok(EVP_CipherUpdate(context, out, &written, in.data(), static_cast<int>(in.size()))) &&
         static_cast<std::size_t>(written) == in.size();
}

bool finish(EVP_CIPHER_CTX* context) {
  std::array<std::uint8_t, 16> none{};
  int written = 0;
  return ok(EVP_CipherFinal_ex(context, none.data(), &written)) && written == 0;
}

EvpCipherCtx keyed(const CipherSuite& suite, ByteView key, int encrypt) {
  const EVP_CIPHER* cipher = evp_cipher(suite.encr, suite.key_bits);
  EvpCipherCtx context{EVP_CIPHER_CTX_new()};
  if (cipher == nullptr || context == nullptr ||
      static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher)) != key.size() ||
      !ok(EVP_CipherInit_ex2(context.get(), cipher, key.data(), nullptr, encrypt, nullptr))) {
    return nullptr;
  }
  return context;
}

}  // namespace

EvpAead::EvpAead(EvpCipherCtx context, ByteView salt) : context_(std::move(context)) {
  std::copy(salt.begin(), salt.end(), nonce_.begin());
}

Result<EvpAead> EvpAead::create(const CipherSuite& suite, ByteView key_and_salt) {
  const std::size_t key = suite.key_bits / 8U;
  ensure(suite.is_aead() && key_and_salt.size() == key + 4, "an AEAD's key comes with its salt");
  EvpCipherCtx context = keyed(suite, key_and_salt.first(key), 1);
  if (context == nullptr) return openssl_failure(to_string(suite));
  return EvpAead{std::move(context), key_and_salt.subspan(key)};
}

bool EvpAead::start(Direction direction, ByteView associated, ByteView iv) {
  ensure(iv.size() == 8 && fits_int(associated.size()), "an AEAD's IV has 8 octets");
  std::copy(iv.begin(), iv.end(), nonce_.begin() + 4);
  int written = 0;
  return ok(EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, nonce_.data(), static_cast<int>(direction),
                               nullptr)) &&
         (associated.empty() || ok(EVP_CipherUpdate(context_.get(), nullptr, &written, associated.data(),
                                                    static_cast<int>(associated.size()))));
}

bool EvpAead::seal(ByteView associated, ByteView iv, ByteView in, MutableByteView out, MutableByteView icv) {
  ensure(in.size() == out.size() && icv.size() == kIcv && fits_int(in.size()), "sizes of an AEAD message");
  return start(Direction::Encrypt, associated, iv) && update(context_.get(), out.data(), in) &&
         finish(context_.get()) &&
         ok(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(icv.size()), icv.data()));
}

bool EvpAead::open(ByteView associated, ByteView iv, ByteView in, MutableByteView out, ByteView icv) {
  ensure(in.size() == out.size() && icv.size() == kIcv && fits_int(in.size()), "sizes of an AEAD message");
  std::array<std::uint8_t, kIcv> tag{};  // the control takes a pointer to mutable octets
  std::copy(icv.begin(), icv.end(), tag.begin());
  const bool verified =
      start(Direction::Decrypt, associated, iv) &&
      ok(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), tag.data())) &&
      update(context_.get(), out.data(), in) && finish(context_.get());
  if (!verified) clear_openssl_errors();
  return verified;
}

Result<EvpCbc> EvpCbc::create(const CipherSuite& suite, ByteView key) {
  EvpCipherCtx encrypt = keyed(suite, key, 1);
  EvpCipherCtx decrypt = keyed(suite, key, 0);
  if (encrypt == nullptr || decrypt == nullptr || !ok(EVP_CIPHER_CTX_set_padding(encrypt.get(), 0)) ||
      !ok(EVP_CIPHER_CTX_set_padding(decrypt.get(), 0))) {
    return openssl_failure(to_string(suite));
  }
  return EvpCbc{std::move(encrypt), std::move(decrypt)};
}

bool EvpCbc::run(EVP_CIPHER_CTX& context, ByteView iv, ByteView in, MutableByteView out) {
  ensure(in.size() == out.size() && in.size() % 16 == 0 && iv.size() == 16 && fits_int(in.size()),
         "sizes of a CBC message");
  const bool done = ok(EVP_CipherInit_ex2(&context, nullptr, nullptr, iv.data(), kKeep, nullptr)) &&
                    update(&context, out.data(), in) && finish(&context);
  if (!done) clear_openssl_errors();
  return done;
}

}  // namespace qanat::crypto
