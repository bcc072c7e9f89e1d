// WorkerMap: which of a gateway's data workers has what. A tunnel's SAs, its health and what is held for it belong to
// one worker; their SPIs lie in buckets that steering (io/steering.hpp) brings to that worker.
#pragma once

#include <cstdint>

#include "ipsec/child_sa_params.hpp"
#include "ipsec/spi.hpp"

namespace qanat::wan {

inline constexpr std::uint32_t kMaxDataWorkers = 16;
static_assert(kMaxDataWorkers <= ipsec::kSpiBuckets, "every worker needs a bucket of its own");

struct WorkerMap {
  std::uint32_t count = 1;

  // Ids are handed out one after the other, so tunnels are shared out evenly, and everybody knows the owner.
  [[nodiscard]] std::uint32_t owner_of(TunnelId tunnel) const { return tunnel.value() % count; }
  // As the steering programs have it.
  [[nodiscard]] std::uint32_t worker_of(ipsec::EspSpi spi) const { return ipsec::spi_bucket(spi) % count; }
};

}  // namespace qanat::wan
