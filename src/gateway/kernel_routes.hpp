// Routes of the host's kernel that lead through one of our TUNs to a peer's interface address: an operator's, or those
// of a routing daemon (BIRD, FRR). Each is a route to that tunnel (issue "Steering").
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "gateway/host_command.hpp"
#include "ipsec/data_plane.hpp"

namespace qanat::gateway {

struct KernelRoute {
  VrfId vrf;  // whose TUN it is
  Prefix prefix;
  IpAddress gateway;
  std::uint32_t metric = 0;   // as the kernel says it: 0 (IPv4) or 1024 (IPv6) when the route names none
  std::uint32_t weight = 1;   // among the ways of a multipath route
  std::uint32_t table = 254;  // in which the kernel has it
  friend auto operator<=>(const KernelRoute&, const KernelRoute&) = default;
};

// The tunnel of a VRF whose peer has this interface address.
using FindPeer = std::function<std::optional<TunnelId>(VrfId vrf, const IpAddress& address)>;

// What the packet path is to know beside the configured routes, one for each VRF, `add` sorted by prefix and tunnel.
//   - The metric is the priority; a route that names none has 100, as a configured one has.
//   - Where the configuration has the same prefix and tunnel, its terms hold. Where it has the prefix with the same
//     priority for another tunnel, the configured one wins: the kernel's counts as one more.
//   - Inside a prefix that is configured with pq = "require" the same is required.
// `configured`: sorted likewise. Gateways that nobody has are passed over, and so is what cannot lie behind a tunnel.
[[nodiscard]] std::vector<ipsec::SetRoutes> kernel_hops(std::span<const KernelRoute> routes,
                                                        std::span<const ipsec::SetRoutes> configured,
                                                        const FindPeer& find);

// What must stay inside though the TUN, and the kernel's routes with it, be gone; sorted. Those that the configuration
// protects in their VRF have that already; what a wider one of the same table covers needs none of its own.
[[nodiscard]] std::vector<Barrier> kernel_barriers(std::span<const KernelRoute> routes, const SetProtection& configured,
                                                   const FindPeer& find);
// What leads from `before` to `now`, both sorted, in commands that the helper takes.
[[nodiscard]] std::vector<ChangeBarriers> barrier_changes(std::span<const Barrier> before,
                                                          std::span<const Barrier> now);

// By prefix and tunnel.
[[nodiscard]] bool earlier(const ipsec::RouteHop& a, const ipsec::RouteHop& b);
// What leads from `before` to `now`, both as kernel_hops() makes them; only VRFs in which something changes.
[[nodiscard]] std::vector<ipsec::SetRoutes> route_changes(std::span<const ipsec::SetRoutes> before,
                                                          std::span<const ipsec::SetRoutes> now);
// Both, one for each VRF; no pair of prefix and tunnel is in both.
[[nodiscard]] std::vector<ipsec::SetRoutes> merged(std::span<const ipsec::SetRoutes> a,
                                                   std::span<const ipsec::SetRoutes> b);

}  // namespace qanat::gateway
