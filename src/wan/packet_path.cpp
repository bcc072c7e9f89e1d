#include "wan/packet_path.hpp"

#include <algorithm>

#include "wan/plane_state.hpp"

namespace qanat::wan {

namespace {

constexpr std::size_t kHotHalf = 128;  // octets of an SA

void prefetch_lines(const void* object, std::size_t size) {
  for (std::size_t at = 0; at < size; at += 64) __builtin_prefetch(static_cast<const char*>(object) + at);
}

// The octets of the destination address of what may be an IP packet; empty when it is too short for one.
ByteView raw_destination(ByteView packet) {
  if (packet.size() >= 20 && packet[0] >> 4 == 4) return packet.subspan(16, 4);
  if (packet.size() >= 40 && packet[0] >> 4 == 6) return packet.subspan(24, 16);
  return {};
}

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
      keys(config.expanded_keys),
      spis(config.shard, rng.u32()),
      board(rng_in),
      pings(rng_in),
      fragments(config.fragment_entries),
      held_out(config.hold_packets, config.hold_bytes / 2, config.hold_time),
      held_in(config.hold_packets, config.hold_bytes / 2, config.hold_time),
      to_siblings(config.workers.count > 1 ? config.workers.count : 0),
      scratch(65536) {
  ensure(config.workers.count <= kMaxDataWorkers && config.worker < config.workers.count, "data workers out of range");
  spis.use_buckets(config.worker, config.workers.count);
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

// Packets of many SAs miss the processor's caches at every step: tunnel, SA, key. So the steps of those behind are
// begun while this one is sealed or opened. In a run of one destination (one SPI) everything is at hand already.
template <typename PacketAt>
void PacketPath::State::prefetch_out(VrfId vrf, std::size_t count, const PacketAt& packet, std::size_t at,
                                     Ahead& ahead) {
  const std::size_t later = at + ahead.size() - 1;
  Tunnel*& coming = ahead[later % ahead.size()];
  coming = nullptr;
  if (later < count) {
    const ByteView destination = raw_destination(packet(later));
    if (!destination.empty() && !equal(destination, raw_destination(packet(later - 1)))) {
      const auto route = routes.lookup(vrf, IpAddress::from_bytes(destination));
      coming = route ? find_tunnel(route->hop.tunnel) : nullptr;
      prefetch_lines(coming, coming != nullptr ? sizeof(Tunnel) : 0);
    }
  }
  const auto sa_of = [](const Tunnel* tunnel) {
    return tunnel != nullptr && !tunnel->outbound.empty() ? tunnel->outbound.front().get() : nullptr;
  };
  if (const Outbound* sa = sa_of(ahead[(at + 2) % ahead.size()])) prefetch_lines(sa, kHotHalf);
  if (const Outbound* sa = sa_of(ahead[(at + 1) % ahead.size()])) sa->sa.prefetch_key();
}

void PacketPath::State::prefetch_in(std::span<const MutableByteView> datagrams, std::size_t at) {
  const auto sa_at = [&](std::size_t index) -> const Inbound* {
    if (index >= datagrams.size() || datagrams[index].size() < 4) return nullptr;
    const ByteView spi = datagrams[index].first(4);
    if (datagrams[index - 1].size() >= 4 && equal(spi, datagrams[index - 1].first(4))) return nullptr;
    const InboundSlot* slot = find_slot(load_be32(spi.data()));
    return slot != nullptr ? slot->sa.get() : nullptr;
  };
  if (const Inbound* sa = sa_at(at + 3)) {
    prefetch_lines(sa, kHotHalf);
    if (const Tunnel* tunnel = find_tunnel(slots[ipsec::spi_slot(load_be32(datagrams[at + 3].data()))].tunnel)) {
      prefetch_lines(tunnel, sizeof(Tunnel));
    }
  }
  if (const Inbound* sa = sa_at(at + 1)) sa->sa.prefetch();
}

void PacketPath::handle_tun(Instant now, VrfId vrf, std::span<const ByteView> packets, PacketSink& sink) {
  state_->flush(now, sink);
  State::Ahead ahead{};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    state_->prefetch_out(vrf, packets.size(), [&](std::size_t at) { return packets[at]; }, i, ahead);
    state_->from_tun(now, vrf, packets[i], {}, sink);
  }
}

void PacketPath::handle_tun(Instant now, VrfId vrf, std::span<const esp::OffloadPacket> packets, PacketSink& sink) {
  state_->flush(now, sink);
  State::Ahead ahead{};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    state_->prefetch_out(vrf, packets.size(), [&](std::size_t at) { return ByteView{packets[at].packet}; }, i, ahead);
    const auto& [packet, offload] = packets[i];
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
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    state_->prefetch_in(datagrams, i);
    state_->from_wire(now, arrived, outer_tos, datagrams[i], sink);
  }
}

void PacketPath::handle_outside(Instant now, const IpAddress& local, const IpAddress& remote, ByteView icmp,
                                PacketSink& sink) {
  state_->flush(now, sink);
  state_->from_outside(now, local, remote, icmp, sink);
}

void PacketPath::handle_too_big(Instant now, const OuterTooBig& news) {
  state_->too_big(now, news);
}

void PacketPath::note_too_big_lost(std::uint64_t packets) {
  state_->path_too_big += packets;
}

std::optional<Instant> PacketPath::next_timeout() const {
  const State& s = *state_;
  if (!s.ready_tunnels.empty() || !s.ready_spis.empty() || !s.dummies.empty() || !s.touched.empty() ||
      !s.due_pings.empty())
    return s.ready_since;
  std::optional<Instant> next = s.held_out.next();
  const auto sooner = [&](std::optional<Instant> at) {
    if (at && (!next || *at < *next)) next = at;
  };
  sooner(s.held_in.next());
  if (!s.learnt_mtus.empty()) sooner(s.learnt_mtus.begin()->first);
  sooner(s.board.next_timeout());
  sooner(s.pings.next_timeout());
  sooner(s.captures.next_timeout());
  return next;
}

void PacketPath::handle_timeout(Instant now, PacketSink& sink) {
  state_->flush(now, sink);
  // Only here: answers that waited for us have been seen by now, so that a pause of ours is no loss.
  state_->board.handle_timeout(now);
  while (const auto unanswered = state_->pings.expire(now)) state_->end_ping(*unanswered);
  state_->pump_health(now, sink);
  state_->captures.handle_timeout(now);
}

void PacketPath::State::flush(Instant now, PacketSink& sink) {
  if (!learnt_mtus.empty()) expire_mtus(now);
  if (!touched.empty()) {
    refresh_health(now);
    pump_health(now, sink);
  }
  if (!ready_tunnels.empty() || !ready_spis.empty() || !dummies.empty()) release_held(now, sink);
  for (const ipsec::Ping& ping : std::exchange(due_pings, {})) send_ping(now, ping, sink);
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
