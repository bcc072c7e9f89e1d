// For tests and fuzz targets of the packet path: gateways that are nothing but a PacketPath, a network that carries
// what they send, and Child SAs installed in both.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "esp/packet_test_support.hpp"
#include "esp/seal.hpp"
#include "wan/packet_path.hpp"

namespace qanat::wan::testing {

using namespace esp::testing;  // NOLINT: a test's own words

struct SentEsp {
  ipsec::OuterPath path;
  std::uint8_t tos = 0;
  DfBit df = DfBit::Clear;
  Bytes esp;
};
struct Delivered {
  VrfId vrf;
  Bytes packet;
};

class RecordingSink final : public CopyingSink {
 public:
  void send_esp(const ipsec::OuterPath& path, std::uint8_t tos, DfBit df, ByteView esp) override {
    sent.push_back({path, tos, df, to_bytes(esp)});
  }
  void write_tun(VrfId vrf, ByteView packet) override { delivered.push_back({vrf, to_bytes(packet)}); }
  void send_outside(const IpAddress& local, const IpAddress& remote, ByteView icmp) override {
    outside.push_back({local, remote, to_bytes(icmp)});
  }

  struct Outside {
    IpAddress local;
    IpAddress remote;
    Bytes icmp;
  };

  std::deque<SentEsp> sent;
  std::deque<Delivered> delivered;
  std::deque<Outside> outside;
};

inline Instant at_ms(std::int64_t ms) {
  return Instant::from_ns(ms * 1'000'000);
}

// A tunnel and what lies behind its peer.
struct Plan : ipsec::TunnelPlan {
  std::vector<Prefix> routes;
};
inline Plan plan(TunnelId id, std::vector<std::string_view> routes) {
  Plan p;
  p.tunnel = id;
  p.name = "t" + std::to_string(id.value());
  for (const auto r : routes) p.routes.push_back(net(r));
  return p;
}
inline ipsec::SetRoutes routes_of(const Plan& plan) {
  ipsec::SetRoutes out{.vrf = plan.vrf, .add = {}, .remove = {}};
  for (const Prefix& prefix : plan.routes) out.add.push_back({.prefix = prefix, .tunnel = plan.tunnel});
  return out;
}

// One gateway. `now` is the test's.
class Gateway {
 public:
  explicit Gateway(std::uint64_t seed, PacketPathConfig config = {})
      : rng(seed), path(with_native(std::move(config)), rng) {}

  static PacketPathConfig with_native(PacketPathConfig config) {
    config.capabilities.native_esp = true;
    return config;
  }
  void tun(ByteView packet, VrfId vrf = {}) { path.handle_tun(now, vrf, std::array{packet}, sink); }
  void tun(const Bytes& packet) { tun(ByteView{packet}); }
  // A datagram as it was sent by the peer, seen from this end.
  void wire(const SentEsp& sent) {
    wire(ipsec::OuterPath{.local = sent.path.peer, .peer = sent.path.local, .encapsulation = sent.path.encapsulation},
         sent.tos, sent.esp);
  }
  void wire(const ipsec::OuterPath& arrived, std::uint8_t tos, Bytes datagram) {
    // Exactly as large as the datagram, so that ASan sees a step past its end.
    path.handle_esp(now, arrived, tos, std::array{MutableByteView{datagram}}, sink);
  }
  void timeout() { path.handle_timeout(now, sink); }
  void post(ipsec::Command command) { path.post(now, std::move(command)); }
  // With these routes, and none that it had before.
  void set(const Plan& plan) {
    ipsec::SetRoutes change = routes_of(plan);
    change.remove = std::exchange(routes[plan.tunnel], change.add);
    post(ipsec::SetTunnel{plan});
    post(std::move(change));
  }

  // The next event of a type; others before it are thrown away.
  template <typename Event>
  std::optional<Event> event() {
    while (auto e = path.poll_event()) {
      if (auto* found = std::get_if<Event>(&*e)) return std::move(*found);
    }
    return std::nullopt;
  }
  template <typename Event>
  std::size_t count_events() {
    std::size_t count = 0;
    while (auto e = path.poll_event()) count += std::holds_alternative<Event>(*e) ? 1U : 0U;
    return count;
  }
  [[nodiscard]] std::uint64_t dropped(esp::DropReason reason) const { return path.drops()[reason]; }
  Bytes take_delivered() {
    if (sink.delivered.empty()) return {};
    Bytes packet = std::move(sink.delivered.front().packet);
    sink.delivered.pop_front();
    return packet;
  }
  SentEsp take_sent() {
    if (sink.sent.empty()) return {};
    SentEsp sent = std::move(sink.sent.front());
    sink.sent.pop_front();
    return sent;
  }
  ipsec::EspSpi reserve(TunnelId tunnel) {
    post(ipsec::ReserveSpi{RequestId{1}, tunnel});
    const auto done = event<ipsec::Done>();
    return done && done->status ? done->spi : 0;
  }
  bool install_inbound(ipsec::SaDirection sa) {
    post(ipsec::InstallInbound{RequestId{2}, std::move(sa)});
    const auto done = event<ipsec::Done>();
    return done && done->status.has_value();
  }
  bool install_outbound(ipsec::SaDirection sa) {
    post(ipsec::InstallOutbound{RequestId{3}, std::move(sa)});
    const auto done = event<ipsec::Done>();
    return done && done->status.has_value();
  }

