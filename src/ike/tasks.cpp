// What we ask the peer once the IKE SA is established: one task at a time, each with its own answer.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "ike/ike_sa.hpp"

namespace qanat::ike {

using wire::ExchangeType;
using wire::NotifyPayload;
using wire::NotifyType;

namespace {

constexpr Duration kFirstDelay = 2s;  // before a task that the peer could not take is tried again (RFC 7296 2.25)
constexpr Duration kMaxDelay = 60s;

}  // namespace

// It is there while a task runs: most of the time none does, and the largest of them has 500 octets.
Active& IkeSa::active() {
  return task_ ? *task_ : task_.emplace();
}

const Active& IkeSa::active() const {
  static const Active kNone{};
  return task_ ? *task_ : kNone;
}

void IkeSa::settle() {
  if (task_ && std::holds_alternative<std::monostate>(*task_)) task_.reset();
  if (was_established_) making_.reset();
  tasks_.settle();
}

bool IkeSa::can_start_task() const {
  return is_established() && !outstanding_ && std::holds_alternative<std::monostate>(active());
}

void IkeSa::pump(Instant now) {
  while (can_start_task()) {
    auto next = tasks_.take(now);
    if (!next) return;
    start_task(now, std::move(*next));
  }
}

// Later, and each time later still; never at once (RFC 7296 2.25).
void IkeSa::put_off(Instant now, QueuedTask task) {
  Duration delay = kFirstDelay * (1U << std::min(task.attempts, 5U));
  delay = std::min(delay, kMaxDelay);
  delay += Duration{static_cast<std::int64_t>(env_.rng.below(static_cast<std::uint64_t>(delay.count()) / 2))};
  tasks_.enqueue(std::move(task.task), now + delay, task.attempts + 1);
}

void IkeSa::start_task(Instant now, QueuedTask task) {
  if (std::holds_alternative<task::Liveness>(task.task)) {
    if (now < last_heard_ + tunnel_->dpd_idle) return;
    active() = task::Liveness{};
    // Behind a NAT the question is also as what the peer sees us (RFC 4555 3.8).
    const bool ask_seen = mobike_.on && began_first_ && nat_local_;
    send_request(
        now, ExchangeType::INFORMATIONAL,
        ask_seen ? nat_notifies(path_, context_.spi_i, context_.spi_r, tunnel_->force_encap) : wire::Payloads{});
    timers_.set(Timer::LivenessDeadline, liveness_deadline());
  } else if (const auto* gone = std::get_if<task::DeleteChild>(&task.task)) {
    const ChildSa* child = find_child(gone->child);
    if (child == nullptr || child->info.state != ChildState::Deleting) return;
    active() = *gone;
    // Our inbound SPI (RFC 7296 1.4.1).
    send_request(now, ExchangeType::INFORMATIONAL, {wire::DeletePayload{wire::ProtocolId::ESP, {child->info.spi_in}}});
  } else if (const auto* rekey = std::get_if<task::RekeyChild>(&task.task)) {
    const ChildSa* child = find_child(rekey->child);
    if (child == nullptr || child->info.state != ChildState::Live) return;
    const ChildSaId old = rekey->child;
    if (peer_rekeys(old) || peer_rekeys_ike() || child->unconfirmed) return put_off(now, std::move(task));
    begin_own_child(now, std::move(task), old);
  } else if (std::holds_alternative<task::CreateChild>(task.task)) {
    if (peer_rekeys_ike()) return put_off(now, std::move(task));
    // Meanwhile the peer may have made one.
    const auto& wanted = std::get<task::CreateChild>(task.task);
    const bool there = std::any_of(children_.begin(), children_.end(), [&](const auto& entry) {
      const ChildInfo& info = entry.second.info;
      return entry.second.carries() && (!wanted.local || ipsec::contains(info.local_ts, *wanted.local)) &&
             (!wanted.remote || ipsec::contains(info.remote_ts, *wanted.remote));
    });
    if (there) return;
    begin_own_child(now, std::move(task), std::nullopt);
  } else if (std::holds_alternative<task::RekeyIke>(task.task)) {
    const bool unconfirmed =
        std::any_of(children_.begin(), children_.end(), [](const auto& entry) { return entry.second.unconfirmed; });
    if (unconfirmed || peer_child_ || !parked_.empty()) return put_off(now, std::move(task));
    begin_own_ike(now, std::move(task));
  } else if (auto* outside = std::get_if<task::InvalidSelectors>(&task.task)) {
    const ChildSa* child = find_child(outside->child);
    if (child == nullptr || !child->carries()) return;
    wire::NotifyPayload notice{wire::ProtocolId::ESP, Bytes(4), NotifyType::INVALID_SELECTORS,
                               std::move(outside->packet)};
    store_be32(notice.spi.data(), child->info.spi_in);  // that of the packet
    active() = task::InvalidSelectors{child->info.id, {}};
    env_.counters.add(Counter::invalid_selectors_sent);
    send_request(now, ExchangeType::INFORMATIONAL, {std::move(notice)});
  } else if (std::holds_alternative<task::CrashToken>(task.task)) {
    auto token = our_crash_token();
    if (!token) return;
    active() = task::CrashToken{};
    send_request(now, ExchangeType::INFORMATIONAL, {std::move(*token)});
  } else if (const auto* address = std::get_if<task::AddressTask>(&task.task)) {
    start_address_task(now, address->what);
  }
}

void IkeSa::on_task_response(Instant now, const Verified& message) {
  // Fatal for both sides, whatever was asked (RFC 7296 2.21.3).
  if (const NotifyPayload* error = first_error(message.payloads);
      error != nullptr &&
      (error->type == NotifyType::AUTHENTICATION_FAILED || error->type == NotifyType::INVALID_SYNTAX)) {
    return abandon(fmt::format("{} answered {}", peer_text(), wire::to_string(error->type)));
  }
  Active done = std::exchange(active(), std::monostate{});
  if (const auto* gone = std::get_if<task::DeleteChild>(&done)) {
    on_child_deleted(now, gone->child);
  } else if (auto* own = std::get_if<OwnChild>(&done)) {
    on_own_response(now, std::move(*own), message);
  } else if (auto* rekey = std::get_if<OwnIke>(&done)) {
    on_own_ike_response(now, std::move(*rekey), message);
  } else if (const auto* addresses = std::get_if<AddressExchange>(&done)) {
    on_address_response(now, *addresses, message);
  } else if (std::holds_alternative<task::Liveness>(done)) {
    on_liveness_response(now, message);
  }
}

void IkeSa::on_child_deleted(Instant now, ChildSaId id) {
  ChildSa* child = find_child(id);
  if (child == nullptr || child->info.state == ChildState::Retired) return;
  if (child->inbound_in_plane) {
    retire_child(now, *child, {});
  } else {
    remove_child(id, {});
  }
}

// The IKE SA is ending: what it was about to do is not done.
void IkeSa::drop_tasks() {
  tasks_.clear();
  if (auto* own = std::get_if<OwnChild>(&active()); own != nullptr && own->spi != 0)
    env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{std::exchange(own->spi, 0)}});
  active() = std::monostate{};
  if (peer_child_ && peer_child_->spi != 0)
    env_.actions.emplace_back(PlaneCommand{ipsec::ReleaseSpi{peer_child_->spi}});
  peer_child_.reset();
  for (Parked& p : parked_) release_parked(p);
  parked_.clear();
  timers_.stop(Timer::OwnSpi);
  timers_.stop(Timer::PeerSpi);
}

std::optional<Instant> IkeSa::next_timeout() const {
  std::optional<Instant> next = timers_.next();
  const auto earlier = [&next](const std::optional<Instant>& at) {
    if (at && (!next || *at < *next)) next = at;
  };
  earlier(next_child_timeout());
  if (can_start_task()) earlier(tasks_.next_due());
  for (const Parked& p : parked_) earlier(p.deadline);
  return next;
}

}  // namespace qanat::ike
