// What the host reaches without a tunnel: the networks of its interfaces, and its own addresses. Where a tunnel's wider
// prefix covers them they come first, as the longer prefix of any router does.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gateway/host_command.hpp"
#include "ipsec/data_plane.hpp"

namespace qanat::gateway {

struct HostNetwork {
  enum class Kind : std::uint8_t {
    Connected,  // of an interface: no gateway on the way
    Address,    // the host's own
  };
  Prefix prefix;
  std::string interface;
  Kind kind = Kind::Connected;
  friend auto operator<=>(const HostNetwork&, const HostNetwork&) = default;
};

// A network of an interface inside a protected prefix. The helper has a route to it before the tunnel's, and lets its
// packets pass the filter by that interface and no other: when the interface goes, so does the route, and the protected
// prefix holds again.
struct Exception {
  VrfId vrf;
  Prefix prefix;
  std::string interface;
  std::vector<Prefix> but;  // protected prefixes inside it, which are as they were
  friend bool operator==(const Exception&, const Exception&) = default;
};

// An interface belongs to the account that names it, else to the default VRF; a TUN of ours to nobody. A prefix that is
// protected itself, or that no prefix of a length above 0 covers, makes no exception. Longest prefixes first.
[[nodiscard]] std::vector<Exception> exceptions(std::span<const HostNetwork> networks, const SetProtection& protection);

// What the packet path hands to the host, one for each VRF that has any, sorted: all of them that are not protected
// themselves.
[[nodiscard]] std::vector<ipsec::SetLocalPrefixes> local_prefixes(std::span<const HostNetwork> networks,
                                                                  const SetProtection& protection);

// Not loopback, multicast or the link's own.
[[nodiscard]] bool can_lie_behind_a_tunnel(const Prefix& prefix);

}  // namespace qanat::gateway
