// PacketPath::State: the tables behind a PacketPath and the steps of both trips. The steps stand, in packet order, in
// outbound.cpp and inbound.cpp; what commands do to the tables in commands.cpp; timers in packet_path.cpp.
#pragma once

#include <algorithm>
#include <array>
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
#include "wan/flow.hpp"
#include "wan/fragments.hpp"
#include "wan/hold_queue.hpp"
#include "wan/packet_path.hpp"
#include "wan/route_table.hpp"

namespace qanat::wan {

struct Outbound {
  esp::OutboundSa sa;
  std::vector<wire::TrafficSelector> local_ts;
  std::vector<wire::TrafficSelector> remote_ts;
  ipsec::OuterPath path;
  std::uint16_t mtu = 0;  // largest inner packet
  bool switched = false;  // a SwitchOutbound has named it: it carries
  std::optional<Instant> last;
  // Cold: commands and status only.
  ChildSaId child;
  std::uint32_t resource_id = 0;
  CipherSuite suite;
};

struct Inbound {
  esp::InboundSa sa;
  std::vector<wire::TrafficSelector> local_ts;
  std::vector<wire::TrafficSelector> remote_ts;
  ipsec::OuterPath path;
  bool first_told = false;
  std::optional<Instant> last;
  ChildSaId child;
};

struct Totals {
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
};

// What a tunnel has asked IKE for lately, so that a flood asks neither often nor twice for the same.
class Asked {
 public:
  static constexpr Duration kQuiet = 1s;
  // A packet wants an SA that no Acquire of this second was for; and no more than kMany a second.
  [[nodiscard]] bool may_ask(Instant now, const IpAddress& destination) const {
    return !lately(now, destination) && !fresh(now, entries_[next_]);
  }
  // Asked for within this second.
  [[nodiscard]] bool lately(Instant now, const IpAddress& destination) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const auto& entry) { return fresh(now, entry) && entry->destination == destination; });
  }
  [[nodiscard]] bool lately(Instant now) const {
    return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) { return fresh(now, entry); });
  }
  void note(Instant now, const IpAddress& destination) {
    entries_[next_] = {.destination = destination, .at = now};
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
  std::array<std::optional<Entry>, kMany> entries_;  // a ring: at next_ is the oldest
  std::size_t next_ = 0;
};

struct Tunnel {
  ipsec::TunnelPlan plan;
  // Those that carry first, the last that traffic was switched to before the others; then those that wait for it.
  std::vector<std::unique_ptr<Outbound>> outbound;
  esp::DropCounters drops;
  Asked asked;
  std::optional<std::uint16_t> learnt_mtu;  // of the path, below plan.outer_mtu
  Instant learnt_until;
  std::optional<Instant> moved_told;    // the last PeerMoved
  std::optional<std::uint32_t> bucket;  // of its inbound SPIs: one worker reads them all, so order holds
  Totals retired;                       // of SAs that are gone
};

// An inbound SPI that is handed out; reserved until `sa` is there.
struct InboundSlot {
  ipsec::EspSpi spi = 0;  // 0: free
  TunnelId tunnel;
  std::unique_ptr<Inbound> sa;
};

// Where an inner packet on its way into a tunnel came from: there errors about it go.
struct Origin {
  enum class Kind : std::uint8_t { Tun, Tunnel, Ourselves } kind = Kind::Tun;
  VrfId vrf;
  TunnelId tunnel;  // of Kind::Tunnel
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
  void on(Instant now, ipsec::ReadCounters& c);
  void set_local(VrfId vrf, std::span<const Prefix> prefixes);
  [[nodiscard]] Status install(ipsec::InstallInbound& c);
  [[nodiscard]] Status install(ipsec::InstallOutbound& c);
  [[nodiscard]] Status check_direction(const ipsec::SaDirection& sa) const;
  void free_slot(Instant now, InboundSlot& slot);
  void add_routes(const ipsec::TunnelPlan& plan);
  void remove_routes(const ipsec::TunnelPlan& plan);
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

  // inbound.cpp
  void from_wire(Instant now, const ipsec::OuterPath& arrived, std::uint8_t outer_tos, MutableByteView datagram,
                 PacketSink& sink);
  void from_peer(Instant now, Tunnel& tunnel, const Inbound& sa, std::uint8_t outer_tos, MutableByteView payload,
                 std::uint8_t next_header, PacketSink& sink);
  void note_path(Instant now, Tunnel& tunnel, const Inbound& sa, const ipsec::OuterPath& arrived);

  // packet_path.cpp
  void flush(Instant now, PacketSink& sink);
  void release_held(Instant now, PacketSink& sink);
  void drop(Tunnel* tunnel, esp::DropReason reason, std::size_t packets = 1) {
    drops.count(reason, packets);
    if (tunnel != nullptr) tunnel->drops.count(reason, packets);
  }
  [[nodiscard]] Tunnel* find_tunnel(TunnelId id) {
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
  ipsec::SpiTable spis;
  std::vector<InboundSlot> slots;  // by slot of the SPI
  std::unordered_map<TunnelId, std::unique_ptr<Tunnel>> tunnels;
  std::unordered_map<ChildSaId, TunnelId> outbound_of;
  std::unordered_map<ChildSaId, ipsec::EspSpi> inbound_of;
  RouteTable routes;
  std::unordered_map<VrfId, std::vector<Prefix>> local_prefixes;
  FragmentTable fragments;
  HoldQueue<TunnelId, HeldInner> held_out;
  HoldQueue<ipsec::EspSpi, HeldDatagram> held_in;
  // Set free by commands, waiting for a sink.
  std::vector<TunnelId> ready_tunnels;
  std::vector<ipsec::EspSpi> ready_spis;
  std::vector<ChildSaId> dummies;
  Instant ready_since;

  std::set<std::pair<Instant, TunnelId>> learnt_mtus;  // by Tunnel::learnt_until

  esp::DropCounters drops;
  std::uint64_t path_too_big = 0;
  std::deque<ipsec::Event> events;
  Bytes scratch;        // one segment
  Instant icmp_window;  // the second that icmp_sent counts
  std::uint32_t icmp_sent = 0;
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
