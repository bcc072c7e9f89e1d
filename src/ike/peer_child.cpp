// The peer's CREATE_CHILD_SA for a Child SA, and the IKE_FOLLOWUP_KEs that complete it (RFC 7296 1.3, 2.25; RFC 9370
// 2.2.4). What may not be now is refused by name, and the IKE SA stays.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;
using wire::PayloadType;

namespace {

constexpr std::size_t kLinkSize = 8;
constexpr std::size_t kMaxParked = 4;
constexpr Duration kPlanePatience = 2s;
constexpr Duration kFollowupPatience = 20s;
constexpr Duration kPeerPatience = 60s;  // for the peer's DELETE of what it should delete

}  // namespace

SafetyVerdict IkeSa::child_verdict(const KeRounds& rounds) const {
  SafetyVerdict out = verdict_;
  if (rounds.has_ml_kem()) {
    out.hybrid = true;
    out.inherited = false;
    out.code = {};
    out.reason = ml_kem_reason(rounds.all());
  } else if (out.hybrid || out.ppk) {
    out.inherited = true;
  }
  return out;
}

// True while a rekey by the peer of that Child SA is being worked on, or awaits its next key exchange.
bool IkeSa::peer_rekeys(ChildSaId child) const {
  return (peer_child_ && peer_child_->old == child) ||
         std::any_of(parked_.begin(), parked_.end(), [&](const Parked& p) {
           const auto* peer = std::get_if<PeerChild>(&p.negotiation);
           return peer != nullptr && peer->old == child;
         });
}

bool IkeSa::peer_rekeys_ike() const {
  return std::any_of(parked_.begin(), parked_.end(),
                     [](const Parked& p) { return std::holds_alternative<PeerIke>(p.negotiation); });
}

void IkeSa::release_parked(const Parked& parked) {
  if (const auto* peer = std::get_if<PeerChild>(&parked.negotiation))
    env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{peer->spi}});
}

void IkeSa::drop_parked(Instant now) {
  std::erase_if(parked_, [&](const Parked& p) {
    if (now < p.deadline) return false;
    env_.counters.add(Counter::followup_timeout);
    release_parked(p);
    return true;
  });
}

void IkeSa::refuse_create(Instant now, ExchangeType exchange, NotifyType type, Counter counter, std::string why,
                          Bytes data) {
  env_.counters.add(counter);
  send_error_response(now, exchange, type, std::move(data));
  if (!why.empty()) report(Report::What::PeerRefused, fmt::format("{}: {}", peer_text(), why));
}

// After establishment a bad value ends the IKE SA, too (RFC 6989 2.5, draft-ietf-ipsecme-ikev2-mlkem).
void IkeSa::refuse_bad_ke(Instant now, ExchangeType exchange, const std::string& why) {
  env_.counters.add(Counter::bad_key_exchange);
  refuse_request(now, exchange,
                 Error{ErrorKind::PeerMisbehaved, static_cast<std::uint16_t>(NotifyType::INVALID_SYNTAX), "KE", why},
                 0);
}

