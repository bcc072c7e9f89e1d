// The responder's side of the handshake: the IKE_SA_INIT answer, IKE_INTERMEDIATE rounds, IKE_AUTH.
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"
#include "crypto/digest.hpp"
#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;
using wire::PayloadType;

namespace {

constexpr std::size_t kOfferedText = 400;  // of the peer's proposals, kept for `qanat explain`

}  // namespace

Result<std::unique_ptr<IkeSa>> IkeSa::respond(Env& env, Instant now, IkeSaId id, std::uint64_t our_spi,
                                              const Path& path, InitRequest request) {
  std::unique_ptr<IkeSa> sa{new IkeSa(env, id, false)};
  const auto* nonce = wire::find<wire::NoncePayload>(request.payloads);
  for (const TunnelRef& t : request.candidates) {
    std::size_t& smallest = sa->smallest_fragment_;
    if (t->fragment_size != 0 && (smallest == 0 || t->fragment_size < smallest)) smallest = t->fragment_size;
  }
  sa->cookie_verified_ = request.cookie_verified;
  sa->patience_ = request.patience;
  sa->path_ = path;
  sa->begun_ = now;
  sa->since_ = now;
  sa->last_heard_ = now;
  sa->chosen_ = request.chosen;
  sa->context_.spi_i = request.header.spi_i;
  sa->context_.spi_r = our_spi;
  sa->context_.nonce_i = nonce->data;
  sa->context_.nonce_r = env.rng.bytes(kNonceSize);
  sa->context_.suite = request.chosen.suite;
  sa->context_.prf = request.chosen.prf;
  sa->key_exchanges_ = {request.chosen.ke};
  sa->making().init_request = std::move(request.datagram);
  sa->note_peer_features(request.payloads, request.header, path);

  const auto* offered = wire::find<wire::SaPayload>(request.payloads);
  // The tunnel is not known yet: what one of them wants is said.
  const auto any = [&](auto&& wants) { return std::ranges::any_of(request.candidates, wants); };
  const bool any_wants_pq = any([](const TunnelRef& t) { return t->pq != model::PqPolicy::Off; });
  const auto unknown = ipsec::unknown_additional_kes(*offered);
  if (!any_wants_pq) {
    sa->making().classical_reason = "local policy: pq = \"off\"";
    sa->making().classical_code = "local_policy";
  } else if (!sa->peer_intermediate_) {
    sa->making().classical_reason = "the peer does not support IKE_INTERMEDIATE (RFC 9242)";
    sa->making().classical_code = "no_intermediate";
  } else if (!ipsec::offers_additional_ke(*offered)) {
    sa->making().classical_reason = "the peer offered no additional key exchange";
    sa->making().classical_code = "no_addke";
  } else if (!unknown.empty() && !ipsec::offers_ml_kem(*offered)) {
    sa->making().classical_reason =
        fmt::format("the peer offered only additional key exchanges that are not ML-KEM: {}", fmt::join(unknown, ", "));
    sa->making().classical_code = "private_key_exchanges";
  } else {
    sa->making().classical_reason = "no proposal with ML-KEM was common to both";
    sa->making().classical_code = "local_policy";
  }
  sa->offered_ = env.offer(printable(ipsec::describe(*offered), kOfferedText));

  sa->record_request(now, ExchangeType::IKE_SA_INIT, to_string(request.chosen.ke),
                     static_cast<std::uint32_t>(sa->making().init_request.size()), 1);
  sa->note_time(&KeyTimes::peer, request.ke_microseconds);
  wire::Payloads payloads;
  payloads.emplace_back(ipsec::accept_ike(request.chosen));
  payloads.emplace_back(wire::KePayload{request.chosen.ke, std::move(request.ke.public_value)});
  payloads.emplace_back(wire::NoncePayload{sa->context_.nonce_r});
  const Features features{.force_encap = any([](const TunnelRef& t) { return t->force_encap; }),
                          .intermediate = sa->peer_intermediate_ && any_wants_pq,
                          .fragmentation = sa->peer_fragments_};
  for (wire::Payload& p : sa->feature_notifies(path, sa->context_.spi_i, our_spi, features))
    payloads.push_back(std::move(p));
  sa->agreed_.note_init(request.payloads);
  for (wire::Payload& p : sa->agreed_.init_payloads(request.candidates, false)) payloads.push_back(std::move(p));
  wire::IkeHeader header;
  header.spi_i = sa->context_.spi_i;
  header.spi_r = our_spi;
  header.exchange = ExchangeType::IKE_SA_INIT;
  header.flags = wire::kFlagResponse;
  sa->making().init_response = wire::write_clear_message(header, payloads);

  sa->peer_slot_.next_message_id = 1;
  sa->peer_slot_.request_hash = crypto::sha256({sa->making().init_request});
  sa->peer_slot_.response = {sa->making().init_response};
  sa->peer_slot_.path = path;
  sa->record_response(now, static_cast<std::uint32_t>(sa->making().init_response.size()), 1);
  sa->install_keys(sa->timed(&KeyTimes::prf, [&] { return derive_initial_keys(sa->context_, request.ke.secret); }));
  sa->state_ = AwaitRequest{0, path.local.address, path.remote.address};
  sa->timers_.set(Timer::Handshake, now + sa->patience_);
  sa->transmit(path, sa->peer_slot_.response);
  return sa;
}

