// The initiator's side of the handshake: IKE_SA_INIT with its retries, IKE_INTERMEDIATE rounds, IKE_AUTH.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "crypto/prf.hpp"
#include "ike/ike_sa.hpp"
#include "ike/retransmit.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;
using wire::PayloadType;

namespace {

constexpr unsigned kMaxRestarts = 5;          // cookies and INVALID_KE_PAYLOAD together
constexpr Duration kAttemptLimit = 600s;      // beyond the 12 sends of any one exchange
constexpr Duration kPatienceAfterHint = 10s;  // a true answer may still follow a forged refusal (RFC 7296 2.21.1)

}  // namespace

Result<std::unique_ptr<IkeSa>> IkeSa::initiate(Env& env, Instant now, IkeSaId id, std::uint64_t our_spi,
                                               TunnelRef tunnel) {
  ensure(tunnel->peer.has_value(), "only a tunnel with a peer address can be begun");
  std::unique_ptr<IkeSa> sa{new IkeSa(env, id, true)};
  sa->tunnel_ = std::move(tunnel);
  sa->context_.spi_i = our_spi;
  sa->context_.nonce_i = env.rng.bytes(kNonceSize);
  sa->begun_ = now;
  sa->since_ = now;
  sa->last_heard_ = now;
  QANAT_ASSIGN(sa->path_, first_path(*sa->tunnel_, env));
  AwaitInit state;
  state.offer = ipsec::offer_ike(sa->tunnel_->ike);
  const KeId group = sa->tunnel_->ike.front().ke.front();
  QANAT_TRY(sa->send_init(now, state, group));
  sa->state_ = std::move(state);
  sa->timers_.set(Timer::Handshake, now + kAttemptLimit);
  return sa;
}

Status IkeSa::send_init(Instant now, AwaitInit& state, KeId group) {
  auto [made, microseconds] = measured(env_.config.stopwatch, [&] { return env_.keys.create(group); });
  QANAT_ASSIGN(auto ke, std::move(made));
  state.attempts.push_back({{}, std::move(ke)});
  resend_init(now, state);
  note_time(&KeyTimes::own, microseconds);
  return {};
}

// Builds the request for the newest attempt: the same in everything but the cookie in front (RFC 7296 2.6).
void IkeSa::resend_init(Instant now, AwaitInit& state) {
  Attempt& attempt = state.attempts.back();
  wire::Payloads payloads;
  if (!state.cookie.empty()) {
    payloads.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::COOKIE, state.cookie});
    if (!state.solution.empty()) payloads.emplace_back(wire::PuzzleSolutionPayload{state.solution});
  }
  payloads.emplace_back(state.offer);
  payloads.emplace_back(wire::KePayload{attempt.ke->id(), to_bytes(attempt.ke->public_value())});
  payloads.emplace_back(wire::NoncePayload{context_.nonce_i});
  for (wire::Payload& p : feature_notifies(path_, context_.spi_i, 0,
                                           {.force_encap = tunnel_->force_encap,
                                            .intermediate = tunnel_->pq != model::PqPolicy::Off,
                                            .fragmentation = true}))
    payloads.push_back(std::move(p));
  for (wire::Payload& p : agreed_.init_payloads({tunnel_}, true)) payloads.push_back(std::move(p));
  wire::IkeHeader header;
  header.spi_i = context_.spi_i;
  header.exchange = ExchangeType::IKE_SA_INIT;
  header.flags = wire::kFlagInitiator;
  Bytes request = wire::write_clear_message(header, payloads);
  if (attempt.requests.empty() || attempt.requests.back() != request) attempt.requests.push_back(std::move(request));
  outstanding_ = Outstanding{0, ExchangeType::IKE_SA_INIT, {attempt.requests.back()}, 1, now};
  next_message_id_ = 1;
  if (handshake_.empty()) {
    record_request(now, ExchangeType::IKE_SA_INIT, to_string(attempt.ke->id()),
                   static_cast<std::uint32_t>(attempt.requests.back().size()), 1);
  } else {
    handshake_.back().note = to_string(attempt.ke->id());
    handshake_.back().request_octets = static_cast<std::uint32_t>(attempt.requests.back().size());
  }
  transmit(path_, outstanding_->datagrams);
  timers_.set(Timer::Retransmit, now + retransmit_delay(1, env_.rng, env_.config.retransmit));
}

