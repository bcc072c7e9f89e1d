// What the gateway asks of the host's kernel through the privileged helper (qanat-netd): a fixed, typed list. The
// helper validates each again; every command is answered by one HostResult with the same id, later.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "base/strong_id.hpp"

namespace qanat::gateway {

// The host's routing state for protected prefixes, as a whole: the helper makes the kernel's table, rules and nftables
// rules equal to it in this order: unreachable routes first, then rules, then the filter, then the TUN's routes.
//   - table `route_table`: for each prefix an `unreachable` route of the highest metric, and one to the TUN;
//     prefixes of length 0 go to `route_table + 1`, so that the connected and more specific routes of the main table
//     still hold beside a default route through a tunnel.
//   - rules: unmarked packets look into route_table, then the main table without its default route
//     (suppress_prefixlength 0, only when there is a prefix of length 0), then route_table + 1.
//   - nftables table `inet qanat`: packets that arrive on another interface than the TUN with a source in a protected
//     prefix are dropped (RFC 4301 5.2).
struct SetProtection {
  std::string tun;
  std::uint32_t route_table = 0;
  std::uint32_t fwmark = 0;
  std::uint16_t tun_mtu = 1400;
  std::vector<Prefix> prefixes;
  friend bool operator==(const SetProtection&, const SetProtection&) = default;
};
// Removes everything that SetProtection ever made: `qanat purge`.
struct PurgeProtection {
  std::uint32_t route_table = 0;
  std::uint32_t fwmark = 0;
};
using HostCommand = std::variant<SetProtection, PurgeProtection>;

struct HostResult {
  RequestId request;
  Status status;
};

}  // namespace qanat::gateway
