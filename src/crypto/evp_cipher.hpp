// AEADs and AES-CBC over EVP contexts that are keyed once and take only an IV per message. Internal to crypto/:
// SkCipher and the OpenSSL half of PacketCipher are made of them.
#pragma once

#include <array>
#include <initializer_list>

#include "base/iana.hpp"
#include "crypto/openssl.hpp"

namespace qanat::crypto {

// AES-GCM (RFC 4106) and ChaCha20-Poly1305 (RFC 7634): nonce = salt(4) | iv(8), ICV of 16 octets.
class EvpAead {
 public:
  // key_and_salt has the size of cipher_sizes(suite).encr_key.
  [[nodiscard]] static Result<EvpAead> create(const CipherSuite& suite, ByteView key_and_salt);

  // in and out have the same size; they are equal or do not overlap. False: OpenSSL failed; nothing may be sent.
  [[nodiscard]] bool seal(ByteView associated, ByteView iv, ByteView in, MutableByteView out, MutableByteView icv);
  // False: the ICV does not verify; `out` is noise.
  [[nodiscard]] bool open(ByteView associated, ByteView iv, ByteView in, MutableByteView out, ByteView icv);

 private:
  EvpAead(EvpCipherCtx context, ByteView salt);
  enum class Direction : std::uint8_t { Decrypt = 0, Encrypt = 1 };
  [[nodiscard]] bool start(Direction direction, ByteView associated, ByteView iv);

  EvpCipherCtx context_;
  std::array<std::uint8_t, 12> nonce_{};
};

// AES-CBC without OpenSSL's padding (RFC 3602): sizes are multiples of 16.
class EvpCbc {
 public:
  [[nodiscard]] static Result<EvpCbc> create(const CipherSuite& suite, ByteView key);

  [[nodiscard]] bool encrypt(ByteView iv, ByteView in, MutableByteView out) { return run(*encrypt_, iv, in, out); }
  [[nodiscard]] bool decrypt(ByteView iv, ByteView in, MutableByteView out) { return run(*decrypt_, iv, in, out); }

 private:
  EvpCbc(EvpCipherCtx encrypt, EvpCipherCtx decrypt) : encrypt_(std::move(encrypt)), decrypt_(std::move(decrypt)) {}
  [[nodiscard]] static bool run(EVP_CIPHER_CTX& context, ByteView iv, ByteView in, MutableByteView out);

  EvpCipherCtx encrypt_;  // one for each direction: AES has a key schedule of its own for decryption
  EvpCipherCtx decrypt_;
};

}  // namespace qanat::crypto