// An unauthenticated answer that is no good: shown, and the attempt waits a while longer for the true one.
void IkeSa::take_hint(Instant now, std::string text, Report::What what) {
  if (text != making().hint) {
    making().hint = std::move(text);
    report(what, making().hint);
  }
  const auto limit = timers_.at(Timer::Handshake);
  if (!limit || now + kPatienceAfterHint < *limit) timers_.set(Timer::Handshake, now + kPatienceAfterHint);
}

void IkeSa::on_init_notify(Instant now, const NotifyPayload& notify) {
  auto& state = std::get<AwaitInit>(state_);
  env_.counters.add(Counter::error_hint);
  switch (notify.type) {
    case NotifyType::INVALID_KE_PAYLOAD: {
      if (notify.data.size() != 2 || state.restarts >= kMaxRestarts) return;
      const auto group = static_cast<KeId>(load_be16(notify.data.data()));
      const bool offered =
          std::any_of(state.offer.proposals.begin(), state.offer.proposals.end(), [&](const wire::Proposal& p) {
            return std::any_of(p.transforms.begin(), p.transforms.end(), [&](const wire::Transform& t) {
              return t.type == wire::TransformType::KE && t.id == static_cast<std::uint16_t>(group);
            });
          });
      if (!offered || state.attempts.back().ke->id() == group) return;
      ++state.restarts;
      const auto tried = std::find_if(state.attempts.begin(), state.attempts.end(),
                                      [&](const Attempt& a) { return a.ke->id() == group; });
      if (tried != state.attempts.end()) {
        // Somebody has sent us away from this group before; the peer wants it after all.
        std::rotate(tried, tried + 1, state.attempts.end());
        resend_init(now, state);
        return;
      }
      if (const Status sent = send_init(now, state, group); !sent) fail_attempt(sent.error().detail);
      return;
    }
    case NotifyType::NO_PROPOSAL_CHOSEN:
      take_hint(now, fmt::format("{} answered NO_PROPOSAL_CHOSEN: it accepts none of [{}], or has no tunnel for these "
                                 "addresses; compare the peer's IKE proposals and addresses with this tunnel's{}",
                                 path_.remote.to_string(), ipsec::describe(state.offer),
                                 tunnel_->pq == model::PqPolicy::Require
                                     ? "; pq = \"require\" offers nothing without ML-KEM: enable it at the peer, or "
                                       "set pq = \"prefer\" here to accept classical keys"
                                     : ""));
      break;
    case NotifyType::INVALID_MAJOR_VERSION:
      take_hint(now,
                fmt::format("{} answered INVALID_MAJOR_VERSION: it does not speak IKEv2", path_.remote.to_string()));
      break;
    default:
      take_hint(now, fmt::format("{} answered {}", path_.remote.to_string(), wire::to_string(notify.type)));
      break;
  }
}

