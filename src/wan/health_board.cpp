#include "wan/health_board.hpp"

namespace qanat::wan {

void HealthBoard::set(Instant now, TunnelId tunnel, const Plan& plan) {
  const auto [at, added] = entries_.try_emplace(tunnel);
  Entry& entry = at->second;
  if (!added && entry.plan == plan) return;
  if (added || entry.plan.path != plan.path) {
    if (const auto* why = std::get_if<HealthCode>(&plan.path)) {
      entry.health.cannot_measure(now, *why);
    } else {
      entry.health.begin(now, plan.rate, rng_);
    }
  } else {
    entry.health.set_rate(now, plan.rate, rng_);
  }
  entry.plan = plan;
  drain(now, tunnel, entry);
}

void HealthBoard::remove(TunnelId tunnel) {
  const auto at = entries_.find(tunnel);
  if (at == entries_.end()) return;
  if (at->second.due) queue_.erase({*at->second.due, tunnel});
  entries_.erase(at);
}

void HealthBoard::handle_liveness(Instant now, TunnelId tunnel, TunnelHealth::Liveness liveness) {
  const auto at = entries_.find(tunnel);
  if (at == entries_.end()) return;
  at->second.health.handle_liveness(now, liveness, rng_);
  drain(now, tunnel, at->second);
}

HealthBoard::Taken HealthBoard::handle_packet(Instant now, std::optional<TunnelId> through, ByteView packet,
                                              const esp::InnerPacket& p) {
  const auto answer = codec_.read(packet, p);
  if (!answer) return Taken::NotOurs;
  const auto at = entries_.find(answer->tunnel);
  if (at == entries_.end()) return Taken::NoSample;
  Entry& entry = at->second;
  const auto* path = std::get_if<ProbePath>(&entry.plan.path);
  const bool way = path != nullptr && p.source == path->remote && p.destination == path->local &&
                   (path->direction == model::ProbeDirection::Unidirectional || through == answer->tunnel);
  if (!way || entry.health.handle_answer(now, answer->sequence) == TunnelHealth::Answer::Unknown) {
    ++entry.no_samples;
    return Taken::NoSample;
  }
  drain(now, answer->tunnel, entry);
  return Taken::Answer;
}

void HealthBoard::handle_timeout(Instant now) {
  while (!queue_.empty() && queue_.begin()->first <= now) {
    const TunnelId tunnel = queue_.begin()->second;
    drain(now, tunnel, entries_.at(tunnel));
  }
}

std::optional<HealthBoard::Probe> HealthBoard::poll_probe() {
  while (!probes_.empty()) {
    const Due due = probes_.front();
    probes_.pop_front();
    const auto at = entries_.find(due.tunnel);
    if (at == entries_.end()) continue;
    const auto* path = std::get_if<ProbePath>(&at->second.plan.path);
    if (path == nullptr) continue;
    ++at->second.probes;
    return Probe{.tunnel = due.tunnel, .packet = codec_.make(due.tunnel, *path, due.sequence)};
  }
  return std::nullopt;
}

std::optional<HealthBoard::Change> HealthBoard::poll_change() {
  if (changes_.empty()) return std::nullopt;
  const Change change = changes_.front();
  changes_.pop_front();
  return change;
}

std::optional<Instant> HealthBoard::next_timeout() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.begin()->first;
}

const HealthBoard::Entry* HealthBoard::find(TunnelId tunnel) const {
  const auto at = entries_.find(tunnel);
  return at == entries_.end() ? nullptr : &at->second;
}

void HealthBoard::drain(Instant now, TunnelId tunnel, Entry& entry) {
  while (const auto out = entry.health.poll(now)) {
    if (const auto* probe = std::get_if<TunnelHealth::SendProbe>(&*out)) {
      probes_.push_back({.tunnel = tunnel, .sequence = probe->sequence});
    } else {
      changes_.push_back({.tunnel = tunnel, .change = std::get<HealthChange>(*out)});
    }
  }
  const auto due = entry.health.next_timeout();
  if (due == entry.due) return;
  if (entry.due) {
    auto node = queue_.extract({*entry.due, tunnel});
    if (due) {
      node.value() = {*due, tunnel};
      queue_.insert(std::move(node));
    }
  } else {
    queue_.emplace(*due, tunnel);
  }
  entry.due = due;
}

}  // namespace qanat::wan
