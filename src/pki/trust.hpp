// TrustStore: which certificates are believed. Chains are built and checked by OpenSSL's X509_verify_cert, held to RFC
// 5280 (X509_V_FLAG_X509_STRICT), with the time as an argument.
//
// Nothing is ever fetched for a peer: no issuer (AIA), no revocation list, no OCSP. Revocation is checked against the
// lists that the configuration names: where there is one of a certificate's issuer it must be good, and the
// certificate not on it; where there is none, nothing is asked.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "pki/certificate.hpp"

struct x509_store_st;  // OpenSSL's X509_STORE

namespace qanat::pki {

inline constexpr std::size_t kMaxPresented = 10;  // certificates that a peer may send
inline constexpr int kMaxIntermediates = 6;       // between its own and the anchor

struct Requirements {
  bool quantum_safe = false;  // refuse a chain that is not
};

struct Verified {
  crypto::PublicKey key;
  // The leaf's key and every signature from it up to the anchor are ML-DSA or SLH-DSA. The anchor's own signature does
  // not count: it is trusted because it is configured.
  bool quantum_safe = false;
  // "ML-DSA-65 certificate CN=berlin, issued by CN=Example CA, until 2027-03-01, quantum-safe", or "..., not
  // quantum-safe: its key is ECDSA P-256"
  std::string described;
  // The first date on which something that was relied upon ends: a certificate of the chain, or a revocation list.
  WallTime until;
};

class TrustStore {
 public:
  TrustStore() = default;
  // DER. An anchor may be a CA, or the peer's own certificate (pinning). Errors say which of them is unusable.
  [[nodiscard]] static Result<TrustStore> create(std::span<const Bytes> anchors, std::span<const Bytes> crls);

  // `presented`: DER, the peer's own certificate first; none at all stands for a pinned one that is for `expected`.
  // Error{AuthFailed, AUTHENTICATION_FAILED} with a reason for our log that says what to do.
  [[nodiscard]] Result<Verified> validate(std::span<const Bytes> presented, const wire::Identity& expected,
                                          WallTime now, Requirements requirements = {}) const;
  [[nodiscard]] const std::vector<Certificate>& anchors() const { return anchors_; }
  [[nodiscard]] const std::vector<Crl>& crls() const { return crls_; }
  // SHA-256 of all anchors and lists: equal for stores that believe the same.
  [[nodiscard]] const std::array<std::uint8_t, 32>& fingerprint() const { return fingerprint_; }

 private:
  std::shared_ptr<x509_store_st> store_;
  std::vector<Certificate> anchors_;
  std::vector<Crl> crls_;
  std::array<std::uint8_t, 32> fingerprint_{};
};

}  // namespace qanat::pki
