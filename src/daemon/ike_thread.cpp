#include "daemon/ike_thread.hpp"

#include <algorithm>
#include <iterator>

#include <sched.h>

#include "io/clock.hpp"

namespace qanat::daemon {

std::size_t ike_thread_count(std::uint32_t configured) {
  constexpr std::size_t kMost = 8;  // beyond that the one control thread is the limit
  if (configured != 0) return configured;
  cpu_set_t ours;
  CPU_ZERO(&ours);
  const std::size_t processors =
      ::sched_getaffinity(0, sizeof ours, &ours) == 0 ? static_cast<std::size_t>(CPU_COUNT(&ours)) : 1;
  return std::clamp<std::size_t>(processors - 1, 1, kMost);
}

IkeThread::IkeThread(const ike::EndpointConfig& config, io::WakeUp& said, std::size_t max_waiting)
    : shard_(config, rng_), said_(said), max_waiting_(max_waiting) {}

IkeThread::~IkeThread() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

Status IkeThread::start() {
  QANAT_ASSIGN(loop_, io::EventLoop::create());
  QANAT_TRY(loop_->add(inbox_.fd(), [this] { on_messages(); }));
  loop_->on_timer([this] {
    shard_.handle_timeout(io::boot_now());
    say();
  });
  thread_ = std::thread([this] {
    // A gateway that has lost a part of its IKE SAs is worse than one that begins anew.
    ensure(loop_->run().has_value(), "the event loop of an IKE thread works");
  });
  return {};
}

// A flood waits in the sockets' buffers no longer, so it must end here.
void IkeThread::handle_datagram(Instant, const ike::Path& arrived, ByteView payload,
                                const std::optional<ike::HalfOpenElsewhere>& elsewhere) {
  if (waiting_.load(std::memory_order_relaxed) >= max_waiting_) {
    ++lost_;
    return;
  }
  waiting_.fetch_add(1, std::memory_order_relaxed);
  inbox_.post(Datagram{arrived, to_bytes(payload), elsewhere, std::exchange(lost_, 0)});
}

void IkeThread::handle_plane(Instant, const ipsec::Event& event) {
  inbox_.post(event);
}

void IkeThread::handle_addresses(Instant, const ike::HostAddresses& host) {
  inbox_.post(host);
}

void IkeThread::handle_path_error(Instant, const IpAddress& local, const IpAddress& remote) {
  inbox_.post(PathError{local, remote});
}

void IkeThread::handle(Instant, gateway::ToIkeShard message) {
  inbox_.post(std::move(message));
}

void IkeThread::inspect(const std::function<void(const gateway::IkeShard&)>& look) const {
  if (!thread_.joinable()) return look(shard_);
  std::promise<void> done;
  inbox_.post(Look{&look, &done});
  done.get_future().wait();
}

std::optional<gateway::FromIkeShard> IkeThread::poll() {
  if (taken_.empty()) {
    const std::lock_guard lock(mutex_);
    std::ranges::move(outbox_, std::back_inserter(taken_));
    outbox_.clear();
  }
  if (taken_.empty()) return std::nullopt;
  std::optional<gateway::FromIkeShard> out{std::move(taken_.front())};
  taken_.pop_front();
  return out;
}

// ---- on the thread ---------------------------------------------------------------------------------------------

void IkeThread::on_messages() {
  for (Message& message : inbox_.take_all()) {
    carry_out(io::boot_now(), message);
    say();  // an answer does not wait for the handshakes behind it
  }
}

void IkeThread::carry_out(Instant now, Message& message) {
  if (auto* datagram = std::get_if<Datagram>(&message)) {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    shard_.note_lost(datagram->lost_before);
    shard_.handle_datagram(now, datagram->arrived, datagram->payload, datagram->elsewhere);
  } else if (const auto* event = std::get_if<ipsec::Event>(&message)) {
    shard_.handle_plane(now, *event);
  } else if (const auto* host = std::get_if<ike::HostAddresses>(&message)) {
    shard_.handle_addresses(now, *host);
  } else if (const auto* error = std::get_if<PathError>(&message)) {
    shard_.handle_path_error(now, error->local, error->remote);
  } else if (auto* command = std::get_if<gateway::ToIkeShard>(&message)) {
    shard_.handle(now, std::move(*command));
  } else if (const auto* look = std::get_if<Look>(&message)) {
    (*look->at)(shard_);
    look->done->set_value();
  }
}

void IkeThread::say() {
  bool ring = false;
  while (auto out = shard_.poll()) {
    const std::lock_guard lock(mutex_);
    ring = ring || outbox_.empty();
    outbox_.push_back(std::move(*out));
  }
  if (ring) said_.notify();
  loop_->set_timer(shard_.next_timeout());
}

}  // namespace qanat::daemon
