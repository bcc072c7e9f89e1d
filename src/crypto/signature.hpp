// Digital signatures as IKEv2 uses them: keys, schemes with their AlgorithmIdentifiers, sign and verify. All through
// OpenSSL's EVP.
//
// A scheme is what an AlgorithmIdentifier names (RFC 7427 3): ECDSA with a hash goes with any of the three curves, RSA
// schemes with any RSA key. EdDSA and ML-DSA take the message as it is ("Identity", RFC 8420; ML-DSA pure, with an
// empty context, hedged). SHA-1 is not served, in any form.
//
// Keys are values that share OpenSSL's object, which several threads may use at once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/bytes.hpp"
#include "base/secret.hpp"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace qanat::crypto {

enum class KeyKind : std::uint8_t { Rsa, EcP256, EcP384, EcP521, Ed25519, Ed448, MlDsa44, MlDsa65, MlDsa87 };
[[nodiscard]] constexpr bool is_quantum_safe(KeyKind kind) {
  return kind >= KeyKind::MlDsa44;
}

enum class SignatureScheme : std::uint8_t {
  EcdsaSha256,
  EcdsaSha384,
  EcdsaSha512,
  Ed25519,
  Ed448,
  RsaPssSha256,  // MGF1 with the same hash, salt as long as the hash
  RsaPssSha384,
  RsaPssSha512,
  RsaPkcs1Sha256,
  RsaPkcs1Sha384,
  RsaPkcs1Sha512,
  MlDsa44,
  MlDsa65,
  MlDsa87,
};
inline constexpr std::size_t kSignatureSchemes = 14;
[[nodiscard]] std::string to_string(
    SignatureScheme scheme);  // "ECDSA with SHA-256", "RSA-PSS with SHA-384", "ML-DSA-65"
// Its known answer is met.
[[nodiscard]] bool signature_available(SignatureScheme scheme);
// IANA's "IKEv2 Hash Algorithms": 2 SHA2-256, 3 SHA2-384, 4 SHA2-512, 5 Identity.
[[nodiscard]] std::uint16_t hash_algorithm(SignatureScheme scheme);
[[nodiscard]] bool fits(SignatureScheme scheme, KeyKind kind);
// What a key of this kind can sign with, best first.
[[nodiscard]] std::span<const SignatureScheme> schemes_of(KeyKind kind);

// DER as RFC 7427 appendix A, RFC 8420 appendix A and the ML-DSA draft write it.
[[nodiscard]] ByteView algorithm_identifier(SignatureScheme scheme);
// Exact octets, or one of the other encodings that RFC 7427 3 allows for: RSA with absent parameters, and RSA-PSS
// without the default trailer field or without the NULL of its hashes. nullopt: nothing that we serve.
[[nodiscard]] std::optional<SignatureScheme> scheme_of(ByteView algorithm_identifier);
// The OID of any AlgorithmIdentifier, "1.2.840.10045.4.3.2", for messages; empty when there is none to read.
[[nodiscard]] std::string oid_text(ByteView algorithm_identifier);

inline constexpr std::size_t kMinRsaBits = 2048;
inline constexpr std::size_t kMaxRsaBits = 8192;  // longer ones cost a verifier more than a peer may ask for

class PublicKey {
 public:
  // From a SubjectPublicKeyInfo in DER, all of it. Error{AuthFailed} says what kind of key is not served, and why: RSA
  // below 2,048 bits or with a bad exponent, curves that are not named, other algorithms.
  [[nodiscard]] static Result<PublicKey> from_spki(ByteView der);
  // A key that OpenSSL has decoded already; the same is refused.
  [[nodiscard]] static Result<PublicKey> adopt(std::shared_ptr<evp_pkey_st> key);
  [[nodiscard]] KeyKind kind() const { return kind_; }
  [[nodiscard]] Bytes spki() const;
  [[nodiscard]] std::string describe() const;                           // "ML-DSA-65", "RSA-3072", "ECDSA P-256"
  [[nodiscard]] std::size_t rsa_octets() const { return rsa_octets_; }  // of the modulus; 0 for other kinds
  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  friend class PrivateKey;
  std::shared_ptr<evp_pkey_st> key_;
  KeyKind kind_{};
  std::size_t rsa_octets_ = 0;
};

class PrivateKey {
 public:
  // PKCS#8 PrivateKeyInfo in DER, not encrypted. Limits as for public keys.
  [[nodiscard]] static Result<PrivateKey> from_pkcs8(ByteView der);
  // From OpenSSL's own generator. `rsa_bits` counts for RSA alone.
  [[nodiscard]] static Result<PrivateKey> generate(KeyKind kind, std::size_t rsa_bits = 3072);
  [[nodiscard]] const PublicKey& public_key() const { return public_; }
  [[nodiscard]] KeyKind kind() const { return public_.kind(); }
  [[nodiscard]] Result<SecretBytes> to_pkcs8() const;
  [[nodiscard]] evp_pkey_st* native() const { return public_.native(); }

 private:
  PublicKey public_;  // shares the object, which also holds the private half
};
// Both halves of one key.
[[nodiscard]] bool same_key(const PublicKey& a, const PublicKey& b);

// Fresh: hedged with OpenSSL's randomness, as production wants it. Repeatable: ML-DSA's deterministic variant and
// ECDSA's of RFC 6979, for known answers and simulations; the salt of RSA-PSS stays random.
enum class Signing : std::uint8_t { Fresh, Repeatable };
// ECDSA signatures are DER, SEQUENCE { r, s }, as in certificates.
[[nodiscard]] Result<Bytes> sign(const PrivateKey& key, SignatureScheme scheme, ByteView message,
                                 Signing how = Signing::Fresh);

// Error: the library could not tell. It is never Valid, and callers treat everything but Valid as a refusal.
enum class Verdict : std::uint8_t { Valid, Invalid, Error };
[[nodiscard]] Verdict verify(const PublicKey& key, SignatureScheme scheme, ByteView message, ByteView signature);

// RFC 4754: methods 9 to 11 carry r | s, each as long as the curve's order. Back: Error{Malformed} for any other
// length.
[[nodiscard]] Result<Bytes> ecdsa_raw_of(KeyKind curve, ByteView der);
[[nodiscard]] Result<Bytes> ecdsa_der_of(KeyKind curve, ByteView raw);

}  // namespace qanat::crypto
