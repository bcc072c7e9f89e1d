// The only two clocks of the product. Everybody below io/ is handed `now`.
#pragma once

#include "base/time.hpp"

namespace qanat::io {

[[nodiscard]] Instant boot_now();   // CLOCK_BOOTTIME: monotonic, counts suspend
[[nodiscard]] WallTime wall_now();  // CLOCK_REALTIME: certificates and logs only

}  // namespace qanat::io