void IkeSa::repeat_init_response(const Path& arrived) {
  if (peer_slot_.next_message_id == 1 && !peer_slot_.response.empty()) {
    env_.counters.add(Counter::retransmission);
    transmit(arrived, peer_slot_.response);
  }
}

void IkeSa::on_intermediate_request(Instant now, Verified message) {
  auto& state = std::get<AwaitRequest>(state_);
  const KeId expected = chosen_->rounds()[state.rounds_done];
  record_request(now, ExchangeType::IKE_INTERMEDIATE, to_string(expected), message.octets, message.datagrams);
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const auto refuse = [&](std::string why) {
    env_.counters.add(Counter::bad_key_exchange);
    send_error_response(now, ExchangeType::IKE_INTERMEDIATE, NotifyType::INVALID_SYNTAX);
    report(Report::What::PeerRefused, fmt::format("{}: {}", peer_text(), why));
    linger(now);
  };
  if (ke->method != expected) {
    return refuse(fmt::format("sent {} where {} was agreed", to_string(ke->method), to_string(expected)));
  }
  auto reply = timed(&KeyTimes::peer, [&] { return env_.keys.respond(expected, ke->data); });
  if (!reply) {
    return refuse(fmt::format("its {} value is invalid: {}", to_string(expected), reply.error().detail));
  }
  // Request and response of a round use the generation before it, for protection and for IntAuth (RFC 9242 3.3.1).
  making().int_auth_i.add(context_.prf, making().keys.sk_pi, message.auth_header, message.plaintext.expose());
  send_response(now, ExchangeType::IKE_INTERMEDIATE, {wire::KePayload{expected, std::move(reply->public_value)}});
  key_exchanges_.push_back(expected);
  install_keys(timed(&KeyTimes::prf, [&] { return derive_next_keys(context_, making().keys.sk_d, reply->secret); }));
  ++state.rounds_done;
}

TunnelRef IkeSa::select_tunnel(const wire::IdPayload& idi, const wire::IdPayload* idr) const {
  const auto& asked = std::get<AwaitRequest>(state_);
  // As they are configured now: they may have been changed since IKE_SA_INIT.
  for (const TunnelRef& t :
       env_.tunnels.by_identities(asked.local, asked.remote, idi.identity, idr != nullptr ? &idr->identity : nullptr)) {
    const bool needs_psk = t->local_auth == AuthKind::Psk || t->remote_auth == AuthKind::Psk;
    if (needs_psk && t->psk.empty()) continue;
    ipsec::IkeChoiceRules rules;
    rules.intermediate = peer_intermediate_;
    rules.hybrid_only = t->pq == model::PqPolicy::Require;
    if (ipsec::choose_ike(ipsec::accept_ike(*chosen_), t->ike, rules)) return t;
  }
  return nullptr;
}

