// A packet coming in (ARCHITECTURE.md "The trips"): the SA by its SPI, replay check, open, replay commit, trailer,
// moved peer, ECN, selectors, source check, and on: to us, into another tunnel, or to the TUN.
#include "wan/plane_state.hpp"

namespace qanat::wan {

using esp::DropReason;

namespace {

// The tunnel that a packet came from is one of the ways to where it goes: to send it there through another would bring
// it back to its own site.
bool leads_back(const RouteTable::Match& route, TunnelId from) {
  if (route.hops == nullptr) return route.hop.leads_into(from);
  return std::any_of(route.hops->begin(), route.hops->end(), [&](const Hop& hop) { return hop.leads_into(from); });
}

}  // namespace

void PacketPath::State::from_wire(Instant now, const ipsec::OuterPath& arrived, std::uint8_t outer_tos,
                                  MutableByteView datagram, PacketSink& sink) {
  if (datagram.size() == 1 && datagram[0] == 0xff) return drop(nullptr, DropReason::NotEsp);  // RFC 3948 2.3
  if (datagram.size() < esp::kHeaderSize) return drop(nullptr, DropReason::TooShort);
  const ipsec::EspSpi spi = load_be32(datagram.data());
  if (spi == 0) return drop(nullptr, DropReason::NotEsp);  // RFC 3948 2.2
  InboundSlot* slot = find_slot(spi);
  Tunnel* tunnel = slot != nullptr ? find_tunnel(slot->tunnel) : nullptr;
  if (tunnel == nullptr) {
    // Raw sockets bring every packet to every worker, and each takes its own.
    if (!owns_spi(spi) && arrived.encapsulation == ipsec::Encapsulation::Udp)
      return hand_over(arrived, outer_tos, datagram);
    note_unknown(now, arrived, spi);
    return drop(nullptr, DropReason::NoSa);
  }
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
    if (!sa.received) {
      sa.received = true;
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

// IKE may tell the sender (RFC 7296 1.5). Anybody can send such packets: few are worth a word.
void PacketPath::State::note_unknown(Instant now, const ipsec::OuterPath& arrived, ipsec::EspSpi spi) {
  constexpr std::uint32_t kToldPerSecond = 10;
  if (spi < ipsec::kMinSpi) return;
  if (now - unknown_window >= 1s) {
    unknown_window = now;
    unknown_told = 0;
  }
  if (unknown_told >= kToldPerSecond) return;
  ++unknown_told;
  events.emplace_back(ipsec::UnknownSpi{arrived, spi});
}

void PacketPath::State::note_path(Instant now, Tunnel& tunnel, const Inbound& sa, const ipsec::OuterPath& arrived) {
  // Both forms of ESP are accepted at any time: the other form says nothing about ports.
  if (arrived.encapsulation != sa.encapsulation || arrived.peer == sa.peer) return;
  // An SA that was replaced, whose outbound half is gone already, brings stragglers from where the peer was.
  if (!outbound_of.contains(sa.child)) return;
  // Whoever can rewrite addresses on the way could move the peer with every packet.
  if (tunnel.moved_told && now - *tunnel.moved_told < 1s) return;
  tunnel.moved_told = now;
  events.emplace_back(ipsec::PeerMoved{tunnel.plan.tunnel, arrived.peer});
}

// The peer is told (RFC 7296 3.10.1), but it must not keep the control thread busy with packets that we drop.
void PacketPath::State::note_outside(Instant now, Tunnel& tunnel, const Inbound& sa, ByteView packet) {
  constexpr std::size_t kTold = 128;  // headers and a little more, as in ICMP messages
  if (tunnel.outside_told && now - *tunnel.outside_told < 1s) return;
  tunnel.outside_told = now;
  events.emplace_back(ipsec::OutsideSelectors{sa.child, to_bytes(packet.first(std::min(packet.size(), kTold)))});
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
  if (!captures.empty()) [[unlikely]] {
    captures.see(now, tunnel.plan, ipsec::CapturedPacket::Way::In, packet, *p, known_ports(*flow, Direction::In));
  }
  switch (sa.fits(*flow)) {
    case Fit::No:
      note_outside(now, tunnel, sa, packet);
      return drop(&tunnel, DropReason::TsMismatch);
    case Fit::NeedsPorts:
      return drop(&tunnel, DropReason::FragmentUnknown);
    case Fit::Yes:
      break;
  }
  if ((p->protocol == esp::kProtocolIcmp || p->protocol == esp::kProtocolIcmpv6) &&
      take_probe(now, tunnel, packet, *p, sink)) {
    return;
  }
  // The peer's interface addresses are among the routes.
  if (tunnel.plan.source_check && !routes.leads_to(vrf, p->source, id)) return drop(&tunnel, DropReason::WrongTunnel);

  const auto route = routes.lookup(vrf, p->destination);
  Origin origin{.kind = Origin::Kind::Tunnel, .vrf = vrf, .tunnel = id};
  if (route && route->hop.kind == Hop::Kind::Interface) {
    if (!esp::is_echo_request(packet, *p)) return drop(&tunnel, DropReason::LocalAddress);
    drop(&tunnel, DropReason::Answered);
    return send_back(now, origin, esp::make_echo_reply(packet, *p), sink);
  }
  // A default route does not say that the host has no better way: the host decides, and the TUN brings it back.
  Tunnel* next = nullptr;
  if (route && route->length != 0 && route->hop.kind >= Hop::Kind::Peer && !leads_back(*route, id)) {
    const auto way = steer(*route, *p);
    if (!way) return drop(&tunnel, way.error());
    next = find_tunnel(way->tunnel);
    origin.hybrid_only = way->hybrid_only;
  }
  if (!policy.empty()) {
    const auto why = judge(now, {.vrf = vrf,
                                 .from = id,
                                 .to = next != nullptr ? std::optional{next->plan.tunnel} : std::nullopt,
                                 .direction = Direction::In,
                                 .flow = *flow,
                                 .size = packet.size()});
    if (why) return drop(&tunnel, *why);
  }
  if (next != nullptr) return into_tunnel(now, origin, *next, packet, {}, *p, sink);
  // A peer that does not clamp is helped here, by our own way back to it.
  if (tunnel.plan.clamp_mss && !tunnel.outbound.empty()) esp::clamp_mss(packet, *p, tunnel.outbound.front()->mtu);
  sink.deliver(vrf, packet, *p);
}

}  // namespace qanat::wan
