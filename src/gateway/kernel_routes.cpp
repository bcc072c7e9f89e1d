#include "gateway/kernel_routes.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "gateway/host_networks.hpp"

namespace qanat::gateway {

namespace {

using ipsec::RouteHop;
using ipsec::SetRoutes;

constexpr std::uint32_t kNoMetricV6 = 1024;  // what Linux gives a route that names none
constexpr std::uint32_t kDefaultPriority = 100;
constexpr std::uint32_t kMaxPriority = 2147483647;
constexpr std::uint32_t kMaxWeight = 256;

std::uint32_t priority_of(const KernelRoute& route) {
  if (route.metric == (route.prefix.is_v4() ? 0 : kNoMetricV6)) return kDefaultPriority;
  return std::min(route.metric, kMaxPriority);
}

std::span<const RouteHop> hops_of(std::span<const SetRoutes> all, VrfId vrf) {
  const auto found = std::ranges::find(all, vrf, &SetRoutes::vrf);
  return found == all.end() ? std::span<const RouteHop>{} : std::span{found->add};
}

// What the configuration says about one VRF.
class Configured {
 public:
  explicit Configured(std::span<const RouteHop> hops) : hops_(hops) {
    for (const RouteHop& hop : hops) {
      if (hop.hybrid_only) hybrid_only_.insert(hop.prefix);
    }
  }
  [[nodiscard]] std::span<const RouteHop> of(const Prefix& prefix) const {
    const auto range = std::ranges::equal_range(hops_, prefix, {}, &RouteHop::prefix);
    return {range.begin(), range.end()};
  }
  [[nodiscard]] bool wants_hybrid(const Prefix& prefix) const {
    if (hybrid_only_.empty()) return false;
    for (unsigned length = 0; length <= prefix.length(); ++length) {
      if (hybrid_only_.contains(Prefix::masked(prefix.address(), length))) return true;
    }
    return false;
  }

