// Numbers of the IANA registry "IKEv2 Parameters" that more than one room speaks, in RFC spelling.
//
// Enumerations are open: a peer may send any number, so a value without an enumerator is legal everywhere and
// to_string() names it by its number.
#pragma once

#include <cstdint>
#include <string>

namespace qanat {

// Transform Type 1 (RFC 7296 3.3.2, RFC 4106, RFC 7634).
enum class EncrId : std::uint16_t {
  NONE = 0,
  ENCR_3DES = 3,
  ENCR_NULL = 11,
  ENCR_AES_CBC = 12,
  ENCR_AES_GCM_16 = 20,
  ENCR_CHACHA20_POLY1305 = 28,
};

// Transform Type 2 (RFC 7296 3.3.2, RFC 4868).
enum class PrfId : std::uint16_t {
  NONE = 0,
  PRF_HMAC_SHA1 = 2,
  PRF_HMAC_SHA2_256 = 5,
  PRF_HMAC_SHA2_384 = 6,
  PRF_HMAC_SHA2_512 = 7,
};

// Transform Type 3 (RFC 7296 3.3.2, RFC 4868).
enum class IntegId : std::uint16_t {
  NONE = 0,
  AUTH_HMAC_SHA1_96 = 2,
  AUTH_HMAC_SHA2_256_128 = 12,
  AUTH_HMAC_SHA2_384_192 = 13,
  AUTH_HMAC_SHA2_512_256 = 14,
};

// Transform Type 4, and 6..12 which share its registry (RFC 9370; ML-KEM: draft-ietf-ipsecme-ikev2-mlkem).
enum class KeId : std::uint16_t {
  NONE = 0,
  MODP_1024 = 2,
  MODP_1536 = 5,
  MODP_2048 = 14,
  MODP_3072 = 15,
  MODP_4096 = 16,
  ECP_256 = 19,
  ECP_384 = 20,
  ECP_521 = 21,
  CURVE25519 = 31,
  CURVE448 = 32,
  ML_KEM_512 = 35,
  ML_KEM_768 = 36,
  ML_KEM_1024 = 37,
};

// Transform Type 5 (RFC 7296 3.3.2).
enum class EsnId : std::uint16_t { NO_ESN = 0, ESN = 1 };

[[nodiscard]] constexpr bool is_ml_kem(KeId id) {
  return id == KeId::ML_KEM_512 || id == KeId::ML_KEM_768 || id == KeId::ML_KEM_1024;
}

// The words that configuration, status and strongSwan's users know: "aes256gcm16" needs the key length,
// "prfsha384", "sha256", "x25519", "mlkem768"; a number without a name becomes "encr-99", "ke-1081 (kyber768)".
[[nodiscard]] std::string to_string(EncrId id, std::uint16_t key_bits);
[[nodiscard]] std::string to_string(PrfId id);
[[nodiscard]] std::string to_string(IntegId id);
[[nodiscard]] std::string to_string(KeId id);

// What protects one direction of an SA: the SK payload of IKE, or ESP packets. For an AEAD, integ is NONE.
struct CipherSuite {
  EncrId encr = EncrId::NONE;
  std::uint16_t key_bits = 0;  // of the cipher key: 128, 192, 256; the salt is not counted (ChaCha20: 256)
  IntegId integ = IntegId::NONE;

  [[nodiscard]] bool is_aead() const {
    return encr == EncrId::ENCR_AES_GCM_16 || encr == EncrId::ENCR_CHACHA20_POLY1305;
  }
  friend bool operator==(const CipherSuite&, const CipherSuite&) = default;
};
[[nodiscard]] std::string to_string(const CipherSuite& suite);  // "aes256gcm16", "aes256-sha256"

}  // namespace qanat
