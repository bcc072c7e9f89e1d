// Answers to the questions of ike/auth_task.hpp: signatures and the judgement of certificates, as functions of a
// tunnel's credentials, the question and the wall clock. Whoever calls them decides on which thread (they cost
// milliseconds).
//
// Method 14 (RFC 7427) wherever the peer can; without it ECDSA by methods 9 to 11 (RFC 4754). Method 1 is neither made
// nor taken: it does not name its hash, and what peers mean by it is SHA-1.
#pragma once

#include <memory>
#include <optional>

#include "base/time.hpp"
#include "crypto/signature.hpp"
#include "gateway/chain_cache.hpp"
#include "ike/auth_task.hpp"
#include "ike/config.hpp"
#include "model/tunnel.hpp"
#include "pki/trust.hpp"

namespace qanat::gateway {

// A tunnel's credentials, parsed once. Immutable, so workers share it.
class AuthCredentials {
 public:
  // nullptr for a tunnel that has neither a certificate nor trust anchors. Error{LocalPolicy} when they cannot be used;
  // config/ has refused that before.
  [[nodiscard]] static Result<std::shared_ptr<const AuthCredentials>> of(const model::Tunnel& tunnel);

  [[nodiscard]] ike::SignAnswer answer(const ike::SignQuestion& question) const;
  // `chains`: of whoever asks; what it knows of the peer's chain is not verified again.
  [[nodiscard]] ike::VerifyAnswer answer(const ike::VerifyQuestion& question, WallTime now, ChainCache& chains) const;
  [[nodiscard]] ike::VerifyAnswer answer(const ike::VerifyQuestion& question, WallTime now) const {
    ChainCache none{0};
    return answer(question, now, none);
  }

 private:
  std::string tunnel_;
  std::optional<crypto::PrivateKey> key_;
  std::vector<wire::CertPayload> chain_;  // ours: leaf first, without the anchor
  pki::TrustStore trust_;
  bool quantum_safe_only_ = false;
};
// What a tunnel without credentials gets.
[[nodiscard]] ike::SignAnswer no_credentials(const ike::SignQuestion& question);
[[nodiscard]] ike::VerifyAnswer no_credentials(const ike::VerifyQuestion& question);

// local_auth, remote_auth, and what we tell the peer that our verifier takes: signature_hashes, announced, authorities.
void set_authentication(const model::Tunnel& tunnel, ike::TunnelConfig& out);

}  // namespace qanat::gateway