void IkeSa::on_init_response(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message) {
  if (hold_answer(now, arrived, datagram, message)) return;
  auto& state = std::get<AwaitInit>(state_);
  // Nothing here is authenticated: what does not fit is dropped, and the true answer may still come.
  const auto drop = [&](std::string why) {
    env_.counters.add(Counter::bad_answer);
    take_hint(now, std::move(why));
  };
  if (message.encrypted) return drop("the IKE_SA_INIT answer is encrypted");
  if (const Status fits = check_payloads(ExchangeType::IKE_SA_INIT, Direction::Response, message.payloads); !fits) {
    return drop(fmt::format("the IKE_SA_INIT answer is not usable: {} {}", fits.error().where, fits.error().detail));
  }
  if (const NotifyPayload* error = first_error(message.payloads)) {
    on_init_notify(now, *error);
    return;
  }
  if (const NotifyPayload* cookie = wire::find_notify(message.payloads, NotifyType::COOKIE);
      cookie != nullptr && wire::find<wire::SaPayload>(message.payloads) == nullptr) {
    if (state.restarts >= kMaxRestarts) return drop("the peer demands cookies without end");
    on_cookie(now, *cookie, wire::find_notify(message.payloads, NotifyType::PUZZLE));
    return;
  }
  if (wire::find<wire::SaPayload>(message.payloads) == nullptr &&
      wire::find_notify(message.payloads, NotifyType::PUZZLE) != nullptr) {
    env_.counters.add(Counter::bad_answer);  // a puzzle about nothing: RFC 8019 7.1.2 has it ignored
    return;
  }
  const auto* sa = wire::find<wire::SaPayload>(message.payloads);
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(message.payloads);
  if (sa == nullptr || ke == nullptr || nonce == nullptr || message.header.spi_r == 0)
    return drop("the IKE_SA_INIT answer lacks SA, KE, nonce or SPI");
  auto chosen = ipsec::check_ike_answer(*sa, state.offer);
  if (!chosen) return drop(fmt::format("the peer's choice is not among our proposals: {}", chosen.error().detail));
  const auto attempt = std::find_if(state.attempts.begin(), state.attempts.end(),
                                    [&](const Attempt& a) { return a.ke->id() == ke->method; });
  if (chosen->ke != ke->method || attempt == state.attempts.end())
    return drop("the peer's KE payload is not of the chosen key exchange");
  const bool intermediate = wire::find_notify(message.payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED) != nullptr;
  if (!chosen->rounds().empty() && !intermediate)
    return drop("the peer chose an additional key exchange without supporting IKE_INTERMEDIATE");
  if (tunnel_->hybrid_only() && !chosen->has_ml_kem()) {
    if (tunnel_->pq == model::PqPolicy::Require)
      return drop("the peer chose classical keys and pq = \"require\" forbids them");
    env_.counters.add(Counter::bad_answer);
    return take_hint(now, fmt::format("{} chose classical keys: {}", path_.remote.to_string(), pin_text(*tunnel_)),
                     Report::What::PinRefused);
  }
  if (nonce->data.size() * 2 < crypto::prf_size(chosen->prf))
    return drop("the peer's nonce is shorter than half the key of the PRF that it chose (RFC 7296 2.10)");
  const auto lacks = [&](NotifyType type) { return wire::find_notify(message.payloads, type) == nullptr; };
  if (tunnel_->downgrade == model::DowngradePolicy::Require && lacks(NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH))
    return drop(
        "the peer does not authenticate both IKE_SA_INIT messages (notify 16447) and downgrade_prevention = "
        "\"require\" "
        "wants it: enable it at the peer, or set downgrade_prevention = \"auto\"");
  if (tunnel_->ppk_policy == model::PpkPolicy::Require && lacks(NotifyType::USE_PPK))
    return drop("the peer uses no PPK (RFC 8784) and ppk = \"require\" wants it: configure the same PPK there");
  // The private part is good for one use, so what can be told by its length alone does not get that far.
  if (ke->data.size() != crypto::ke_sizes(ke->method).responder) {
    env_.counters.add(Counter::bad_key_exchange);
    return drop(
        fmt::format("the peer's {} value is invalid: it has {} octets", to_string(ke->method), ke->data.size()));
  }
  auto secret = timed(&KeyTimes::peer, [&] { return attempt->ke->finish(ke->data); });
  if (!secret) {
    env_.counters.add(Counter::bad_key_exchange);
    return drop(fmt::format("the peer's {} value is invalid: {}", to_string(ke->method), secret.error().detail));
  }

  record_response(now, static_cast<std::uint32_t>(datagram.size()), 1);
  making().init_request = std::move(attempt->requests.back());
  attempt->requests.pop_back();
  making().earlier_init_requests = std::move(attempt->requests);
  making().init_response = to_bytes(datagram);
  outstanding_.reset();
  timers_.stop(Timer::Retransmit);
  timers_.set(Timer::Handshake, since_ + kAttemptLimit);
  making().hint.clear();
  last_heard_ = now;
  chosen_ = *chosen;
  if (path_.local.address.is_unspecified()) path_.local.address = arrived.local.address;
  context_.spi_r = message.header.spi_r;
  context_.nonce_r = nonce->data;
  context_.suite = chosen->suite;
  context_.prf = chosen->prf;
  key_exchanges_ = {chosen->ke};
  note_peer_features(message.payloads, message.header, arrived);
  agreed_.note_init(message.payloads);
  note_auth_puzzle(wire::find_notify(message.payloads, NotifyType::PUZZLE));
  path_.local.address = arrived.local.address;  // the host has chosen it when the tunnel names none
  if (tunnel_->pq == model::PqPolicy::Off) {
    making().classical_reason = "local policy: pq = \"off\"";
    making().classical_code = "local_policy";
  } else if (!intermediate) {
    making().classical_reason = "the peer does not support IKE_INTERMEDIATE (RFC 9242)";
    making().classical_code = "no_intermediate";
  } else {
    making().classical_reason = "the peer chose a proposal without an additional key exchange";
    making().classical_code = "no_addke";
  }
  // Behind a NAT, or when told so, everything moves to the NAT port, from the next message on (RFC 7296 2.23, RFC
  // 9242 3.3).
  const bool for_mobike = tunnel_->mobike && mobike_.nat_traversal;  // whatever NATs later paths have (RFC 4555 3.3)
  if ((nat_local_ || nat_remote_ || tunnel_->force_encap || for_mobike) && path_.local.port != env_.config.nat_port) {
    path_.local.port = env_.config.nat_port;
    path_.remote.port = 4500;
  }
  install_keys(timed(&KeyTimes::prf, [&] { return derive_initial_keys(context_, *secret); }));
  next_initiator_step(now, 0);
}

