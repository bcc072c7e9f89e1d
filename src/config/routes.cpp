// Routes: the key `routes` of a tunnel, and [[route]] with the keys of the API (wan.md "Our names for the same
// things").
#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

using model::RoutePq;

constexpr auto kRoutePqs =
    std::to_array<std::pair<std::string_view, RoutePq>>({{"any", RoutePq::Any}, {"require", RoutePq::Require}});
// Penalties are added to priorities, and their sums have to stay apart.
constexpr std::int64_t kMaxPriority = 2147483647;
constexpr std::int64_t kMaxWeight = 256;
constexpr std::size_t kMaxDescription = 256;
constexpr const char* kRouteForms =
    "write \"10.1.0.0/16\", or { prefix = \"10.1.0.0/16\", priority = 50, weight = 2, pq = \"require\" }";

std::optional<Prefix> unicast_prefix(Section& section, std::string_view key, const Placed<std::string>& text) {
  auto prefix = read_prefix(section, key, text);
  if (!prefix || !prefix->address().is_multicast()) return prefix;
  section.refuse_text(key, text, "is a multicast prefix, and only unicast is routed");
  return std::nullopt;
}

// `prefix` and what says how it steers.
std::optional<model::Route> read_steered(Section& section) {
  model::Route route;
  const auto text = section.text("prefix", "a prefix in double quotes, like \"10.1.0.0/16\"");
  const auto prefix = text ? unicast_prefix(section, "prefix", *text) : std::nullopt;
  if (!section.find("prefix")) {
    section.problems().error(section.at(), fmt::format("{}: prefix is missing", section.title()),
                             "name what the route is for: prefix = \"10.1.0.0/16\"");
  }
  if (prefix) route.prefix = *prefix;
  if (const auto number = section.integer("priority", 0, kMaxPriority))
    route.priority = static_cast<std::uint32_t>(number->value);
  if (const auto number = section.integer("weight", 1, kMaxWeight))
    route.weight = static_cast<std::uint32_t>(number->value);
  if (const auto pq = section.choice("pq", kRoutePqs)) route.pq = pq->value;
  if (const auto words = section.text("description", "text in double quotes")) {
    if (words->value.size() > kMaxDescription) {
      section.refuse_text("description", *words, fmt::format("must have at most {} characters", kMaxDescription));
    } else {
      route.description = words->value;
    }
  }
  return prefix ? std::optional{std::move(route)} : std::nullopt;
}

std::optional<model::Route> read_entry(Section& section, const Value& item) {
  if (const auto* text = std::get_if<std::string>(&item.data)) {
    const auto prefix = unicast_prefix(section, "routes", {*text, item.at});
    if (!prefix) return std::nullopt;
    model::Route route;
    route.prefix = *prefix;
    return route;
  }
  const auto* table = std::get_if<Table>(&item.data);
  if (!table) {
    section.problems().error(
        item.at,
        fmt::format("{}: routes: the entry {} must be a prefix in double quotes", section.title(), shown(item)),
        kRouteForms);
    return std::nullopt;
  }
  Section entry{*table, item.at, "routes of [[tunnel]]", section.title() + ": routes", section.problems()};
  auto route = read_steered(entry);
  entry.finish();
  return route;
}

// The tunnel that a [[route]] names by `tunnel`.
const ParsedTunnel* by_name(Section& section, const Placed<std::string>& name, const Names& names) {
  const ParsedTunnel* tunnel = names.tunnel(name.value);
  if (tunnel) return tunnel;
  const std::string guess = names.nearest_tunnel(name.value);
  section.refuse_text("tunnel", name, "there is no such tunnel",
                      guess.empty() ? "name a [[tunnel]] of this file" : fmt::format("did you mean \"{}\"?", guess));
  return nullptr;
}

