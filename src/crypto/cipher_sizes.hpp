// How long the keys, IVs, paddings and ICVs of a CipherSuite are.
#pragma once

#include "base/bytes.hpp"
#include "base/iana.hpp"

namespace qanat::crypto {

struct CipherSizes {
  std::size_t encr_key = 0;   // octets of SK_e, salt included (AES-GCM: +4, ChaCha20-Poly1305: 32+4)
  std::size_t integ_key = 0;  // octets of SK_a, 0 for an AEAD
  std::size_t iv = 0;         // octets on the wire: 8 for an AEAD, 16 for CBC
  std::size_t block = 1;      // the plaintext with padding is a multiple of this (CBC: 16; IKE with AEAD: 1)
  std::size_t icv = 0;        // octets on the wire
};
// Zero sizes for a suite that we do not have.
[[nodiscard]] CipherSizes cipher_sizes(const CipherSuite& suite);
// True when implemented and its known-answer test has passed. HMAC suites need an integrity algorithm of ours.
[[nodiscard]] bool cipher_available(const CipherSuite& suite);

}  // namespace qanat::crypto
