// PacketPath::State: the tables behind a PacketPath and the steps of both trips. The steps stand, in packet order, in
// outbound.cpp and inbound.cpp, what both ask about routes, health and policy in path_steering.cpp; what commands do to
// the tables in commands.cpp; timers in packet_path.cpp; what other workers own in handover.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "esp/icmp.hpp"
#include "esp/inner_edit.hpp"
#include "esp/open.hpp"
#include "esp/seal.hpp"
#include "esp/segmenter.hpp"
#include "ipsec/spi_table.hpp"
#include "wan/capture.hpp"
#include "wan/flow.hpp"
#include "wan/fragments.hpp"
#include "wan/health_board.hpp"
#include "wan/hold_queue.hpp"
#include "wan/packet_path.hpp"
#include "wan/ping.hpp"
#include "wan/policy.hpp"
#include "wan/route_table.hpp"
#include "wan/steering.hpp"

namespace qanat::wan {

// A packet touches the first two cache lines of an SA, its slot in the key cache and its expanded key; what commands
// and status need lies behind.
struct alignas(64) Outbound {
  esp::OutboundSa sa;
  ipsec::OuterPath path;
  std::uint16_t mtu = 0;  // largest inner packet
  bool switched = false;  // a SwitchOutbound has named it: it carries
  OpenTo open = OpenTo::None;
  bool sent = false;
  ipsec::KeySafety keys = ipsec::KeySafety::Classical;
  Instant last;  // when, if so
  // Cold.
  std::unique_ptr<const NarrowSelectors> narrow;
  ChildSaId child;
  std::uint32_t resource_id = 0;

  [[nodiscard]] Fit fits(const Flow& flow) const { return wan::fits(open, narrow.get(), flow); }
};
static_assert(offsetof(Outbound, last) + sizeof(Instant) <= 128 && sizeof(Outbound) == 192);

struct alignas(64) Inbound {
  esp::InboundSa sa;
  Instant last;   // when the last packet came, if one did
  Endpoint peer;  // where it is, as far as we know
  ipsec::Encapsulation encapsulation = ipsec::Encapsulation::Udp;
  OpenTo open = OpenTo::None;
  bool received = false;
  // Cold.
  std::unique_ptr<const NarrowSelectors> narrow;
  ChildSaId child;

  [[nodiscard]] Fit fits(const Flow& flow) const { return wan::fits(open, narrow.get(), flow); }
};
static_assert(offsetof(Inbound, received) < 128 && sizeof(Inbound) == 192);

struct Totals {
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
};

// Of one tunnel: most never drop anything.
class TunnelDrops {
 public:
  void count(esp::DropReason reason, std::uint64_t packets) {
    if (counts_ == nullptr) counts_ = std::make_unique<esp::DropCounters>();
    counts_->count(reason, packets);
  }
  [[nodiscard]] auto nonzero() const { return (counts_ != nullptr ? *counts_ : esp::DropCounters{}).nonzero(); }

 private:
  std::unique_ptr<esp::DropCounters> counts_;
};

// What a tunnel has asked IKE for lately, so that a flood asks neither often nor twice for the same.
class Asked {
 public:
  static constexpr Duration kQuiet = 1s;
  // A packet wants an SA that no Acquire of this second was for; and no more than kMany a second.
  [[nodiscard]] bool may_ask(Instant now, const IpAddress& destination) const {
    return entries_ == nullptr || (!lately(now, destination) && !fresh(now, (*entries_)[next_]));
  }
  // Asked for within this second.
  [[nodiscard]] bool lately(Instant now, const IpAddress& destination) const {
    return any([&](const auto& entry) { return fresh(now, entry) && entry->destination == destination; });
  }
  [[nodiscard]] bool lately(Instant now) const {
    return any([&](const auto& entry) { return fresh(now, entry); });
  }
  void note(Instant now, const IpAddress& destination) {
    if (entries_ == nullptr) entries_ = std::make_unique<Entries>();
    (*entries_)[next_] = {.destination = destination, .at = now};
    next_ = (next_ + 1) % kMany;
  }

