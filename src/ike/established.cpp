// After the handshake: INFORMATIONAL exchanges (Delete, liveness), peers that move, the end of a lifetime.
#include <algorithm>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr Duration kKeepaliveInterval = 20s;
constexpr Duration kRenewalByPeer = 10s;

}  // namespace

void IkeSa::become_established(Instant now) {
  state_ = Established{};
  was_established_ = true;
  timers_.stop(Timer::Handshake);
  timers_.stop(Timer::Install);
  since_ = now;
  last_heard_ = now;
  init_request_.clear();
  init_response_.clear();
  earlier_init_requests_.clear();
  int_auth_i_ = {};
  int_auth_r_ = {};
  // New keys are wanted before the first of the lifetimes ends: at 80 to 86 % of it, so that many tunnels do not ask at
  // once. The responder waits until 87 to 93 %, so that one side asks.
  const Duration lifetime = std::min(tunnel_->ike_lifetime, tunnel_->child_lifetime);
  const auto percent = static_cast<std::int64_t>((initiator_ ? 80 : 87) + env_.rng.below(7));
  if (tunnel_->peer) timers_.set(Timer::Renew, now + lifetime / 100 * percent);
  timers_.set(Timer::Expire, now + lifetime);
  if (child_) child_->renew_at = now + lifetime / 100 * percent;
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
  if (now < due || outstanding_) {
    timers_.set(Timer::Liveness, std::max(due, now + 1s));
    return;
  }
  send_request(now, ExchangeType::INFORMATIONAL, {});
  timers_.set(Timer::LivenessDeadline, liveness_deadline());
}

// A fresh authenticated request from elsewhere moves the peer (rules.md "The outer packet"): always during the
// handshake, where the move to port 4500 happens; later unless we are the side behind a NAT that began.
void IkeSa::follow_peer(const Path& arrived) {
  if (arrived == path_) return;
  if (is_established() && initiator_ && nat_local_) return;
  const bool moved = is_established();
  path_ = arrived;
  if (moved && child_) {
    env_.actions.emplace_back(PlaneCommand{ipsec::UpdatePeer{tunnel_->id, outer_path()}});
    report(Report::What::PeerMoved, fmt::format("{} now at {}", peer_id_.to_string(), path_.remote.to_string()));
  }
}

void IkeSa::handle_esp_moved(const Endpoint& from) {
  if (!is_established() || !child_ || (initiator_ && nat_local_) || child_->encapsulation != ipsec::Encapsulation::Udp)
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
    remove_child();
    if (was_live)
      report(Report::What::Down,
             fmt::format(
                 "{} sent {}{}", peer_text(), wire::to_string(error->type),
                 error->type == NotifyType::AUTHENTICATION_FAILED ? ": it did not accept our identity or PSK" : ""));
    linger(now);
    return;
  }
  wire::Payloads answer;
  bool delete_ike = false;
  bool delete_child = false;
  std::vector<std::uint32_t> ours;
  for (const wire::Payload& p : message.payloads) {
    const auto* d = std::get_if<wire::DeletePayload>(&p);
    if (d == nullptr) continue;
    if (d->protocol == wire::ProtocolId::IKE) delete_ike = true;
    if (d->protocol != wire::ProtocolId::ESP || !child_) continue;
    // The peer names its own inbound SPI: our outbound one (RFC 7296 1.4.1).
    if (std::find(d->spis.begin(), d->spis.end(), child_->spi_out) != d->spis.end() && !delete_child) {
      delete_child = true;
      ours.push_back(child_->spi_in);
    }
  }
  if (delete_ike) {
    send_response(now, ExchangeType::INFORMATIONAL, {});
    const bool was_live = is_established();
    const auto old_keys = timers_.at(Timer::OldKeys);
    linger(now);
    retire_child(now);
    if (old_keys) timers_.set(Timer::OldKeys, *old_keys);
    if (was_live) report(Report::What::Down, fmt::format("{} deleted the IKE SA", peer_text()));
    return;
  }
  if (delete_child && is_established()) {
    answer.emplace_back(wire::DeletePayload{wire::ProtocolId::ESP, std::move(ours)});
    send_response(now, ExchangeType::INFORMATIONAL, answer);
    // Without its Child SA this IKE SA has nothing to protect: it ends, and a new one brings the tunnel back.
    close(now, fmt::format("{} deleted the Child SA", peer_text()));
    return;
  }
  send_response(now, ExchangeType::INFORMATIONAL, answer);
}

void IkeSa::on_informational_response(Instant now, const Verified& message) {
  if (is_established()) {
    const NotifyPayload* error = first_error(message.payloads);
    if (error == nullptr ||
        (error->type != NotifyType::AUTHENTICATION_FAILED && error->type != NotifyType::INVALID_SYNTAX))
      return;
    abandon(
        fmt::format("{} answered {}", peer_text(), wire::to_string(error->type)));  // fatal for both (RFC 7296 2.21.3)
    return;
  }
  const auto* deleting = std::get_if<Deleting>(&state_);
  if (deleting == nullptr) return;
  if (!deleting->sent) {
    send_delete(now);
    return;
  }
  // The Delete is answered; old inbound keys may still have to stay for a moment.
  if (const auto old_keys = timers_.at(Timer::OldKeys)) {
    linger(now);
    timers_.set(Timer::OldKeys, *old_keys);
  } else {
    to_closed();
  }
}

// Rekeying comes by a new IKE SA so far (make-before-break), so requests to create or rekey SAs are declined as
// RFC 7296 1.3 and 4 allow; the answer is authenticated and the SA stays.
void IkeSa::on_create_child_request(Instant now, const Verified& message) {
  if (message.exchange == ExchangeType::IKE_FOLLOWUP_KE) {
    send_error_response(now, message.exchange, NotifyType::STATE_NOT_FOUND);
    return;
  }
  send_error_response(now, message.exchange,
                      is_established() ? NotifyType::NO_ADDITIONAL_SAS : NotifyType::TEMPORARY_FAILURE);
  // The peer may now begin anew by itself; if it does not within a moment, we do.
  if (is_established() && tunnel_->peer)
    timers_.set(Timer::Renew, std::min(timers_.at(Timer::Renew).value_or(now + kRenewalByPeer), now + kRenewalByPeer));
}

}  // namespace qanat::ike
