// A packet coming in (ARCHITECTURE.md "The trips"): the SA by its SPI, replay check, open, replay commit, trailer,
// moved peer, ECN, selectors, source check, and on: to us, into another tunnel, or to the TUN.
#include "wan/plane_state.hpp"

namespace qanat::wan {

using esp::DropReason;

void PacketPath::State::from_wire(Instant now, const ipsec::OuterPath& arrived, std::uint8_t outer_tos,
                                  MutableByteView datagram, PacketSink& sink) {
  if (datagram.size() == 1 && datagram[0] == 0xff) return drop(nullptr, DropReason::NotEsp);  // RFC 3948 2.3
  if (datagram.size() < esp::kHeaderSize) return drop(nullptr, DropReason::TooShort);
  const ipsec::EspSpi spi = load_be32(datagram.data());
  if (spi == 0) return drop(nullptr, DropReason::NotEsp);  // RFC 3948 2.2
  InboundSlot* slot = find_slot(spi);
  Tunnel* tunnel = slot != nullptr ? find_tunnel(slot->tunnel) : nullptr;
  if (tunnel == nullptr) return drop(nullptr, DropReason::NoSa);
  if (!slot->sa) {
    // Handed out but not keyed yet: the peer was faster than our own installation (rules.md "Rekey without loss").
    if (!held_in.has_room(spi, datagram.size())) return drop(tunnel, DropReason::KeyHoldFull);
    return held_in.push(now, spi, {.arrived = arrived, .tos = outer_tos, .datagram = to_bytes(datagram)});
  }

  Inbound& sa = *slot->sa;
  const std::uint64_t authenticated = sa.sa.meter().packets();
  const auto opened = sa.sa.open(datagram);
  if (sa.sa.meter().packets() != authenticated) {
    // The peer has these keys, whatever the packet's trailer says.
    sa.last = now;
    if (!sa.first_told) {
      sa.first_told = true;
      events.emplace_back(ipsec::FirstInbound{slot->tunnel, sa.child});
    }
  }
  if (sa.sa.meter().take_soft()) events.emplace_back(ipsec::SoftLimit{sa.child});
  if (sa.sa.meter().take_hard()) events.emplace_back(ipsec::HardLimit{sa.child});
  if (!opened) return drop(tunnel, opened.error());

  // Only the newest packet shows where the peer is now, and without a window nobody knows which one that is.
  if (opened->newest && sa.sa.window().size() != 0) note_path(now, *tunnel, sa, arrived);
  if (opened->next_header == esp::kNextHeaderNone) return drop(tunnel, DropReason::Dummy);
  from_peer(now, *tunnel, sa, outer_tos, opened->payload, opened->next_header, sink);
}

void PacketPath::State::note_path(Instant now, Tunnel& tunnel, const Inbound& sa, const ipsec::OuterPath& arrived) {
  // Both forms of ESP are accepted at any time: the other form says nothing about ports.
  if (arrived.encapsulation != sa.path.encapsulation || arrived.peer == sa.path.peer) return;
  // An SA that was replaced, whose outbound half is gone already, brings stragglers from where the peer was.
  if (!outbound_of.contains(sa.child)) return;
  // Whoever can rewrite addresses on the way could move the peer with every packet.
  if (tunnel.moved_told && now - *tunnel.moved_told < 1s) return;
  tunnel.moved_told = now;
  events.emplace_back(ipsec::PeerMoved{tunnel.plan.tunnel, arrived.peer});
}

// An authenticated payload that is said to be an IP packet.
void PacketPath::State::from_peer(Instant now, Tunnel& tunnel, const Inbound& sa, std::uint8_t outer_tos,
                                  MutableByteView payload, std::uint8_t next_header, PacketSink& sink) {
  auto p = esp::parse_inner(payload);
  if (!p) return drop(&tunnel, p.error());
  if (next_header != (p->is_v6() ? esp::kNextHeaderIpv6 : esp::kNextHeaderIpv4))
    return drop(&tunnel, DropReason::NotIp);
  const MutableByteView packet = payload.first(p->size);  // without TFC padding

  const auto ecn = esp::decapsulated_ecn(esp::ecn_of(p->tos), esp::ecn_of(outer_tos));
  if (!ecn) return drop(&tunnel, DropReason::EcnCe);
  esp::set_ecn(packet, *p, *ecn);

  const TunnelId id = tunnel.plan.tunnel;
  const VrfId vrf = tunnel.plan.vrf;
  const auto flow = flow_of(now, Direction::In, id, *p);
  if (!flow) return drop(&tunnel, flow.error());
  switch (fits(sa.local_ts, sa.remote_ts, *flow)) {
    case Fit::No:
      return drop(&tunnel, DropReason::TsMismatch);
    case Fit::NeedsPorts:
      return drop(&tunnel, DropReason::FragmentUnknown);
    case Fit::Yes:
      break;
  }
  // The peer's interface addresses are among the routes.
  if (tunnel.plan.source_check && !routes.leads_to(vrf, p->source, id)) return drop(&tunnel, DropReason::WrongTunnel);

  const auto route = routes.lookup(vrf, p->destination);
  const Origin origin{.kind = Origin::Kind::Tunnel, .vrf = vrf, .tunnel = id};
  if (route && route->hop.kind == Hop::Kind::Interface) {
    if (!esp::is_echo_request(packet, *p)) return drop(&tunnel, DropReason::LocalAddress);
    drop(&tunnel, DropReason::Answered);
    return send_back(now, origin, esp::make_echo_reply(packet, *p), sink);
  }
  // A default route does not say that the host has no better way: the host decides, and the TUN brings it back.
  if (route && route->hop.kind == Hop::Kind::Tunnel && route->hop.tunnel != id && route->length != 0) {
    if (Tunnel* next = find_tunnel(route->hop.tunnel)) return into_tunnel(now, origin, *next, packet, {}, *p, sink);
  }
  // A peer that does not clamp is helped here, by our own way back to it.
  if (tunnel.plan.clamp_mss && !tunnel.outbound.empty()) esp::clamp_mss(packet, *p, tunnel.outbound.front()->mtu);
  sink.deliver(vrf, packet, *p);
}

}  // namespace qanat::wan
