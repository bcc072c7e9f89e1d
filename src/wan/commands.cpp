// What commands do to the tables of a PacketPath. A command that names something unknown changes nothing.
#include <algorithm>
#include <map>

#include "wan/plane_state.hpp"

namespace qanat::wan {

namespace {

Prefix host(const IpAddress& address) {
  return Prefix::masked(address, address.bits());
}

void add_to(Totals& totals, const esp::OutboundSa& sa) {
  totals.packets_out += sa.meter().packets();
  totals.bytes_out += sa.meter().bytes();
}
void add_to(Totals& totals, const esp::InboundSa& sa) {
  totals.packets_in += sa.meter().packets();
  totals.bytes_in += sa.meter().bytes();
}

// The interface addresses of both ends.
template <typename Use>
void for_each_address(const ipsec::TunnelPlan& plan, const Use& use) {
  for (const auto& address : {plan.peer_interface4, plan.peer_interface6}) {
    if (address) use(host(*address), Hop{.kind = Hop::Kind::Peer, .tunnel = plan.tunnel});
  }
  for (const auto& address : {plan.interface4, plan.interface6}) {
    if (address) use(host(*address), Hop{.kind = Hop::Kind::Interface, .tunnel = plan.tunnel});
  }
}

Hop hop_of(const ipsec::RouteHop& route) {
  return {.kind = Hop::Kind::Tunnel,
          .tunnel = route.tunnel,
          .priority = route.priority,
          .weight = std::max<std::uint16_t>(route.weight, 1),
          .pq_require = route.hybrid_only};
}

}  // namespace

void PacketPath::State::on(Instant now, ipsec::ReserveSpi& c) {
  ipsec::Done done{.request = c.request, .spi = 0, .status = {}};
  Tunnel* tunnel = find_tunnel(c.tunnel);
  if (tunnel == nullptr) {
    done.status = fail(ErrorKind::Internal, "packet path", "an SPI was asked for a tunnel that it does not know");
  } else if (const auto spi = spis.allocate(now, tunnel->bucket)) {
    tunnel->bucket = ipsec::spi_bucket(*spi);
    const std::uint32_t slot = ipsec::spi_slot(*spi);
    if (slot >= slots.size()) slots.resize(slot + 1);
    slots[slot] = {.spi = *spi, .tunnel = c.tunnel, .sa = nullptr};
    done.spi = *spi;
  } else {
    done.status = fail(ErrorKind::Resource, "packet path", "no inbound SPI is free");
  }
  events.emplace_back(std::move(done));
}

void PacketPath::State::on(Instant now, ipsec::ReleaseSpi& c) {
  InboundSlot* slot = find_slot(c.spi);
  if (slot != nullptr && !slot->sa) free_slot(now, *slot);
}

// Takes an SPI back, keyed or not; what is held for it is dropped.
void PacketPath::State::free_slot(Instant now, InboundSlot& slot) {
  Tunnel* tunnel = find_tunnel(slot.tunnel);
  for (std::size_t i = held_in.take(slot.spi).size(); i != 0; --i) drop(tunnel, esp::DropReason::NoSa);
  if (slot.sa) {
    if (tunnel != nullptr) add_to(tunnel->retired, slot.sa->sa);
    inbound_of.erase(slot.sa->child);
  }
  spis.release(now, slot.spi);
  slot = {};
}

Status PacketPath::State::check_direction(const ipsec::SaDirection& sa) const {
  const auto& suites = config.capabilities.suites;
  if (std::find(suites.begin(), suites.end(), sa.suite) == suites.end()) {
    return fail(ErrorKind::Internal, "packet path", "has no cipher suite " + to_string(sa.suite));
  }
  if (sa.path.encapsulation == ipsec::Encapsulation::Native && !config.capabilities.native_esp) {
    return fail(ErrorKind::LocalPolicy, "packet path", "native ESP is not available here");
  }
  if (sa.esn && !config.capabilities.esn)
    return fail(ErrorKind::Internal, "packet path", "has no extended sequence numbers");
  if (!tunnels.contains(sa.tunnel))
    return fail(ErrorKind::Internal, "packet path", "an SA came for a tunnel that it does not know");
  if (!owns(sa.tunnel))
    return fail(ErrorKind::Internal, "packet path", "an SA came for a tunnel that another data worker owns");
  return {};
}

Status PacketPath::State::install(ipsec::InstallInbound& c) {
  QANAT_TRY(check_direction(c.sa));
  InboundSlot* slot = find_slot(c.sa.spi);
  if (slot == nullptr || slot->sa || slot->tunnel != c.sa.tunnel || inbound_of.contains(c.sa.child)) {
    return fail(ErrorKind::Internal, "packet path", "an inbound SA came for an SPI that was not reserved for it");
  }
  QANAT_ASSIGN(auto sa, esp::InboundSa::create(c.sa, keys));
  SaSelectors selectors = sa_selectors(std::move(c.sa.local_ts), std::move(c.sa.remote_ts));
  slot->sa = std::make_unique<Inbound>(Inbound{.sa = std::move(sa),
                                               .last = {},
                                               .peer = c.sa.path.peer,
                                               .encapsulation = c.sa.path.encapsulation,
                                               .open = selectors.open,
                                               .received = false,
                                               .narrow = std::move(selectors.narrow),
                                               .child = c.sa.child});
  inbound_of[c.sa.child] = c.sa.spi;
  return {};
}

void PacketPath::State::on(Instant now, ipsec::InstallInbound& c) {
  const ipsec::EspSpi spi = c.sa.spi;
  Status status = install(c);
  if (status && held_in.holds(spi)) {
    ready_spis.push_back(spi);
    ready_since = now;
  }
  events.emplace_back(ipsec::Done{.request = c.request, .spi = spi, .status = std::move(status)});
}

Status PacketPath::State::install(ipsec::InstallOutbound& c) {
  QANAT_TRY(check_direction(c.sa));
  if (c.sa.spi < ipsec::kMinSpi) {
    return fail(ErrorKind::PeerMisbehaved, "packet path", "the peer's SPI is among those that RFC 4303 2.1 reserves");
  }
  if (outbound_of.contains(c.sa.child)) return fail(ErrorKind::Internal, "packet path", "an outbound SA came twice");
  QANAT_ASSIGN(auto sa, esp::OutboundSa::create(c.sa, keys));
  SaSelectors selectors = sa_selectors(std::move(c.sa.local_ts), std::move(c.sa.remote_ts));
  Tunnel& tunnel = *find_tunnel(c.sa.tunnel);
  auto entry = std::make_unique<Outbound>(Outbound{.sa = std::move(sa),
                                                   .path = c.sa.path,
                                                   .mtu = 0,
                                                   .switched = false,
                                                   .open = selectors.open,
                                                   .sent = false,
                                                   .keys = c.sa.keys,
                                                   .last = {},
                                                   .narrow = std::move(selectors.narrow),
                                                   .child = c.sa.child,
                                                   .resource_id = c.sa.resource_id});
  work_out_mtu(tunnel, *entry);
  outbound_of[c.sa.child] = c.sa.tunnel;
  // Behind every SA that carries.
  const auto at =
      std::find_if(tunnel.outbound.begin(), tunnel.outbound.end(), [](const auto& o) { return !o->switched; });
  tunnel.outbound.insert(at, std::move(entry));
  return {};
}

void PacketPath::State::on(Instant /*now*/, ipsec::InstallOutbound& c) {
  events.emplace_back(ipsec::Done{.request = c.request, .spi = 0, .status = install(c)});
}

void PacketPath::State::on(Instant now, ipsec::SwitchOutbound& c) {
  Tunnel* tunnel = find_tunnel(c.tunnel);
  if (tunnel == nullptr) return;
  auto& list = tunnel->outbound;
  const auto found = std::find_if(list.begin(), list.end(), [&](const auto& sa) { return sa->child == c.child; });
  if (found == list.end()) return;
  (*found)->switched = true;
  std::rotate(list.begin(), found, found + 1);
  touch(now, *tunnel);
  if (!held_out.holds(c.tunnel)) return;
  ready_tunnels.push_back(c.tunnel);
  ready_since = now;
}

void PacketPath::State::on(Instant now, ipsec::SendDummy& c) {
  if (!outbound_of.contains(c.child)) return;
  dummies.push_back(c.child);
  ready_since = now;
}

void PacketPath::State::on(Instant now, ipsec::RemoveInbound& c) {
  const auto found = inbound_of.find(c.child);
  if (found != inbound_of.end()) free_slot(now, *find_slot(found->second));
}

void PacketPath::State::on(Instant now, ipsec::RemoveOutbound& c) {
  const auto found = outbound_of.find(c.child);
  if (found == outbound_of.end()) return;
  Tunnel& tunnel = *find_tunnel(found->second);
  outbound_of.erase(found);
  std::erase_if(tunnel.outbound, [&](const auto& sa) {
    if (sa->child != c.child) return false;
    add_to(tunnel.retired, sa->sa);
    return true;
  });
  touch(now, tunnel);
}

void PacketPath::State::on(Instant now, ipsec::UpdatePeer& c) {
  Tunnel* tunnel = find_tunnel(c.tunnel);
  if (tunnel == nullptr) return;
  const auto elsewhere = [&](const auto& sa) {
    return sa->path.peer.address != c.path.peer.address || sa->path.local.address != c.path.local.address;
  };
  if (std::any_of(tunnel->outbound.begin(), tunnel->outbound.end(), elsewhere)) forget_mtu(*tunnel);
  for (const auto& sa : tunnel->outbound) {
    sa->path = c.path;
    work_out_mtu(*tunnel, *sa);
  }
  for (InboundSlot& slot : slots) {
    if (!slot.sa || slot.tunnel != c.tunnel) continue;
    slot.sa->peer = c.path.peer;
    slot.sa->encapsulation = c.path.encapsulation;
  }
  if (tunnel->plan.health.unidirectional) touch(now, *tunnel);  // its probes go from outer address to outer address
}

void PacketPath::State::on(Instant now, ipsec::Ping& c) {
  due_pings.push_back(c);
  ready_since = now;
}

void PacketPath::State::work_out_mtu(const Tunnel& tunnel, Outbound& sa) const {
  const std::uint16_t fixed = tunnel.plan.inner_mtu;
  const std::uint16_t fits =
      esp::inner_mtu(sa.sa.suite(), sa.path.encapsulation, esp::outer_family(sa.path), outer_mtu(tunnel));
  // A fixed one overrides the configured path, not what the path itself has shown.
  sa.mtu = fixed == 0 ? fits : (tunnel.learnt_mtu ? std::min(fixed, fits) : fixed);
}

void PacketPath::State::add_addresses(const ipsec::TunnelPlan& plan) {
  for_each_address(plan, [&](const Prefix& prefix, const Hop& hop) { routes.add(plan.vrf, prefix, hop); });
}

void PacketPath::State::remove_addresses(const ipsec::TunnelPlan& plan) {
  for_each_address(plan, [&](const Prefix& prefix, const Hop& hop) { routes.remove(plan.vrf, prefix, hop); });
}

void PacketPath::State::forget_routes(const ipsec::TunnelPlan& plan) {
  const auto found = routes_of.find(plan.tunnel);
  if (found == routes_of.end()) return;
  for (const Prefix& prefix : found->second)
    routes.remove(plan.vrf, prefix, {.kind = Hop::Kind::Tunnel, .tunnel = plan.tunnel});
  routes_of.erase(found);
}

void PacketPath::State::on(Instant now, ipsec::SetTunnel& c) {
  auto& tunnel = tunnels[c.plan.tunnel];
  if (tunnel) {
    remove_addresses(tunnel->plan);
    if (tunnel->plan.vrf != c.plan.vrf) forget_routes(tunnel->plan);
  } else {
    tunnel = std::make_unique<Tunnel>();
    tunnel->health_since = now;
    if (const std::uint32_t id = c.plan.tunnel.value(); id < kNear) {
      if (id >= near.size()) near.resize(id + 1);
      near[id] = tunnel.get();
    }
  }
  tunnel->plan = std::move(c.plan);
  if (tunnel->learnt_mtu && *tunnel->learnt_mtu >= tunnel->plan.outer_mtu) forget_mtu(*tunnel);
  add_addresses(tunnel->plan);
  for (const auto& sa : tunnel->outbound) work_out_mtu(*tunnel, *sa);
  touch(now, *tunnel);
}

void PacketPath::State::on(Instant /*now*/, ipsec::SetRoutes& c) {
  const auto mine = [&](TunnelId id) {
    const Tunnel* tunnel = find_tunnel(id);
    return tunnel != nullptr && tunnel->plan.vrf == c.vrf;
  };
  for (const ipsec::RouteHop& route : c.remove) {
    if (!mine(route.tunnel)) continue;
    const auto found = routes_of.find(route.tunnel);
    if (found == routes_of.end() || found->second.erase(route.prefix) == 0) continue;
    routes.remove(c.vrf, route.prefix, hop_of(route));
    if (found->second.empty()) routes_of.erase(found);
  }
  for (const ipsec::RouteHop& route : c.add) {
    if (!mine(route.tunnel)) continue;
    routes_of[route.tunnel].insert(route.prefix);
    routes.add(c.vrf, route.prefix, hop_of(route));
  }
}

void PacketPath::State::on(Instant /*now*/, ipsec::SetPolicy& c) {
  PolicyTable table{c.rules};
  table.adopt_counters(policy);
  policy = std::move(table);
}

void PacketPath::State::on(Instant now, ipsec::RemoveTunnel& c) {
  Tunnel* tunnel = find_tunnel(c.tunnel);
  if (tunnel == nullptr) return;
  remove_addresses(tunnel->plan);
  forget_routes(tunnel->plan);
  captures.forget(c.tunnel);
  board.remove(c.tunnel);
  states.remove(c.tunnel);
  forget_mtu(*tunnel);
  for (InboundSlot& slot : slots) {
    if (slot.spi != 0 && slot.tunnel == c.tunnel) free_slot(now, slot);
  }
  for (const auto& sa : tunnel->outbound) outbound_of.erase(sa->child);
  for (std::size_t i = held_out.take(c.tunnel).size(); i != 0; --i) drop(tunnel, esp::DropReason::NoOutboundSa);
  if (c.tunnel.value() < near.size()) near[c.tunnel.value()] = nullptr;
  tunnels.erase(c.tunnel);
}

void PacketPath::State::on(Instant /*now*/, ipsec::SetLocalPrefixes& c) {
  auto& known = local_prefixes[c.vrf];
  const Hop hop{.kind = Hop::Kind::Local, .tunnel = {}};
  for (const Prefix& prefix : known) routes.remove(c.vrf, prefix, hop);
  known = std::move(c.prefixes);
  for (const Prefix& prefix : known) routes.add(c.vrf, prefix, hop);
}

void PacketPath::State::on(Instant now, ipsec::ReadCounters& c) {
  ipsec::Counters counters{.request = c.request,
                           .sas = {},
                           .tunnels = {},
                           .policy = {},
                           .drops = drops.nonzero(),
                           .handed_over = handed_over};
  counters.policy.assign(policy.counters().begin(), policy.counters().end());
  if (path_too_big != 0) counters.drops.emplace_back("path_too_big", path_too_big);
  std::map<ChildSaId, ipsec::SaCounters> sas;
  std::map<TunnelId, Totals> totals;
  const auto of = [&](ChildSaId child) -> ipsec::SaCounters& {
    ipsec::SaCounters& sa = sas[child];
    sa.child = child;
    return sa;
  };
  for (const auto& [id, tunnel] : tunnels) {
    Totals& sum = totals[id] = tunnel->retired;
    for (const auto& sa : tunnel->outbound) {
      ipsec::SaCounters& out = of(sa->child);
      out.packets_out = sa->sa.meter().packets();
      out.bytes_out = sa->sa.meter().bytes();
      if (sa->sent) out.last_out = sa->last;
      out.inner_mtu = sa->mtu;
      add_to(sum, sa->sa);
    }
  }
  for (const InboundSlot& slot : slots) {
    if (!slot.sa) continue;
    ipsec::SaCounters& in = of(slot.sa->child);
    in.packets_in = slot.sa->sa.meter().packets();
    in.bytes_in = slot.sa->sa.meter().bytes();
    if (slot.sa->received) in.last_in = slot.sa->last;
    add_to(totals[slot.tunnel], slot.sa->sa);
  }
  for (const auto& [child, sa] : sas) counters.sas.push_back(sa);
  for (const auto& [id, sum] : totals) {
    const Tunnel& tunnel = *tunnels.at(id);
    counters.tunnels.push_back({.tunnel = id,
                                .drops = tunnel.drops.nonzero(),
                                .packets_in = sum.packets_in,
                                .bytes_in = sum.bytes_in,
                                .packets_out = sum.packets_out,
                                .bytes_out = sum.bytes_out,
                                .outer_mtu = outer_mtu(tunnel),
                                .health = health_of(now, tunnel),
                                .probes = board.find(id) != nullptr ? board.find(id)->probes : 0,
                                .is_owners = owns(id)});
  }
  events.emplace_back(std::move(counters));
}

}  // namespace qanat::wan
