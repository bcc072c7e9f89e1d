// SetProtection and PurgeProtection, carried out: what should stand in the kernel (a pure function), what stands there,
// and the difference in an order that never lets a protected packet out in the clear.
#pragma once

#include <vector>

#include "daemon/netd_netlink.hpp"
#include "gateway/host_command.hpp"

namespace qanat::daemon {

inline constexpr std::uint32_t kFirstRule = 5200;  // preferences 5200 to 5203
inline constexpr std::uint32_t kTunQueueLength = 10'000;

// What SetProtection means. `device` of the TUN's routes is 0: nobody knows it yet.
struct ProtectionPlan {
  std::vector<HostRoute> barriers;  // unreachable, one a prefix; and a way around for link-local IPv6
  std::vector<HostRoute> tunnels;   // the same prefixes through the TUN
  std::vector<HostRule> rules;
};
[[nodiscard]] ProtectionPlan plan_protection(const gateway::SetProtection& protection);

enum class TunState : std::uint8_t {
  Required,  // an Error when it is not there; everything else stands nevertheless
  Optional,
};
[[nodiscard]] Status apply_protection(const gateway::SetProtection& protection, TunState tun);
[[nodiscard]] Status purge_protection();

// Up, with its MTU and queue, without address and without reverse path filter.
[[nodiscard]] Status configure_tun(const std::string& name, std::uint16_t mtu);

}  // namespace qanat::daemon
