#include "wan/packet_path.hpp"

#include <algorithm>

#include "wan/plane_state.hpp"

namespace qanat::wan {

namespace {

std::vector<CipherSuite> every_suite() {
  constexpr IntegId kIntegs[] = {IntegId::AUTH_HMAC_SHA2_256_128, IntegId::AUTH_HMAC_SHA2_384_192,
                                 IntegId::AUTH_HMAC_SHA2_512_256};
  std::vector<CipherSuite> suites = {{.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 256},
                                     {.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 128},
                                     {.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 192},
                                     {.encr = EncrId::ENCR_CHACHA20_POLY1305, .key_bits = 256}};
  for (const std::uint16_t bits : {std::uint16_t{256}, std::uint16_t{192}, std::uint16_t{128}}) {
    for (const IntegId integ : kIntegs)
      suites.push_back({.encr = EncrId::ENCR_AES_CBC, .key_bits = bits, .integ = integ});
  }
  std::erase_if(suites, [](const CipherSuite& suite) { return !crypto::cipher_available(suite); });
  return suites;
}

}  // namespace

PacketPath::State::State(PacketPathConfig config_in, Rng& rng_in)
    : config(std::move(config_in)),
      rng(rng_in),
      spis(config.shard, rng.u32()),
      fragments(config.fragment_entries),
      held_out(config.hold_packets, config.hold_bytes / 2, config.hold_time),
      held_in(config.hold_packets, config.hold_bytes / 2, config.hold_time),
      scratch(65536) {
  if (config.capabilities.suites.empty()) config.capabilities.suites = every_suite();
}

PacketPath::PacketPath(PacketPathConfig config, Rng& rng) : state_(std::make_unique<State>(std::move(config), rng)) {}
PacketPath::~PacketPath() = default;

ipsec::Capabilities PacketPath::capabilities() const {
  return state_->config.capabilities;
}
const esp::DropCounters& PacketPath::drops() const {
  return state_->drops;
}

void PacketPath::post(Instant now, ipsec::Command command) {
  std::visit([&](auto& c) { state_->on(now, c); }, command);
}

std::optional<ipsec::Event> PacketPath::poll_event() {
  if (state_->events.empty()) return std::nullopt;
  ipsec::Event event = std::move(state_->events.front());
  state_->events.pop_front();
  return event;
}

void PacketPath::set_local_prefixes(VrfId vrf, std::span<const Prefix> prefixes) {
  state_->set_local(vrf, prefixes);
}

void PacketPath::handle_tun(Instant now, VrfId vrf, std::span<const ByteView> packets, PacketSink& sink) {
  state_->flush(now, sink);
  for (const ByteView packet : packets) state_->from_tun(now, vrf, packet, {}, sink);
}

void PacketPath::handle_tun(Instant now, VrfId vrf, std::span<const esp::OffloadPacket> packets, PacketSink& sink) {
  state_->flush(now, sink);
  for (const auto& [packet, offload] : packets) {
    if (offload.kind == esp::Offload::Kind::None && offload.needs_checksum &&
        !esp::complete_checksum(packet, offload)) {
      state_->drop(nullptr, esp::DropReason::Malformed);
      continue;
    }
    state_->from_tun(now, vrf, packet, offload, sink);
  }
}

void PacketPath::handle_esp(Instant now, const ipsec::OuterPath& arrived, std::uint8_t outer_tos,
                            std::span<const MutableByteView> datagrams, PacketSink& sink) {
  state_->flush(now, sink);
  for (const MutableByteView datagram : datagrams) state_->from_wire(now, arrived, outer_tos, datagram, sink);
}

void PacketPath::handle_too_big(Instant now, const OuterTooBig& news) {
  state_->too_big(now, news);
}

void PacketPath::note_too_big_lost(std::uint64_t packets) {
  state_->path_too_big += packets;
}

std::optional<Instant> PacketPath::next_timeout() const {
  const State& s = *state_;
  if (!s.ready_tunnels.empty() || !s.ready_spis.empty() || !s.dummies.empty()) return s.ready_since;
  std::optional<Instant> next = s.held_out.next();
  const auto sooner = [&](std::optional<Instant> at) {
    if (at && (!next || *at < *next)) next = at;
  };
  sooner(s.held_in.next());
  if (!s.learnt_mtus.empty()) sooner(s.learnt_mtus.begin()->first);
  return next;
}

void PacketPath::handle_timeout(Instant now, PacketSink& sink) {
  state_->flush(now, sink);
}

void PacketPath::State::flush(Instant now, PacketSink& sink) {
  if (!learnt_mtus.empty()) expire_mtus(now);
  if (!ready_tunnels.empty() || !ready_spis.empty() || !dummies.empty()) release_held(now, sink);
  while (const auto late = held_out.expire(now)) {
    // With a flow: there was an SA, but none for it.
    const HeldInner& held = late->second;
    drop(find_tunnel(late->first), held.flow ? esp::DropReason::TsMismatch : esp::DropReason::HoldTimeout,
         esp::packets_in(held.offload, held.packet.size()));
  }
  while (const auto late = held_in.expire(now)) {
    const InboundSlot* slot = find_slot(late->first);
    drop(slot != nullptr ? find_tunnel(slot->tunnel) : nullptr, esp::DropReason::KeyTimeout);
  }
}

void PacketPath::State::release_held(Instant now, PacketSink& sink) {
  for (const ipsec::EspSpi spi : std::exchange(ready_spis, {})) {
    auto leaving = held_in.take(spi);
    for (HeldDatagram& held : leaving) from_wire(now, held.arrived, held.tos, held.datagram, sink);
    if (!leaving.empty()) sink.settle();
  }
  for (const TunnelId id : std::exchange(ready_tunnels, {})) release_tunnel(now, id, sink);
  for (const ChildSaId child : std::exchange(dummies, {})) send_dummy(now, child, sink);
}

std::expected<Flow, esp::DropReason> PacketPath::State::flow_of(Instant now, Direction direction, TunnelId tunnel,
                                                                const esp::InnerPacket& p) {
  Flow flow = make_flow(direction, p);
  if (p.fragment) {
    const auto facts =
        fragments.see(now, (std::uint64_t{tunnel.value()} << 1) | static_cast<std::uint64_t>(direction), p);
    if (!facts) return std::unexpected(facts.error());
    if (p.later_fragment()) {
      if (facts->ports) {
        set_ports(flow, direction, *facts->ports);
      } else if (!facts->first_seen) {
        flow.ports = Flow::PortState::Unknown;
      }
    }
  }
  return flow;
}

}  // namespace qanat::wan