// AUTH covers the request that the peer answered, and an answer does not say which it was. A peer that demands a cookie
// answers the request with it only; so we assume the newest. When another answer comes, under another SPI, the peer
// answered more than one, somebody else demanded the cookie, and the first answer was to an earlier request.
void IkeSa::handle_other_init_response(const wire::ClearMessage& message) {
  env_.counters.add(Counter::unexpected_response);
  note_rival(message);
  const std::uint64_t spi = message.header.spi_r;
  if (!making_ || making().earlier_init_requests.empty() || spi == 0 || spi == context_.spi_r ||
      std::find(making().other_answers.begin(), making().other_answers.end(), spi) != making().other_answers.end())
    return;
  if (wire::find<wire::SaPayload>(message.payloads) == nullptr ||
      wire::find<wire::KePayload>(message.payloads) == nullptr)
    return;
  making().other_answers.push_back(spi);
  making().init_request = std::move(making().earlier_init_requests.back());
  making().earlier_init_requests.pop_back();
}

// After `rounds_done` additional key exchanges: the next round, or IKE_AUTH, which needs an inbound SPI first.
void IkeSa::next_initiator_step(Instant now, std::size_t rounds_done) {
  const std::vector<KeId> rounds = chosen_->rounds();
  if (rounds_done == rounds.size() && begin_auth_puzzle(now, rounds_done)) return;
  if (rounds_done < rounds.size()) {
    auto [ke, microseconds] = measured(env_.config.stopwatch, [&] { return env_.keys.create(rounds[rounds_done]); });
    if (!ke) return fail_attempt(ke.error().detail);
    const wire::Payloads payloads{wire::KePayload{rounds[rounds_done], to_bytes((*ke)->public_value())}};
    state_ = AwaitIntermediate{rounds_done, std::move(*ke)};
    send_request(now, ExchangeType::IKE_INTERMEDIATE, payloads);
    if (outstanding_) {
      std::uint32_t octets = 0;
      for (const Bytes& d : outstanding_->datagrams) octets += static_cast<std::uint32_t>(d.size());
      record_request(now, ExchangeType::IKE_INTERMEDIATE, to_string(rounds[rounds_done]), octets,
                     static_cast<std::uint32_t>(outstanding_->datagrams.size()));
      note_time(&KeyTimes::own, microseconds);
    }
    return;
  }
  if (tunnel_->childless && agreed_.peer_childless) return begin_auth(now, {});
  const RequestId request = new_request();
  state_ = AwaitSpi{request};
  timers_.set(Timer::Install, now + 2s);
  env_.actions.emplace_back(PlaneCommand{ipsec::ReserveSpi{request, tunnel_->id}});
}

void IkeSa::on_intermediate_response(Instant now, AwaitIntermediate state, Verified message) {
  if (const NotifyPayload* error = first_error(message.payloads)) {
    return fail_attempt(
        fmt::format("{} refused {}: {}", peer_text(), to_string(state.ke->id()), wire::to_string(error->type)));
  }
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  if (ke->method != state.ke->id()) {
    return fail_attempt(fmt::format("{} answered {} where {} was agreed", peer_text(), to_string(ke->method),
                                    to_string(state.ke->id())));
  }
  auto secret = timed(&KeyTimes::peer, [&] { return state.ke->finish(ke->data); });
  if (!secret) {
    // No notification about a bad response (RFC 7296 2.21); the SA is not built.
    env_.counters.add(Counter::bad_key_exchange);
    return fail_attempt(fmt::format("the {} value of {} is invalid: {}", to_string(state.ke->id()), peer_text(),
                                    secret.error().detail));
  }
  making().int_auth_r.add(context_.prf, making().keys.sk_pr, message.auth_header, message.plaintext.expose());
  key_exchanges_.push_back(state.ke->id());
  agreed_.note_encrypted(message.payloads);
  install_keys(timed(&KeyTimes::prf, [&] { return derive_next_keys(context_, making().keys.sk_d, *secret); }));
  next_initiator_step(now, state.round + 1);
}