// One answer for every reason, so that a stranger learns nothing; the log says which it was.
void IkeSa::reject_auth(Instant now, std::string why) {
  env_.counters.add(Counter::authentication_failed);
  send_error_response(now, ExchangeType::IKE_AUTH, NotifyType::AUTHENTICATION_FAILED);
  report(Report::What::PeerRefused, fmt::format("{}: {}", peer_text(), why));
  linger(now);
}

void IkeSa::on_auth_request(Instant now, Verified message) {
  const auto* auth = wire::find<wire::AuthPayload>(message.payloads);
  const bool by_psk = auth == nullptr || auth->method == wire::AuthMethod::SharedKeyMic;
  record_request(now, ExchangeType::IKE_AUTH, by_psk ? "PSK" : "certificate", message.octets, message.datagrams);
  auth_message_id_ = peer_slot_.next_message_id - 1;
  agreed_.note_encrypted(message.payloads);
  const auto* idi = wire::find_id(message.payloads, PayloadType::IDi);
  const auto* idr = wire::find_id(message.payloads, PayloadType::IDr);
  peer_id_ = idi->identity;
  const TunnelRef found = select_tunnel(*idi, idr);
  if (!found || found->remote_auth != AuthKind::Psk || auth == nullptr) {
    // A PSK is tried whether or not there is one: the answer takes the same time.
    (void)psk_auth(context_.prf, to_bytes("no tunnel has these identities"),
                   auth_octets(Signer::Initiator, *idi, making().keys.sk_pi));
  }
  if (wire::find<wire::EapPayload>(message.payloads) != nullptr || auth == nullptr) {
    return reject_auth(now, "asks for EAP, which is not offered: configure a PSK or a certificate at the peer");
  }
  if (!found) {
    return reject_auth(now,
                       fmt::format("no tunnel has remote_id {}{} and accepts its proposal", idi->identity.to_string(),
                                   idr != nullptr ? fmt::format(" and local_id {}", idr->identity.to_string()) : ""));
  }
  const auto proof = choose_ppk(*found, message.payloads, *auth);
  if (!proof) return reject_auth(now, proof.error().detail);
  if (found->downgrade == model::DowngradePolicy::Require && !agreed_.full_transcript()) {
    return reject_auth(now,
                       fmt::format("does not authenticate both IKE_SA_INIT messages (notify 16447), and tunnel {} "
                                   "has downgrade_prevention = \"require\": enable it at the peer, or set \"auto\"",
                                   found->name));
  }
  const Status fits = timed(&KeyTimes::peer, [&] { return check_proof(*found, *idi, *proof, making().keys.sk_pi); });
  if (!fits) return reject_auth(now, fits.error().detail);
  if (found->remote_auth == AuthKind::Certificate) {
    const wire::IdPayload id = *idi;
    return ask_verdict(now, {{}, {}, found, std::move(message.payloads)}, id, *proof, making().keys.sk_pi);
  }
  on_peer_proved(now, found, std::move(message.payloads));
}

// Now it is our turn to prove who we are, and only then comes the Child SA.
void IkeSa::on_peer_proved(Instant now, TunnelRef tunnel, wire::Payloads message) {
  if (breaks_pin(*tunnel)) {
    tunnel_ = std::move(tunnel);
    env_.counters.add(Counter::authentication_failed);
    send_error_response(now, ExchangeType::IKE_AUTH, NotifyType::AUTHENTICATION_FAILED);
    report(Report::What::PinRefused, fmt::format("{} comes with classical keys ({}): {}", peer_text(),
                                                 making().classical_reason, pin_text(*tunnel_)));
    return linger(now);
  }
  authenticated_ = true;
  tunnel_ = std::move(tunnel);
  making().without_ppk = {};
  if (tunnel_->pq == model::PqPolicy::Off) {
    making().classical_reason = "local policy: pq = \"off\"";
    making().classical_code = "local_policy";
  }
  set_verdict();
  timers_.stop(Timer::Handshake);
  if (tunnel_->local_auth == AuthKind::Certificate) {
    return ask_signature(now, {{}, {}, std::move(message), {}}, making().keys.sk_pr);
  }
  wire::AuthPayload ours = timed(&KeyTimes::own, [&] { return psk_proof(Signer::Responder, making().keys.sk_pr); });
  answer_auth(now, message, std::move(ours), {});
}

