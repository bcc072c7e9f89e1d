// Our CREATE_CHILD_SA for a Child SA: a new one, or the successor of one (RFC 7296 1.3.1, 1.3.3; RFC 9370 2.2.4).
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

constexpr Duration kPlanePatience = 2s;
constexpr Duration kPeerPatience = 60s;  // for the peer's DELETE of what it should delete
constexpr unsigned kMaxRefusals = 4;
constexpr Duration kAcquireInterval = 2s;
constexpr Duration kGivingWay = 3s;
constexpr Duration kAcquireAfterRefusal = 60s;

// The peer has deleted it while the packet path was still taking it.
bool is_deleted(const OwnChild& own, const ChildSa& child) {
  return std::find(own.deleted.begin(), own.deleted.end(), child.info.spi_out) != own.deleted.end();
}

}  // namespace

void IkeSa::create_child(Instant now) {
  if (!is_established()) return;
  if (const auto* own = std::get_if<OwnChild>(&active()); own != nullptr && !own->old) return;  // under way
  // Both sides may want it at the same moment, and one is enough: the responder gives way.
  tasks_.enqueue(task::CreateChild{}, initiator_ ? now : now + kGivingWay);
  pump(now);
}

std::vector<SelectorPair> IkeSa::selectors_in_use() const {
  std::vector<SelectorPair> out;
  for (const auto& [id, child] : children_) {
    if (!child.carries() || child.info.local_ts.empty() || child.info.remote_ts.empty()) continue;
    out.push_back({child.info.local_ts.front(), child.info.remote_ts.front()});
  }
  return out;
}

void IkeSa::take_over_selectors(Instant now, const std::vector<SelectorPair>& wanted) {
  for (const auto& [local, remote] : wanted) {
    const bool there = std::any_of(children_.begin(), children_.end(), [&](const auto& entry) {
      return ipsec::contains(entry.second.info.local_ts, local) && ipsec::contains(entry.second.info.remote_ts, remote);
    });
    if (!there) tasks_.enqueue(task::CreateChild{local, remote}, now);
  }
  pump(now);
}

void IkeSa::handle_acquire(Instant now, const wire::TrafficSelector& local, const wire::TrafficSelector& remote) {
  if (!is_established() || !(tunnel_->more_children || more_selectors_)) return;
  if (next_acquire_ && now < *next_acquire_) return;
  // What the tunnel does not offer would only be narrowed away; what a Child SA takes is under way already.
  if (!ipsec::contains(tunnel_->local_ts, local) || !ipsec::contains(tunnel_->remote_ts, remote)) return;
  bool carries = false;
  for (const auto& [id, child] : children_) {
    carries = carries || child.carries();
    if ((child.carries() || child.info.state == ChildState::Installing) &&
        ipsec::contains(child.info.local_ts, local) && ipsec::contains(child.info.remote_ts, remote))
      return;
  }
  if (!carries || children_.size() >= kMaxChildren)
    return;  // the tunnel's first Child SA is on its way, or the Director's business
  next_acquire_ = now + kAcquireInterval;
  tasks_.enqueue(task::CreateChild{local, remote}, now);
  pump(now);
}

void IkeSa::begin_own_child(Instant now, QueuedTask task, std::optional<ChildSaId> old) {
  OwnChild own;
  own.task = std::move(task);
  own.old = old;
  own.memory = env_.tunnels.memory(tunnel_->id);
  own.spi_request = new_request();
  env_.actions.emplace_back(PlaneCommand{ipsec::ReserveSpi{own.spi_request, tunnel_->id}});
  active() = std::move(own);
  timers_.set(Timer::OwnSpi, now + kPlanePatience);
}

