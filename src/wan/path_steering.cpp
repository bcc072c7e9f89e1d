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
  if (tunnel.plan.health.enabled || board.find(id) != nullptr) {
    touched.push_back(id);
    ready_since = now;
  } else if (carries(tunnel) != was_live) {
    tunnel.health_since = now;
  }
}

void PacketPath::State::update_state(const Tunnel& tunnel) {
  const TunnelId id = tunnel.plan.tunnel;
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
  if (plan.health.unidirectional) return out;
  model::HealthCheck check;
  check.type = plan.health.type == ipsec::HealthPlan::Type::Reply ? model::ProbeType::Reply : model::ProbeType::Request;
  check.target = plan.health.target;
  out.path = probe_path(check, {.interface4 = plan.interface4,
                                .peer_interface4 = plan.peer_interface4,
                                .interface6 = plan.interface6,
                                .peer_interface6 = plan.peer_interface6,
                                .outer_local = {},
                                .outer_peer = {}});
  const auto* path = std::get_if<ProbePath>(&out.path);
  if (path == nullptr || !carries(tunnel)) return out;
  const bool inside = std::any_of(tunnel.outbound.begin(), tunnel.outbound.end(),
                                  [&](const auto& sa) { return sa->switched && carries_probe(*sa, *path); });
  if (!inside) out.path = HealthCode::OutsideSelectors;
  return out;
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
  if (!ours) return false;
  if (theirs && is_peers_reply_probe(packet, p, *ours, *theirs)) {
    const Origin origin{.kind = Origin::Kind::Tunnel, .vrf = plan.vrf, .tunnel = plan.tunnel};
    into_tunnel(now, origin, tunnel, packet, {}, p, sink);
    return true;
  }
  if (p.destination != *ours || board.handle_packet(now, plan.tunnel, packet, p) == HealthBoard::Taken::NotOurs)
    return false;
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
