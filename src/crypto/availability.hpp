// Which algorithms passed their known-answer tests. Internal to crypto/: the public questions are *_available() and
// self_test_results().
//
// The tests are tables and run on the unchecked internals, so asking for the verdicts never asks itself.
#pragma once

#include <span>
#include <vector>

#include "base/iana.hpp"
#include "base/rng.hpp"
#include "crypto/self_test.hpp"
#include "crypto/signature.hpp"

namespace qanat::crypto {

struct Availability {
  std::vector<KeId> key_exchanges;
  std::vector<PrfId> prfs;
  std::vector<CipherSuite> suites;
  std::vector<SignatureScheme> signatures;
  std::vector<SelfTestResult> results;
};
// Runs the tests on the first call.
[[nodiscard]] const Availability& availability();

// Hexadecimal throughout. Both roles are played with the randomness given here; hashes are SHA-256.
struct KeKnownAnswer {
  KeId id = KeId::NONE;
  const char* initiator_random = "";
  const char* initiator_public_hash = "";
  const char* responder_random = "";
  const char* responder_public_hash = "";
  const char* secret_hash = "";
};
struct PrfKnownAnswer {
  PrfId id = PrfId::NONE;
  const char* key = "";
  const char* data = "";
  const char* output = "";
  const char* plus_hash = "";  // prf+ with the same key and seed, 200 octets
};
// The same octets go through SkCipher and through every packet backend that serves the suite.
struct CipherKnownAnswer {
  CipherSuite suite;
  const char* key = "";         // KEYMAT order: cipher key, salt, integrity key
  const char* associated = "";  // SPI | sequence number (8 octets), or SPI | high | low (12 octets; ESN)
  const char* iv = "";
  const char* plaintext = "";
  const char* ciphertext = "";
  const char* icv = "";
};
// A signature that must verify, and must not once a bit of it or of the message is changed. `signature_hash` stands for
// one that the key must make again in its repeatable form (too long to print).
struct SignatureKnownAnswer {
  SignatureScheme scheme{};
  const char* private_key = "";  // PKCS#8
  const char* message = "";
  const char* signature = "";       // empty where signature_hash is given
  const char* signature_hash = "";  // SHA-256
};
[[nodiscard]] std::span<const SignatureKnownAnswer> signature_known_answers();
[[nodiscard]] std::span<const KeKnownAnswer> ke_known_answers();
[[nodiscard]] std::span<const PrfKnownAnswer> prf_known_answers();
[[nodiscard]] std::span<const CipherKnownAnswer> cipher_known_answers();
// An algorithm is available when it has an answer in the table and every one of them is met.
[[nodiscard]] Availability evaluate(std::span<const KeKnownAnswer> kes, std::span<const PrfKnownAnswer> prfs,
                                    std::span<const CipherKnownAnswer> ciphers,
                                    std::span<const SignatureKnownAnswer> signatures = {});

// Hands out prepared octets; asking for more than there are is a bug.
class FixedRng final : public Rng {
 public:
  explicit FixedRng(ByteView octets) : octets_(octets) {}
  void fill(MutableByteView out) override;
  [[nodiscard]] bool deterministic() const override { return true; }

 private:
  ByteView octets_;
};

}  // namespace qanat::crypto
