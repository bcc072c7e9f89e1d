#include "gateway/translate.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "esp/overhead.hpp"
#include "gateway/auth_service.hpp"

namespace qanat::gateway {

namespace {

// What the TUN of a VRF carries at most: the best case of the default algorithms over IPv4; the packet path tells
// senders by ICMP where a tunnel takes less.
std::uint16_t tun_mtu(const model::Config& config, VrfId vrf) {
  std::uint16_t mtu = 0;
  bool always_udp = true;
  for (const model::Tunnel& t : config.tunnels) {
    if (t.vrf != vrf) continue;
    mtu = std::max(mtu, t.mtu);
    always_udp = always_udp && t.encap == model::EncapMode::Force;
  }
  if (mtu != 0) return mtu;
  return esp::inner_mtu({EncrId::ENCR_AES_GCM_16, 256, IntegId::NONE},
                        always_udp ? ipsec::Encapsulation::Udp : ipsec::Encapsulation::Native, esp::OuterFamily::V4,
                        config.gateway.outer_mtu);
}

void add(ipsec::Selectors& to, const Prefix& prefix) {
  const ipsec::TrafficSelector s = ipsec::selector_of(prefix);
  if (std::find(to.begin(), to.end(), s) == to.end()) to.push_back(s);
}

bool has_inner_v6(const model::Tunnel& t) {
  return t.interface6.has_value() ||
         std::any_of(t.routes.begin(), t.routes.end(), [](const Prefix& p) { return !p.is_v4(); });
}

ipsec::HealthPlan health_plan(const model::HealthCheck& check) {
  using Rate = ipsec::HealthPlan::Rate;
  ipsec::HealthPlan plan;
  plan.enabled = check.enabled;
  plan.type = check.type == model::ProbeType::Reply ? ipsec::HealthPlan::Type::Reply : ipsec::HealthPlan::Type::Request;
  plan.rate = check.rate == model::ProbeRate::Low    ? Rate::Low
              : check.rate == model::ProbeRate::High ? Rate::High
                                                     : Rate::Mid;
  plan.unidirectional = check.direction == model::ProbeDirection::Unidirectional;
  plan.target = check.target;
  return plan;
}

// A configuration that says nothing about how its tunnels' prefixes steer: each leads to its tunnel.
std::vector<model::Route> routes_of(const model::Config& config) {
  if (!config.routes.empty()) return config.routes;
  std::vector<model::Route> out;
  for (const model::Tunnel& t : config.tunnels) {
    for (const Prefix& prefix : t.routes) {
      model::Route& route = out.emplace_back();
      route.vrf = t.vrf;
      route.prefix = prefix;
      route.tunnel = t.name;
    }
  }
  return out;
}

}  // namespace

Result<ike::TunnelRef> ike_tunnel(const model::Gateway& gateway, const model::Tunnel& t, TunnelId id) {
  auto out = std::make_shared<ike::TunnelConfig>();
  out->id = id;
  out->vrf = t.vrf;
  out->name = t.name;
  const bool v6 = t.peer && t.peer->is_v6();
  const std::optional<IpAddress>& ours = v6 ? gateway.address6 : gateway.address4;
  if (t.local) {
    out->local = *t.local;
  } else if (ours) {
    out->local = *ours;
  } else if (!t.peer && gateway.address6) {
    out->local = *gateway.address6;
  } else {
    return fail(ErrorKind::LocalPolicy, "tunnel " + t.name,
                "has no local address of the peer's family: set [gateway] address");
  }
  out->peer = t.peer;
  out->peer_port = t.peer_port;
  out->local_id = t.local_id ? *t.local_id : wire::Identity::of_address(out->local);
  if (!t.remote_id && !t.peer) {
    return fail(ErrorKind::LocalPolicy, "tunnel " + t.name, "needs remote_id because its peer is \"any\"");
  }
  out->remote_id = t.remote_id ? *t.remote_id : wire::Identity::of_address(*t.peer);
  out->psk = t.psk;
  set_authentication(t, *out);
  out->pq = t.pq;
  for (const std::string& text : t.ike_proposals) {
    QANAT_ASSIGN(ipsec::IkeProposal p, ipsec::parse_ike_proposal(text));
    out->ike.push_back(std::move(p));
  }
  if (out->ike.empty()) {
    if (t.pq != model::PqPolicy::Off) out->ike = ipsec::default_hybrid_proposals();
    if (t.pq != model::PqPolicy::Require) {
      for (ipsec::IkeProposal& p : ipsec::default_classical_proposals()) out->ike.push_back(std::move(p));
    }
  }
  for (const std::string& text : t.esp_proposals) {
    QANAT_ASSIGN(ipsec::EspProposal p, ipsec::parse_esp_proposal(text));
    out->esp.push_back(std::move(p));
  }
  if (out->esp.empty()) out->esp = ipsec::default_esp_proposals();
  // Without a replay window ESN cannot be kept in step (RFC 4303 3.3.3): only "no ESN" then.
  out->esn = t.esn == model::EsnMode::Off || t.replay_window == 0 ? std::vector{EsnId::NO_ESN}
                                                                  : std::vector{EsnId::ESN, EsnId::NO_ESN};
  switch (t.selectors) {
    case model::SelectorMode::Any:
      out->local_ts = {ipsec::any_selector_v4()};
      if (has_inner_v6(t)) out->local_ts.push_back(ipsec::any_selector_v6());
      out->remote_ts = out->local_ts;
      break;
    case model::SelectorMode::Routes:
      out->local_ts = {ipsec::any_selector_v4()};
      if (has_inner_v6(t)) out->local_ts.push_back(ipsec::any_selector_v6());
      for (const Prefix& p : t.routes) add(out->remote_ts, p);
      if (t.peer_interface4) add(out->remote_ts, Prefix::masked(*t.peer_interface4, 32));
      if (t.peer_interface6) add(out->remote_ts, Prefix::masked(*t.peer_interface6, 128));
      break;
    case model::SelectorMode::List:
      for (const model::SelectorPair& pair : t.selector_list) {
        add(out->local_ts, pair.local);
        add(out->remote_ts, pair.remote);
      }
      break;
  }
  out->force_encap = t.encap == model::EncapMode::Force;
  out->replay_window = t.replay_window;
  out->ike_lifetime = t.ike_lifetime;
  out->child_lifetime = t.child_lifetime;
  out->reauth = t.reauth;
  out->rekey_bytes = t.rekey_bytes;
  out->rekey_packets = t.rekey_packets;
  out->old_keys = t.old_keys;
  out->pfs = t.pfs;
  out->childless = t.childless;
  out->mobike = t.mobike;
  for (const auto& a : {gateway.address4, gateway.address6}) {
    if (a) out->outer_addresses.push_back(*a);
  }
  // `local` of the tunnel's own choosing, and none of the gateway's: its traffic leaves from nowhere else.
  out->pinned_local =
      t.local && !t.local->is_unspecified() && t.local != gateway.address4 && t.local != gateway.address6;
  out->more_children = t.more_children;
  out->downgrade = t.downgrade;
  out->ppk_policy = t.ppk_policy;
  if (t.ppk_policy != model::PpkPolicy::Off) out->ppks.push_back({to_bytes(t.ppk_id), t.ppk});
  out->dpd_idle = t.dpd_idle;
  out->dpd_timeout = t.dpd_timeout;
  out->fragment_size = t.ike_fragment_size;
  return out;
}

ipsec::TunnelPlan tunnel_plan(const model::Gateway& gateway, const model::Tunnel& t, TunnelId id) {
  ipsec::TunnelPlan plan;
  plan.tunnel = id;
  plan.vrf = t.vrf;
  plan.name = t.name;
  plan.interface4 = t.interface4;
  plan.peer_interface4 = t.peer_interface4;
  plan.interface6 = t.interface6;
  plan.peer_interface6 = t.peer_interface6;
  plan.source_check = t.source_check == model::SourceCheck::Strict;
  plan.dscp = t.dscp;
  plan.df = t.df == model::DfMode::Set     ? ipsec::TunnelPlan::Df::Set
            : t.df == model::DfMode::Clear ? ipsec::TunnelPlan::Df::Clear
                                           : ipsec::TunnelPlan::Df::Copy;
  plan.inner_mtu = t.mtu;
  plan.outer_mtu = gateway.outer_mtu;
  plan.clamp_mss = t.clamp_mss;
  plan.health = health_plan(t.health);
  plan.hybrid_only = t.pq == model::PqPolicy::Require;
  plan.classical_penalty = t.classical_penalty;
  return plan;
}

Result<std::vector<ipsec::SetRoutes>> plane_routes(const model::Config& config, const wan::FindTunnel& find) {
  std::map<VrfId, ipsec::SetRoutes> by_vrf;
  for (const model::Route& route : routes_of(config)) {
    const auto tunnel = find(route.vrf, route.tunnel);
    if (!tunnel) {
      return fail(ErrorKind::LocalPolicy, "route " + route.prefix.to_string(),
                  "there is no tunnel '" + printable(route.tunnel) + "' in its VRF");
    }
    ipsec::SetRoutes& change = by_vrf[route.vrf];
    change.vrf = route.vrf;
    change.add.push_back({.prefix = route.prefix,
                          .tunnel = *tunnel,
                          .priority = route.priority,
                          .weight = static_cast<std::uint16_t>(route.weight),
                          .hybrid_only = route.pq == model::RoutePq::Require});
  }
  std::vector<ipsec::SetRoutes> out;
  for (auto& [vrf, change] : by_vrf) out.push_back(std::move(change));
  return out;
}

Result<ipsec::SetPolicy> plane_policy(const model::Config& config, const wan::FindTunnel& find) {
  QANAT_ASSIGN(auto rules, wan::policy_rules(config.policy, find));
  return ipsec::SetPolicy{std::move(rules)};
}

SetProtection protection(const model::Config& config) {
  std::map<VrfId, std::vector<Prefix>> prefixes;
  for (const model::Tunnel& t : config.tunnels) {
    if (t.peer_interface4) prefixes[t.vrf].push_back(Prefix::masked(*t.peer_interface4, 32));
    if (t.peer_interface6) prefixes[t.vrf].push_back(Prefix::masked(*t.peer_interface6, 128));
  }
  for (const model::Route& route : routes_of(config)) prefixes[route.vrf].push_back(route.prefix);
  for (auto& [vrf, list] : prefixes) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  SetProtection out;
  out.tun = config.gateway.tun_name;
  out.route_table = config.gateway.route_table;
  out.fwmark = config.gateway.fwmark;
  out.tun_mtu = tun_mtu(config, VrfId{});
  out.prefixes = std::move(prefixes[VrfId{}]);
  for (const model::Vrf& vrf : config.vrfs) {
    out.accounts.push_back({.vrf = vrf.id,
                            .tun = vrf.tun_name,
                            .route_table = vrf.route_table,
                            .tun_mtu = tun_mtu(config, vrf.id),
                            .prefixes = std::move(prefixes[vrf.id]),
                            .interfaces = vrf.interfaces});
  }
  return out;
}

SetNat source_nat(const model::Config& config) {
  SetNat out;
  for (const model::NatRule& rule : config.nat) {
    NatRule& made = out.rules.emplace_back();
    made.in = {config.gateway.tun_name};
    for (const model::Vrf& vrf : config.vrfs) {
      if (vrf.id != rule.vrf) continue;
      made.in = vrf.interfaces;
      made.in.push_back(vrf.tun_name);
    }
    made.sources = rule.sources;
    made.out_interface = rule.out_interface;
    made.translate = rule.translate;
  }
  return out;
}

}  // namespace qanat::gateway