  Instant now = at_ms(1000);
  SeededRng rng;
  PacketPath path;
  RecordingSink sink;
  std::map<TunnelId, std::vector<ipsec::RouteHop>> routes;  // as set
};

// How one Child SA between two gateways looks.
struct Link {
  CipherSuite suite = kGcm256;
  ipsec::Encapsulation encapsulation = ipsec::Encapsulation::Udp;
  std::string a = "192.0.2.1";
  std::string b = "198.51.100.7";
  bool esn = false;
  std::uint32_t window = 1024;
  ipsec::SaLimits limits = {};
  std::uint64_t last_sequence = 0;
  ipsec::KeySafety keys = ipsec::KeySafety::Classical;
  std::vector<wire::TrafficSelector> a_ts = {any4(), any6()};
  std::vector<wire::TrafficSelector> b_ts = {any4(), any6()};

  [[nodiscard]] ipsec::OuterPath path_of_a() const {
    const std::uint16_t port = encapsulation == ipsec::Encapsulation::Udp ? 4500 : 0;
    return {.local = {ip(a), port}, .peer = {ip(b), port}, .encapsulation = encapsulation};
  }
  [[nodiscard]] ipsec::OuterPath path_of_b() const {
    const auto p = path_of_a();
    return {.local = p.peer, .peer = p.local, .encapsulation = encapsulation};
  }
};

struct Keyed {
  ipsec::EspSpi spi_a = 0;  // a's inbound
  ipsec::EspSpi spi_b = 0;
  std::uint64_t seed_ab = 0;  // of the key from a to b
  std::uint64_t seed_ba = 0;
};

inline ipsec::SaDirection half(const Link& link, ChildSaId child, TunnelId tunnel, ipsec::EspSpi spi,
                               std::uint64_t seed) {
  auto sa = direction(link.suite, spi, seed);
  sa.child = child;
  sa.tunnel = tunnel;
  sa.keys = link.keys;
  sa.esn = link.esn;
  sa.replay_window = link.window;
  sa.limits = link.limits;
  sa.last_sequence = link.last_sequence;
  return sa;
}
inline ipsec::SaDirection side(ipsec::SaDirection sa, std::vector<wire::TrafficSelector> local,
                               std::vector<wire::TrafficSelector> remote, const ipsec::OuterPath& path) {
  sa.local_ts = std::move(local);
  sa.remote_ts = std::move(remote);
  sa.path = path;
  return sa;
}

inline ipsec::SaDirection a_in(const Link& l, const Keyed& k, ChildSaId child, TunnelId t) {
  return side(half(l, child, t, k.spi_a, k.seed_ba), l.a_ts, l.b_ts, l.path_of_a());
}
inline ipsec::SaDirection a_out(const Link& l, const Keyed& k, ChildSaId child, TunnelId t) {
  return side(half(l, child, t, k.spi_b, k.seed_ab), l.a_ts, l.b_ts, l.path_of_a());
}
inline ipsec::SaDirection b_in(const Link& l, const Keyed& k, ChildSaId child, TunnelId t) {
  return side(half(l, child, t, k.spi_b, k.seed_ab), l.b_ts, l.a_ts, l.path_of_b());
}
inline ipsec::SaDirection b_out(const Link& l, const Keyed& k, ChildSaId child, TunnelId t) {
  return side(half(l, child, t, k.spi_a, k.seed_ba), l.b_ts, l.a_ts, l.path_of_b());
}

// Reserves SPIs in both and makes up keys.
inline Keyed key_up(Gateway& a, TunnelId ta, Gateway& b, TunnelId tb, std::uint64_t seed) {
  return {.spi_a = a.reserve(ta), .spi_b = b.reserve(tb), .seed_ab = 2 * seed, .seed_ba = 2 * seed + 1};
}
inline Keyed connect(Gateway& a, TunnelId ta, Gateway& b, TunnelId tb, const Link& link, std::uint64_t child = 1) {
  const Keyed k = key_up(a, ta, b, tb, child);
  const ChildSaId id{child};
  bool ok = a.install_inbound(a_in(link, k, id, ta)) && b.install_inbound(b_in(link, k, id, tb)) &&
            a.install_outbound(a_out(link, k, id, ta)) && b.install_outbound(b_out(link, k, id, tb));
  ensure(ok, "test SAs must install");
  a.post(ipsec::SwitchOutbound{ta, id});
  b.post(ipsec::SwitchOutbound{tb, id});
  return k;
}

// Two sites: a serves 10.1/16 and 2001:db8:1::/48, b serves 10.2/16 and 2001:db8:2::/48; interfaces 10.255.0.0/31.
struct TwoSites {
  static constexpr TunnelId kTunnel{7};
  explicit TwoSites(const Link& link_in = {}) : link(link_in), a(1), b(2) {
    auto pa = plan(kTunnel, {"10.2.0.0/16", "2001:db8:2::/48"});
    pa.interface4 = ip("10.255.0.0");
    pa.peer_interface4 = ip("10.255.0.1");
    pa.interface6 = ip("fd00::");
    pa.peer_interface6 = ip("fd00::1");
    auto pb = plan(kTunnel, {"10.1.0.0/16", "2001:db8:1::/48"});
    pb.interface4 = ip("10.255.0.1");
    pb.peer_interface4 = ip("10.255.0.0");
    pb.interface6 = ip("fd00::1");
    pb.peer_interface6 = ip("fd00::");
    plan_a = pa;
    plan_b = pb;
    a.set(pa);
    b.set(pb);
  }
  void up() { keyed = connect(a, kTunnel, b, kTunnel, link); }
  // Carries everything both ways until nothing moves.
  void carry() {
    while (!a.sink.sent.empty() || !b.sink.sent.empty()) {
      while (!a.sink.sent.empty()) b.wire(a.take_sent());
      while (!b.sink.sent.empty()) a.wire(b.take_sent());
    }
  }
  Link link;
  Gateway a;
  Gateway b;
  Keyed keyed;
  Plan plan_a;
  Plan plan_b;
};

// Seals any inner octets to b under the right key, as a hostile but authenticated peer would.
class HostileA {
 public:
  explicit HostileA(TwoSites& net)
      : net_(net), sa_(*esp::OutboundSa::create(a_out(net.link, net.keyed, ChildSaId{1}, TwoSites::kTunnel), keys_)) {}
  void send(ByteView inner, std::uint8_t next_header, std::uint8_t outer_tos = 0) {
    Bytes dst(sa_.layout().sealed_size(inner.size()));
    ensure(sa_.seal(inner, next_header, dst, rng_).has_value(), "a test must seal");
    net_.b.wire(net_.link.path_of_b(), outer_tos, dst);
  }
  void send(const Bytes& inner) { send(inner, (inner[0] >> 4) == 6 ? 41 : 4); }