void IkeSa::on_create_child_request(Instant now, const Verified& message) {
  constexpr ExchangeType kExchange = ExchangeType::CREATE_CHILD_SA;
  const auto temporary = [&] {
    refuse_create(now, kExchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure, {});
  };
  if (!is_established()) return temporary();
  const auto* sa = wire::find<wire::SaPayload>(message.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(message.payloads);
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const auto* tsi = wire::find_ts(message.payloads, PayloadType::TSi);
  const auto* tsr = wire::find_ts(message.payloads, PayloadType::TSr);
  if (!sa->proposals.empty() && sa->proposals.front().protocol == wire::ProtocolId::IKE) {
    return on_rekey_ike_request(now, message);
  }
  if (std::holds_alternative<OwnIke>(active()) || peer_rekeys_ike()) return temporary();

  PeerChild peer;
  peer.exchange = kExchange;
  peer.nonce_i = nonce->data;
  ChildSa* old = nullptr;
  if (const NotifyPayload* rekey = wire::find_notify(message.payloads, NotifyType::REKEY_SA)) {
    // The peer names its own inbound SPI: our outbound one.
    const bool named = rekey->protocol == wire::ProtocolId::ESP && rekey->spi.size() == 4;
    old = named ? child_by_peer_spi(load_be32(rekey->spi.data())) : nullptr;
    if (old == nullptr) {
      env_.counters.add(Counter::child_sa_not_found);
      return send_response(
          now, kExchange,
          {NotifyPayload{rekey->protocol, named ? rekey->spi : Bytes{}, NotifyType::CHILD_SA_NOT_FOUND, {}}});
    }
    // It is about to go, or has a successor already; or our own rekey of it has gone too far to be undone.
    if (old->info.state == ChildState::Deleting || old->info.state == ChildState::Rekeyed) return temporary();
    if (const auto* own = std::get_if<OwnChild>(&active());
        own != nullptr && own->old == old->info.id &&
        (own->stage == OwnChild::Stage::Followup || own->stage == OwnChild::Stage::Install))
      return temporary();
    peer.old = old->info.id;
    // An earlier attempt of the peer's at the same has been given up.
    for (Parked& p : parked_) {
      const auto* earlier = std::get_if<PeerChild>(&p.negotiation);
      if (earlier != nullptr && earlier->old == peer.old) p.deadline = now;
    }
    drop_parked(now);
  }
  if (tsi == nullptr || tsr == nullptr) {
    return refuse_request(now, kExchange,
                          Error{ErrorKind::Malformed, static_cast<std::uint16_t>(NotifyType::INVALID_SYNTAX),
                                "CREATE_CHILD_SA", "lacks the TS payloads"},
                          0);
  }
  const auto standing = std::count_if(children_.begin(), children_.end(),
                                      [](const auto& entry) { return entry.second.info.state != ChildState::Retired; });
  if (old == nullptr && static_cast<std::size_t>(standing) >= kMaxChildren) {
    return refuse_create(now, kExchange, NotifyType::NO_ADDITIONAL_SAS, Counter::no_additional_sas,
                         fmt::format("no further Child SA: {} stand", standing));
  }
  // What has been rekeyed stands until the peer deletes it: new keys are refused for a while, and not for good.
  if (static_cast<std::size_t>(standing) >= 2 * kMaxChildren || parked_.size() >= kMaxParked) {
    return refuse_create(now, kExchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure,
                         fmt::format("no new Child SA now: {} stand and {} are in the making: the peer is to delete "
                                     "what it has rekeyed, and to end what it begins",
                                     standing, parked_.size()));
  }
  const auto rules = child_choice_rules(*tunnel_, ke != nullptr ? std::optional{ke->method} : std::nullopt);
  auto chosen = ipsec::choose_esp(*sa, tunnel_->esp, tunnel_->esn, rules);
  if (!chosen) {
    return refuse_create(now, kExchange, NotifyType::NO_PROPOSAL_CHOSEN, Counter::child_no_proposal,
                         fmt::format("no Child SA: {}", chosen.error().detail));
  }
  if (loses_ml_kem(*chosen, old)) {
    return refuse_create(now, kExchange, NotifyType::NO_PROPOSAL_CHOSEN, Counter::child_no_proposal,
                         fmt::format("no Child SA whose keys give up ML-KEM: {}", pin_text(*tunnel_)));
  }
  // Its DELETE and REKEY_SA could not tell the two apart.
  if (child_by_peer_spi(chosen->spi) != nullptr) {
    return refuse_create(now, kExchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure,
                         fmt::format("no Child SA: it has another one with SPI {:08x} already", chosen->spi));
  }
  peer.remote_ts = ipsec::narrow(tsi->selectors, tunnel_->remote_ts);
  peer.local_ts = ipsec::narrow(tsr->selectors, tunnel_->local_ts);
  const bool narrower = old != nullptr && (!ipsec::contains(peer.remote_ts, old->info.remote_ts) ||
                                           !ipsec::contains(peer.local_ts, old->info.local_ts));
  if (peer.remote_ts.empty() || peer.local_ts.empty() || narrower) {
    return refuse_create(
        now, kExchange, NotifyType::TS_UNACCEPTABLE, Counter::ts_unacceptable,
        fmt::format("no Child SA: its selectors {} === {} {}", fmt::join(ipsec::to_strings(tsi->selectors), " "),
                    fmt::join(ipsec::to_strings(tsr->selectors), " "),
                    narrower ? "are narrower than those in use, and a rekey may not narrow them (RFC 7296 2.9.2)"
                             : "are outside ours: change 'selectors' of the tunnel or the peer's"));
  }
  peer.rounds.begin(chosen->ke, chosen->rounds());
  if (chosen->ke && *chosen->ke != KeId::NONE) {
    if (ke == nullptr || ke->method != *chosen->ke) {
      Bytes group(2);
      store_be16(group.data(), static_cast<std::uint16_t>(*chosen->ke));
      return refuse_create(now, kExchange, NotifyType::INVALID_KE_PAYLOAD, Counter::child_invalid_ke, {},
                           std::move(group));
    }
    auto reply = crypto::respond(ke->method, ke->data, env_.rng);
    if (!reply) {
      return refuse_bad_ke(now, kExchange,
                           fmt::format("its {} value is invalid: {}", to_string(ke->method), reply.error().detail));
    }
    peer.answer.emplace_back(wire::KePayload{ke->method, std::move(reply->public_value)});
    peer.rounds.add(std::move(reply->secret));
  }
  peer.chosen = *chosen;
  peer.nonce_r = env_.rng.bytes(kNonceSize);
  peer.spi_request = new_request();
  env_.actions.emplace_back(PlaneCommand{ipsec::ReserveSpi{peer.spi_request, tunnel_->id}});
  timers_.set(Timer::PeerSpi, now + kPlanePatience);
  peer_child_ = std::move(peer);
}

void IkeSa::on_peer_spi(Instant now, const ipsec::Done& done) {
  timers_.stop(Timer::PeerSpi);
  PeerChild peer = std::move(*peer_child_);
  peer_child_.reset();
  if (!done.status) {
    return refuse_create(now, peer.exchange, NotifyType::TEMPORARY_FAILURE, Counter::plane_refused,
                         fmt::format("no Child SA: the packet path gave no SPI: {}", done.status.error().detail));
  }
  peer.spi = done.spi;
  const ChildSa* old = peer.old ? find_child(*peer.old) : nullptr;
  if (peer.old && (old == nullptr || !old->carries())) {
    env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{peer.spi}});
    return refuse_create(now, peer.exchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure, {});
  }
  wire::Payloads answer;
  answer.emplace_back(ipsec::accept_esp(peer.chosen, peer.spi));
  answer.emplace_back(wire::NoncePayload{peer.nonce_r});
  for (wire::Payload& p : peer.answer) answer.push_back(std::move(p));
  answer.emplace_back(wire::TsPayload{PayloadType::TSi, peer.remote_ts});
  answer.emplace_back(wire::TsPayload{PayloadType::TSr, peer.local_ts});
  peer.answer = std::move(answer);
  // Both rekey the same: whose SA stays is decided when our own answer comes.
  if (auto* own = std::get_if<OwnChild>(&active());
      own != nullptr && own->old && own->old == peer.old && own->stage == OwnChild::Stage::Create)
    own->rival = Rival{lower_nonce(peer.nonce_i, peer.nonce_r), std::nullopt};
  next_peer_step(now, std::move(peer));
}

