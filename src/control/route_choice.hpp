// `qanat route get`: which tunnel takes a packet to an address, and why; decided by the packet path's own rule
// (wan/steering.hpp) over what a snapshot knows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "control/snapshot.hpp"
#include "wan/steering.hpp"

namespace qanat::control {

// What steering knows of a tunnel. Without health (not measured, or off) nothing is added for it.
[[nodiscard]] wan::TunnelState tunnel_state(const TunnelStatus& tunnel);

struct RouteAnswer {
  std::string address;
  std::string prefix;             // the longest that holds the address; empty: no route
  std::string tunnel;             // empty: dropped; "@host": one of the host's own networks
  std::string summary;            // "through berlin-1: the lowest priority"
  std::vector<std::string> hops;  // a line each
};
// `snapshot` has its routes. Where several tunnels share the flows, the answer is that of an ICMP flow from `source`.
[[nodiscard]] RouteAnswer route_to(const Snapshot& snapshot, const IpAddress& address,
                                   std::optional<IpAddress> source = std::nullopt, std::uint32_t vrf = 0);

}  // namespace qanat::control