void IkeSa::on_own_spi(Instant now, const ipsec::Done& done) {
  timers_.stop(Timer::OwnSpi);
  OwnChild own = std::get<OwnChild>(std::exchange(active(), std::monostate{}));
  if (!done.status) {
    env_.counters.add(Counter::plane_refused);
    return end_own(now, std::move(own), true);
  }
  own.spi = done.spi;
  const ChildSa* old = own.old ? find_child(*own.old) : nullptr;
  if (own.old) {
    // Meanwhile the peer may have deleted it, or begun to rekey it itself.
    if (old == nullptr || old->info.state != ChildState::Live) return end_own(now, std::move(own), false);
    if (peer_rekeys(*own.old)) return end_own(now, std::move(own), true);
    own.local_ts = old->info.local_ts;
    own.remote_ts = old->info.remote_ts;
  } else {
    const auto& packet = std::get<task::CreateChild>(own.task.task);
    if (packet.local) own.local_ts.push_back(*packet.local);
    if (packet.remote) own.remote_ts.push_back(*packet.remote);
    own.local_ts.insert(own.local_ts.end(), tunnel_->local_ts.begin(), tunnel_->local_ts.end());
    own.remote_ts.insert(own.remote_ts.end(), tunnel_->remote_ts.begin(), tunnel_->remote_ts.end());
  }
  active() = std::move(own);
  send_own_create(now, std::get<OwnChild>(active()));
}

void IkeSa::send_own_create(Instant now, OwnChild& own) {
  const std::vector<ipsec::EspProposal> proposals = esp_with_pfs(*tunnel_, *chosen_, own.memory);
  own.stage = OwnChild::Stage::Create;
  own.offer = ipsec::offer_esp(proposals, own.spi, tunnel_->esn, ipsec::KeyExchanges::Offered);
  own.nonce_i = env_.rng.bytes(kNonceSize);
  own.ke.reset();
  wire::Payloads payloads;
  ChildSa* old = own.old ? find_child(*own.old) : nullptr;
  if (old != nullptr) {
    Bytes spi(4);
    store_be32(spi.data(), old->info.spi_in);
    payloads.emplace_back(NotifyPayload{wire::ProtocolId::ESP, std::move(spi), NotifyType::REKEY_SA, {}});
    old->info.state = ChildState::Rekeying;
  }
  payloads.emplace_back(own.offer);
  payloads.emplace_back(wire::NoncePayload{own.nonce_i});
  if (const auto id = first_ke(proposals)) {
    auto ke = crypto::KeyExchange::create(*id, env_.rng);
    if (!ke) {
      OwnChild taken = std::get<OwnChild>(std::exchange(active(), std::monostate{}));
      return end_own(now, std::move(taken), true);
    }
    own.ke = std::move(*ke);
    payloads.emplace_back(wire::KePayload{*id, to_bytes(own.ke->public_value())});
  }
  payloads.emplace_back(wire::TsPayload{PayloadType::TSi, own.local_ts});
  payloads.emplace_back(wire::TsPayload{PayloadType::TSr, own.remote_ts});
  send_request(now, ExchangeType::CREATE_CHILD_SA, payloads);
}

// It is over without a new Child SA; `again`: it is tried once more after a while.
void IkeSa::end_own(Instant now, OwnChild own, bool again) {
  if (own.spi != 0) env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{own.spi}});
  if (own.old) {
    ChildSa* old = find_child(*own.old);
    if (old == nullptr || !old->carries()) return;  // gone: nothing is left to be rekeyed
    if (own.rival && (own.rival->child ? children_.contains(*own.rival->child) : peer_rekeys(*own.old))) {
      // The peer's own rekey takes its place.
      if (own.rival->child) {
        old->info.state = ChildState::Rekeyed;
        old->deadline = now + kPeerPatience;
        old->rekey_at.reset();
        old->renew_at.reset();
        return;
      }
      again = true;
    }
    old->info.state = ChildState::Live;
  }
  if (again) put_off(now, std::move(own.task));
}

// The peer has made a Child SA that we do not want: it is deleted.
void IkeSa::undo_own(Instant now, OwnChild own, const std::string& why) {
  env_.counters.add(Counter::bad_create_answer);
  report(Report::What::Hint, fmt::format("{}: its CREATE_CHILD_SA answer is not used: {}", peer_text(), why));
  ChildSa half;
  half.info.id = ChildSaId{env_.next_child++};
  half.info.spi_in = own.spi;
  half.info.since = now;
  half.info.state = ChildState::Live;
  const ChildSaId id = half.info.id;
  ChildSa& child = children_.emplace(id, std::move(half)).first->second;
  delete_child(now, child, {});
  end_own(now, std::move(own), true);
}

