// Child SAs in the packet path: their installation, which of them carries, their removal, and how time acts on them.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr Duration kInstallPatience = 2s;
constexpr Duration kPatienceForDelete = 60s;  // with an answer of ours that may still be on its way
// RFC 7296 leaves it open: a peer that lost what it had and does not say so (INITIAL_CONTACT) has us wait this long.
constexpr Duration kPatienceForFirstPacket = 2s;

}  // namespace

ipsec::OuterPath IkeSa::outer_path() const {
  const bool udp = nat_local_ || nat_remote_ || tunnel_->force_encap || !env_.config.native_esp;
  ipsec::OuterPath out{path_.local, path_.remote, udp ? ipsec::Encapsulation::Udp : ipsec::Encapsulation::Native};
  if (!udp) {
    out.local.port = 0;
    out.peer.port = 0;
  } else {
    // ESP in UDP never runs on the IKE port (RFC 7296 2.23).
    if (out.local.port != env_.config.nat_port) out.local.port = env_.config.nat_port;
    if (out.peer.port == 500) out.peer.port = 4500;
  }
  return out;
}

ChildSa* IkeSa::find_child(ChildSaId id) {
  const auto found = children_.find(id);
  return found == children_.end() ? nullptr : &found->second;
}

// SPIs of Delete and REKEY_SA are found within their IKE SA: two peers may choose the same one.
ChildSa* IkeSa::child_by_peer_spi(ipsec::EspSpi spi) {
  for (auto& [id, child] : children_) {
    if (spi != 0 && child.info.spi_out == spi && child.info.state != ChildState::Retired) return &child;
  }
  return nullptr;
}

std::optional<ChildSaId> IkeSa::carrying_child() const {
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (child->second.carries() && child->second.announced) return child->first;
  }
  return std::nullopt;
}

bool IkeSa::carries_our_packets() const {
  return std::any_of(children_.begin(), children_.end(), [](const auto& entry) {
    const ChildSa& child = entry.second;
    return child.carries() && child.announced && !child.awaits_inbound;
  });
}

void IkeSa::carry_our_packets() {
  if (const auto child = carrying_child()) switch_to(children_.at(*child));
}

