// After the handshake: INFORMATIONAL exchanges (Delete, liveness), peers that move, the end of a lifetime.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr Duration kKeepaliveInterval = 20s;
constexpr Duration kAnotherRekey = 60s;
constexpr Duration kAnswerAfterPackets = 100ms;
constexpr Duration kSelectorsNotice = 10s;  // between two INVALID_SELECTORS, over all Child SAs
constexpr Duration kSelectorsReport = 60s;  // between two reports of the peer's

// "10.1.0.5 -> 10.2.0.9"; `packet` may be cut anywhere, and be anything.
std::string packet_text(ByteView packet) {
  const unsigned version = packet.empty() ? 0 : packet[0] >> 4;
  const std::size_t size = version == 6 ? 16 : 4;
  const std::size_t at = version == 6 ? 8 : 12;
  if ((version != 4 && version != 6) || packet.size() < at + 2 * size) return "a packet";
  return fmt::format("{} -> {}", IpAddress::from_bytes(packet.subspan(at, size)).to_string(),
                     IpAddress::from_bytes(packet.subspan(at + size, size)).to_string());
}

// Their memory, too: a container that is cleared, or assigned {}, keeps it.
template <typename... Containers>
void give_back(Containers&... all) {
  ((all = Containers()), ...);
}

}  // namespace

void IkeSa::become_established(Instant now) {
  state_ = Established{};
  was_established_ = true;
  timers_.stop(Timer::Handshake);
  timers_.stop(Timer::Install);
  since_ = now;
  origin_ = {context_.spi_i, initiator_, now};
  last_heard_ = now;
  forget_handshake();
  // Within its time as a rekey is: by one side first, and not by many tunnels at once.
  const auto percent = static_cast<std::int64_t>(initiator_ ? 90 + env_.rng.below(7) : 100);
  if (tunnel_->reauth > 0s) timers_.set(Timer::Reauth, now + tunnel_->reauth / 100 * percent);
  start_timers(now);
}

// An established IKE SA may stand for months beside many thousand others: it keeps what it will use.
void IkeSa::forget_handshake() {
  give_back(context_.nonce_i, context_.nonce_r);
  agreed_ = agreed_.for_heir();
  // The ciphers have their own keys.
  sk_d_ = std::move(making().keys.sk_d);
  making_.reset();
  handshake_.shrink_to_fit();
  const std::size_t room = kKeptForExplain - handshake_.size() * sizeof(ExchangeRecord);
  if (offered_ && offered_->size() >= room) offered_ = env_.offer(offered_->substr(0, room - 4) + "...");
}

void IkeSa::start_timers(Instant now) {
  // New keys are wanted before the lifetime ends: at 80 to 86 % of it, so that many tunnels do not ask at once. The
  // responder waits until 87 to 89 %, so that one side asks; at 90 % a new IKE SA is wanted.
  const Duration lifetime = tunnel_->ike_lifetime;
  const auto percent = static_cast<std::int64_t>(initiator_ ? 80 + env_.rng.below(7) : 87 + env_.rng.below(3));
  timers_.set(Timer::Renew, now + lifetime / 100 * percent);
  timers_.set(Timer::RenewAnew, now + lifetime / 100 * 90);
  timers_.set(Timer::Expire, now + lifetime);
  timers_.set(Timer::Liveness, now + tunnel_->dpd_idle);
  if (nat_local_ && path_.local.port == env_.config.nat_port) timers_.set(Timer::Keepalive, now + kKeepaliveInterval);
}

// Any proof of life puts off the next question, and the verdict when one is open.
void IkeSa::peer_alive(Instant now) {
  last_heard_ = std::max(last_heard_, now);
  if (!is_established()) return;
  timers_.set(Timer::Liveness, last_heard_ + tunnel_->dpd_idle);
  if (timers_.is_set(Timer::LivenessDeadline)) timers_.set(Timer::LivenessDeadline, liveness_deadline());
}

Instant IkeSa::liveness_deadline() const {
  return last_heard_ + std::max(tunnel_->dpd_timeout, tunnel_->dpd_idle + 1s);
}

void IkeSa::handle_esp_activity(Instant last_in) {
  if (is_established() && last_in > last_heard_) peer_alive(last_in);
}