void IkeSa::on_own_response(Instant now, OwnChild own, const Verified& message) {
  if (const NotifyPayload* error = first_error(message.payloads)) {
    on_own_refused(now, std::move(own), *error);
  } else if (own.stage == OwnChild::Stage::Followup) {
    on_own_followup(now, std::move(own), message);
  } else {
    on_own_created(now, std::move(own), message);
  }
}

void IkeSa::on_own_refused(Instant now, OwnChild own, const NotifyPayload& error) {
  env_.counters.add(Counter::create_refused);
  const bool usable = own.old ? find_child(*own.old) != nullptr && find_child(*own.old)->carries() && !own.rival : true;
  TunnelMemory& memory = own.memory;
  if (own.stage == OwnChild::Stage::Create && own.ke && usable && own.refusals < kMaxRefusals &&
      (error.type == NotifyType::INVALID_KE_PAYLOAD || error.type == NotifyType::NO_PROPOSAL_CHOSEN)) {
    ++own.refusals;
    const auto named = error.type == NotifyType::INVALID_KE_PAYLOAD && error.data.size() == 2
                           ? std::optional{static_cast<KeId>(load_be16(error.data.data()))}
                           : std::nullopt;
    if (named && *named != own.ke->id() && memory.group != named && names_ke(*tunnel_, *named) &&
        crypto::ke_available(*named)) {
      memory.group = named;
    } else if (memory.pfs == Pfs::Full) {
      memory.pfs = Pfs::Classical;
    } else {
      memory.pfs = Pfs::None;
    }
    active() = std::move(own);
    return send_own_create(now, std::get<OwnChild>(active()));
  }
  switch (error.type) {
    case NotifyType::CHILD_SA_NOT_FOUND: {
      // The peer does not have it: a new one takes its place (unless the peer's own rekey has).
      const auto old = own.old;
      const bool replaced = own.rival && own.rival->child && children_.contains(*own.rival->child);
      const bool had = old && find_child(*old) != nullptr && find_child(*old)->carries();
      end_own(now, std::move(own), false);
      if (!had) return;
      ChildSa& gone = *find_child(*old);
      const bool only = std::none_of(children_.begin(), children_.end(),
                                     [&](const auto& entry) { return entry.first != *old && entry.second.carries(); });
      task::CreateChild anew;
      if (!only && !gone.info.local_ts.empty() && !gone.info.remote_ts.empty())
        anew = {gone.info.local_ts.front(), gone.info.remote_ts.front()};
      let_successor_carry(gone);
      retire_child(now, gone, replaced ? std::string{} : fmt::format("{} no longer has the Child SA", peer_text()));
      if (!replaced) tasks_.enqueue(std::move(anew), now);
      return;
    }
    case NotifyType::TS_UNACCEPTABLE:
      if (!own.old) {
        next_acquire_ = now + kAcquireAfterRefusal;
        report(Report::What::Hint, fmt::format("{} accepts no Child SA for {} === {}: TS_UNACCEPTABLE; compare "
                                               "'selectors' at both ends",
                                               peer_text(), fmt::join(ipsec::to_strings(own.local_ts), " "),
                                               fmt::join(ipsec::to_strings(own.remote_ts), " ")));
      }
      break;
    case NotifyType::NO_ADDITIONAL_SAS:
      if (own.old) {
        // It makes none besides the first one: new keys come with a new IKE SA (RFC 7296 1.3, 4).
        const bool live = find_child(*own.old) != nullptr && find_child(*own.old)->carries();
        end_own(now, std::move(own), false);
        if (live) report(Report::What::RenewWanted, "the peer makes no Child SA within the IKE SA");
        return;
      }
      next_acquire_ = now + kAcquireAfterRefusal;
      break;
    default:
      break;
  }
  // Another Child SA is wanted again when a packet wants it; the tunnel's own, and a rekey, are asked for again.
  const auto* create = std::get_if<task::CreateChild>(&own.task.task);
  const bool again = create == nullptr || !create->local;
  end_own(now, std::move(own), again && is_established());
}

