// The parts of the filter that the default VRF and the accounts share, for the .cpp files that make it.
#pragma once

#include "daemon/netd_nft.hpp"
#include "daemon/nft_json.hpp"

namespace qanat::daemon::nft {

// What comes in by another interface than a TUN, and what goes out by one.
inline constexpr const char* kIn = "from_outside";
inline constexpr const char* kOut = "to_outside";

inline Json rule(const std::string& chain, const char* comment, Json expressions) {
  return rule_in(kFilterTable, chain, comment, std::move(expressions));
}

// Whether a question about routes is asked with the mark of the packet.
enum class Marked : std::uint8_t { No, Yes };
using Exceptions = std::vector<gateway::Exception>;

// Before the drops: what is no tunnel's by that interface. `field` is "saddr" or "daddr", `key` the interface's side.
void add_exceptions(Json& commands, const std::string& chain, const Exceptions& exceptions, VrfId vrf,
                    const char* field, const char* key, const Json& verdict);
// What routes of the kernel lead into the TUN: a list, and whether it is so for that very address.
std::string learnt_set(VrfId vrf);
void add_learnt_drops(Json& commands, const std::string& chain, VrfId vrf, const std::string& tun, Marked marked);

// The sets `NAME4` and `NAME6`.
void add_prefix_sets(Json& commands, const std::string& name, const std::vector<Prefix>& prefixes);
// Drops what has a source (`field` = "saddr") or a destination ("daddr") in them.
void add_prefix_drops(Json& commands, const std::string& chain, const char* comment, const std::string& name,
                      const char* field);
// With a default route through the tunnel: see netd_nft.cpp. `marked`: by the routing rules of the packet's mark.
void add_default_drops(Json& commands, const std::string& chain, const std::vector<Prefix>& prefixes,
                       const std::string& tun, Marked marked);

// Accounts, before the rules of the default VRF.
void add_account_chains(Json& commands, const gateway::SetProtection& protection, const Exceptions& exceptions);
void add_account_tun_rules(Json& commands, const gateway::SetProtection& protection);        // in kIn, first
void add_account_interface_rules(Json& commands, const gateway::SetProtection& protection);  // in kIn, then
void add_account_exit_rules(Json& commands, const gateway::SetProtection& protection);       // in kOut

}  // namespace qanat::daemon::nft