ChildSa& IkeSa::add_child(Instant now, ChildPlan plan, ChildKeys keys, WhoBegan began, SafetyVerdict verdict) {
  // The invariant that a Child SA follows only a verified AUTH is held here, where the keys are used.
  ensure(tunnel_ && authenticated_, "a Child SA belongs to an authenticated peer");
  const bool ours = began == WhoBegan::Us;
  ipsec::SaDirection inbound;
  inbound.child = ChildSaId{env_.next_child++};
  inbound.tunnel = tunnel_->id;
  inbound.vrf = tunnel_->vrf;
  inbound.spi = plan.spi_in;
  inbound.suite = plan.esp.suite;
  inbound.keys = verdict.hybrid ? ipsec::KeySafety::Hybrid
                 : verdict.ppk  ? ipsec::KeySafety::Ppk
                                : ipsec::KeySafety::Classical;
  inbound.esn = plan.esp.esn;
  inbound.replay_window = tunnel_->replay_window;
  inbound.keymat = std::move(ours ? keys.responder : keys.initiator);
  inbound.local_ts = plan.local_ts;
  inbound.remote_ts = plan.remote_ts;
  inbound.path = outer_path();
  inbound.limits.soft_bytes = tunnel_->rekey_bytes;
  inbound.limits.soft_packets = tunnel_->rekey_packets;
  ipsec::SaDirection outbound;
  outbound.child = inbound.child;
  outbound.tunnel = inbound.tunnel;
  outbound.vrf = inbound.vrf;
  outbound.spi = plan.esp.spi;
  outbound.suite = inbound.suite;
  outbound.keys = inbound.keys;
  outbound.esn = inbound.esn;
  outbound.replay_window = inbound.replay_window;
  outbound.keymat = std::move(ours ? keys.initiator : keys.responder);
  outbound.local_ts = plan.local_ts;
  outbound.remote_ts = plan.remote_ts;
  outbound.path = inbound.path;
  outbound.limits = inbound.limits;

  ChildSa child;
  child.info.id = inbound.child;
  child.info.state = ChildState::Installing;
  child.info.spi_in = inbound.spi;
  child.info.spi_out = outbound.spi;
  child.info.suite = inbound.suite;
  child.info.esn = inbound.esn;
  child.info.encapsulation = inbound.path.encapsulation;
  child.info.local_ts = std::move(plan.local_ts);
  child.info.remote_ts = std::move(plan.remote_ts);
  child.info.replay_window = inbound.replay_window;
  child.info.since = now;
  child.info.key_exchanges = plan.esp.key_exchanges();
  child.info.verdict = std::move(verdict);
  child.inbound_in_plane = child.outbound_in_plane = true;
  child.replaces = plan.replaces;
  // The side that asked for it asks for its successor first: at 80 to 86 % of the lifetime, so that many tunnels do not
  // ask at once; the other at 87 to 89 %. What has not been renewed at 90 % wants a new IKE SA.
  const Duration lifetime = tunnel_->child_lifetime;
  const auto percent = static_cast<std::int64_t>(ours ? 80 + env_.rng.below(7) : 87 + env_.rng.below(3));
  child.rekey_at = now + lifetime / 100 * percent;
  child.renew_at = now + lifetime / 100 * 90;
  child.expire_at = now + lifetime;
  child.info.renew_at = *child.rekey_at;
  child.deadline = now + kInstallPatience;
  env_.children[child.info.id] = our_spi();
  if (env_.config.key_log) {
    env_.actions.emplace_back(EspKeyLog{path_.remote.address, path_.local.address, inbound.spi, inbound.suite,
                                        inbound.esn, inbound.keymat.clone()});
    env_.actions.emplace_back(EspKeyLog{path_.local.address, path_.remote.address, outbound.spi, outbound.suite,
                                        outbound.esn, outbound.keymat.clone()});
  }
  child.inbound_request = new_request();
  child.outbound_request = new_request();
  env_.actions.emplace_back(PlaneCommand{ipsec::InstallInbound{child.inbound_request, std::move(inbound)}});
  env_.actions.emplace_back(PlaneCommand{ipsec::InstallOutbound{child.outbound_request, std::move(outbound)}});
  return children_.emplace(child.info.id, std::move(child)).first->second;
}

void IkeSa::install_child(Instant now, ChildPlan plan, wire::Payloads answer) {
  ensure(tunnel_ && authenticated_, "a Child SA belongs to an authenticated peer");
  ChildKeys keys = derive_first_child_keys(context_, sk_d(), plan.esp.suite);
  reserved_spi_ = 0;  // it belongs to the Child SA from here on
  ChildSa& child =
      add_child(now, std::move(plan), std::move(keys), initiator_ ? WhoBegan::Us : WhoBegan::Peer, verdict_);
  state_ = Installing{child.info.id, std::move(answer)};
}

RequestId IkeSa::new_request() {
  const RequestId request{env_.next_request++};
  env_.requests[request] = our_spi();
  return request;
}

void IkeSa::handle_done(Instant now, const ipsec::Done& done) {
  const auto installing = std::find_if(children_.begin(), children_.end(), [&](const auto& entry) {
    return entry.second.info.state == ChildState::Installing &&
           (entry.second.inbound_request == done.request || entry.second.outbound_request == done.request);
  });
  if (installing != children_.end()) {
    on_installed(now, installing->second, done);
  } else if (auto* spi = std::get_if<AwaitSpi>(&state_); spi != nullptr && spi->request == done.request) {
    on_spi_reserved(now, done);
  } else if (auto* reserving = std::get_if<ReservingSpi>(&state_);
             reserving != nullptr && reserving->request == done.request) {
    if (done.status) {
      on_responder_spi(now, std::move(*reserving), done);
    } else {
      on_install_failed(now, done.status.error().detail);
    }
  } else if (auto* own = std::get_if<OwnChild>(&active());
             own != nullptr && own->stage == OwnChild::Stage::Spi && own->spi_request == done.request) {
    on_own_spi(now, done);
  } else if (peer_child_ && peer_child_->spi_request == done.request) {
    on_peer_spi(now, done);
  } else if (done.status && done.spi != 0) {
    env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{done.spi}});  // the answer came too late
  }
  take_held(now);
  pump(now);
}

