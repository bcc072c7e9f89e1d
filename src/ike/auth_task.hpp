// Signatures and certificate chains cost milliseconds and need key files, so they are not made in the IKE core: it
// asks, a worker answers, and the answer comes back as an input. PSKs stay inside: one HMAC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/strong_id.hpp"
#include "base/time.hpp"
#include "wire/identity.hpp"
#include "wire/payloads.hpp"

namespace qanat::ike {

// "Sign these octets with the tunnel's key."
struct SignQuestion {
  RequestId request;
  TunnelId tunnel;
  Bytes octets;                            // RFC 7296 2.15, as signed_octets() lays them out
  bool digital_signature = false;          // the peer sent SIGNATURE_HASH_ALGORITHMS: method 14 (RFC 7427 3)
  std::vector<std::uint16_t> peer_hashes;  // its list; 5 is Identity (RFC 8420)
  std::vector<Bytes> peer_announced;  // AlgorithmIdentifiers of its SUPPORTED_AUTH_METHODS (RFC 9593); may be empty
  std::vector<std::vector<std::uint8_t>> peer_authorities;  // SHA-1 hashes of its CERTREQ; may be empty
};
struct SignAnswer {
  RequestId request;
  Status status;
  wire::AuthPayload auth;
  std::vector<wire::CertPayload> certificates;  // leaf first, then what the chain needs; never the anchor
  std::string described;                        // "ML-DSA-65"
  std::uint32_t microseconds = 0;               // that it took; 0: not measured
};

// "Does this come from `peer_id`, after the tunnel's trust anchors?"
struct VerifyQuestion {
  RequestId request;
  TunnelId tunnel;
  wire::Identity peer_id;
  std::vector<wire::CertPayload> certificates;  // as they came, leaf first
  wire::AuthPayload auth;
  Bytes octets;
  bool digital_signature = false;  // both sides negotiated RFC 7427: only method 14 is taken
};
struct VerifyAnswer {
  RequestId request;
  Status status;          // an error: AUTHENTICATION_FAILED for the peer, the reason for our log
  std::string described;  // "ML-DSA-65 certificate CN=berlin, issued by CN=Example CA, until 2027-03-01"
  bool quantum_safe = false;
  std::uint32_t microseconds = 0;
  // For whoever watches over certificates: whose it is, and the first date on which something of the chain ends.
  TunnelId tunnel = {};
  std::optional<WallTime> until = {};
};

}  // namespace qanat::ike
