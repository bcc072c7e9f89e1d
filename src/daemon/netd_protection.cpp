#include "daemon/netd_protection.hpp"

#include <algorithm>
#include <iterator>

#include <fcntl.h>
#include <unistd.h>

#include "daemon/netd_nft.hpp"

namespace qanat::daemon {

namespace {

constexpr std::uint32_t kIpv6Metric = 1024;  // what the kernel makes of 0

bool kernel_has_ipv6() {
  return ::access("/proc/sys/net/ipv6", F_OK) == 0;
}

template <typename T>
std::vector<T> without(std::vector<T> from, std::vector<T> other) {
  std::ranges::sort(from);
  std::ranges::sort(other);
  std::vector<T> out;
  std::ranges::set_difference(from, other, std::back_inserter(out));
  return out;
}

// A barrier must not hide the link's own addresses: IPv6 neighbours could not be reached.
void add_link_local_bypass(std::vector<HostRoute>& routes, const gateway::SetProtection& protection) {
  const Prefix link_local = *Prefix::parse("fe80::/10");
  const bool covered = std::ranges::any_of(protection.prefixes, [&](const Prefix& p) {
    return p.length() > 0 && p.is_v4() == link_local.is_v4() && p.contains(link_local);
  });
  if (covered) {
    routes.push_back({protection.route_table, link_local, HostRoute::Kind::Throw, 0, kIpv6Metric});
  }
}

Status write_sysctl(const std::string& path, std::string_view value) {
  const io::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return io::system_failure(path, "open");
  if (::write(fd.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return io::system_failure(path, "write");
  return {};
}

// The reverse path filter would judge inner packets by the outer interface's routes.
Status switch_off_reverse_path_filter(const std::string& tun) {
  return write_sysctl("/proc/sys/net/ipv4/conf/" + tun + "/rp_filter", "0\n");
}

// And outer packets by the tunnels' routes, unless it heeds the mark that the filter gives them (netd_nft.cpp).
Status let_reverse_path_filter_heed_marks() {
  return write_sysctl("/proc/sys/net/ipv4/conf/all/src_valid_mark", "1\n");
}

// Devices first: what they leave behind runs into the barrier, never past it.
Status remove_in_order(RouteSocket& kernel, const std::vector<HostRoute>& routes) {
  std::vector<HostRoute> devices;
  std::vector<HostRoute> barriers;
  for (const HostRoute& route : routes) {
    (route.kind == HostRoute::Kind::Device ? devices : barriers).push_back(route);
  }
  QANAT_TRY(kernel.remove_routes(devices));
  return kernel.remove_routes(barriers);
}

}  // namespace

ProtectionPlan plan_protection(const gateway::SetProtection& protection) {
  ProtectionPlan plan;
  add_link_local_bypass(plan.barriers, protection);
  bool default4 = false;
  bool default6 = false;
  std::vector<Prefix> prefixes = protection.prefixes;
  std::ranges::sort(prefixes);
  prefixes.erase(std::ranges::unique(prefixes).begin(), prefixes.end());
  for (const Prefix& prefix : prefixes) {
    const bool is_default = prefix.length() == 0;
    const std::uint32_t table = protection.route_table + (is_default ? 1 : 0);
    if (is_default) (prefix.is_v4() ? default4 : default6) = true;
    plan.barriers.push_back({table, prefix, HostRoute::Kind::Unreachable, 0, kLowestPreference});
    plan.tunnels.push_back({table, prefix, HostRoute::Kind::Device, 0, prefix.is_v4() ? 0 : kIpv6Metric});
  }
  for (const bool v6 : {false, true}) {
    plan.rules.push_back({v6, kFirstRule, protection.route_table, protection.fwmark, false});
    if (v6 ? default6 : default4) {
      constexpr std::uint32_t kMainTable = 254;
      plan.rules.push_back({v6, kFirstRule + 1, kMainTable, std::nullopt, true});
      plan.rules.push_back({v6, kFirstRule + 2, protection.route_table + 1, protection.fwmark, false});
      // A lookup that names an interface skips IPv6's unreachable route and would go on to the main table's default.
      plan.rules.push_back({v6, kFirstRule + 3, 0, protection.fwmark, false});
    }
  }
  return plan;
}

Status configure_tun(const std::string& name, std::uint16_t mtu) {
  QANAT_ASSIGN(RouteSocket kernel, RouteSocket::open());
  QANAT_ASSIGN(const std::optional<LinkInfo> link, kernel.find_link(name));
  if (!link || !link->is_tun) return fail(ErrorKind::LocalPolicy, "interface " + name, "it is no TUN device");
  (void)kernel.set_no_auto_address(link->index);  // fails where IPv6 is off, which is as good
  QANAT_TRY(switch_off_reverse_path_filter(name));
  return kernel.set_link_up(link->index, mtu, kTunQueueLength);
}

Status apply_protection(const gateway::SetProtection& protection, TunState tun) {
  ProtectionPlan plan = plan_protection(protection);
  if (!kernel_has_ipv6()) {
    // Nothing of IPv6 leaves this host, protected or not.
    const auto is_v6 = [](const HostRoute& r) { return !r.prefix.is_v4(); };
    std::erase_if(plan.barriers, is_v6);
    std::erase_if(plan.tunnels, is_v6);
    std::erase_if(plan.rules, [](const HostRule& r) { return r.v6; });
  }
  QANAT_ASSIGN(RouteSocket kernel, RouteSocket::open());
  QANAT_ASSIGN(const std::vector<HostRoute> routes, kernel.our_routes());
  QANAT_ASSIGN(const std::vector<HostRule> rules, kernel.our_rules());

  // The order is the promise: barriers, rules, filter, and only then a way into the tunnel.
  QANAT_TRY(kernel.add_routes(without(plan.barriers, routes)));
  QANAT_TRY(kernel.add_rules(without(plan.rules, rules)));
  QANAT_TRY(run_nft(filter_json(protection)));
  QANAT_TRY(let_reverse_path_filter_heed_marks());

  QANAT_ASSIGN(const std::optional<LinkInfo> link, kernel.find_link(protection.tun));
  Status tun_status;
  std::vector<HostRoute> wanted = plan.barriers;
  if (link) {
    tun_status = configure_tun(protection.tun, protection.tun_mtu);
    if (tun_status) {
      for (HostRoute& route : plan.tunnels) route.device = link->index;
      tun_status = kernel.add_routes(without(plan.tunnels, routes));
      wanted.insert(wanted.end(), plan.tunnels.begin(), plan.tunnels.end());
    }
  } else if (tun == TunState::Required) {
    tun_status =
        fail(ErrorKind::Internal, "interface " + protection.tun, "it does not exist: its prefixes stay unreachable");
  }

  // What an earlier config wanted.
  QANAT_TRY(remove_in_order(kernel, without(routes, wanted)));
  QANAT_TRY(kernel.remove_rules(without(rules, plan.rules)));
  return tun_status;
}

Status purge_protection() {
  QANAT_ASSIGN(RouteSocket kernel, RouteSocket::open());
  QANAT_ASSIGN(const std::vector<HostRule> rules, kernel.our_rules());
  QANAT_ASSIGN(const std::vector<HostRoute> routes, kernel.our_routes());
  QANAT_TRY(kernel.remove_rules(rules));
  QANAT_TRY(remove_in_order(kernel, routes));
  return run_nft(purge_json());
}

}  // namespace qanat::daemon