void IkeSa::on_own_created(Instant now, OwnChild own, const Verified& message) {
  const auto* sa = wire::find<wire::SaPayload>(message.payloads);
  const auto* nonce = wire::find<wire::NoncePayload>(message.payloads);
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const auto* tsi = wire::find_ts(message.payloads, PayloadType::TSi);
  const auto* tsr = wire::find_ts(message.payloads, PayloadType::TSr);
  if (sa == nullptr || nonce == nullptr || tsi == nullptr || tsr == nullptr)
    return undo_own(now, std::move(own), "it lacks SA, nonce or TS payloads");
  const auto chosen = ipsec::check_esp_answer(*sa, own.offer);
  if (!chosen) return undo_own(now, std::move(own), chosen.error().detail);
  if (tsi->selectors.empty() || tsr->selectors.empty() || !ipsec::contains(own.local_ts, tsi->selectors) ||
      !ipsec::contains(own.remote_ts, tsr->selectors))
    return undo_own(now, std::move(own), "it has traffic selectors that we did not offer");
  if (own.old && (!ipsec::contains(tsi->selectors, own.local_ts) || !ipsec::contains(tsr->selectors, own.remote_ts)))
    return undo_own(now, std::move(own), "a rekey may not narrow the traffic selectors in use (RFC 7296 2.9.2)");
  if (loses_ml_kem(*chosen, own.old ? find_child(*own.old) : nullptr))
    return undo_own(now, std::move(own), "its keys give up ML-KEM: " + pin_text(*tunnel_));
  if (child_by_peer_spi(chosen->spi) != nullptr)
    return undo_own(now, std::move(own), "it has another Child SA with that SPI already");
  own.chosen = *chosen;
  env_.tunnels.memory(tunnel_->id) = own.memory;  // that is what the peer takes
  own.nonce_r = nonce->data;
  own.local_ts = tsi->selectors;
  own.remote_ts = tsr->selectors;
  own.rounds.begin(chosen->ke, chosen->rounds());
  if (own.ke) {
    if (ke == nullptr || ke->method != own.ke->id() || chosen->ke != own.ke->id()) {
      env_.counters.add(Counter::bad_key_exchange);
      active() = std::move(own);
      return close(now, fmt::format("{} answered CREATE_CHILD_SA with another key exchange than ours", peer_text()));
    }
    auto secret = own.ke->finish(ke->data);
    if (!secret) {
      // No notification about a bad response; the IKE SA is deleted by an exchange of its own (RFC 6989 2.5).
      env_.counters.add(Counter::bad_key_exchange);
      active() = std::move(own);
      return close(now, fmt::format("the {} value of {} is invalid: {}", to_string(chosen->ke.value_or(KeId::NONE)),
                                    peer_text(), secret.error().detail));
    }
    own.rounds.add(std::move(*secret));
  } else if (!own.rounds.complete()) {
    return undo_own(now, std::move(own), "it chose a key exchange that we did not offer");
  }
  if (own.rival) {
    const Bytes& ours = lower_nonce(own.nonce_i, own.nonce_r);
    own.lost = &lower_nonce(ours, own.rival->lowest_nonce) == &ours;
    // Rounds that are still to come make no SA when they do not take place.
    if (own.lost && !own.rounds.complete()) return end_own(now, std::move(own), false);
    if (!own.lost && own.rival->child) {
      if (ChildSa* theirs = find_child(*own.rival->child); theirs != nullptr && theirs->carries()) {
        theirs->awaits_inbound = false;
        theirs->info.state = ChildState::Rekeyed;
        theirs->rekey_at.reset();
        theirs->renew_at.reset();
        theirs->deadline = now + kPeerPatience;
      }
    }
  }
  next_own_step(now, std::move(own), message.payloads);
}

