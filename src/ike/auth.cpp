// How both sides prove who they are: the AUTH octets, PSKs at once, certificates with a worker's help, PPKs.
//
// As initiator our signature is made before IKE_AUTH leaves, and the peer's is judged before anything is installed. As
// responder the peer's is judged first, then ours is made, then comes the Child SA. While a worker is busy nothing is
// sent: the request that waits is in progress.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::AuthMethod;
using wire::NotifyType;
using wire::PayloadType;

namespace {

constexpr Duration kWorkerTimeout = 10s;

bool is_signature(AuthMethod method) {
  switch (method) {
    case AuthMethod::RsaDigitalSignature:
    case AuthMethod::EcdsaSha256P256:
    case AuthMethod::EcdsaSha384P384:
    case AuthMethod::EcdsaSha512P521:
    case AuthMethod::DigitalSignature:
      return true;
    default:
      return false;
  }
}

std::unexpected<Error> refused(std::string why) {
  return fail(ErrorKind::AuthFailed, "IKE_AUTH", std::move(why),
              static_cast<std::uint16_t>(NotifyType::AUTHENTICATION_FAILED));
}

}  // namespace

Bytes IkeSa::auth_octets(Signer signer, const wire::IdPayload& id, const SecretBytes& sk_p) const {
  const bool of_initiator = signer == Signer::Initiator;
  SignedOctetsInput in;
  in.prf = context_.prf;
  in.init_message = of_initiator ? making().init_request : making().init_response;
  if (agreed_.full_transcript()) in.peer_init_message = of_initiator ? making().init_response : making().init_request;
  in.peer_nonce = of_initiator ? context_.nonce_r : context_.nonce_i;
  in.sk_p = &sk_p;
  const Bytes id_body = wire::body_of(id);
  in.id_body = id_body;
  in.int_auth_i = &making().int_auth_i;
  in.int_auth_r = &making().int_auth_r;
  in.auth_message_id = auth_message_id_;
  return signed_octets(in);
}

wire::IdPayload IkeSa::our_id() const {
  return {initiator_ ? PayloadType::IDi : PayloadType::IDr, tunnel_->local_id};
}

wire::AuthPayload IkeSa::psk_proof(Signer signer, const SecretBytes& sk_p) const {
  const SecretBytes mac = psk_auth(context_.prf, tunnel_->psk.expose(), auth_octets(signer, our_id(), sk_p));
  return {AuthMethod::SharedKeyMic, to_bytes(mac.expose())};
}

std::string IkeSa::authentication_text() const {
  return fmt::format(
      "{} authenticated by {}; {}", peer_text(), agreed_.proved_by,
      agreed_.full_transcript() ? "downgrade excluded: both IKE_SA_INIT messages are covered by both proofs"
      : agreed_.transcript_sent ? "downgrade not excluded: the peer lacks full transcript authentication (notify 16447)"
                                : "downgrade not excluded: downgrade_prevention = \"off\" here");
}

// ---- our proof -------------------------------------------------------------------------------------------------

// Everything that goes into the keys has: a PPK goes into them now, and we prove who we are (initiator).
void IkeSa::begin_auth(Instant now, AwaitAuth next) {
  auth_message_id_ = next_message_id_;
  if (agreed_.ppk()) {
    making().without_ppk = apply_ppk(context_.prf, tunnel_->ppks.front().key.expose(), making().keys);
    agreed_.ppk_used = true;
  }
  set_verdict();
  if (tunnel_->local_auth == AuthKind::Certificate) {
    return ask_signature(now, {{}, std::move(next), {}, {}}, making().keys.sk_pi);
  }
  Bytes without_ppk;
  if (agreed_.ppk_used && tunnel_->ppk_policy == model::PpkPolicy::Prefer) {
    without_ppk = psk_proof(Signer::Initiator, making().without_ppk.sk_pi).data;
  }
  auto [ours, microseconds] =
      measured(env_.config.stopwatch, [&] { return psk_proof(Signer::Initiator, making().keys.sk_pi); });
  send_auth_request(now, std::move(next), std::move(ours), {}, std::move(without_ppk));
  note_time(&KeyTimes::own, microseconds);
}