void IkeSa::on_installed(Instant now, ChildSa& child, const ipsec::Done& done) {
  if (!done.status) return on_child_failed(now, child.info.id, done.status.error().detail);
  if (done.request == child.inbound_request) child.inbound_done = true;
  if (done.request == child.outbound_request) child.outbound_done = true;
  if (!child.inbound_done || !child.outbound_done) return;
  const ChildSaId id = child.info.id;
  const bool unwanted = child.unwanted;
  child.deadline.reset();
  child.info.state = ChildState::Live;
  if (std::exchange(rekey_again_, false)) tasks_.enqueue(task::RekeyChild{child.info.id}, now);
  if (const auto* first = std::get_if<Installing>(&state_); first != nullptr && first->child == child.info.id) {
    on_first_installed(now, child);
  } else if (const auto* own = std::get_if<OwnChild>(&active());
             own != nullptr && own->stage == OwnChild::Stage::Install && own->child == child.info.id) {
    on_own_installed(now, child);
  } else {
    on_peer_installed(now, child);
  }
  if (ChildSa* made = unwanted && is_established() ? find_child(id) : nullptr)
    delete_child(now, *made, "it was not wanted any more when the packet path had taken it");
}

void IkeSa::on_child_failed(Instant now, ChildSaId id, const std::string& why) {
  if (const auto* first = std::get_if<Installing>(&state_); first != nullptr && first->child == id) {
    on_install_failed(now, why);
  } else if (const auto* own = std::get_if<OwnChild>(&active());
             own != nullptr && own->stage == OwnChild::Stage::Install && own->child == id) {
    on_own_install_failed(now, why);
  } else {
    on_peer_install_failed(now, why);
  }
}

void IkeSa::on_first_installed(Instant now, ChildSa& child) {
  const wire::Payloads answer = std::move(std::get<Installing>(state_).answer);
  const ChildSaId id = child.info.id;
  if (!initiator_) send_response(now, ExchangeType::IKE_AUTH, answer);
  if (is_closed()) return;
  become_established(now);
  ChildSa& first = children_.at(id);
  if (initiator_ || initial_contact_received_ || !env_.tunnels.is_carried_beside(*this)) return switch_to(first);
  // The peer renews what stands, and may send our answer's keys to its packet path after our first packet has come.
  first.awaits_inbound = true;
  first.carry_at = now + kPatienceForFirstPacket;
  announce(first);
}

// The tunnel's traffic uses this Child SA from now on, if it has not before.
void IkeSa::switch_to(ChildSa& child) {
  child.awaits_inbound = false;
  child.carry_at.reset();
  env_.actions.emplace_back(PlaneCommand{ipsec::SwitchOutbound{tunnel_->id, child.info.id}});
  announce(child);
}

void IkeSa::announce(ChildSa& child) {
  if (std::exchange(child.announced, true)) return;
  std::vector<std::string> kes;
  for (const KeId id : key_exchanges_) kes.push_back(to_string(id));
  std::vector<std::string> own;
  for (const KeId id : child.info.key_exchanges) own.push_back(to_string(id));
  report(Report::What::ChildUp,
         fmt::format("{} keys ({}{}), ESP {} {} with {}", child.info.verdict.hybrid ? "hybrid" : "classical",
                     fmt::join(kes, "+"), own.empty() ? "" : fmt::format(", then {}", fmt::join(own, "+")),
                     to_string(child.info.suite),
                     child.info.encapsulation == ipsec::Encapsulation::Udp ? "in UDP" : "native", peer_text()),
         child.info.id);
}