void IkeSa::check_liveness(Instant now) {
  if (!is_established()) return;
  const Instant due = last_heard_ + tunnel_->dpd_idle;
  if (now < due) {
    timers_.set(Timer::Liveness, due);
  } else if (outstanding_) {
    timers_.set(Timer::LivenessDeadline, liveness_deadline());  // a question is open already
  } else {
    tasks_.enqueue(task::Liveness{}, now);
    timers_.set(Timer::Liveness, now + 1s);
  }
}

// A fresh authenticated request from elsewhere moves the peer (rules.md "The outer packet"): always during the
// handshake, where the move to port 4500 happens; later unless we are the side behind a NAT that began.
void IkeSa::follow_peer(const Path& arrived) {
  if (arrived == path_) return;
  if (mobike_.on) return;  // UPDATE_SA_ADDRESSES moves it, so that any other request can test a path (RFC 4555 3.8)
  if (is_established() && began_first_ && nat_local_) return;
  const bool moved = is_established();
  path_ = arrived;
  if (moved && !children_.empty()) {
    env_.actions.emplace_back(PlaneCommand{ipsec::UpdatePeer{tunnel_->id, outer_path()}});
    report(Report::What::PeerMoved, fmt::format("{} now at {}", peer_id_.to_string(), path_.remote.to_string()));
  }
}

void IkeSa::handle_esp_moved(const Endpoint& from) {
  const auto child = children_.find(carrying_child().value_or(ChildSaId{}));
  if (!is_established() || child == children_.end() || (began_first_ && nat_local_) ||
      child->second.info.encapsulation != ipsec::Encapsulation::Udp)
    return;
  if (from == path_.remote) return;
  path_.remote = from;
  path_.local.port = env_.config.nat_port;
  env_.actions.emplace_back(PlaneCommand{ipsec::UpdatePeer{tunnel_->id, outer_path()}});
  report(Report::What::PeerMoved, fmt::format("{} now at {}", peer_id_.to_string(), path_.remote.to_string()));
}

void IkeSa::on_informational_request(Instant now, Verified message) {
  // Any error notification that ends the SA (RFC 7296 2.21.2); others are for exchanges that we do not have open.
  if (const NotifyPayload* error = first_error(message.payloads);
      error != nullptr &&
      (error->type == NotifyType::AUTHENTICATION_FAILED || error->type == NotifyType::INVALID_SYNTAX)) {
    send_response(now, ExchangeType::INFORMATIONAL, {});
    const bool was_live = is_established();
    remove_children();
    if (was_live)
      report(Report::What::Down,
             fmt::format(
                 "{} sent {}{}", peer_text(), wire::to_string(error->type),
                 error->type == NotifyType::AUTHENTICATION_FAILED ? ": it did not accept our identity or PSK" : ""));
    linger(now);
    return;
  }
  bool delete_ike = false;
  std::vector<ipsec::EspSpi> theirs;
  for (const wire::Payload& p : message.payloads) {
    const auto* d = std::get_if<wire::DeletePayload>(&p);
    if (d == nullptr) continue;
    if (d->protocol == wire::ProtocolId::IKE) delete_ike = true;
    if (d->protocol == wire::ProtocolId::ESP) theirs.insert(theirs.end(), d->spis.begin(), d->spis.end());
  }
  if (delete_ike) {
    // Our own rekey is forgotten (RFC 7296 2.25.2); the peer's, if it has made its IKE SA and not deleted it since,
    // takes over.
    if (const auto* own = std::get_if<OwnIke>(&active()); own != nullptr && own->rival && own->rival->spi != 0) {
      IkeSa* rival = env_.tunnels.find_sa(own->rival->spi);
      if (rival != nullptr && std::holds_alternative<Superseded>(rival->state_)) {
        bequeath(now, *rival);
        become_superseded(now);
      }
    }
    const bool was_live = is_established();
    // With our answer the peer drops its Child SAs: what we sent under them until now goes before it.
    const bool sent_here = was_live && carries_our_packets() && env_.tunnels.stands_beside(*this);
    if (!sent_here) send_response(now, ExchangeType::INFORMATIONAL, {});
    linger(now);
    if (sent_here) timers_.set(Timer::Leave, now + kAnswerAfterPackets);
    retire_children(now);
    if (was_live) report(Report::What::Down, fmt::format("{} deleted the IKE SA", peer_text()));
    return;
  }
  note_invalid_selectors(now, message.payloads);
  std::vector<std::uint32_t> ours;
  if (is_established()) on_delete_children(now, theirs, ours);
  wire::Payloads answer = answer_mobike(now, message);
  if (!ours.empty()) answer.emplace_back(wire::DeletePayload{wire::ProtocolId::ESP, std::move(ours)});
  send_response(now, ExchangeType::INFORMATIONAL, answer);
}