 private:
  static constexpr std::size_t kMany = 8;
  struct Entry {
    IpAddress destination;
    Instant at;
  };
  [[nodiscard]] static bool fresh(Instant now, const std::optional<Entry>& entry) {
    return entry && now - entry->at < kQuiet;
  }
  using Entries = std::array<std::optional<Entry>, kMany>;
  template <typename Test>
  [[nodiscard]] bool any(const Test& test) const {
    return entries_ != nullptr && std::any_of(entries_->begin(), entries_->end(), test);
  }
  std::unique_ptr<Entries> entries_;  // a ring: at next_ is the oldest. Most tunnels never ask
  std::size_t next_ = 0;
};

struct Tunnel {
  ipsec::TunnelPlan plan;
  // Those that carry first, the last that traffic was switched to before the others; then those that wait for it.
  std::vector<std::unique_ptr<Outbound>> outbound;
  TunnelDrops drops;
  Asked asked;
  std::optional<std::uint16_t> learnt_mtu;  // of the path, below plan.outer_mtu
  Instant learnt_until;
  std::optional<Instant> moved_told;    // the last PeerMoved
  std::optional<Instant> outside_told;  // the last OutsideSelectors
  std::optional<std::uint32_t> bucket;  // of its inbound SPIs: one worker reads them all, so order holds
  Totals retired;                       // of SAs that are gone
  Instant health_since;
};

// An inbound SPI that is handed out; reserved until `sa` is there.
struct InboundSlot {
  ipsec::EspSpi spi = 0;  // 0: free
  TunnelId tunnel;
  std::unique_ptr<Inbound> sa;
};

struct HeldInner {
  Origin origin;
  Bytes packet;
  esp::Offload offload;
  // Once it has been looked at: a fragment is seen only once. An error: it leaves to be dropped.
  std::optional<std::expected<Flow, esp::DropReason>> flow;
  [[nodiscard]] std::size_t size() const { return packet.size(); }
};
struct HeldDatagram {
  ipsec::OuterPath arrived;
  std::uint8_t tos = 0;
  Bytes datagram;
  [[nodiscard]] std::size_t size() const { return datagram.size(); }
};

struct PacketPath::State {
  State(PacketPathConfig config_in, Rng& rng_in);

  // commands.cpp
  void on(Instant now, ipsec::ReserveSpi& c);
  void on(Instant now, ipsec::ReleaseSpi& c);
  void on(Instant now, ipsec::InstallInbound& c);
  void on(Instant now, ipsec::InstallOutbound& c);
  void on(Instant now, ipsec::SwitchOutbound& c);
  void on(Instant now, ipsec::SendDummy& c);
  void on(Instant now, ipsec::RemoveInbound& c);
  void on(Instant now, ipsec::RemoveOutbound& c);
  void on(Instant now, ipsec::UpdatePeer& c);
  void on(Instant now, ipsec::SetTunnel& c);
  void on(Instant now, ipsec::RemoveTunnel& c);
  void on(Instant now, ipsec::SetRoutes& c);
  void on(Instant now, ipsec::SetLocalPrefixes& c);
  void on(Instant now, ipsec::SetPolicy& c);
  void on(Instant now, ipsec::ReadCounters& c);
  void on(Instant now, ipsec::Ping& c);
  void on(Instant now, ipsec::StartCapture& c) { captures.begin(now, std::move(c)); }
  void on(Instant /*now*/, ipsec::StopCapture& c) { captures.stop(c.capture); }
  [[nodiscard]] Status install(ipsec::InstallInbound& c);
  [[nodiscard]] Status install(ipsec::InstallOutbound& c);
  [[nodiscard]] Status check_direction(const ipsec::SaDirection& sa) const;
  void free_slot(Instant now, InboundSlot& slot);
  void add_addresses(const ipsec::TunnelPlan& plan);
  void remove_addresses(const ipsec::TunnelPlan& plan);
  void forget_routes(const ipsec::TunnelPlan& plan);
  void work_out_mtu(const Tunnel& tunnel, Outbound& sa) const;

