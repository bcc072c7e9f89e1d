#include "crypto/at_rest.hpp"

#include <algorithm>
#include <array>

#include "crypto/prf.hpp"
#include "crypto/sk_cipher.hpp"

namespace qanat::crypto {

namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kSalt = 32;
constexpr std::size_t kIcv = 16;
constexpr CipherSuite kSuite{EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE};
constexpr std::array<std::uint8_t, 8> kIv{};  // a key seals one text

Result<SkCipher> cipher_for(ByteView key, ByteView salt) {
  if (key.size() != kAtRestKey) return fail(ErrorKind::Internal, "sealed text", "a key for it has 32 octets");
  const Bytes label = to_bytes("qanat at rest");
  const SecretBytes keys = prf_plus(PrfId::PRF_HMAC_SHA2_256, key, {label, salt}, cipher_sizes(kSuite).encr_key);
  return SkCipher::create(kSuite, keys.expose(), {});
}

}  // namespace

Result<Bytes> seal_at_rest(ByteView key, ByteView associated, ByteView text, Rng& rng) {
  Bytes out(1 + kSalt + text.size() + kIcv);
  out[0] = kFormat;
  const MutableByteView whole{out};
  rng.fill(whole.subspan(1, kSalt));
  std::copy(text.begin(), text.end(), out.begin() + 1 + kSalt);
  QANAT_ASSIGN(SkCipher cipher, cipher_for(key, whole.subspan(1, kSalt)));
  QANAT_TRY(cipher.seal(associated, kIv, whole.subspan(1 + kSalt, text.size()), whole.last(kIcv)));
  return out;
}

Result<SecretBytes> open_at_rest(ByteView key, ByteView associated, ByteView sealed) {
  if (sealed.size() < 1 + kSalt + kIcv || sealed[0] != kFormat)
    return fail(ErrorKind::Malformed, "sealed text", "is none that qanat has sealed");
  QANAT_ASSIGN(SkCipher cipher, cipher_for(key, sealed.subspan(1, kSalt)));
  SecretBytes text = SecretBytes::copy_of(sealed.subspan(1 + kSalt, sealed.size() - 1 - kSalt - kIcv));
  if (!cipher.open(associated, kIv, text.expose_mutable(), sealed.last(kIcv)))
    return fail(ErrorKind::AuthFailed, "sealed text", "was sealed with another key, or has been changed since");
  return text;
}

}  // namespace qanat::crypto