// The tunnel whose peer has the interface address `nexthop`.
const ParsedTunnel* by_hop(Section& section, const Placed<std::string>& text, const Names& names,
                           const std::optional<Placed<VrfId>>& vrf) {
  const auto address = host_address(section, "nexthop", text);
  if (!address) return nullptr;
  std::vector<const ParsedTunnel*> candidates = names.at_hop(*address);
  if (vrf) std::erase_if(candidates, [&](const ParsedTunnel* t) { return t->tunnel.vrf != vrf->value; });
  if (candidates.size() == 1) return candidates.front();
  if (candidates.empty()) {
    section.refuse_text("nexthop", text,
                        fmt::format("is no peer's interface address{}",
                                    vrf ? fmt::format(" in VRF {}", names.vrf_name(vrf->value)) : ""),
                        "it is the other host of a tunnel's interface pair: with interface = \"10.255.0.0/31\" it is "
                        "10.255.0.1");
  } else {
    section.refuse_text("nexthop", text, fmt::format("is a peer's interface address in {} VRFs", candidates.size()),
                        fmt::format("say which one: vrf = \"{}\"", names.vrf_name(candidates[0]->tunnel.vrf)));
  }
  return nullptr;
}

}  // namespace

void read_routes_key(Section& section, ParsedTunnel& parsed) {
  const Entry* entry = section.find("routes");
  if (!entry) return;
  const auto* array = std::get_if<Array>(&entry->value.data);
  if (!array) {
    const auto* text = std::get_if<std::string>(&entry->value.data);
    section.refuse("routes", entry->value, "an array of prefixes, like [\"10.1.0.0/16\"]",
                   text ? fmt::format("write routes = [{}]", quoted(*text)) : kRouteForms);
    return;
  }
  for (const Value& item : array->items) {
    auto route = read_entry(section, item);
    if (!route) continue;
    route->vrf = parsed.tunnel.vrf;
    route->tunnel = parsed.tunnel.name;
    parsed.tunnel.routes.push_back(route->prefix);
    parsed.routes.push_back({std::move(*route), item.at, section.title() + ": routes"});
  }
}

std::optional<ParsedRoute> read_route(Section& section, const Names& names) {
  auto route = read_steered(section);
  const auto vrf = read_vrf_name(section, names.vrfs());
  const Entry* tunnel_entry = section.find("tunnel");
  const Entry* hop_entry = section.find("nexthop");
  const auto name = section.text("tunnel", "the name of a tunnel in double quotes");
  const auto hop = section.text("nexthop", "the interface address of a peer in double quotes");
  section.finish();
  if (tunnel_entry && hop_entry) {
    section.problems().error(hop_entry->at, fmt::format("{}: tunnel and nexthop are both given", section.title()),
                             "keep one of them: both say which tunnel the prefix is behind");
    return std::nullopt;
  }
  if (!tunnel_entry && !hop_entry) {
    section.problems().error(section.at(), fmt::format("{}: tunnel is missing", section.title()),
                             "name a tunnel, tunnel = \"berlin\", or the peer's interface address, nexthop = "
                             "\"10.255.0.1\"");
    return std::nullopt;
  }
  const ParsedTunnel* through = nullptr;
  if (name) through = by_name(section, *name, names);
  if (hop) through = by_hop(section, *hop, names, vrf);
  if (!through) return std::nullopt;
  if (vrf && vrf->value != through->tunnel.vrf) {
    section.problems().error(
        vrf->at,
        fmt::format("{}: vrf = {}: tunnel {} is in VRF {}", section.title(), quoted(names.vrf_name(vrf->value)),
                    through->tunnel.name, names.vrf_name(through->tunnel.vrf)),
        "leave vrf out: a route is in the VRF of its tunnel");
    return std::nullopt;
  }
  if (!route) return std::nullopt;
  route->vrf = through->tunnel.vrf;
  route->tunnel = through->tunnel.name;
  return ParsedRoute{std::move(*route), section.place("prefix"), section.title()};
}

}  // namespace qanat::config
