// SetProtection and PurgeProtection, carried out: what should stand in the kernel (a pure function), what stands there,
// and the difference in an order that never lets a protected packet out in the clear.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/netd_netlink.hpp"
#include "gateway/host_command.hpp"

namespace qanat::daemon {

inline constexpr std::uint32_t kFirstRule = 5200;    // preferences 5200 to 5203
inline constexpr std::uint32_t kAccountRule = 5180;  // of accounts, 5180 to 5184, for all of them
inline constexpr std::uint32_t kTunQueueLength = 10'000;

// What SetProtection means. `device` of the TUNs' routes is 0: nobody knows it yet.
struct ProtectionPlan {
  struct Tun {
    std::string name;
    std::uint16_t mtu = 0;
    std::vector<HostRoute> routes;  // the prefixes of its barriers, through it
  };
  std::vector<HostRoute> barriers;  // unreachable, one a prefix; and a way around for link-local IPv6
  std::vector<Tun> tuns;            // the default one first
  // The host's own networks inside a wider protected prefix, by their interfaces. No `throw`: that would outlive the
  // interface, and lead to the main table's default then.
  std::vector<HostRoute> around;
  std::vector<HostRule> rules;
};
// `index_of`: of an interface by its name, 0 when there is none.
using IndexOf = std::function<std::uint32_t(const std::string& name)>;
[[nodiscard]] ProtectionPlan plan_protection(const gateway::SetProtection& protection,
                                             const std::vector<gateway::Exception>& exceptions = {},
                                             const IndexOf& index_of = {});

enum class TunState : std::uint8_t {
  Required,  // an Error when it is not there; everything else stands nevertheless
  Optional,
};
[[nodiscard]] Status apply_protection(const gateway::SetProtection& protection, TunState tun);
[[nodiscard]] Status purge_protection();
// `filter`: what stands, whose lists follow; nullptr while there is none.
[[nodiscard]] Status apply_barriers(const gateway::ChangeBarriers& change, const gateway::SetProtection* filter);
[[nodiscard]] Status apply_nat(const gateway::SetNat& nat);

// Up, with its MTU and queue, without address and without reverse path filter.
[[nodiscard]] Status configure_tun(const std::string& name, std::uint16_t mtu);

}  // namespace qanat::daemon