void IkeSa::on_own_followup(Instant now, OwnChild own, const Verified& message) {
  const auto* ke = wire::find<wire::KePayload>(message.payloads);
  const KeId expected = own.rounds.next();
  auto secret = ke != nullptr && ke->method == expected
                    ? own.ke->finish(ke->data)
                    : Result<SecretBytes>{fail(ErrorKind::PeerMisbehaved, "IKE_FOLLOWUP_KE", "has no such KE payload")};
  if (!secret) {
    env_.counters.add(Counter::bad_key_exchange);
    active() = std::move(own);
    return close(
        now, fmt::format("the {} value of {} is invalid: {}", to_string(expected), peer_text(), secret.error().detail));
  }
  own.rounds.add(std::move(*secret));
  next_own_step(now, std::move(own), message.payloads);
}

// The next key exchange, or the new Child SA.
void IkeSa::next_own_step(Instant now, OwnChild own, const wire::Payloads& payloads) {
  if (!own.rounds.complete()) {
    const ChildSa* old = own.old ? find_child(*own.old) : nullptr;
    if (own.old && (old == nullptr || !old->carries())) return end_own(now, std::move(own), false);
    const NotifyPayload* link = wire::find_notify(payloads, NotifyType::ADDITIONAL_KEY_EXCHANGE);
    if (link == nullptr) {
      env_.counters.add(Counter::bad_create_answer);
      return end_own(now, std::move(own), true);
    }
    auto ke = crypto::KeyExchange::create(own.rounds.next(), env_.rng);
    if (!ke) return end_own(now, std::move(own), true);
    own.ke = std::move(*ke);
    own.stage = OwnChild::Stage::Followup;
    const wire::Payloads request{
        wire::KePayload{own.ke->id(), to_bytes(own.ke->public_value())},
        NotifyPayload{wire::ProtocolId::None, {}, NotifyType::ADDITIONAL_KEY_EXCHANGE, link->data}};
    active() = std::move(own);
    return send_request(now, ExchangeType::IKE_FOLLOWUP_KE, request);
  }
  // The peer has deleted it before we knew of it: it is not made. What it was to succeed is rekeyed another time.
  if (std::find(own.deleted.begin(), own.deleted.end(), own.chosen.spi) != own.deleted.end()) {
    const bool again = own.old.has_value();
    return end_own(now, std::move(own), again);
  }
  ChildKeys keys = derive_child_keys(context_.prf, sk_d(), own.rounds.seed(own.nonce_i, own.nonce_r), own.chosen.suite);
  ChildPlan plan{own.chosen, std::exchange(own.spi, 0), own.local_ts, own.remote_ts, own.old};
  own.stage = OwnChild::Stage::Install;
  own.child = add_child(now, std::move(plan), std::move(keys), WhoBegan::Us, child_verdict(own.rounds)).info.id;
  active() = std::move(own);
}

// Make before break (rules.md "Rekey without loss"): the new SA carries, then the old one is deleted at once.
void IkeSa::on_own_installed(Instant now, ChildSa& child) {
  OwnChild own = std::get<OwnChild>(std::exchange(active(), std::monostate{}));
  ChildSa* old = own.old ? find_child(*own.old) : nullptr;
  if (is_deleted(own, child)) {
    retire_child(now, child, {});
    const bool again = own.old.has_value();
    return end_own(now, std::move(own), again);
  }
  if (own.lost) {
    // Whoever made the exchange with the lowest nonce deletes its SA; the other side deletes the old one.
    delete_child(now, child, {});
    end_own(now, std::move(own), false);
    return;
  }
  switch_to(child);
  if (own.old) env_.actions.emplace_back(PlaneCommand{ipsec::SendDummy{child.info.id}});
  if (old != nullptr && old->carries()) delete_child(now, *old, {});
}

void IkeSa::on_own_install_failed(Instant now, const std::string& why) {
  OwnChild own = std::get<OwnChild>(std::exchange(active(), std::monostate{}));
  env_.counters.add(Counter::plane_refused);
  report(Report::What::Hint, fmt::format("the packet path refused the keys of a new Child SA: {}", why));
  if (ChildSa* child = find_child(own.child); child != nullptr && is_deleted(own, *child)) {
    remove_child(own.child, {});
  } else if (child != nullptr) {
    child->deadline.reset();
    child->info.state = ChildState::Live;  // at the peer it stands
    delete_child(now, *child, {});
  }
  end_own(now, std::move(own), true);
}

}  // namespace qanat::ike