  // path_mtu.cpp
  void too_big(Instant now, const OuterTooBig& news);
  void forget_mtu(Tunnel& tunnel);
  void expire_mtus(Instant now);

  // outbound.cpp
  // `offload` with a kind: the packet is a super-packet, whose checksums need not be right.
  void from_tun(Instant now, VrfId vrf, ByteView packet, const esp::Offload& offload, PacketSink& sink);
  void into_tunnel(Instant now, const Origin& origin, Tunnel& tunnel, ByteView packet, const esp::Offload& offload,
                   const esp::InnerPacket& p, PacketSink& sink);
  void dispatch(Instant now, const Origin& origin, Tunnel& tunnel, Outbound& sa, ByteView packet,
                const esp::Offload& offload, const esp::InnerPacket& p, PacketSink& sink);
  void transmit(Instant now, const Origin& origin, Tunnel& tunnel, Outbound& sa, ByteView packet, esp::InnerPacket p,
                PacketSink& sink);
  void transmit_segments(Instant now, const Origin& origin, Tunnel& tunnel, Outbound& sa, ByteView packet,
                         const esp::Offload& offload, esp::InnerPacket p, PacketSink& sink);
  [[nodiscard]] MutableByteView room_for(const Outbound& sa, std::size_t inner_size, PacketSink& sink);
  void seal_and_send(Instant now, Tunnel& tunnel, Outbound& sa, MutableByteView room, std::size_t inner_size,
                     std::uint8_t next_header, std::uint8_t tos, DfBit df, PacketSink& sink);
  void send_dummy(Instant now, ChildSaId child, PacketSink& sink);
  void refuse(Instant now, const Origin& origin, Tunnel& tunnel, esp::DropReason reason, esp::IcmpError error,
              ByteView packet, const esp::InnerPacket& p, std::uint16_t mtu, PacketSink& sink);
  void send_back(Instant now, const Origin& origin, ByteView packet, PacketSink& sink);
  void await_selectors(Instant now, const Origin& origin, Tunnel& tunnel, ByteView packet, const esp::Offload& offload,
                       const Flow& flow);
  void release_tunnel(Instant now, TunnelId id, PacketSink& sink);
  void acquire(Instant now, Tunnel& tunnel, const Flow& flow);