// The packet path could not take the first Child SA's keys: the peer must not use them.
void IkeSa::on_install_failed(Instant now, const std::string& why) {
  timers_.stop(Timer::Install);
  if (initiator_) {
    if (std::holds_alternative<Installing>(state_)) {
      report(Report::What::AttemptFailed, fmt::format("the packet path refused the keys: {}", why));
      close(now, "");
    } else {
      fail_attempt(fmt::format("the packet path gave no SPI: {}", why));
    }
    return;
  }
  wire::Payloads answer;
  if (auto* reserving = std::get_if<ReservingSpi>(&state_)) answer = std::move(reserving->answer);
  if (auto* installing = std::get_if<Installing>(&state_)) answer = std::move(installing->answer);
  std::erase_if(answer, [](const wire::Payload& p) {
    const wire::PayloadType type = wire::type_of(p);
    return type == wire::PayloadType::SA || type == wire::PayloadType::TSi || type == wire::PayloadType::TSr;
  });
  remove_children();
  release_spi();
  answer.emplace_back(NotifyPayload{wire::ProtocolId::None, {}, NotifyType::NO_ADDITIONAL_SAS, {}});
  send_response(now, ExchangeType::IKE_AUTH, answer);
  if (is_closed()) return;
  become_established(now);
  report(Report::What::PeerRefused,
         fmt::format("{}: no Child SA: the packet path refused the keys: {}", peer_text(), why));
}

// ---- the end of a Child SA -------------------------------------------------------------------------------------

// The Child SA carries no more, and says so before any report on its IKE SA.
void IkeSa::remove_outbound(ChildSa& child, std::string why) {
  child.awaits_inbound = false;
  child.carry_at.reset();
  if (std::exchange(child.announced, false)) report(Report::What::ChildGone, std::move(why), child.info.id);
  if (std::exchange(child.outbound_in_plane, false))
    env_.actions.emplace_back(PlaneCommand{ipsec::RemoveOutbound{child.info.id}});
}

void IkeSa::remove_child(ChildSaId id, std::string why) {
  const auto found = children_.find(id);
  if (found == children_.end()) return;
  remove_outbound(found->second, std::move(why));
  if (found->second.inbound_in_plane) env_.actions.emplace_back(PlaneCommand{ipsec::RemoveInbound{id}});
  env_.children.erase(id);
  children_.erase(found);
  forget_child_tasks(id);
}

void IkeSa::remove_children() {
  while (!children_.empty()) remove_child(children_.begin()->first, {});
}

// The DELETE exchange is over: only what is under way is still opened.
void IkeSa::retire_child(Instant now, ChildSa& child, std::string why) {
  remove_outbound(child, std::move(why));
  child.info.state = ChildState::Retired;
  child.rekey_at.reset();
  child.renew_at.reset();
  child.expire_at.reset();
  child.deadline = now + tunnel_->old_keys;
  forget_child_tasks(child.info.id);
}

void IkeSa::retire_children(Instant now) {
  for (auto& [id, child] : children_) {
    if (child.info.state != ChildState::Retired) retire_child(now, child, {});
  }
}

void IkeSa::forget_child_tasks(ChildSaId id) {
  tasks_.remove(task::RekeyChild{id});
  tasks_.remove(task::DeleteChild{id});
  tasks_.remove(task::InvalidSelectors{id, {}});
}

// We end it: it carries no more, and the peer is told.
void IkeSa::delete_child(Instant now, ChildSa& child, std::string why) {
  if (child.info.state == ChildState::Deleting || child.info.state == ChildState::Retired) return;
  child.unwanted = child.info.state == ChildState::Installing;
  if (child.unwanted) return;
  let_successor_carry(child);
  remove_outbound(child, std::move(why));
  child.info.state = ChildState::Deleting;
  child.rekey_at.reset();
  child.renew_at.reset();
  child.expire_at.reset();
  child.deadline.reset();
  tasks_.remove(task::RekeyChild{child.info.id});
  tasks_.enqueue(task::DeleteChild{child.info.id}, now);
}

