// A packet going out (ARCHITECTURE.md "The trips"): classify, source and selector check, outbound SA, MTU, MSS, TTL,
// ECN and DSCP, sequence number, seal, send.
#include <algorithm>

#include "wan/plane_state.hpp"

namespace qanat::wan {

using esp::DropReason;
using esp::InnerPacket;

namespace {

constexpr std::uint16_t kMinIpv6Mtu = 1280;

// Octets around ESP in the largest outer packet.
constexpr std::size_t kOuterHeaders = 40 + 8;

DfBit outer_df(const ipsec::TunnelPlan& plan, const InnerPacket& p, bool fits_mtu) {
  if (!fits_mtu) return DfBit::Clear;
  switch (plan.df) {
    case ipsec::TunnelPlan::Df::Set:
      return DfBit::Set;
    case ipsec::TunnelPlan::Df::Clear:
      return DfBit::Clear;
    case ipsec::TunnelPlan::Df::Copy:
      break;
  }
  return p.dont_fragment ? DfBit::Set : DfBit::Clear;
}

// The SA that carries a flow: the one that traffic was switched to last, of those whose selectors fit and that may
// still send. TsMismatch when no selectors fit.
std::expected<Outbound*, DropReason> carrier(const Tunnel& tunnel, const Flow& flow, bool hybrid_only) {
  DropReason why = DropReason::TsMismatch;
  for (const auto& sa : tunnel.outbound) {
    if (!sa->switched) break;
    const Fit fit = sa->fits(flow);
    if (fit == Fit::Yes) {
      const auto blocked = hybrid_only && sa->keys != ipsec::KeySafety::Hybrid ? std::optional{DropReason::PqRequired}
                                                                               : sa->sa.meter().blocked();
      if (!blocked) return sa.get();
      if (why == DropReason::TsMismatch || why == DropReason::FragmentUnknown) why = *blocked;
    } else if (fit == Fit::NeedsPorts && why == DropReason::TsMismatch) {
      why = DropReason::FragmentUnknown;
    }
  }
  return std::unexpected(why);
}

// One that fits is installed, and IKE will switch to it.
bool on_its_way(const Tunnel& tunnel, const Flow& flow) {
  return std::any_of(tunnel.outbound.begin(), tunnel.outbound.end(),
                     [&](const auto& sa) { return !sa->switched && sa->fits(flow) != Fit::No; });
}

std::uint8_t next_header_of(const InnerPacket& p) {
  return p.is_v6() ? esp::kNextHeaderIpv6 : esp::kNextHeaderIpv4;
}

// The largest inner packet. An IPv6 source need not go below 1,280 (RFC 8200 5): what is between goes out in outer
// fragments (RFC 2473 7.1).
std::uint16_t mtu_for(const Outbound& sa, const InnerPacket& p) {
  return p.is_v6() && sa.mtu != 0 ? std::max(sa.mtu, kMinIpv6Mtu) : sa.mtu;
}

bool is_super(const esp::Offload& offload) {
  return offload.kind != esp::Offload::Kind::None;
}

}  // namespace

void PacketPath::State::from_tun(Instant now, VrfId vrf, ByteView packet, const esp::Offload& offload,
                                 PacketSink& sink) {
  const std::size_t count = esp::packets_in(offload, packet.size());
  const auto p = esp::parse_inner(packet);
  if (!p) return drop(nullptr, p.error(), count);
  packet = packet.first(p->size);
  const auto route = routes.lookup(vrf, p->destination);
  if (!route || route->hop.kind == Hop::Kind::Local) return drop(nullptr, DropReason::NoRoute, count);
  const auto way = steer(*route, *p);
  if (!way) return drop(find_tunnel(route->hop.tunnel), way.error(), count);
  Tunnel* tunnel = find_tunnel(way->tunnel);
  if (tunnel == nullptr) return drop(nullptr, DropReason::NoRoute, count);
  if (route->hop.kind == Hop::Kind::Interface) {
    if (!esp::is_echo_request(packet, *p)) return drop(tunnel, DropReason::LocalAddress, count);
    drop(tunnel, DropReason::Answered);
    return sink.write_tun(vrf, esp::make_echo_reply(packet, *p));
  }
  const Origin origin{.kind = Origin::Kind::Tun, .vrf = vrf, .tunnel = {}, .hybrid_only = way->hybrid_only};
  into_tunnel(now, origin, *tunnel, packet, offload, *p, sink);
}

void PacketPath::State::into_tunnel(Instant now, const Origin& origin, Tunnel& tunnel, ByteView packet,
                                    const esp::Offload& offload, const InnerPacket& p, PacketSink& sink) {
  const std::size_t count = esp::packets_in(offload, packet.size());
  if (!carries(tunnel)) {
    const TunnelId id = tunnel.plan.tunnel;
    if (!owns(id)) return hand_over(id, origin, packet, offload);
    // Its fragments are looked at when it leaves, so that each is seen once.
    const Flow flow = make_flow(Direction::Out, p);
    if (!p.fragment) {
      if (const auto why = judge_out(now, origin, tunnel, flow, packet.size(), count))
        return drop(&tunnel, *why, count);
    }
    if (tunnel.outbound.empty() && !tunnel.asked.lately(now)) acquire(now, tunnel, flow);
    if (!held_out.has_room(id, packet.size())) return drop(&tunnel, DropReason::HoldFull, count);
    return held_out.push(now, id, {.origin = origin, .packet = to_bytes(packet), .offload = offload, .flow = {}});
  }
  const auto flow = flow_of(now, Direction::Out, tunnel.plan.tunnel, p);
  if (!flow) return drop(&tunnel, flow.error(), count);
  if (const auto why = judge_out(now, origin, tunnel, *flow, packet.size(), count)) return drop(&tunnel, *why, count);
  const auto sa = carrier(tunnel, *flow, origin.hybrid_only);
  if (sa) return dispatch(now, origin, tunnel, **sa, packet, offload, p, sink);
  if (sa.error() == DropReason::TsMismatch) return await_selectors(now, origin, tunnel, packet, offload, *flow);
  drop(&tunnel, sa.error(), count);
}

// A packet outside the selectors of every SA that carries: another SA may be on its way, or IKE may make one
// (rules.md "Selectors and routes"). The first packets wait for it; if it does not come they are a ts_mismatch, too.
void PacketPath::State::await_selectors(Instant now, const Origin& origin, Tunnel& tunnel, ByteView packet,
                                        const esp::Offload& offload, const Flow& flow) {
  const TunnelId id = tunnel.plan.tunnel;
  const bool coming = on_its_way(tunnel, flow);
  if (!coming && tunnel.asked.may_ask(now, flow.remote)) acquire(now, tunnel, flow);
  if (!(coming || tunnel.asked.lately(now, flow.remote)) || !held_out.has_room(id, packet.size())) {
    return drop(&tunnel, DropReason::TsMismatch, esp::packets_in(offload, packet.size()));
  }
  held_out.push(now, id, {.origin = origin, .packet = to_bytes(packet), .offload = offload, .flow = flow});
}

// An SA has begun to carry: what was held for it leaves, in order. What fits none of those that carry waits on.
void PacketPath::State::release_tunnel(Instant now, TunnelId id, PacketSink& sink) {
  Tunnel* tunnel = find_tunnel(id);
  if (tunnel == nullptr || !carries(*tunnel)) return;  // gone again
  const auto leaving = held_out.take(id, [&](HeldInner& held) {
    if (!held.flow) {
      const auto p = esp::parse_inner(held.packet);
      held.flow = p ? flow_of(now, Direction::Out, id, *p) : std::unexpected(p.error());
      if (p && p->fragment && *held.flow) {
        const auto why = judge_out(now, held.origin, *tunnel, **held.flow, held.packet.size(), 1);
        if (why) held.flow = std::unexpected(*why);
      }
    }
    if (!*held.flow) return true;
    const Flow& flow = **held.flow;
    if (const auto sa = carrier(*tunnel, flow, held.origin.hybrid_only); sa || sa.error() != DropReason::TsMismatch)
      return true;
    if (!on_its_way(*tunnel, flow) && tunnel->asked.may_ask(now, flow.remote)) acquire(now, *tunnel, flow);
    return false;
  });
  for (const HeldInner& held : leaving) {
    const auto sa =
        *held.flow ? carrier(*tunnel, **held.flow, held.origin.hybrid_only) : std::unexpected(held.flow->error());
    const auto p = esp::parse_inner(held.packet);
    if (sa && p) {
      dispatch(now, held.origin, *tunnel, **sa, held.packet, held.offload, *p, sink);
    } else {
      drop(tunnel, sa ? p.error() : sa.error(), esp::packets_in(held.offload, held.packet.size()));
    }
  }
}

void PacketPath::State::dispatch(Instant now, const Origin& origin, Tunnel& tunnel, Outbound& sa, ByteView packet,
                                 const esp::Offload& offload, const InnerPacket& p, PacketSink& sink) {
  if (is_super(offload)) return transmit_segments(now, origin, tunnel, sa, packet, offload, p, sink);
  transmit(now, origin, tunnel, sa, packet, p, sink);
}

// A super-packet of the host: what holds for one segment holds for all.
void PacketPath::State::transmit_segments(Instant now, const Origin& origin, Tunnel& tunnel, Outbound& sa,
                                          ByteView packet, const esp::Offload& offload, InnerPacket p,
                                          PacketSink& sink) {
  const std::uint8_t ttl = p.ttl;
  if (origin.kind != Origin::Kind::Ourselves && p.ttl > 1) p.ttl = static_cast<std::uint8_t>(p.ttl - 1);
  auto segments = esp::Segmenter::create(packet, p, offload);
  if (!segments) return drop(&tunnel, DropReason::Malformed, esp::packets_in(offload, packet.size()));
  const std::uint16_t mtu = mtu_for(sa, p);
  if (segments->largest() > mtu || ttl <= 1 || segments->has_syn()) {
    // Nothing of the fast kind: each as if it had come alone. A refused one speaks for those behind it.
    p.ttl = ttl;
    segments = esp::Segmenter::create(packet, p, offload);
    const bool too_big = segments->largest() > mtu && p.dont_fragment;
    while (!segments->done()) {
      const ByteView segment = ByteView{scratch}.first(segments->next(scratch));
      const auto parsed = esp::parse_inner(segment);
      if (!parsed) return drop(&tunnel, parsed.error());
      transmit(now, origin, tunnel, sa, segment, *parsed, sink);
      if (too_big) return drop(&tunnel, DropReason::Mtu, segments->count() - 1);
      if (ttl <= 1) return drop(&tunnel, DropReason::TtlExpired, segments->count() - 1);
    }
    return;
  }
  const std::uint8_t tos = esp::encapsulated_tos(p.tos, tunnel.plan.dscp);
  const std::uint8_t next_header = next_header_of(p);
  while (!segments->done()) {
    const MutableByteView room = room_for(sa, segments->next_size(), sink);
    const std::size_t size = segments->next(room.subspan(sa.sa.layout().payload_offset()));
    seal_and_send(now, tunnel, sa, room, size, next_header, tos, outer_df(tunnel.plan, p, size <= sa.mtu), sink);
  }
}

void PacketPath::State::transmit(Instant now, const Origin& origin, Tunnel& tunnel, Outbound& sa, ByteView packet,
                                 InnerPacket p, PacketSink& sink) {
  const std::uint16_t mtu = mtu_for(sa, p);
  const bool too_big = p.size > mtu;
  const bool cut = too_big && !p.dont_fragment && esp::Ipv4Fragmenter::possible(p, mtu);
  if (too_big && !cut) {
    return refuse(now, origin, tunnel, DropReason::Mtu, esp::IcmpError::TooBig, packet, p, mtu, sink);
  }
  const bool forwarded = origin.kind != Origin::Kind::Ourselves;
  if (forwarded && p.ttl <= 1) {
    return refuse(now, origin, tunnel, DropReason::TtlExpired, esp::IcmpError::TtlExpired, packet, p, 0, sink);
  }
  const esp::EspLayout& layout = sa.sa.layout();
  if (layout.sealed_size(std::min<std::size_t>(p.size, mtu)) + kOuterHeaders > 65535)
    return drop(&tunnel, DropReason::TooBig);

  const std::uint8_t tos = esp::encapsulated_tos(p.tos, tunnel.plan.dscp);
  if (cut) {
    esp::Ipv4Fragmenter pieces(packet, p, mtu);
    while (!pieces.done()) {
      const MutableByteView room = room_for(sa, mtu, sink);
      const MutableByteView inner = room.subspan(layout.payload_offset());
      const std::size_t size = pieces.next(inner);
      InnerPacket piece = p;
      if (forwarded) esp::decrement_ttl(inner.first(size), piece);
      seal_and_send(now, tunnel, sa, room, size, next_header_of(p), tos, outer_df(tunnel.plan, p, true), sink);
    }
    return;
  }
  const MutableByteView room = room_for(sa, p.size, sink);
  const MutableByteView inner = room.subspan(layout.payload_offset(), p.size);
  std::memcpy(inner.data(), packet.data(), p.size);
  if (tunnel.plan.clamp_mss) esp::clamp_mss(inner, p, mtu);
  if (forwarded) esp::decrement_ttl(inner, p);
  const DfBit df = outer_df(tunnel.plan, p, p.size <= sa.mtu);
  seal_and_send(now, tunnel, sa, room, p.size, next_header_of(p), tos, df, sink);
}

MutableByteView PacketPath::State::room_for(const Outbound& sa, std::size_t inner_size, PacketSink& sink) {
  return sink.reserve(sa.sa.layout().sealed_size(inner_size));
}

// The inner packet lies in `room`, which was reserved last, behind the place of the ESP header.
void PacketPath::State::seal_and_send(Instant now, Tunnel& tunnel, Outbound& sa, MutableByteView room,
                                      std::size_t inner_size, std::uint8_t next_header, std::uint8_t tos, DfBit df,
                                      PacketSink& sink) {
  // As it goes in: the peer takes out what is seen here.
  if (!captures.empty() && next_header != esp::kNextHeaderNone && !sa.sa.meter().blocked()) [[unlikely]] {
    const ByteView inner = room.subspan(sa.sa.layout().payload_offset(), inner_size);
    if (const auto p = esp::parse_inner(inner))
      captures.see(now, tunnel.plan, ipsec::CapturedPacket::Way::Out, inner, *p, known_ports(*p));
  }
  const auto size = sa.sa.seal_in_place(inner_size, next_header, room, rng);
  if (!size) return drop(&tunnel, size.error());
  sa.sent = true;
  sa.last = now;
  sink.commit(sa.path, tos, df, *size);
  if (sa.sa.meter().take_soft()) events.emplace_back(ipsec::SoftLimit{sa.child});
  if (sa.sa.meter().take_hard()) events.emplace_back(ipsec::HardLimit{sa.child});
}

void PacketPath::State::send_dummy(Instant now, ChildSaId child, PacketSink& sink) {
  const auto found = outbound_of.find(child);
  Tunnel* tunnel = found == outbound_of.end() ? nullptr : find_tunnel(found->second);
  if (tunnel == nullptr) return;
  for (const auto& sa : tunnel->outbound) {
    if (sa->child == child) {
      const std::uint8_t tos = esp::encapsulated_tos(0, tunnel->plan.dscp);
      return seal_and_send(now, *tunnel, *sa, room_for(*sa, 0, sink), 0, esp::kNextHeaderNone, tos, DfBit::Set, sink);
    }
  }
}

// Through the tunnel that it is about, whatever the routes and the packet policy say.
void PacketPath::State::send_probe(Instant now, const HealthBoard::Probe& probe, PacketSink& sink) {
  Tunnel* tunnel = find_tunnel(probe.tunnel);
  const auto p = esp::parse_inner(probe.packet);
  if (tunnel == nullptr || !p) return;
  const auto sa = carrier(*tunnel, make_flow(Direction::Out, *p), false);
  if (!sa) return drop(tunnel, sa.error());
  const Origin origin{.kind = Origin::Kind::Ourselves, .vrf = tunnel->plan.vrf, .tunnel = {}};
  transmit(now, origin, *tunnel, **sa, probe.packet, *p, sink);
}

// Drops a packet and tells its sender why, where that is allowed and not too often.
void PacketPath::State::refuse(Instant now, const Origin& origin, Tunnel& tunnel, DropReason reason,
                               esp::IcmpError error, ByteView packet, const InnerPacket& p, std::uint16_t mtu,
                               PacketSink& sink) {
  drop(&tunnel, reason);
  if (origin.kind == Origin::Kind::Ourselves || !esp::may_answer_with_error(packet, p)) return;
  if (error == esp::IcmpError::TooBig && mtu == 0) return;
  if (now - icmp_window >= 1s) {
    icmp_window = now;
    icmp_sent = 0;
  }
  if (icmp_sent >= config.icmp_per_second) return;
  ++icmp_sent;
  // Towards the sender we are the interface of the tunnel that it uses; without one, the packet's own destination
  // speaks, whose packets pass every source check on that way.
  const Tunnel* face = origin.kind == Origin::Kind::Tunnel ? find_tunnel(origin.tunnel) : &tunnel;
  const auto from = face != nullptr ? interface_address(face->plan, p.source) : std::nullopt;
  send_back(now, origin, esp::make_icmp_error(error, from.value_or(p.destination), packet, p, mtu), sink);
}

// A packet of our own to where another one came from.
void PacketPath::State::send_back(Instant now, const Origin& origin, ByteView packet, PacketSink& sink) {
  if (origin.kind == Origin::Kind::Tun) return sink.write_tun(origin.vrf, packet);
  Tunnel* tunnel = find_tunnel(origin.tunnel);
  const auto p = esp::parse_inner(packet);
  if (tunnel == nullptr || !p) return;
  into_tunnel(now, {.kind = Origin::Kind::Ourselves, .vrf = origin.vrf, .tunnel = {}}, *tunnel, packet, {}, *p, sink);
}

void PacketPath::State::acquire(Instant now, Tunnel& tunnel, const Flow& flow) {
  tunnel.asked.note(now, flow.remote);
  events.emplace_back(ipsec::Acquire{tunnel.plan.tunnel, local_selector(flow), remote_selector(flow)});
}

}  // namespace qanat::wan