  // path_steering.cpp
  struct Way {
    TunnelId tunnel;
    bool hybrid_only = false;
  };
  // Of a route that leads into tunnels, the one that takes this packet; PqRequired.
  [[nodiscard]] std::expected<Way, esp::DropReason> steer(const RouteTable::Match& route,
                                                          const esp::InnerPacket& p) const {
    if (route.hops == nullptr || route.hop.kind != Hop::Kind::Tunnel) return Way{.tunnel = route.hop.tunnel};
    const Choice choice = choose(*route.hops, states, p);
    if (choice.hop == nullptr) return std::unexpected(esp::DropReason::PqRequired);
    return Way{.tunnel = choice.hop->tunnel, .hybrid_only = choice.hybrid_only};
  }
  // What the packet policy says against a packet, which it counts. Only asked where there are rules.
  [[nodiscard]] std::optional<esp::DropReason> judge(Instant now, const PolicyPacket& packet);
  // On its way into a tunnel: what came from another one was judged there, and what we send ourselves passes.
  [[nodiscard]] std::optional<esp::DropReason> judge_out(Instant now, const Origin& origin, const Tunnel& tunnel,
                                                         const Flow& flow, std::size_t size, std::size_t count) {
    if (policy.empty() || origin.kind != Origin::Kind::Tun) return std::nullopt;
    return judge(now, {.vrf = origin.vrf,
                       .from = std::nullopt,
                       .to = tunnel.plan.tunnel,
                       .direction = Direction::Out,
                       .flow = flow,
                       .size = size,
                       .packets = count});
  }
  void note_match(Instant now, const PolicyPacket& packet, std::uint32_t rule);
  // Something has changed about a tunnel: the next packet is steered by it, its health hears of it with the next input.
  void touch(Instant now, Tunnel& tunnel);
  void update_state(const Tunnel& tunnel);
  void refresh_health(Instant now);
  [[nodiscard]] HealthBoard::Plan health_plan(const Tunnel& tunnel) const;
  // Sends the probes that are due, and makes changes of state known.
  void pump_health(Instant now, PacketSink& sink);
  void send_probe(Instant now, const HealthBoard::Probe& probe, PacketSink& sink);
  void send_ping(Instant now, const ipsec::Ping& ping, PacketSink& sink);
  void end_ping(const PingDesk::Ended& ended);
  // A probe of the peer's that wants its answer outside of the tunnel, from outer address to outer address.
  [[nodiscard]] bool answer_outside(Tunnel& tunnel, ByteView packet, const esp::InnerPacket& p, PacketSink& sink);
  // An echo reply that came from outside of all tunnels.
  void from_outside(Instant now, const IpAddress& local, const IpAddress& remote, ByteView icmp, PacketSink& sink);
  // An ICMP packet from a peer: true when it was a probe, or the answer to one of ours.
  [[nodiscard]] bool take_probe(Instant now, Tunnel& tunnel, ByteView packet, const esp::InnerPacket& p,
                                PacketSink& sink);
  [[nodiscard]] ipsec::Health health_of(Instant now, const Tunnel& tunnel) const;

  // inbound.cpp
  void from_wire(Instant now, const ipsec::OuterPath& arrived, std::uint8_t outer_tos, MutableByteView datagram,
                 PacketSink& sink);
  void from_peer(Instant now, Tunnel& tunnel, const Inbound& sa, std::uint8_t outer_tos, MutableByteView payload,
                 std::uint8_t next_header, PacketSink& sink);
  // packet_path.cpp: brings nearer what the packets behind the one at `at` are going to read.
  using Ahead = std::array<Tunnel*, 4>;
  // packet(i): the octets of the i-th of `count`.
  template <typename PacketAt>
  void prefetch_out(VrfId vrf, std::size_t count, const PacketAt& packet, std::size_t at, Ahead& ahead);
  void prefetch_in(std::span<const MutableByteView> datagrams, std::size_t at);
  void note_unknown(Instant now, const ipsec::OuterPath& arrived, ipsec::EspSpi spi);
  void note_path(Instant now, Tunnel& tunnel, const Inbound& sa, const ipsec::OuterPath& arrived);
  void note_outside(Instant now, Tunnel& tunnel, const Inbound& sa, ByteView packet);

  // handover.cpp. Of a tunnel that this worker does not own it has no SA, so the trips come here only where there is
  // none.
  [[nodiscard]] bool owns(TunnelId tunnel) const { return config.workers.owner_of(tunnel) == config.worker; }
  [[nodiscard]] bool owns_spi(ipsec::EspSpi spi) const { return config.workers.worker_of(spi) == config.worker; }
  void hand_over(TunnelId tunnel, const Origin& origin, ByteView packet, const esp::Offload& offload);
  void hand_over(const ipsec::OuterPath& arrived, std::uint8_t tos, ByteView datagram);