void IkeSa::on_spi_reserved(Instant now, const ipsec::Done& done) {
  timers_.stop(Timer::Install);
  if (!done.status)
    return fail_attempt(fmt::format("the packet path gave no inbound SPI: {}", done.status.error().detail));
  AwaitAuth next;
  next.spi = done.spi;
  reserved_spi_ = done.spi;
  next.offer = ipsec::offer_esp(tunnel_->esp, done.spi, tunnel_->esn);
  next.tsi = {PayloadType::TSi, tunnel_->local_ts};
  next.tsr = {PayloadType::TSr, tunnel_->remote_ts};
  begin_auth(now, std::move(next));
}

void IkeSa::send_auth_request(Instant now, AwaitAuth next, wire::AuthPayload ours,
                              std::vector<wire::CertPayload> certificates, Bytes without_ppk) {
  wire::Payloads payloads;
  payloads.emplace_back(our_id());
  for (wire::CertPayload& c : certificates) payloads.emplace_back(std::move(c));
  if (env_.tunnels.claim_first_contact(*tunnel_, id_)) {
    payloads.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::INITIAL_CONTACT, {}});
  }
  if (tunnel_->remote_auth == AuthKind::Certificate) {
    if (!tunnel_->authorities.empty()) payloads.emplace_back(write_authorities(tunnel_->authorities));
    if (!tunnel_->announced.empty()) {
      payloads.emplace_back(NotifyPayload{wire::ProtocolId::None,
                                          {},
                                          NotifyType::SUPPORTED_AUTH_METHODS,
                                          write_auth_methods(tunnel_->announced, false)});
    }
  }
  payloads.emplace_back(wire::IdPayload{PayloadType::IDr, tunnel_->remote_id});
  const std::string note = ours.method == wire::AuthMethod::SharedKeyMic ? "PSK" : "certificate";
  payloads.emplace_back(std::move(ours));
  if (agreed_.ppk_used) {
    payloads.emplace_back(
        NotifyPayload{wire::ProtocolId::None, {}, NotifyType::PPK_IDENTITY, write_ppk_identity(tunnel_->ppks.front())});
  }
  if (!without_ppk.empty()) {
    payloads.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::NO_PPK_AUTH, std::move(without_ppk)});
  }
  if (auto token = our_crash_token()) payloads.emplace_back(std::move(*token));
  if (next.spi != 0) {
    payloads.emplace_back(next.offer);
    payloads.emplace_back(next.tsi);
    payloads.emplace_back(next.tsr);
  }
  if (tunnel_->mobike) {
    for (wire::Payload& p : mobike_offer()) payloads.push_back(std::move(p));
  }
  state_ = std::move(next);
  send_request(now, ExchangeType::IKE_AUTH, payloads);
  if (outstanding_) {
    std::uint32_t octets = 0;
    for (const Bytes& d : outstanding_->datagrams) octets += static_cast<std::uint32_t>(d.size());
    record_request(now, ExchangeType::IKE_AUTH, note, octets,
                   static_cast<std::uint32_t>(outstanding_->datagrams.size()));
  }
}

// The peer believes that it is established, and we do not believe the peer: it is told (RFC 7296 2.21.2).
void IkeSa::refuse_peer(Instant now, std::string why) {
  env_.counters.add(Counter::authentication_failed);
  send_request(now, ExchangeType::INFORMATIONAL,
               {NotifyPayload{wire::ProtocolId::None, {}, NotifyType::AUTHENTICATION_FAILED, {}}});
  fail_attempt(std::move(why));
}