void IkeSa::ask_signature(Instant now, AwaitSignature state, const SecretBytes& sk_p) {
  SignQuestion question;
  question.request = state.request = new_request();
  question.tunnel = tunnel_->id;
  question.octets = auth_octets(initiator_ ? Signer::Initiator : Signer::Responder, our_id(), sk_p);
  question.digital_signature = agreed_.digital_signature();
  question.peer_hashes = agreed_.peer_hashes;
  question.peer_announced = agreed_.peer_announced;
  question.peer_authorities = agreed_.peer_authorities;
  state_ = std::move(state);
  timers_.set(Timer::Worker, now + kWorkerTimeout);
  env_.actions.emplace_back(std::move(question));
}

void IkeSa::handle_auth(Instant now, SignAnswer answer) {
  auto* waiting = std::get_if<AwaitSignature>(&state_);
  if (waiting == nullptr || waiting->request != answer.request) return;
  if (!answer.status) return on_worker_failed(now, answer.status.error().detail);
  timers_.stop(Timer::Worker);
  AwaitSignature state = std::move(*waiting);
  if (!initiator_) note_time(&KeyTimes::own, answer.microseconds);  // an initiator's exchange begins with the request
  if (!initiator_) return answer_auth(now, state.message, std::move(answer.auth), std::move(answer.certificates));
  if (state.first) {
    // NO_PPK_AUTH has no room for a method: it is the one of AUTH.
    const std::uint32_t both = state.first->microseconds + answer.microseconds;
    send_auth_request(now, std::move(state.sent), std::move(state.first->auth), std::move(state.first->certificates),
                      std::move(answer.auth.data));
    return note_time(&KeyTimes::own, both);
  }
  if (agreed_.ppk_used && tunnel_->ppk_policy == model::PpkPolicy::Prefer) {
    state.first = std::move(answer);
    return ask_signature(now, std::move(state), making().without_ppk.sk_pi);
  }
  send_auth_request(now, std::move(state.sent), std::move(answer.auth), std::move(answer.certificates), {});
  note_time(&KeyTimes::own, answer.microseconds);
}

// ---- the peer's proof ------------------------------------------------------------------------------------------

// By PSK: whether it verifies. By certificate: whether it is worth a worker's time.
Status IkeSa::check_proof(const TunnelConfig& tunnel, const wire::IdPayload& id, const wire::AuthPayload& auth,
                          const SecretBytes& sk_p) {
  if (tunnel.remote_auth == AuthKind::Psk) {
    const Bytes octets = auth_octets(initiator_ ? Signer::Responder : Signer::Initiator, id, sk_p);
    const SecretBytes expected = psk_auth(context_.prf, tunnel.psk.expose(), octets);
    const bool equal = constant_time_equal(expected.expose(), auth.data);
    if (auth.method != AuthMethod::SharedKeyMic) {
      return refused(fmt::format("authenticates by {}, and tunnel {} takes only a PSK: configure a PSK at the peer",
                                 wire::to_string(auth.method), tunnel.name));
    }
    if (!equal) {
      return refused(fmt::format("the AUTH for tunnel {} does not verify: compare the PSK{} at both ends", tunnel.name,
                                 agreed_.ppk_used ? " and the PPK" : ""));
    }
    agreed_.proved_by = "PSK";
    agreed_.quantum_safe = tunnel.psk.is_generated();
    return {};
  }
  if (!is_signature(auth.method)) {
    return refused(fmt::format("authenticates by {}, and tunnel {} wants a certificate: configure one at the peer",
                               wire::to_string(auth.method), tunnel.name));
  }
  if (agreed_.digital_signature() != (auth.method == AuthMethod::DigitalSignature)) {
    return refused(fmt::format("signs by {} where {} was negotiated (RFC 7427 3)", wire::to_string(auth.method),
                               agreed_.digital_signature() ? "method 14" : "a method of RFC 7296 or 4754"));
  }
  return {};
}