 private:
  TwoSites& net_;
  esp::KeyCache keys_{1};
  esp::OutboundSa sa_;
  SeededRng rng_{99};
};

inline PacketSpec a_to_b() {
  return {.source = ip("10.1.0.5"), .destination = ip("10.2.0.9")};
}
inline PacketSpec b_to_a() {
  return {.source = ip("10.2.0.9"), .destination = ip("10.1.0.5")};
}
inline PacketSpec a_to_b6() {
  return {.source = ip("2001:db8:1::5"), .destination = ip("2001:db8:2::9")};
}

struct Super {
  Bytes packet;
  esp::Offload offload;
};

// A TCP super-packet from site a to site b, as the kernel leaves it to us.
inline Super tcp_super(std::size_t payload, std::size_t segment, bool v6 = false, bool dont_fragment = true,
                       std::uint8_t flags = 0x18) {
  PacketSpec spec = v6 ? a_to_b6() : a_to_b();
  spec.protocol = esp::kProtocolTcp;
  spec.dont_fragment = dont_fragment;
  ByteWriter t;
  t.u16(spec.source_port);
  t.u16(spec.destination_port);
  t.u32(1);
  t.u32(1);
  t.u16(static_cast<std::uint16_t>(0x5000U | flags));
  t.u16(1000);
  t.u32(0);
  for (std::size_t i = 0; i < payload; ++i) t.u8(static_cast<std::uint8_t>(i * 7));
  Super out;
  out.packet = transport_packet(spec, std::move(t).take());
  const std::uint16_t start = v6 ? 40 : 20;
  out.offload = {.kind = v6 ? esp::Offload::Kind::Tcp6 : esp::Offload::Kind::Tcp4,
                 .needs_checksum = true,
                 .checksum_start = start,
                 .checksum_offset = 16,
                 .header_size = static_cast<std::uint16_t>(start + 20),
                 .segment_size = static_cast<std::uint16_t>(segment)};
  return out;
}

// What arrives of a forwarded packet: the same with one hop less.
inline Bytes one_hop_less(PacketSpec s) {
  s.ttl = static_cast<std::uint8_t>(s.ttl - 1);
  return udp(s);
}

}  // namespace qanat::wan::testing
