// One tunnel's probes over a path of seeded weather, in virtual time.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "wan/health.hpp"

namespace qanat::wan::testing {

using model::ProbeRate;

struct HealthWorld {
  explicit HealthWorld(std::uint64_t seed = 1) : rng(seed) {}

  SeededRng rng;
  TunnelHealth health;
  Instant now = Instant::from_ns(0) + 1000s;
  Duration rtt = 20ms;
  std::uint32_t loss_per_10000 = 0;
  bool cut = false;
  std::function<bool(std::uint16_t)> lose = [](std::uint16_t) { return false; };  // by the number of the probe, from 0
  std::multimap<Instant, std::uint16_t> answers;
  std::vector<Instant> sent;
  std::vector<HealthChange> changes;

  void start(ProbeRate rate) {
    health.handle_liveness(now, TunnelHealth::Liveness::HasSa, rng);
    health.begin(now, rate, rng);
    drain();
  }
  void set_live(bool live) {
    health.handle_liveness(now, live ? TunnelHealth::Liveness::HasSa : TunnelHealth::Liveness::NoSa, rng);
    drain();
  }
  void drain() {
    while (const auto out = health.poll(now)) {
      if (const auto* change = std::get_if<HealthChange>(&*out)) {
        changes.push_back(*change);
        continue;
      }
      const auto number = static_cast<std::uint16_t>(sent.size());
      sent.push_back(now);
      if (!cut && !lose(number) && rng.below(10000) >= loss_per_10000)
        answers.emplace(now + rtt, std::get<TunnelHealth::SendProbe>(*out).sequence);
    }
  }
  void run(Duration how_long) { run_until(now + how_long); }
  void run_until(Instant end) {
    while (true) {
      auto next = health.next_timeout();
      if (!answers.empty() && (!next || answers.begin()->first < *next)) next = answers.begin()->first;
      if (!next || *next > end) break;
      now = std::max(now, *next);
      while (!answers.empty() && answers.begin()->first <= now) {
        const std::uint16_t sequence = answers.begin()->second;
        answers.erase(answers.begin());
        if (!cut) (void)health.handle_answer(now, sequence);
      }
      drain();
    }
    now = std::max(now, end);
  }
  // Until the state is reached, at most `limit` longer; true when it was.
  bool run_to(HealthState state, Duration limit) {
    const Instant end = now + limit;
    while (health.state() != state && now < end) run_until(std::min(end, now + 10ms));
    return health.state() == state;
  }
  [[nodiscard]] std::vector<HealthCode> codes() const {
    std::vector<HealthCode> out;
    for (const HealthChange& c : changes) out.push_back(c.code);
    return out;
  }
  // Probes that left in the last `how_long`, with their distance to the first of them.
  [[nodiscard]] std::vector<Duration> beats_since(Instant since) const {
    std::vector<Duration> out;
    for (const Instant at : sent) {
      if (at >= since) out.push_back(at - since);
    }
    return out;
  }
};

}  // namespace qanat::wan::testing
