#include "daemon/netd_protection.hpp"

#include <algorithm>
#include <iterator>

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include "daemon/netd_nft.hpp"

namespace qanat::daemon {

namespace {

constexpr std::uint32_t kIpv6Metric = 1024;  // what the kernel makes of 0
constexpr std::uint32_t kMainTable = 254;

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
void add_link_local_bypass(std::vector<HostRoute>& routes, const std::vector<Prefix>& prefixes, std::uint32_t table) {
  const Prefix link_local = *Prefix::parse("fe80::/10");
  const bool covered = std::ranges::any_of(prefixes, [&](const Prefix& p) {
    return p.length() > 0 && p.is_v4() == link_local.is_v4() && p.contains(link_local);
  });
  if (covered) routes.push_back({table, link_local, HostRoute::Kind::Throw, 0, kIpv6Metric});
}

struct Defaults {
  bool v4 = false;
  bool v6 = false;
  [[nodiscard]] bool of(bool family_v6) const { return family_v6 ? v6 : v4; }
};

// Barriers, and the routes of one TUN.
Defaults add_world(ProtectionPlan& plan, ProtectionPlan::Tun tun, std::uint32_t first_table,
                   std::vector<Prefix> prefixes) {
  add_link_local_bypass(plan.barriers, prefixes, first_table);
  Defaults defaults;
  std::ranges::sort(prefixes);
  prefixes.erase(std::ranges::unique(prefixes).begin(), prefixes.end());
  for (const Prefix& prefix : prefixes) {
    const bool is_default = prefix.length() == 0;
    const std::uint32_t table = first_table + (is_default ? 1 : 0);
    if (is_default) (prefix.is_v4() ? defaults.v4 : defaults.v6) = true;
    plan.barriers.push_back({table, prefix, HostRoute::Kind::Unreachable, 0, kLowestPreference});
    tun.routes.push_back({table, prefix, HostRoute::Kind::Device, 0, prefix.is_v4() ? 0 : kIpv6Metric});
  }
  plan.tuns.push_back(std::move(tun));
  return defaults;
}

// The packets of an account find their way here, and nowhere else: the rules behind these are of another world.
void add_account_rules(ProtectionPlan& plan, const gateway::AccountProtection& account, std::uint32_t fwmark,
                       const Defaults& defaults) {
  HostRule of_tun{.in = account.tun};
  HostRule of_answers{.mark = fwmark + account.vrf.value()};
  HostRule of_sockets{.out = account.tun};
  std::vector<HostRule> whose = {of_tun, of_answers, of_sockets};
  for (const std::string& name : account.interfaces) whose.push_back({.in = name});
  for (const bool v6 : {false, true}) {
    for (HostRule rule : whose) {
      rule.v6 = v6;
      const auto add = [&](std::uint32_t step, std::uint32_t table, bool without_default) {
        rule.preference = kAccountRule + step;
        rule.table = table;
        rule.without_default = without_default;
        plan.rules.push_back(rule);
      };
      add(0, account.route_table, false);
      if (defaults.of(v6)) {
        add(1, kMainTable, true);
        add(2, account.route_table + 1, false);
      } else {
        add(3, kMainTable, false);
      }
      add(4, 0, false);
    }
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

// What the kernel itself says about a packet of an account (ICMP errors, resets) goes back into its world, also about
// the first packet of a connection, which connection tracking does not know yet. In the default one it could leave in
// the clear.
Status let_errors_keep_their_mark() {
  QANAT_TRY(write_sysctl("/proc/sys/net/ipv4/fwmark_reflect", "1\n"));
  if (!kernel_has_ipv6()) return {};
  return write_sysctl("/proc/sys/net/ipv6/fwmark_reflect", "1\n");
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

// A network may have moved to another interface; and an operator may have written its route there already, which stays.
Status add_around(RouteSocket& kernel, const std::vector<HostRoute>& around, const std::vector<HostRoute>& present) {
  std::vector<HostRoute> moved;
  for (const HostRoute& r : without(present, around)) {
    const auto same_place = [&](const HostRoute& a) { return a.table == r.table && a.prefix == r.prefix; };
    if (r.kind == HostRoute::Kind::Device && std::ranges::any_of(around, same_place)) moved.push_back(r);
  }
  QANAT_TRY(kernel.remove_routes(moved));
  return kernel.add_routes(without(around, present), RouteSocket::Existing::Keep);
}

// What the barriers beside the kernel's routes say; those of an earlier process, too. Their metric tells the VRF.
Result<std::vector<Learnt>> learnt_of(RouteSocket& kernel) {
  QANAT_ASSIGN(const std::vector<HostRoute> barriers, kernel.our_routes(kBarrierProtocol));
  std::vector<Learnt> out;
  for (const HostRoute& barrier : barriers) {
    const VrfId vrf{kLowestPreference - barrier.metric};
    auto found = std::ranges::find(out, vrf, &Learnt::vrf);
    if (found == out.end()) found = out.insert(out.end(), Learnt{vrf, {}});
    found->prefixes.push_back(barrier.prefix);
  }
  return out;
}

}  // namespace

ProtectionPlan plan_protection(const gateway::SetProtection& protection,
                               const std::vector<gateway::Exception>& exceptions, const IndexOf& index_of) {
  ProtectionPlan plan;
  const Defaults defaults =
      add_world(plan, {protection.tun, protection.tun_mtu, {}}, protection.route_table, protection.prefixes);
  for (const bool v6 : {false, true}) {
    plan.rules.push_back({v6, kFirstRule, protection.route_table, protection.fwmark, false});
    if (defaults.of(v6)) {
      plan.rules.push_back({v6, kFirstRule + 1, kMainTable, std::nullopt, true});
      plan.rules.push_back({v6, kFirstRule + 2, protection.route_table + 1, protection.fwmark, false});
      // A lookup that names an interface skips IPv6's unreachable route and would go on to the main table's default.
      plan.rules.push_back({v6, kFirstRule + 3, 0, protection.fwmark, false});
    }
  }
  for (const gateway::AccountProtection& account : protection.accounts) {
    const Defaults of_account =
        add_world(plan, {account.tun, account.tun_mtu, {}}, account.route_table, account.prefixes);
    add_account_rules(plan, account, protection.fwmark, of_account);
  }
  for (const gateway::Exception& e : exceptions) {
    const auto account = std::ranges::find(protection.accounts, e.vrf, &gateway::AccountProtection::vrf);
    const std::uint32_t table = account == protection.accounts.end() ? protection.route_table : account->route_table;
    const std::uint32_t device = index_of(e.interface);
    // Of two interfaces with the same network the first has it.
    const bool taken =
        std::ranges::any_of(plan.around, [&](const HostRoute& r) { return r.table == table && r.prefix == e.prefix; });
    if (device != 0 && !taken)
      plan.around.push_back({table, e.prefix, HostRoute::Kind::Device, device, e.prefix.is_v4() ? 0 : kIpv6Metric});
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
  QANAT_ASSIGN(RouteSocket kernel, RouteSocket::open());
  // Unknown ones are none: what cannot be read stays inside.
  auto networks = kernel.connected_networks();
  const std::vector<gateway::Exception> exceptions =
      networks ? gateway::exceptions(*networks, protection) : std::vector<gateway::Exception>{};
  ProtectionPlan plan =
      plan_protection(protection, exceptions, [](const std::string& name) { return ::if_nametoindex(name.c_str()); });
  if (!kernel_has_ipv6()) {
    // Nothing of IPv6 leaves this host, protected or not.
    const auto is_v6 = [](const HostRoute& r) { return !r.prefix.is_v4(); };
    std::erase_if(plan.barriers, is_v6);
    for (ProtectionPlan::Tun& t : plan.tuns) std::erase_if(t.routes, is_v6);
    std::erase_if(plan.rules, [](const HostRule& r) { return r.v6; });
  }
  QANAT_ASSIGN(const std::vector<HostRoute> routes, kernel.our_routes());
  QANAT_ASSIGN(const std::vector<HostRule> rules, kernel.our_rules());
  QANAT_ASSIGN(const std::vector<Learnt> learnt, learnt_of(kernel));

  // The order is the promise: barriers, rules, filter, and only then a way into the tunnel.
  QANAT_TRY(kernel.add_routes(without(plan.barriers, routes)));
  QANAT_TRY(kernel.add_rules(without(plan.rules, rules)));
  QANAT_TRY(run_nft(filter_json(protection, exceptions, learnt)));
  QANAT_TRY(let_reverse_path_filter_heed_marks());
  if (!protection.accounts.empty()) QANAT_TRY(let_errors_keep_their_mark());

  Status tun_status;
  if (!networks) tun_status = std::unexpected(networks.error());
  std::vector<HostRoute> wanted = plan.barriers;
  if (const Status added = add_around(kernel, plan.around, routes); !added) tun_status = added;
  wanted.insert(wanted.end(), plan.around.begin(), plan.around.end());
  for (ProtectionPlan::Tun& t : plan.tuns) {
    QANAT_ASSIGN(const std::optional<LinkInfo> link, kernel.find_link(t.name));
    Status status;
    if (link) {
      status = configure_tun(t.name, t.mtu);
      if (status) {
        for (HostRoute& route : t.routes) route.device = link->index;
        status = kernel.add_routes(without(t.routes, routes));
        wanted.insert(wanted.end(), t.routes.begin(), t.routes.end());
      }
    } else if (tun == TunState::Required) {
      status = fail(ErrorKind::Internal, "interface " + t.name, "it does not exist: its prefixes stay unreachable");
    }
    if (tun_status) tun_status = std::move(status);
  }

  // What an earlier config wanted.
  QANAT_TRY(remove_in_order(kernel, without(routes, wanted)));
  QANAT_TRY(kernel.remove_rules(without(rules, plan.rules)));
  return tun_status;
}

// A barrier that a configured prefix has there already is left alone, also when this one goes: the kernel takes the
// protocol into account.
Status apply_barriers(const gateway::ChangeBarriers& change, const gateway::SetProtection* filter) {
  const bool ipv6 = kernel_has_ipv6();
  const auto routes_of = [&](const std::vector<gateway::Barrier>& list) {
    std::vector<HostRoute> out;
    for (const gateway::Barrier& b : list) {
      if (!b.prefix.is_v4() && !ipv6) continue;
      out.push_back(
          {b.table, b.prefix, HostRoute::Kind::Unreachable, 0, kLowestPreference - b.vrf.value(), kBarrierProtocol});
    }
    return out;
  };
  QANAT_ASSIGN(RouteSocket kernel, RouteSocket::open());
  QANAT_TRY(kernel.add_routes(routes_of(change.add), RouteSocket::Existing::Keep));
  QANAT_TRY(kernel.remove_routes(routes_of(change.remove)));
  if (filter == nullptr) return {};
  QANAT_ASSIGN(const std::vector<Learnt> learnt, learnt_of(kernel));
  return run_nft(learnt_json(*filter, learnt));
}

Status apply_nat(const gateway::SetNat& nat) {
  return run_nft(nat_json(nat));
}

Status purge_protection() {
  QANAT_ASSIGN(RouteSocket kernel, RouteSocket::open());
  QANAT_ASSIGN(const std::vector<HostRule> rules, kernel.our_rules());
  QANAT_ASSIGN(const std::vector<HostRoute> routes, kernel.our_routes());
  QANAT_ASSIGN(const std::vector<HostRoute> barriers, kernel.our_routes(kBarrierProtocol));
  QANAT_TRY(kernel.remove_rules(rules));
  QANAT_TRY(remove_in_order(kernel, routes));
  QANAT_TRY(kernel.remove_routes(barriers));
  return run_nft(purge_json());
}

}  // namespace qanat::daemon
