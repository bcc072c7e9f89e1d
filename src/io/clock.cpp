#include "io/clock.hpp"

#include <time.h>

#include "base/result.hpp"

namespace qanat::io {

namespace {

timespec read_clock(clockid_t clock) {
  timespec now{};
  ensure(::clock_gettime(clock, &now) == 0, "clock_gettime");
  return now;
}

class MonotonicStopwatch final : public Stopwatch {
 public:
  [[nodiscard]] std::uint64_t nanoseconds() const override {
    const timespec now = read_clock(CLOCK_MONOTONIC);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
  }
};

}  // namespace

const Stopwatch& stopwatch() {
  static const MonotonicStopwatch kStopwatch;
  return kStopwatch;
}

Instant boot_now() {
  const timespec now = read_clock(CLOCK_BOOTTIME);
  return Instant::from_ns(std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec);
}

Duration wall_at_boot() {
  const timespec wall = read_clock(CLOCK_REALTIME);
  return Duration{std::int64_t{wall.tv_sec} * 1'000'000'000 + wall.tv_nsec - boot_now().ns()};
}

WallTime wall_now() {
  return WallTime{read_clock(CLOCK_REALTIME).tv_sec};
}

}  // namespace qanat::io