void IkeSa::answer_auth(Instant now, const wire::Payloads& message, wire::AuthPayload ours,
                        std::vector<wire::CertPayload> certificates) {
  if (says_another_path(message, peer_slot_.path)) {
    env_.counters.add(Counter::address_refused);
    send_error_response(now, ExchangeType::IKE_AUTH, NotifyType::UNEXPECTED_NAT_DETECTED);
    report(Report::What::PeerRefused, fmt::format("{}: it allows no NAT, and there is one", peer_text()));
    return linger(now);
  }
  report(Report::What::IkeUp, authentication_text());
  initial_contact_received_ = wire::find_notify(message, NotifyType::INITIAL_CONTACT) != nullptr;
  wire::Payloads answer;
  answer.emplace_back(our_id());
  for (wire::CertPayload& c : certificates) answer.emplace_back(std::move(c));
  answer.emplace_back(std::move(ours));
  if (agreed_.ppk_used) {
    answer.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::PPK_IDENTITY, {}});
  }
  if (auto token = our_crash_token()) answer.emplace_back(std::move(*token));
  note_mobike(message);
  if (mobike_.on) {
    for (wire::Payload& p : mobike_offer()) answer.push_back(std::move(p));
  }
  const auto without_child = [&](NotifyType type, std::string why) {
    answer.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, type, {}});
    send_response(now, ExchangeType::IKE_AUTH, answer);
    become_established(now);
    report(Report::What::PeerRefused, fmt::format("{}: no Child SA: {}", peer_text(), why));
  };
  const auto* sa = wire::find<wire::SaPayload>(message);
  const auto* tsi = wire::find_ts(message, PayloadType::TSi);
  const auto* tsr = wire::find_ts(message, PayloadType::TSr);
  if (sa == nullptr && tsi == nullptr && tsr == nullptr) {  // RFC 6023: Child SAs come later
    send_response(now, ExchangeType::IKE_AUTH, answer);
    if (!is_closed()) become_established(now);
    return;
  }
  if (sa == nullptr || tsi == nullptr || tsr == nullptr) {
    return without_child(NotifyType::NO_ADDITIONAL_SAS, "the IKE_AUTH request lacks some of its SA and TS payloads");
  }
  auto esp = ipsec::choose_esp(*sa, tunnel_->esp, tunnel_->esn);
  if (!esp) return without_child(NotifyType::NO_PROPOSAL_CHOSEN, esp.error().detail);
  ipsec::Selectors remote = ipsec::narrow(tsi->selectors, tunnel_->remote_ts);
  ipsec::Selectors local = ipsec::narrow(tsr->selectors, tunnel_->local_ts);
  if (remote.empty() || local.empty()) {
    return without_child(
        NotifyType::TS_UNACCEPTABLE,
        fmt::format("its selectors {} === {} are outside ours {} === {}: change 'selectors' of tunnel {} or the peer's",
                    fmt::format("{}", fmt::join(ipsec::to_strings(tsi->selectors), " ")),
                    fmt::format("{}", fmt::join(ipsec::to_strings(tsr->selectors), " ")),
                    fmt::format("{}", fmt::join(ipsec::to_strings(tunnel_->remote_ts), " ")),
                    fmt::format("{}", fmt::join(ipsec::to_strings(tunnel_->local_ts), " ")), tunnel_->name));
  }
  const RequestId request = new_request();
  state_ = ReservingSpi{request, *esp, std::move(remote), std::move(local), std::move(answer)};
  timers_.set(Timer::Install, now + 2s);
  env_.actions.emplace_back(PlaneCommand{ipsec::ReserveSpi{request, tunnel_->id}});
}

void IkeSa::on_responder_spi(Instant now, ReservingSpi state, const ipsec::Done& done) {
  reserved_spi_ = done.spi;
  wire::Payloads answer = std::move(state.answer);
  answer.emplace_back(ipsec::accept_esp(state.chosen, done.spi));
  answer.emplace_back(wire::TsPayload{PayloadType::TSi, state.tsi});
  answer.emplace_back(wire::TsPayload{PayloadType::TSr, state.tsr});
  install_child(now, {state.chosen, done.spi, state.tsr, state.tsi}, std::move(answer));
}

}  // namespace qanat::ike