// A successor that waited for the peer's first packet takes over when its predecessor goes.
void IkeSa::let_successor_carry(const ChildSa& old) {
  for (auto& [id, child] : children_) {
    if (child.awaits_inbound && child.replaces == old.info.id) switch_to(child);
  }
}

// ---- time ------------------------------------------------------------------------------------------------------

std::optional<Instant> IkeSa::next_child_timeout() const {
  std::optional<Instant> next;
  for (const auto& [id, child] : children_) {
    const auto at = child.next_timeout();
    if (at && (!next || *at < *next)) next = at;
  }
  return next;
}

void IkeSa::handle_child_timeouts(Instant now) {
  std::vector<ChildSaId> due;
  for (const auto& [id, child] : children_) {
    const auto at = child.next_timeout();
    if (at && *at <= now) due.push_back(id);
  }
  for (const ChildSaId id : due) {
    if (ChildSa* child = find_child(id)) on_child_timeout(now, *child);
    if (is_closed()) return;
  }
}

void IkeSa::on_child_timeout(Instant now, ChildSa& child) {
  const auto is_due = [now](const std::optional<Instant>& at) { return at && *at <= now; };
  if (is_due(child.deadline)) {
    child.deadline.reset();
    switch (child.info.state) {
      case ChildState::Installing:
        return on_child_failed(now, child.info.id, "the packet path did not confirm the keys within 2 s");
      case ChildState::Retired:
        return remove_child(child.info.id, {});
      default:
        // Our answer may still be on its way, and the old one all that the peer has: it asks again and again.
        if (std::any_of(children_.begin(), children_.end(), [&](const auto& entry) {
              return entry.second.unconfirmed && entry.second.replaces == child.info.id;
            })) {
          child.deadline = now + kPatienceForDelete;
          break;
        }
        // The peer has not deleted what it should have.
        return delete_child(now, child, {});
    }
  }
  if (is_due(child.carry_at)) switch_to(child);
  if (is_due(child.expire_at)) {
    child.expire_at.reset();
    delete_child(now, child, "the lifetime of its keys is over");
    return;
  }
  if (is_due(child.rekey_at)) {
    child.rekey_at.reset();
    if (is_established()) tasks_.enqueue(task::RekeyChild{child.info.id}, now);
  }
  if (is_due(child.renew_at)) {
    child.renew_at.reset();
    if (child.info.state == ChildState::Live || child.info.state == ChildState::Rekeying)
      report(Report::What::RenewWanted, "no rekey of a Child SA has succeeded, and its lifetime is nearly over");
  }
}

void IkeSa::handle_soft_limit(Instant now, ChildSaId id) {
  if (const ChildSa* child = find_child(id); child != nullptr && child->info.state == ChildState::Live)
    tasks_.enqueue(task::RekeyChild{id}, now);
  pump(now);
}

void IkeSa::rekey_children(Instant now) {
  if (!is_established()) return;
  for (const auto& [id, child] : children_) {
    if (child.info.state == ChildState::Live) tasks_.enqueue(task::RekeyChild{id}, now);
  }
  pump(now);
}

void IkeSa::handle_hard_limit(Instant now, ChildSaId id) {
  if (ChildSa* child = find_child(id); child != nullptr && is_established())
    delete_child(now, *child, "a limit of its keys was reached");
  pump(now);
}

void IkeSa::handle_first_inbound(ChildSaId id) {
  ChildSa* child = find_child(id);
  if (child == nullptr) return;
  child->unconfirmed = false;
  if (child->awaits_inbound) switch_to(*child);
}

}  // namespace qanat::ike