// Another key exchange, or the new Child SA.
void IkeSa::next_peer_step(Instant now, PeerChild peer) {
  if (!peer.rounds.complete()) {
    Bytes link = env_.rng.bytes(kLinkSize);
    wire::Payloads answer = std::move(peer.answer);
    peer.answer.clear();
    answer.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::ADDITIONAL_KEY_EXCHANGE, link});
    const ExchangeType exchange = peer.exchange;
    parked_.push_back({std::move(link), now + kFollowupPatience, std::move(peer)});
    return send_response(now, exchange, answer);
  }
  ChildKeys keys =
      derive_child_keys(context_.prf, sk_d(), peer.rounds.seed(peer.nonce_i, peer.nonce_r), peer.chosen.suite);
  ChildPlan plan{peer.chosen, std::exchange(peer.spi, 0), peer.local_ts, peer.remote_ts, peer.old};
  peer.child = add_child(now, std::move(plan), std::move(keys), WhoBegan::Peer, child_verdict(peer.rounds)).info.id;
  peer_child_ = std::move(peer);
}

void IkeSa::on_followup_request(Instant now, const Verified& message) {
  constexpr ExchangeType kExchange = ExchangeType::IKE_FOLLOWUP_KE;
  const NotifyPayload* link = wire::find_notify(message.payloads, NotifyType::ADDITIONAL_KEY_EXCHANGE);
  drop_parked(now);
  const auto parked = std::find_if(parked_.begin(), parked_.end(),
                                   [&](const Parked& p) { return link != nullptr && p.link == link->data; });
  if (parked == parked_.end() || !is_established())
    return refuse_create(now, kExchange, NotifyType::STATE_NOT_FOUND, Counter::state_not_found, {});
  std::variant<PeerChild, PeerIke> negotiation = std::move(parked->negotiation);
  parked_.erase(parked);
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  if (auto* ike = std::get_if<PeerIke>(&negotiation)) return on_ike_followup(now, std::move(*ike), ke);
  PeerChild peer = std::move(std::get<PeerChild>(negotiation));
  peer.exchange = kExchange;
  const auto drop = [&] { env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{peer.spi}}); };
  const ChildSa* old = peer.old ? find_child(*peer.old) : nullptr;
  if (peer.old && (old == nullptr || !old->carries() || old->info.state == ChildState::Rekeyed)) {
    drop();
    return refuse_create(now, kExchange, NotifyType::TEMPORARY_FAILURE, Counter::temporary_failure, {});
  }
  const KeId expected = peer.rounds.next();
  if (ke == nullptr || ke->method != expected) {
    drop();
    return refuse_bad_ke(now, kExchange, fmt::format("it sent no {} value where one was agreed", to_string(expected)));
  }
  auto reply = crypto::respond(expected, ke->data, env_.rng);
  if (!reply) {
    drop();
    return refuse_bad_ke(now, kExchange,
                         fmt::format("its {} value is invalid: {}", to_string(expected), reply.error().detail));
  }
  peer.answer = {wire::KePayload{expected, std::move(reply->public_value)}};
  peer.rounds.add(std::move(reply->secret));
  next_peer_step(now, std::move(peer));
}

