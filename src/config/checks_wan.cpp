// Checks over all sections of the WAN: routes, VRFs, rules, and what follows from a tunnel's routes.
#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

// A Traffic Selector payload counts its selectors in one octet (RFC 7296 3.13).
constexpr std::size_t kMaxSelectors = 255;
constexpr std::uint16_t kMinMtu6 = 1280;

std::string title(const ParsedTunnel& parsed) {
  return parsed.tunnel.name.empty() ? "[[tunnel]]" : "[[tunnel]] " + parsed.tunnel.name;
}

void check_selectors(const ParsedTunnel& parsed, Problems& problems) {
  const model::Tunnel& tunnel = parsed.tunnel;
  if (tunnel.selectors != model::SelectorMode::Routes) return;
  if (tunnel.routes.empty()) {
    problems.error(parsed.selectors_at,
                   fmt::format("{}: selectors = \"routes\": the tunnel has no routes", title(parsed)),
                   "list the peer's prefixes in routes, or write selectors = \"any\"");
  } else if (tunnel.routes.size() > kMaxSelectors) {
    problems.error(parsed.selectors_at,
                   fmt::format("{}: selectors = \"routes\": there are {} routes, and a selector payload holds {}",
                               title(parsed), tunnel.routes.size(), kMaxSelectors),
                   "write selectors = \"any\"");
  }
}

// A check that cannot be made is no error, since without it liveness decides; whoever asked for it should know.
void check_health(const ParsedTunnel& parsed, Problems& problems) {
  const model::Tunnel& tunnel = parsed.tunnel;
  const model::HealthCheck& health = tunnel.health;
  if (!health.enabled || parsed.health_at == parsed.header) return;  // off, or nobody asked
  const bool v6 = health.target ? health.target->is_v6() : !tunnel.interface4 && tunnel.interface6;
  if (v6 ? tunnel.interface6.has_value() : tunnel.interface4.has_value()) return;
  problems.warn(parsed.health_at,
                fmt::format("{}: health: the tunnel has no {} address of its own to probe from, so only liveness "
                            "(dpd) decides",
                            title(parsed), v6 ? "IPv6" : "IPv4"),
                v6 ? "add interface6 = \"fd00:255::/127\"" : "add interface = \"10.255.0.0/31\"");
}

}  // namespace

void check_routes(const std::vector<ParsedRoute>& routes, Problems& problems) {
  std::map<std::tuple<VrfId, Prefix, std::string_view>, const ParsedRoute*> seen;
  for (const ParsedRoute& parsed : routes) {
    const model::Route& route = parsed.route;
    if (route.tunnel.empty()) continue;  // reported already
    const auto [it, fresh] = seen.try_emplace({route.vrf, route.prefix, route.tunnel}, &parsed);
    if (fresh) continue;
    problems.error(parsed.at,
                   fmt::format("{}: {} is listed twice for tunnel {}: at {} already", parsed.title,
                               quoted(route.prefix.to_string()), route.tunnel, line_of(it->second->at)),
                   "remove one of them; several tunnels may share a prefix, each with one route");
  }
}

void check_steering(const std::vector<ParsedTunnel>& tunnels, Problems& problems) {
  for (const ParsedTunnel& parsed : tunnels) {
    check_selectors(parsed, problems);
    check_health(parsed, problems);
    const std::uint16_t mtu = parsed.tunnel.mtu;
    if (mtu != 0 && mtu < kMinMtu6 && has_inner_v6(parsed.tunnel)) {
      problems.error(
          parsed.mtu_at,
          fmt::format("{}: mtu = {}: must be at least 1280, since the tunnel carries IPv6", title(parsed), mtu),
          "leave mtu out to have it worked out from the path and the algorithms");
    }
  }
}

void check_vrfs(const model::Gateway& gateway, const std::vector<ParsedVrf>& vrfs, Problems& problems) {
  std::map<std::string, Position> names;
  std::map<std::string, std::string> tuns{{gateway.tun_name, "[gateway]"}};
  std::map<std::uint64_t, std::string> tables{{gateway.route_table, "[gateway]"},
                                              {std::uint64_t{gateway.route_table} + 1, "[gateway]"}};
  if (!vrfs.empty() && gateway.fwmark > std::numeric_limits<std::uint32_t>::max() - vrfs.size()) {
    problems.error(vrfs.front().header,
                   fmt::format("[gateway] fwmark = {:#x}: the numbers after it mark the packets of VRFs, and there are "
                               "not enough",
                               gateway.fwmark),
                   "take a lower one, or leave fwmark out");
  }
  for (const ParsedVrf& parsed : vrfs) {
    const model::Vrf& vrf = parsed.vrf;
    const std::string title = vrf.name.empty() ? "[[vrf]]" : "[[vrf]] " + vrf.name;
    if (!vrf.name.empty()) {
      const auto [it, fresh] = names.try_emplace(vrf.name, parsed.name_at);
      if (!fresh) {
        problems.error(parsed.name_at,
                       fmt::format("[[vrf]]: name = {}: the VRF at {} has this name already", quoted(vrf.name),
                                   line_of(it->second)),
                       "every VRF needs a name of its own");
      }
    }
    if (!vrf.tun_name.empty()) {
      const auto [it, fresh] = tuns.try_emplace(vrf.tun_name, title);
      if (!fresh) {
        problems.error(parsed.tun_at,
                       fmt::format("{}: tun = {}: is the interface of {}", title, quoted(vrf.tun_name), it->second),
                       "every VRF has an interface of its own: tun = \"qanat1\"");
      }
    }
    for (const auto& name : parsed.interfaces) {
      const auto [it, fresh] = tuns.try_emplace(name.value, title);
      if (!fresh) {
        problems.error(name.at,
                       fmt::format("{}: interfaces: {} is an interface of {}", title, quoted(name.value), it->second),
                       "an interface belongs to one VRF; leave out those that several of them share");
      }
    }
    if (vrf.route_table == 0) continue;  // reported already
    for (const std::uint64_t table : {std::uint64_t{vrf.route_table}, std::uint64_t{vrf.route_table} + 1}) {
      const auto [it, fresh] = tables.try_emplace(table, title);
      if (fresh) continue;
      problems.error(
          parsed.table_at,
          fmt::format("{}: route_table = {}: table {} is one of {}", title, vrf.route_table, table, it->second),
          "every VRF has two tables of its own, this and the next");
      break;
    }
  }
}

void check_rule_names(const std::vector<std::pair<std::string, Position>>& names, Problems& problems) {
  std::map<std::string_view, Position> seen;
  for (const auto& [name, at] : names) {
    if (name.empty()) continue;  // reported already
    const auto [it, fresh] = seen.try_emplace(name, at);
    if (fresh) continue;
    problems.error(
        at,
        fmt::format("[[policy]]: name = {}: the rule at {} has this name already", quoted(name), line_of(it->second)),
        "every rule needs a name of its own: its counter is shown under it");
  }
}

}  // namespace qanat::config
