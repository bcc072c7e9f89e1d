#include "control/route_choice.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "control/posture.hpp"

namespace qanat::control {

namespace {

wan::HealthState health_of(const TunnelStatus& t) {
  if (t.health.state.empty()) return t.children.empty() ? wan::HealthState::Down : wan::HealthState::NotMeasurable;
  for (const auto state : {wan::HealthState::Healthy, wan::HealthState::Degraded, wan::HealthState::Down}) {
    if (t.health.state == to_string(state)) return state;
  }
  return wan::HealthState::NotMeasurable;
}

wan::KeySafety keys_of(const std::string& keys) {
  if (keys == "none") return wan::KeySafety::None;
  if (keys == "classical") return wan::KeySafety::Classical;
  return keys == "ppk" ? wan::KeySafety::Ppk : wan::KeySafety::Hybrid;
}

}  // namespace

wan::TunnelState tunnel_state(const TunnelStatus& t) {
  return {health_of(t), keys_of(weakest_keys(t)), t.pq == "require", t.classical_penalty};
}

RouteAnswer route_to(const Snapshot& snapshot, const IpAddress& address, std::optional<IpAddress> source,
                     std::uint32_t vrf) {
  RouteAnswer out;
  out.address = address.to_string();
  std::optional<Prefix> longest;
  std::vector<const RouteStatus*> routes;
  for (const RouteStatus& r : snapshot.routes) {
    if (r.vrf != vrf) continue;
    const auto prefix = Prefix::parse(r.prefix);
    if (!prefix || prefix->is_v4() == address.is_v6() || !prefix->contains(address)) continue;
    if (longest && prefix->length() < longest->length()) continue;
    if (!longest || prefix->length() > longest->length()) routes.clear();
    longest = *prefix;
    routes.push_back(&r);
  }
  wan::TunnelStates states;
  std::unordered_map<std::string, TunnelId> ids;
  for (const TunnelStatus& t : snapshot.tunnels) {
    const TunnelId id{static_cast<std::uint32_t>(ids.size() + 1)};
    ids.emplace(t.name, id);
    states.set(id, t.name, tunnel_state(t));
  }
  std::vector<wan::Hop> hops;
  for (const RouteStatus* r : routes) {
    const auto id = ids.find(r->tunnel);
    if (id == ids.end()) continue;
    hops.push_back({.tunnel = id->second,
                    .priority = r->priority,
                    .weight = static_cast<std::uint16_t>(r->weight),
                    .pq_require = r->pq == "require"});
  }
  esp::InnerPacket packet;
  packet.destination = address;
  packet.source = source            ? *source
                  : address.is_v6() ? IpAddress::from_bytes(std::array<std::uint8_t, 16>{})
                                    : IpAddress{};
  packet.protocol = address.is_v6() ? esp::kProtocolIcmpv6 : esp::kProtocolIcmp;
  const wan::Explanation why = wan::explain(hops, states, packet);
  if (longest) out.prefix = longest->to_string();
  if (const auto own = std::ranges::find(routes, "host", &RouteStatus::source); own != routes.end()) {
    out.tunnel = (*own)->tunnel;
    out.summary = "to the host itself: a network or an address of its own, not a tunnel's";
    return out;
  }
  out.summary = why.summary;
  out.hops = why.hops;
  if (why.choice.hop != nullptr) out.tunnel = states.name(why.choice.hop->tunnel);
  return out;
}

}  // namespace qanat::control