// The answer leaves only now that its inbound SA stands. We go on sending on the old one until the peer has shown that
// it has the new one, or deletes the old one (rules.md "Rekey without loss").
void IkeSa::on_peer_installed(Instant now, ChildSa& child) {
  ensure(peer_child_.has_value(), "what is neither ours nor the first is the peer's");
  PeerChild peer = std::move(*peer_child_);
  peer_child_.reset();
  const ChildSaId id = child.info.id;
  ChildSa* old = peer.old ? find_child(*peer.old) : nullptr;
  const bool succeeds = old != nullptr && old->carries();
  child.awaits_inbound = succeeds;
  child.unconfirmed = true;
  if (auto* own = std::get_if<OwnChild>(&active()); own != nullptr && own->rival && own->old == peer.old) {
    own->rival->child = id;
  } else if (succeeds) {
    old->info.state = ChildState::Rekeyed;
    old->rekey_at.reset();
    old->renew_at.reset();
    old->deadline = now + kPeerPatience;
    tasks_.remove(task::RekeyChild{*peer.old});
  }
  send_response(now, peer.exchange, peer.answer);
  if (is_closed()) return;
  if (!succeeds) switch_to(children_.at(id));
}

void IkeSa::on_peer_install_failed(Instant now, const std::string& why) {
  PeerChild peer = std::move(*peer_child_);
  peer_child_.reset();
  remove_child(peer.child, {});
  if (auto* own = std::get_if<OwnChild>(&active()); own != nullptr && own->old == peer.old) own->rival.reset();
  refuse_create(now, peer.exchange, NotifyType::TEMPORARY_FAILURE, Counter::plane_refused,
                fmt::format("no Child SA: the packet path refused the keys: {}", why));
}

}  // namespace qanat::ike
