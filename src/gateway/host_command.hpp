// What the gateway asks of the host's kernel through the privileged helper (qanat-netd): a fixed, typed list. The
// helper validates each again; every command is answered by one HostResult with the same id, later.
#pragma once

#include <cstdint>
#include <optional>
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
// An account (a VRF beside the default one) has the same for itself, for the packets that are its own and no others:
// those that come from its TUN and its interfaces, sockets that are bound to its TUN, and the answers to what began
// there.
//   - rules before those of the default one: its route_table, then the main table as above, then route_table + 1, then
//     the main table as a whole, and nothing after it.
//   - nftables: its packets have the mark fwmark + vrf and a conntrack zone of their own; between accounts none pass.
struct AccountProtection {
  VrfId vrf;
  std::string tun;
  std::uint32_t route_table = 0;
  std::uint16_t tun_mtu = 1400;
  std::vector<Prefix> prefixes;
  std::vector<std::string> interfaces;  // of the host, whose packets are the account's
  friend bool operator==(const AccountProtection&, const AccountProtection&) = default;
};
struct SetProtection {
  std::string tun;
  std::uint32_t route_table = 0;
  std::uint32_t fwmark = 0;
  std::uint16_t tun_mtu = 1400;
  std::vector<Prefix> prefixes;
  std::vector<AccountProtection> accounts = {};
  friend bool operator==(const SetProtection&, const SetProtection&) = default;
};
// Removes everything that these commands ever made: `qanat purge`.
struct PurgeProtection {
  std::uint32_t route_table = 0;
  std::uint32_t fwmark = 0;
};

// Source NAT by the kernel, as a whole: the nftables table `inet qanat_nat` is replaced in one transaction, and removed
// when there is no rule. The first rule that fits a packet decides. Connections that are translated already go on as
// they began.
struct NatRule {
  std::vector<std::string> in;         // interfaces that the packets come by: TUNs, and those of an account
  std::vector<Prefix> sources;         // empty: all
  std::string out_interface;           // empty: any but `in` and the loopback
  std::optional<IpAddress> translate;  // nullopt: masquerade, the address of the interface
  friend bool operator==(const NatRule&, const NatRule&) = default;
};
struct SetNat {
  std::vector<NatRule> rules;
  friend bool operator==(const SetNat&, const SetNat&) = default;
};

// Beside a route of somebody else's that leads to a tunnel (gateway/kernel_routes.hpp), in the same table: an
// `unreachable` one of the highest metric, so that the prefix stays inside when the TUN, and with it that route, goes.
// As a difference, `add` first; what is there already, or gone, is no error.
struct Barrier {
  std::uint32_t table = 0;
  Prefix prefix;
  VrfId vrf = {};  // whose packets from outside the filter drops when their source lies there
  friend auto operator<=>(const Barrier&, const Barrier&) = default;
};
struct ChangeBarriers {
  std::vector<Barrier> add;
  std::vector<Barrier> remove;
  friend bool operator==(const ChangeBarriers&, const ChangeBarriers&) = default;
};
using HostCommand = std::variant<SetProtection, PurgeProtection, SetNat, ChangeBarriers>;

struct HostResult {
  RequestId request;
  Status status;
};

}  // namespace qanat::gateway