void IkeSa::on_auth_response(Instant now, AwaitAuth state, Verified message) {
  const NotifyPayload* error = first_error(message.payloads);
  const auto* idr = wire::find_id(message.payloads, PayloadType::IDr);
  const auto* auth = wire::find<wire::AuthPayload>(message.payloads);
  if (auth == nullptr || idr == nullptr) {
    if (error != nullptr && error->type == NotifyType::AUTHENTICATION_FAILED) {
      const bool certificates =
          tunnel_->local_auth == AuthKind::Certificate || tunnel_->remote_auth == AuthKind::Certificate;
      return fail_attempt(fmt::format(
          "{} answered AUTHENTICATION_FAILED: compare the {}{} at both ends, and the identities (ours is {}, the peer "
          "must expect it; we expect {})",
          path_.remote.to_string(), certificates ? "certificates, trust anchors and kinds of authentication" : "PSK",
          agreed_.ppk() ? ", and the PPK," : "", tunnel_->local_id.to_string(), tunnel_->remote_id.to_string()));
    }
    if (error == nullptr) return refuse_peer(now, "the IKE_AUTH answer lacks IDr or AUTH");
    return fail_attempt(
        fmt::format("{} answered IKE_AUTH with {}", path_.remote.to_string(), wire::to_string(error->type)));
  }
  peer_id_ = idr->identity;
  if (!idr->identity.matches(tunnel_->remote_id)) {
    return refuse_peer(
        now,
        fmt::format("the peer is {}, not {}: set remote_id of tunnel {} to what the peer sends, or local id at the "
                    "peer",
                    idr->identity.to_string(), tunnel_->remote_id.to_string(), tunnel_->name));
  }
  if (agreed_.ppk_used && wire::find_notify(message.payloads, NotifyType::PPK_IDENTITY) == nullptr) {
    if (tunnel_->ppk_policy == model::PpkPolicy::Require)
      return refuse_peer(now, "the peer went on without the PPK, and ppk = \"require\" wants it");
    making().keys.sk_d = std::move(making().without_ppk.sk_d);
    making().keys.sk_pi = std::move(making().without_ppk.sk_pi);
    making().keys.sk_pr = std::move(making().without_ppk.sk_pr);
    agreed_.ppk_used = false;
    set_verdict();
  }
  const Status proves = timed(&KeyTimes::peer, [&] { return check_proof(*tunnel_, *idr, *auth, making().keys.sk_pr); });
  if (!proves) return refuse_peer(now, proves.error().detail);
  if (breaks_pin(*tunnel_)) {  // known since IKE_SA_INIT
    report(Report::What::PinRefused, fmt::format("{}: {}", peer_text(), pin_text(*tunnel_)));
    return refuse_peer(now, fmt::format("{}: {}", peer_text(), pin_text(*tunnel_)));
  }
  if (tunnel_->remote_auth == AuthKind::Certificate) {
    const wire::IdPayload id = *idr;
    const wire::AuthPayload proof = *auth;
    return ask_verdict(now, {{}, std::move(state), tunnel_, std::move(message.payloads)}, id, proof,
                       making().keys.sk_pr);
  }
  finish_auth(now, state, message.payloads);
}

// The peer has proved who it is: its answer about the Child SA counts.
void IkeSa::finish_auth(Instant now, const AwaitAuth& state, const wire::Payloads& payloads) {
  const NotifyPayload* error = first_error(payloads);
  authenticated_ = true;
  making().without_ppk = {};
  note_mobike(payloads);
  report(Report::What::IkeUp, authentication_text());
  if (state.spi == 0) {  // childless (RFC 6023): the first Child SA has key exchanges of its own
    become_established(now);
    return create_child(now);
  }
  const auto child_failed = [&](std::string why) {
    release_spi();
    become_established(now);
    report(Report::What::AttemptFailed, std::move(why));
    close(now, "");
  };
  if (error != nullptr) {
    return child_failed(
        fmt::format("{} authenticated us but refused the Child SA: {}{}", peer_text(), wire::to_string(error->type),
                    error->type == NotifyType::TS_UNACCEPTABLE
                        ? "; compare the traffic selectors at both ends ('selectors' of this tunnel)"
                    : error->type == NotifyType::NO_PROPOSAL_CHOSEN
                        ? fmt::format("; it accepts none of the ESP proposals [{}]; compare 'esp' of this tunnel",
                                      ipsec::describe(state.offer))
                        : std::string{}));
  }
  const auto* sa = wire::find<wire::SaPayload>(payloads);
  const auto* tsi = wire::find_ts(payloads, PayloadType::TSi);
  const auto* tsr = wire::find_ts(payloads, PayloadType::TSr);
  if (sa == nullptr || tsi == nullptr || tsr == nullptr)
    return child_failed("the IKE_AUTH answer lacks the Child SA's SA or TS payloads");
  const auto esp = ipsec::check_esp_answer(*sa, state.offer);
  if (!esp)
    return child_failed(fmt::format("the peer's choice for ESP is not among our proposals: {}", esp.error().detail));
  if (tsi->selectors.empty() || tsr->selectors.empty() || !ipsec::contains(state.tsi.selectors, tsi->selectors) ||
      !ipsec::contains(state.tsr.selectors, tsr->selectors)) {
    return child_failed("the peer answered with traffic selectors that we did not offer");
  }
  install_child(now, {*esp, state.spi, tsi->selectors, tsr->selectors}, {});
}

}  // namespace qanat::ike