void IkeSa::ask_verdict(Instant now, AwaitVerdict state, const wire::IdPayload& id, const wire::AuthPayload& auth,
                        const SecretBytes& sk_p) {
  auto certificates = certificates_of(state.message);
  if (!certificates) {
    const std::string why = "its certificate " + certificates.error().detail;
    return initiator_ ? refuse_peer(now, why) : reject_auth(now, why);
  }
  VerifyQuestion question;
  question.request = state.request = new_request();
  question.tunnel = state.tunnel->id;
  question.peer_id = id.identity;
  question.certificates = std::move(*certificates);
  question.auth = auth;
  question.octets = auth_octets(initiator_ ? Signer::Responder : Signer::Initiator, id, sk_p);
  question.digital_signature = agreed_.digital_signature();
  state_ = std::move(state);
  timers_.set(Timer::Worker, now + kWorkerTimeout);
  env_.actions.emplace_back(std::move(question));
}

void IkeSa::handle_auth(Instant now, const VerifyAnswer& answer) {
  auto* waiting = std::get_if<AwaitVerdict>(&state_);
  if (waiting == nullptr || waiting->request != answer.request) return;
  if (!answer.status) return on_worker_failed(now, answer.status.error().detail);
  // As it is configured now: what was trusted when we asked may not be any more.
  if (!initiator_ && env_.tunnels.current(waiting->tunnel->id) != waiting->tunnel) {
    return on_worker_failed(now, "the tunnel was changed meanwhile");
  }
  timers_.stop(Timer::Worker);
  note_time(&KeyTimes::peer, answer.microseconds);
  agreed_.proved_by = answer.described;
  agreed_.quantum_safe = answer.quantum_safe;
  AwaitVerdict state = std::move(*waiting);
  if (initiator_) return finish_auth(now, state.sent, state.message);
  on_peer_proved(now, std::move(state.tunnel), std::move(state.message));
}

void IkeSa::on_worker_failed(Instant now, const std::string& why) {
  timers_.stop(Timer::Worker);
  if (auto* signing = std::get_if<AwaitSignature>(&state_)) {
    env_.requests.erase(signing->request);
    const std::string text = fmt::format("our own signature for tunnel {} was not made: {}", tunnel_->name, why);
    return initiator_ ? fail_attempt(text) : reject_auth(now, text);
  }
  auto* judging = std::get_if<AwaitVerdict>(&state_);
  if (judging == nullptr) return;
  env_.requests.erase(judging->request);
  const std::string text =
      fmt::format("its certificate for tunnel {} was not accepted: {}", judging->tunnel->name, why);
  return initiator_ ? refuse_peer(now, fmt::format("{}: {}", peer_text(), text)) : reject_auth(now, text);
}

// ---- PPK (RFC 8784 3, table 1), as responder -------------------------------------------------------------------

// Which proof of the initiator counts: AUTH, with the PPK that it names in our keys from here on, or NO_PPK_AUTH.
Result<wire::AuthPayload> IkeSa::choose_ppk(const TunnelConfig& tunnel, const wire::Payloads& message,
                                            const wire::AuthPayload& auth) {
  const bool required = tunnel.ppk_policy == model::PpkPolicy::Require;
  if (!agreed_.ppk()) {
    if (!required) return auth;
    return refused(fmt::format("uses no PPK, and tunnel {} has ppk = \"require\": configure the same PPK at the peer",
                               tunnel.name));
  }
  const auto* identity = wire::find_notify(message, NotifyType::PPK_IDENTITY);
  if (identity == nullptr) return refused("has agreed to use a PPK and names none (RFC 8784 3)");
  const Ppk* ppk = tunnel.ppk_policy == model::PpkPolicy::Off ? nullptr : find_ppk(tunnel.ppks, identity->data);
  if (ppk != nullptr) {
    making().without_ppk = apply_ppk(context_.prf, ppk->key.expose(), making().keys);
    agreed_.ppk_used = true;
    return auth;
  }
  const auto* without = wire::find_notify(message, NotifyType::NO_PPK_AUTH);
  if (required || without == nullptr) {
    return refused(fmt::format("names a PPK that tunnel {} has not, and {}: compare the PPK's id at both ends",
                               tunnel.name,
                               required ? "ppk = \"require\" stands here" : "does not go on without (NO_PPK_AUTH)"));
  }
  return wire::AuthPayload{auth.method, without->data};
}

}  // namespace qanat::ike
