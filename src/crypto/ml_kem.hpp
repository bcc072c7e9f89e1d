// ML-KEM (FIPS 203) over OpenSSL: what key_exchange.cpp uses, and byte-level forms that the ACVP vectors test.
// Internal to crypto/.
#pragma once

#include <array>

#include "crypto/key_exchange.hpp"
#include "crypto/openssl.hpp"

namespace qanat::crypto::ml_kem {

struct Sizes {
  std::size_t encapsulation_key = 0;
  std::size_t decapsulation_key = 0;
  std::size_t ciphertext = 0;
};
inline constexpr std::size_t kSeed = 64;          // d | z
inline constexpr std::size_t kEncapsRandom = 32;  // m
inline constexpr std::size_t kSecret = 32;

[[nodiscard]] Sizes sizes(KeId id);

// A fresh key pair from the library's own generator, or from d | z.
[[nodiscard]] Result<EvpPkey> generate(KeId id);
[[nodiscard]] Result<EvpPkey> generate_from_seed(KeId id, ByteView d_and_z);
[[nodiscard]] Result<Bytes> encapsulation_key(KeId id, const EvpPkey& key);

// FIPS 203 7.2: a key of the wrong length or with a coefficient that is not reduced modulo q is
// Error{PeerMisbehaved, INVALID_SYNTAX}.
[[nodiscard]] Result<EvpPkey> import_encapsulation_key(KeId id, ByteView ek);
// FIPS 203 7.3: length, and that the key holds the hash of its own encapsulation key.
[[nodiscard]] Result<EvpPkey> import_decapsulation_key(KeId id, ByteView dk);
[[nodiscard]] Result<SecretBytes> export_decapsulation_key(KeId id, const EvpPkey& key);

// m is empty for the library's own randomness.
[[nodiscard]] Result<KeReply> encapsulate(KeId id, const EvpPkey& key, ByteView m);
// A ciphertext of the right length that was not made for this key yields a secret nobody else knows (implicit
// rejection), not an error.
[[nodiscard]] Result<SecretBytes> decapsulate(KeId id, const EvpPkey& key, ByteView ciphertext);

}  // namespace qanat::crypto::ml_kem
