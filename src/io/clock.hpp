// The only two clocks of the product. Everybody below io/ is handed `now`.
#pragma once

#include "base/stopwatch.hpp"
#include "base/time.hpp"

namespace qanat::io {

[[nodiscard]] Instant boot_now();   // CLOCK_BOOTTIME: monotonic, counts suspend
[[nodiscard]] WallTime wall_now();  // CLOCK_REALTIME: certificates and logs only
// What CLOCK_REALTIME said when CLOCK_BOOTTIME counted 0, in nanoseconds since 1970: for the times of captured packets.
[[nodiscard]] Duration wall_at_boot();
// CLOCK_MONOTONIC, for what is shown and decides nothing.
[[nodiscard]] const Stopwatch& stopwatch();

}  // namespace qanat::io
