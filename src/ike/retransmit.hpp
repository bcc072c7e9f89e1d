// The retransmission schedule (rules.md "Messages"): first after 1 s, then x 1.6 with 10 % jitter, at most 60 s apart,
// 12 sends in all; liveness checks end by a deadline of their own instead.
#pragma once

#include <algorithm>

#include "base/rng.hpp"
#include "base/time.hpp"

namespace qanat::ike {

inline constexpr unsigned kMaxSends = 12;

// The product's own as it stands; the simulator also plays peers with another one.
struct RetransmitSchedule {
  Duration first = 1s;
  double factor = 1.6;
  Duration longest = 60s;
  double jitter = 0.1;  // of every wait, up and down
  unsigned sends = kMaxSends;
  // Sends of a message in one size without an answer, before it is cut smaller (RFC 7383 2.5.2); 0: it never is. Where
  // mere loss and not a narrow path is to blame, more fragments make it worse: not too soon.
  unsigned sends_of_a_size = 3;
};

// The wait after the `sends`-th send (1-based).
[[nodiscard]] inline Duration retransmit_delay(unsigned sends, Rng& rng, const RetransmitSchedule& schedule = {}) {
  double delay = static_cast<double>(schedule.first.count());
  for (unsigned i = 1; i < sends; ++i) delay *= schedule.factor;
  const double jitter = 1 - schedule.jitter + 2 * schedule.jitter * static_cast<double>(rng.below(10001)) / 10000.0;
  return Duration{static_cast<std::int64_t>(std::min(static_cast<double>(schedule.longest.count()), delay * jitter))};
}

}  // namespace qanat::ike
