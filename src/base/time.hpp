// Instant: a moment on the host's monotonic clock that counts suspend (CLOCK_BOOTTIME). Only io/ can make one from
// the clock; everybody else is handed `now`. Wall time (WallTime) exists only for certificates and logs.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace qanat {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

class Instant {
 public:
  constexpr Instant() = default;
  [[nodiscard]] static constexpr Instant from_ns(std::int64_t ns) {
    Instant i;
    i.ns_ = ns;
    return i;
  }
  [[nodiscard]] constexpr std::int64_t ns() const { return ns_; }

  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant i, Duration d) { return from_ns(i.ns_ + d.count()); }
  friend constexpr Instant operator-(Instant i, Duration d) { return from_ns(i.ns_ - d.count()); }
  friend constexpr Duration operator-(Instant a, Instant b) { return Duration{a.ns_ - b.ns_}; }

 private:
  std::int64_t ns_ = 0;
};

// Seconds since 1970-01-01 UTC.
struct WallTime {
  std::int64_t seconds = 0;
  friend constexpr auto operator<=>(WallTime, WallTime) = default;
};

}  // namespace qanat