  // packet_path.cpp
  void flush(Instant now, PacketSink& sink);
  void release_held(Instant now, PacketSink& sink);
  void drop(Tunnel* tunnel, esp::DropReason reason, std::size_t packets = 1) {
    drops.count(reason, packets);
    if (tunnel != nullptr) tunnel->drops.count(reason, packets);
  }
  // Ids are handed out from 1 on, so nearly all tunnels are found by an array access.
  static constexpr std::uint32_t kNear = 1U << 18;
  [[nodiscard]] Tunnel* find_tunnel(TunnelId id) {
    if (id.value() < near.size()) return near[id.value()];
    if (id.value() < kNear) return nullptr;
    const auto found = tunnels.find(id);
    return found == tunnels.end() ? nullptr : found->second.get();
  }
  [[nodiscard]] InboundSlot* find_slot(ipsec::EspSpi spi) {
    const auto slot = spis.find(spi);
    return slot ? &slots[*slot] : nullptr;
  }
  // The ports of a packet, through the first fragment where it has none; FragmentOverlap.
  [[nodiscard]] std::expected<Flow, esp::DropReason> flow_of(Instant now, Direction direction, TunnelId tunnel,
                                                             const esp::InnerPacket& p);

  PacketPathConfig config;
  Rng& rng;
  esp::KeyCache keys;  // before all SAs
  ipsec::SpiTable spis;
  std::vector<InboundSlot> slots;  // by slot of the SPI
  std::unordered_map<TunnelId, std::unique_ptr<Tunnel>> tunnels;
  std::vector<Tunnel*> near;  // those with ids below kNear, by id
  std::unordered_map<ChildSaId, TunnelId> outbound_of;
  std::unordered_map<ChildSaId, ipsec::EspSpi> inbound_of;
  RouteTable routes;
  std::unordered_map<TunnelId, std::set<Prefix>> routes_of;  // those of SetRoutes
  TunnelStates states;
  HealthBoard board;
  PingDesk pings;
  std::vector<TunnelId> touched;  // their health has not heard of it yet
  PolicyTable policy;
  std::unordered_map<VrfId, std::vector<Prefix>> local_prefixes;
  FragmentTable fragments;
  HoldQueue<TunnelId, HeldInner> held_out;
  HoldQueue<ipsec::EspSpi, HeldDatagram> held_in;
  // Set free by commands, waiting for a sink.
  std::vector<TunnelId> ready_tunnels;
  std::vector<ipsec::EspSpi> ready_spis;
  std::vector<ChildSaId> dummies;
  std::vector<ipsec::Ping> due_pings;
  Instant ready_since;

  std::set<std::pair<Instant, TunnelId>> learnt_mtus;  // by Tunnel::learnt_until

  esp::DropCounters drops;
  std::uint64_t path_too_big = 0;
  std::deque<ipsec::Event> events;
  std::vector<Handover> to_siblings;  // to each worker; none when there is one
  std::uint64_t handed_over = 0;      // packets
  std::deque<TunnelNews> untold;
  CaptureSet captures{events};
  Bytes scratch;        // one segment
  Instant icmp_window;  // the second that icmp_sent counts
  std::uint32_t icmp_sent = 0;
  Instant match_window;  // the second that matches_told counts
  std::uint32_t matches_told = 0;
  std::uint64_t matches_passed_over = 0;
  Instant unknown_window;  // the second that unknown_told counts
  std::uint32_t unknown_told = 0;
};

// True when traffic was switched to at least one of its SAs.
[[nodiscard]] inline bool carries(const Tunnel& tunnel) {
  return !tunnel.outbound.empty() && tunnel.outbound.front()->switched;
}

[[nodiscard]] inline std::uint16_t outer_mtu(const Tunnel& tunnel) {
  return std::min(tunnel.plan.outer_mtu, tunnel.learnt_mtu.value_or(tunnel.plan.outer_mtu));
}

[[nodiscard]] inline std::optional<IpAddress> interface_address(const ipsec::TunnelPlan& plan,
                                                                const IpAddress& family_of) {
  return family_of.is_v6() ? plan.interface6 : plan.interface4;
}

}  // namespace qanat::wan
