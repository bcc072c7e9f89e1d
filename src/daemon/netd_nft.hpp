// Our nftables tables, each replaced in one transaction by `nft -j -f -`, a child without a shell.
//   inet qanat      packets that arrive from outside with a source that belongs behind a tunnel are dropped (RFC 4301
//                   5.2), and so are packets that would leave there for a protected prefix; accounts (VRFs beside the
//                   default one) are kept apart.
//   inet qanat_nat  source NAT; only when there is some.
#pragma once

#include <string>
#include <vector>

#include "gateway/host_command.hpp"
#include "gateway/host_networks.hpp"

namespace qanat::daemon {

// Conntrack zones of accounts are this one and their VrfId.
inline constexpr std::uint32_t kFirstZone = 0x5100;

// What lies behind tunnels of a VRF by routes of the kernel, beside what is configured (gateway/kernel_routes.hpp).
struct Learnt {
  VrfId vrf;
  std::vector<Prefix> prefixes;
  friend bool operator==(const Learnt&, const Learnt&) = default;
};

// Whole transactions as nft's JSON.
[[nodiscard]] std::string filter_json(const gateway::SetProtection& protection,
                                      const std::vector<gateway::Exception>& exceptions = {},
                                      const std::vector<Learnt>& learnt = {});
// Of a filter that stands: the default VRF and the accounts of `protection` get these in place of what they had.
[[nodiscard]] std::string learnt_json(const gateway::SetProtection& protection, const std::vector<Learnt>& learnt);
[[nodiscard]] std::string nat_json(const gateway::SetNat& nat);
[[nodiscard]] std::string purge_json();
// Error{Internal} holds nft's first line of complaint.
[[nodiscard]] Status run_nft(const std::string& json);

}  // namespace qanat::daemon