 private:
  std::span<const RouteHop> hops_;
  std::set<Prefix> hybrid_only_;
};

constexpr std::size_t kManyBarriers = 50'000;  // of one command

std::vector<Barrier> part_of(const std::vector<Barrier>& list, std::size_t from) {
  const std::size_t begin = std::min(from, list.size());
  const std::size_t end = std::min(begin + kManyBarriers, list.size());
  return {list.begin() + static_cast<std::ptrdiff_t>(begin), list.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace

bool earlier(const RouteHop& a, const RouteHop& b) {
  return std::tie(a.prefix, a.tunnel) < std::tie(b.prefix, b.tunnel);
}

std::vector<SetRoutes> kernel_hops(std::span<const KernelRoute> routes, std::span<const SetRoutes> configured,
                                   const FindPeer& find) {
  std::map<VrfId, std::vector<const KernelRoute*>> by_vrf;
  for (const KernelRoute& route : routes) by_vrf[route.vrf].push_back(&route);
  std::vector<SetRoutes> out;
  for (const auto& [vrf, list] : by_vrf) {
    const Configured known{hops_of(configured, vrf)};
    SetRoutes made{.vrf = vrf, .add = {}, .remove = {}};
    for (const KernelRoute* route : list) {
      const auto tunnel = find(vrf, route->gateway);
      if (!tunnel || !can_lie_behind_a_tunnel(route->prefix)) continue;
      RouteHop hop{.prefix = route->prefix,
                   .tunnel = *tunnel,
                   .priority = priority_of(*route),
                   .weight = static_cast<std::uint16_t>(std::clamp<std::uint32_t>(route->weight, 1, kMaxWeight)),
                   .hybrid_only = known.wants_hybrid(route->prefix)};
      const auto same = known.of(hop.prefix);
      if (std::ranges::any_of(same, [&](const RouteHop& h) { return h.tunnel == hop.tunnel; })) continue;
      const std::uint32_t asked = hop.priority;
      if (std::ranges::any_of(same, [&](const RouteHop& h) { return h.priority == asked; })) ++hop.priority;
      made.add.push_back(hop);
    }
    // In several of the kernel's tables, or with several metrics: the best of them.
    std::ranges::sort(made.add, [](const RouteHop& a, const RouteHop& b) {
      if (earlier(a, b) || earlier(b, a)) return earlier(a, b);
      return std::tuple{a.priority, 0U - a.weight} < std::tuple{b.priority, 0U - b.weight};
    });
    const auto twice = std::ranges::unique(
        made.add, [](const RouteHop& a, const RouteHop& b) { return a.prefix == b.prefix && a.tunnel == b.tunnel; });
    made.add.erase(twice.begin(), twice.end());
    if (!made.add.empty()) out.push_back(std::move(made));
  }
  return out;
}

std::vector<Barrier> kernel_barriers(std::span<const KernelRoute> routes, const SetProtection& configured,
                                     const FindPeer& find) {
  std::map<VrfId, std::set<Prefix>> known;
  known[VrfId{}].insert(configured.prefixes.begin(), configured.prefixes.end());
  for (const AccountProtection& a : configured.accounts) known[a.vrf].insert(a.prefixes.begin(), a.prefixes.end());
  std::vector<Barrier> out;
  for (const KernelRoute& route : routes) {
    if (!find(route.vrf, route.gateway) || !can_lie_behind_a_tunnel(route.prefix)) continue;
    if (!known[route.vrf].contains(route.prefix)) out.push_back({route.table, route.prefix, route.vrf});
  }
  // A wider one of the same table covers those within it. They must not have one of their own: it would outlive a route
  // that is withdrawn by a moment, in which the wider route is not asked.
  const auto place = [](const Barrier& b) { return std::pair{b.vrf, b.table}; };
  std::ranges::sort(out, {}, [&](const Barrier& b) { return std::pair{place(b), b.prefix}; });
  std::vector<Barrier> widest;
  for (const Barrier& b : out) {
    if (widest.empty() || place(widest.back()) != place(b) || !widest.back().prefix.contains(b.prefix))
      widest.push_back(b);
  }
  std::ranges::sort(widest);
  return widest;
}

std::vector<ChangeBarriers> barrier_changes(std::span<const Barrier> before, std::span<const Barrier> now) {
  std::vector<Barrier> add;
  std::vector<Barrier> remove;
  std::ranges::set_difference(now, before, std::back_inserter(add));
  std::ranges::set_difference(before, now, std::back_inserter(remove));
  std::vector<ChangeBarriers> out;
  for (std::size_t at = 0; at < std::max(add.size(), remove.size()); at += kManyBarriers)
    out.push_back({.add = part_of(add, at), .remove = part_of(remove, at)});
  return out;
}

std::vector<SetRoutes> route_changes(std::span<const SetRoutes> before, std::span<const SetRoutes> now) {
  std::set<VrfId> vrfs;
  for (const auto* side : {&before, &now}) {
    for (const SetRoutes& routes : *side) vrfs.insert(routes.vrf);
  }
  std::vector<SetRoutes> out;
  for (const VrfId vrf : vrfs) {
    const auto old_hops = hops_of(before, vrf);
    const auto new_hops = hops_of(now, vrf);
    SetRoutes change{.vrf = vrf, .add = {}, .remove = {}};
    auto a = old_hops.begin();
    auto b = new_hops.begin();
    while (a != old_hops.end() || b != new_hops.end()) {
      if (b == new_hops.end() || (a != old_hops.end() && earlier(*a, *b))) {
        change.remove.push_back(*a++);
      } else if (a == old_hops.end() || earlier(*b, *a)) {
        change.add.push_back(*b++);
      } else {
        if (!(*a == *b)) change.add.push_back(*b);
        ++a;
        ++b;
      }
    }
    if (!change.add.empty() || !change.remove.empty()) out.push_back(std::move(change));
  }
  return out;
}

std::vector<SetRoutes> merged(std::span<const SetRoutes> a, std::span<const SetRoutes> b) {
  std::map<VrfId, SetRoutes> by_vrf;
  for (const auto* side : {&a, &b}) {
    for (const SetRoutes& routes : *side) {
      SetRoutes& all = by_vrf[routes.vrf];
      all.vrf = routes.vrf;
      const auto middle = static_cast<std::ptrdiff_t>(all.add.size());
      all.add.insert(all.add.end(), routes.add.begin(), routes.add.end());
      std::inplace_merge(all.add.begin(), all.add.begin() + middle, all.add.end(), earlier);
    }
  }
  std::vector<SetRoutes> out;
  for (auto& [vrf, routes] : by_vrf) out.push_back(std::move(routes));
  return out;
}

}  // namespace qanat::gateway
