// What both trips ask before a packet goes on: which tunnel, whether the packet policy lets it, and how the tunnels
// are.
#include "wan/plane_state.hpp"

namespace qanat::wan {

using esp::DropReason;

namespace {

constexpr std::uint32_t kMatchesPerSecond = 10;

model::ProbeRate rate_of(ipsec::HealthPlan::Rate rate) {
  switch (rate) {
    case ipsec::HealthPlan::Rate::Low:
      return model::ProbeRate::Low;
    case ipsec::HealthPlan::Rate::Mid:
      return model::ProbeRate::Mid;
    case ipsec::HealthPlan::Rate::High:
      return model::ProbeRate::High;
  }
  return model::ProbeRate::Mid;
}

bool carries_probe(const Outbound& sa, const ProbePath& path) {
  const auto family = path.local.is_v6() ? OpenTo::V6 : OpenTo::V4;
  if ((static_cast<unsigned>(sa.open) & static_cast<unsigned>(family)) != 0) return true;
  return sa.narrow != nullptr && selectors_carry(path, sa.narrow->local, sa.narrow->remote);
}

// Its outer addresses are those of the SA that carries, if one does.
ProbeAddresses probe_addresses(const Tunnel& tunnel) {
  const ipsec::TunnelPlan& plan = tunnel.plan;
  ProbeAddresses out{.interface4 = plan.interface4,
                     .peer_interface4 = plan.peer_interface4,
                     .interface6 = plan.interface6,
                     .peer_interface6 = plan.peer_interface6,
                     .outer_local = {},
                     .outer_peer = {}};
  if (carries(tunnel)) {
    out.outer_local = tunnel.outbound.front()->path.local.address;
    out.outer_peer = tunnel.outbound.front()->path.peer.address;
  }
  return out;
}

bool is_inside(const Tunnel& tunnel, const ProbePath& path) {
  return std::any_of(tunnel.outbound.begin(), tunnel.outbound.end(),
                     [&](const auto& sa) { return sa->switched && carries_probe(*sa, path); });
}

}  // namespace

std::optional<DropReason> PacketPath::State::judge(Instant now, const PolicyPacket& packet) {
  const PolicyVerdict verdict = policy.decide(packet);
  for (std::size_t i = 0; i < verdict.logs; ++i) note_match(now, packet, verdict.log[i]);
  switch (verdict.action) {
    case PolicyVerdict::Action::Allow:
      return std::nullopt;
    case PolicyVerdict::Action::Drop:
      return DropReason::Policy;
    case PolicyVerdict::Action::NeedsPorts:
      return DropReason::FragmentUnknown;
  }
  return DropReason::Policy;
}

void PacketPath::State::note_match(Instant now, const PolicyPacket& packet, std::uint32_t rule) {
  if (now - match_window >= 1s) {
    match_window = now;
    matches_told = 0;
  }
  if (matches_told >= kMatchesPerSecond) {
    ++matches_passed_over;
    return;
  }
  ++matches_told;
  const bool out = packet.direction == Direction::Out;
  const auto local = local_selector(packet.flow);
  const auto remote = remote_selector(packet.flow);
  events.emplace_back(ipsec::PolicyMatch{.vrf = packet.vrf,
                                         .rule = policy.counters()[rule].rule,
                                         .from = packet.from,
                                         .to = packet.to,
                                         .source = out ? local : remote,
                                         .destination = out ? remote : local,
                                         .passed_over = std::exchange(matches_passed_over, 0)});
}

void PacketPath::State::touch(Instant now, Tunnel& tunnel) {
  const TunnelId id = tunnel.plan.tunnel;
  const bool was_live = states.state(id).keys != KeySafety::None;
  update_state(tunnel);
  if (!owns(id)) return;
  if (tunnel.plan.health.enabled || board.find(id) != nullptr) {
    touched.push_back(id);
    ready_since = now;
  } else if (carries(tunnel) != was_live) {
    tunnel.health_since = now;
  }
}

void PacketPath::State::update_state(const Tunnel& tunnel) {
  const TunnelId id = tunnel.plan.tunnel;
  const TunnelState before = states.state(id);
  if (!owns(id)) {
    // Its owner tells how it fares (TunnelNews).
    return states.set(id, tunnel.plan.name,
                      {.health = before.health,
                       .keys = before.keys,
                       .hybrid_only = tunnel.plan.hybrid_only,
                       .classical_penalty = tunnel.plan.classical_penalty});
  }
  const HealthBoard::Entry* entry = board.find(id);
  TunnelState state{.health = entry != nullptr ? entry->health.state() : HealthState::NotMeasurable,
                    .keys = KeySafety::None,
                    .hybrid_only = tunnel.plan.hybrid_only,
                    .classical_penalty = tunnel.plan.classical_penalty};
  for (const auto& sa : tunnel.outbound) {
    if (!sa->switched) break;
    if (state.keys == KeySafety::None || sa->keys < state.keys) state.keys = sa->keys;
  }
  states.set(id, tunnel.plan.name, state);
  if (!to_siblings.empty() && (state.health != before.health || state.keys != before.keys))
    untold.push_back({.tunnel = id, .health = state.health, .keys = state.keys});
}

// An SA that is replaced within one turn has not been away.
void PacketPath::State::refresh_health(Instant now) {
  for (const TunnelId id : std::exchange(touched, {})) {
    Tunnel* tunnel = find_tunnel(id);
    if (tunnel == nullptr) continue;
    if (tunnel->plan.health.enabled) {
      board.set(now, id, health_plan(*tunnel));
      board.handle_liveness(now, id, carries(*tunnel) ? TunnelHealth::Liveness::HasSa : TunnelHealth::Liveness::NoSa);
    } else {
      board.remove(id);
    }
    update_state(*tunnel);
  }
}

HealthBoard::Plan PacketPath::State::health_plan(const Tunnel& tunnel) const {
  const ipsec::TunnelPlan& plan = tunnel.plan;
  HealthBoard::Plan out{.rate = rate_of(plan.health.rate), .path = HealthCode::Unidirectional};
  if (plan.health.unidirectional && !config.hears_outside) return out;
  const HealthBoard::Entry* known = board.find(plan.tunnel);
  if (plan.health.unidirectional && !carries(tunnel) && known != nullptr) {
    out.path = known->plan.path;  // where its SA ends is not known now, and what was seen there stays
    return out;
  }
  model::HealthCheck check;
  if (plan.health.unidirectional) check.direction = model::ProbeDirection::Unidirectional;
  check.type = plan.health.type == ipsec::HealthPlan::Type::Reply ? model::ProbeType::Reply : model::ProbeType::Request;
  check.target = plan.health.target;
  out.path = probe_path(check, probe_addresses(tunnel));
  const auto* path = std::get_if<ProbePath>(&out.path);
  if (path != nullptr && carries(tunnel) && !is_inside(tunnel, *path)) out.path = HealthCode::OutsideSelectors;
  return out;
}

void PacketPath::State::send_ping(Instant now, const ipsec::Ping& ping, PacketSink& sink) {
  const auto refuse = [&](const char* why) {
    ipsec::Pinged out;
    out.request = ping.request;
    out.status = fail(ErrorKind::LocalPolicy, "ping", why);
    events.emplace_back(std::move(out));
  };
  const Tunnel* tunnel = find_tunnel(ping.tunnel);
  if (tunnel == nullptr || !carries(*tunnel)) return refuse("the tunnel has no SA that carries packets");
  const auto path = probe_path({}, probe_addresses(*tunnel));
  const auto* way = std::get_if<ProbePath>(&path);
  if (way == nullptr)
    return refuse(
        "the tunnel has no interface addresses of one family: set interface = \"10.255.0.0/31\", and the "
        "other address at the peer");
  if (!is_inside(*tunnel, *way))
    return refuse("the interface addresses are outside the negotiated traffic selectors: widen selectors at both ends");
  if (pings.is_full()) return refuse("too many pings are under way: try again in a moment");
  send_probe(now, {.tunnel = ping.tunnel, .packet = pings.begin(now, ping.request, ping.tunnel, *way)}, sink);
}

void PacketPath::State::end_ping(const PingDesk::Ended& ended) {
  events.emplace_back(ipsec::Pinged{.request = ended.request,
                                    .status = {},
                                    .from = ended.path.local,
                                    .to = ended.path.remote,
                                    .round_trip = ended.round_trip});
}

// The peer asks from its outer address, or has us answer by a reply that seems to be our own; only to the address where
// its SA is.
bool PacketPath::State::answer_outside(Tunnel& tunnel, ByteView packet, const esp::InnerPacket& p, PacketSink& sink) {
  if (!carries(tunnel)) return false;
  const IpAddress ours = tunnel.outbound.front()->path.local.address;
  const IpAddress theirs = tunnel.outbound.front()->path.peer.address;
  const auto icmp_of = [](ByteView whole, const esp::InnerPacket& of) {
    return whole.subspan(of.transport_offset, static_cast<std::size_t>(of.size - of.transport_offset));
  };
  if (p.source == theirs && p.destination == ours && esp::is_echo_request(packet, p)) {
    const Bytes reply = esp::make_echo_reply(packet, p);
    if (const auto answer = esp::parse_inner(reply)) sink.send_outside(ours, theirs, icmp_of(reply, *answer));
  } else if (is_peers_reply_probe(packet, p, ours, theirs)) {
    sink.send_outside(ours, theirs, icmp_of(packet, p));
  } else {
    return false;
  }
  drop(&tunnel, DropReason::Answered);
  return true;
}

void PacketPath::State::from_outside(Instant now, const IpAddress& local, const IpAddress& remote, ByteView icmp,
                                     PacketSink& sink) {
  esp::InnerPacket p;
  p.source = remote;
  p.destination = local;
  p.size = static_cast<std::uint16_t>(std::min<std::size_t>(icmp.size(), 0xffff));
  p.protocol = p.is_v6() ? esp::kProtocolIcmpv6 : esp::kProtocolIcmp;
  if (board.handle_packet(now, std::nullopt, icmp, p) == HealthBoard::Taken::Answer) pump_health(now, sink);
}

void PacketPath::State::pump_health(Instant now, PacketSink& sink) {
  while (const auto change = board.poll_change()) {
    Tunnel* tunnel = find_tunnel(change->tunnel);
    if (tunnel == nullptr) continue;
    update_state(*tunnel);
    if (change->change.from != change->change.to) tunnel->health_since = change->change.at;
    events.emplace_back(ipsec::HealthChanged{.tunnel = change->tunnel,
                                             .from = to_string(change->change.from),
                                             .detail = describe(change->change),
                                             .health = health_of(now, *tunnel)});
  }
  while (const auto probe = board.poll_probe()) send_probe(now, *probe, sink);
}

bool PacketPath::State::take_probe(Instant now, Tunnel& tunnel, ByteView packet, const esp::InnerPacket& p,
                                   PacketSink& sink) {
  const ipsec::TunnelPlan& plan = tunnel.plan;
  const auto ours = interface_address(plan, p.source);
  const auto theirs = p.is_v6() ? plan.peer_interface6 : plan.peer_interface4;
  if (answer_outside(tunnel, packet, p, sink)) return true;
  if (!ours) return false;
  if (theirs && is_peers_reply_probe(packet, p, *ours, *theirs)) {
    const Origin origin{.kind = Origin::Kind::Tunnel, .vrf = plan.vrf, .tunnel = plan.tunnel};
    into_tunnel(now, origin, tunnel, packet, {}, p, sink);
    return true;
  }
  if (p.destination != *ours) return false;
  if (board.handle_packet(now, plan.tunnel, packet, p) == HealthBoard::Taken::NotOurs) {
    const PingDesk::Taken ping = pings.handle_packet(now, plan.tunnel, packet, p);
    if (!ping.ours) return false;
    if (ping.ended) end_ping(*ping.ended);
  }
  drop(&tunnel, DropReason::Probe);
  pump_health(now, sink);
  return true;
}

ipsec::Health PacketPath::State::health_of(Instant now, const Tunnel& tunnel) const {
  const HealthBoard::Entry* entry = board.find(tunnel.plan.tunnel);
  ipsec::Health out;
  out.since = tunnel.health_since;
  if (entry == nullptr) {
    const bool live = carries(tunnel);
    const HealthCode code = live ? HealthCode::Disabled : HealthCode::NoSa;
    out.state = to_string(live ? HealthState::NotMeasurable : HealthState::Down);
    out.code = to_string(code);
    out.text = text_of(code);
    return out;
  }
  const HealthStats stats = entry->health.stats(now);
  out.state = to_string(entry->health.state());
  out.code = to_string(entry->health.code());
  out.text = text_of(entry->health.code());
  out.samples = stats.samples;
  out.lost = stats.lost;
  out.p50 = stats.p50;
  out.p99 = stats.p99;
  out.jitter = stats.jitter;
  return out;
}

}  // namespace qanat::wan
