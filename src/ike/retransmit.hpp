// The retransmission schedule (rules.md "Messages"): first after 1 s, then x 1.6 with 10 % jitter, at most 60 s apart,
// 12 sends in all; liveness checks end by a deadline of their own instead.
#pragma once

#include <algorithm>

#include "base/rng.hpp"
#include "base/time.hpp"

namespace qanat::ike {

inline constexpr unsigned kMaxSends = 12;

// The wait after the `sends`-th send (1-based).
[[nodiscard]] inline Duration retransmit_delay(unsigned sends, Rng& rng) {
  constexpr std::int64_t kMax = Duration{60s}.count();
  double delay = static_cast<double>(Duration{1s}.count());
  for (unsigned i = 1; i < sends; ++i) delay *= 1.6;
  const double jitter = 0.9 + 0.2 * static_cast<double>(rng.below(10001)) / 10000.0;
  return Duration{std::min(kMax, static_cast<std::int64_t>(delay * jitter))};
}

}  // namespace qanat::ike