// `theirs`: the peer's inbound SPIs, our outbound ones. What we are deleting ourselves is not answered for (RFC 7296
// 2.25.1): our own DELETE, and its answer, are on their way.
void IkeSa::on_delete_children(Instant now, const std::vector<ipsec::EspSpi>& theirs,
                               std::vector<std::uint32_t>& ours) {
  for (const ipsec::EspSpi spi : theirs) {
    ChildSa* child = child_by_peer_spi(spi);
    if (child == nullptr) {
      note_unknown_delete(spi);
      continue;
    }
    const auto* deleting = std::get_if<task::DeleteChild>(&active());
    if (deleting == nullptr || deleting->child != child->info.id) ours.push_back(child->info.spi_in);
    if (auto* own = std::get_if<OwnChild>(&active());
        own != nullptr && own->stage == OwnChild::Stage::Install && own->child == child->info.id) {
      own->deleted.push_back(spi);  // it goes when the packet path has taken it, and our request is over
      continue;
    }
    let_successor_carry(*child);
    // The peer takes the successor back: what it was to succeed carries on, and is rekeyed another time.
    ChildSa* old = child->replaces ? find_child(*child->replaces) : nullptr;
    if (old != nullptr && old->info.state == ChildState::Rekeyed) {
      old->info.state = ChildState::Live;
      old->deadline.reset();
      old->rekey_at = now + kAnotherRekey;
    }
    retire_child(now, *child, fmt::format("{} deleted the Child SA", peer_text()));
  }
}

// RFC 7296 3.10.1. It is a word to the operator of the other side, so it can wait and be rare.
void IkeSa::handle_outside_selectors(Instant now, ChildSaId child, ByteView packet) {
  const ChildSa* sa = find_child(child);
  if (!is_established() || now < next_selectors_notice_ || sa == nullptr || !sa->carries()) return;
  next_selectors_notice_ = now + kSelectorsNotice;
  tasks_.enqueue(task::InvalidSelectors{child, to_bytes(packet)}, now);
  pump(now);
}

// The peer says that our packets are outside the selectors which both agreed upon. The Child SA stays as it is.
void IkeSa::note_invalid_selectors(Instant now, const wire::Payloads& payloads) {
  const NotifyPayload* notice = wire::find_notify(payloads, NotifyType::INVALID_SELECTORS);
  if (notice == nullptr) return;
  env_.counters.add(Counter::invalid_selectors_received);
  if (!is_established() || now < next_selectors_report_ || notice->protocol != wire::ProtocolId::ESP ||
      notice->spi.size() != 4)
    return;
  const ChildSa* child = child_by_peer_spi(load_be32(notice->spi.data()));
  if (child == nullptr) return;
  next_selectors_report_ = now + kSelectorsReport;
  report(
      Report::What::SelectorsRefused,
      fmt::format("{} drops packets of ours: {} is outside the traffic selectors of Child SA {:08x} as it sees them; "
                  "compare 'selectors' of tunnel {} with the peer's",
                  peer_text(), packet_text(notice->data), child->info.spi_out, tunnel_->name));
}

// It may be of the Child SA that the answer to our CREATE_CHILD_SA is about, which this DELETE has overtaken.
void IkeSa::note_unknown_delete(ipsec::EspSpi spi) {
  constexpr std::size_t kMaxRemembered = 16;
  auto* own = std::get_if<OwnChild>(&active());
  if (own == nullptr || (own->stage != OwnChild::Stage::Create && own->stage != OwnChild::Stage::Followup)) return;
  if (own->deleted.size() < kMaxRemembered) own->deleted.push_back(spi);
}

// The Delete is answered, or what was asked before it; old inbound keys may still have to stay for a moment.
void IkeSa::on_deleting_response(Instant now, const Verified& message) {
  auto* deleting = std::get_if<Deleting>(&state_);
  if (deleting == nullptr) return;
  if (!deleting->sent) {
    // It has refused us, and has no IKE SA.
    if (message.exchange == ExchangeType::IKE_AUTH && wire::find<wire::AuthPayload>(message.payloads) == nullptr)
      return to_closed();
    if (deleting->rekey) undo_own_ike(now, *std::exchange(deleting->rekey, std::nullopt), message);
    leave(now);
  } else if (!children_.empty()) {
    linger(now);
  } else {
    to_closed();
  }
}

}  // namespace qanat::ike
