// Uptake: what the handshakes of this gateway came to, for metrics: how long each exchange took, and how many IKE SAs
// came up with which keys. Counts since the start; nothing of a single tunnel.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/snapshot.hpp"
#include "ike/status.hpp"

namespace qanat::gateway {

class Uptake {
 public:
  // An IKE SA has come up. Times are counted for the exchanges that we began: only their initiator sees how long an
  // answer took.
  void add(const ike::SaInfo& sa, const std::string& keys) {
    std::string kem;
    for (const KeId id : sa.key_exchanges) {
      if (is_ml_kem(id)) kem += (kem.empty() ? "" : "+") + to_string(id);
    }
    ++made_[{keys, kem.empty() ? "none" : kem}];
    if (!sa.initiator) return;
    for (const ike::ExchangeRecord& step : sa.handshake) {
      const double seconds = std::chrono::duration<double>(step.took).count();
      Times& times = times_[wire::to_string(step.exchange)];
      const auto place = std::lower_bound(control::kHandshakeBounds.begin(), control::kHandshakeBounds.end(), seconds);
      ++times.buckets[static_cast<std::size_t>(place - control::kHandshakeBounds.begin())];
      times.seconds += seconds;
    }
  }
  [[nodiscard]] std::vector<control::HandshakeTimes> times() const {
    std::vector<control::HandshakeTimes> out;
    for (const auto& [exchange, t] : times_) {
      std::uint64_t count = 0;
      for (const std::uint64_t bucket : t.buckets) count += bucket;
      out.push_back({exchange, count, t.seconds, {t.buckets.begin(), t.buckets.end()}});
    }
    return out;
  }
  [[nodiscard]] std::vector<control::HandshakeCount> counts() const {
    std::vector<control::HandshakeCount> out;
    for (const auto& [what, count] : made_) out.push_back({what.first, what.second, count});
    return out;
  }

 private:
  struct Times {
    double seconds = 0;
    std::array<std::uint64_t, control::kHandshakeBounds.size() + 1> buckets{};
  };
  std::map<std::string, Times> times_;  // by exchange
  std::map<std::pair<std::string, std::string>, std::uint64_t> made_;
};

}  // namespace qanat::gateway
