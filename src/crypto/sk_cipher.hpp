// SkCipher: one direction of the protection of IKE messages (SK and SKF payloads; RFC 7296 3.14, RFC 5282).
//
// For an AEAD the associated data is everything from the IKE header to the end of the SK (or SKF) header; for
// CBC with HMAC the same octets, the IV and the ciphertext are authenticated (encrypt then MAC). The caller lays out
// IV | ciphertext | ICV; plaintext already ends with padding and pad length, a multiple of `block`.
#pragma once

#include <memory>

#include "base/secret.hpp"
#include "crypto/cipher_sizes.hpp"

namespace qanat::crypto {

class SkCipher {
 public:
  // sk_e and sk_a must have the sizes of cipher_sizes(suite).
  [[nodiscard]] static Result<SkCipher> create(const CipherSuite& suite, ByteView sk_e, ByteView sk_a);
  // For the known-answer tests, whose verdict create() asks for. Not for other rooms.
  [[nodiscard]] static Result<SkCipher> create_unchecked(const CipherSuite& suite, ByteView sk_e, ByteView sk_a);
  ~SkCipher();
  SkCipher(SkCipher&&) noexcept;
  SkCipher& operator=(SkCipher&&) noexcept;

  [[nodiscard]] const CipherSizes& sizes() const;
  // Encrypts `text` in place and writes the ICV. IVs: an AEAD's must never repeat under a key, CBC's must be random.
  [[nodiscard]] Status seal(ByteView associated, ByteView iv, MutableByteView text, MutableByteView icv);
  // Verifies, then decrypts `text` in place. Error{AuthFailed} leaves `text` unspecified and must be treated as noise.
  [[nodiscard]] Status open(ByteView associated, ByteView iv, MutableByteView text, ByteView icv);

 private:
  struct Impl;
  explicit SkCipher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::crypto
