// Packets through two and three gateways: every suite and kind of outside, rekey, hold, site to site.
#include <algorithm>

#include <gtest/gtest.h>

#include "esp/overhead.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
using ipsec::Encapsulation;

struct Outside {
  Encapsulation encapsulation;
  bool v6;
  bool esn;
};
class Trips : public ::testing::TestWithParam<std::tuple<CipherSuite, Outside>> {};
INSTANTIATE_TEST_SUITE_P(All, Trips,
                         ::testing::Combine(::testing::ValuesIn(kSuites),
                                            ::testing::Values(Outside{Encapsulation::Udp, false, true},
                                                              Outside{Encapsulation::Native, false, false},
                                                              Outside{Encapsulation::Udp, true, false},
                                                              Outside{Encapsulation::Native, true, true})));

TEST_P(Trips, BothInnerFamiliesBothWays) {
  const auto& [suite, outside] = GetParam();
  Link link{.suite = suite, .encapsulation = outside.encapsulation, .esn = outside.esn};
  if (outside.v6) {
    link.a = "2001:db8:f::1";
    link.b = "2001:db8:e::7";
  }
  TwoSites net(link);
  net.up();
  const std::uint16_t mtu =
      esp::inner_mtu(suite, outside.encapsulation, outside.v6 ? esp::OuterFamily::V6 : esp::OuterFamily::V4, 1500);
  for (std::size_t payload : {std::size_t{0}, std::size_t{1}, std::size_t{700}, std::size_t{mtu} - 48}) {
    for (PacketSpec spec : {a_to_b(), a_to_b6()}) {
      spec.payload = payload;
      net.a.tun(udp(spec));
      ASSERT_EQ(net.a.sink.sent.size(), 1U) << payload;
      const SentEsp sent = net.a.sink.sent.front();
      EXPECT_EQ(sent.path, link.path_of_a());
      EXPECT_LE(sent.esp.size() + (outside.v6 ? 40U : 20U) + (outside.encapsulation == Encapsulation::Udp ? 8U : 0U),
                1500U);
      EXPECT_EQ(load_be32(sent.esp.data()), net.keyed.spi_b);
      net.carry();
      EXPECT_EQ(net.b.take_delivered(), one_hop_less(spec));
      std::swap(spec.source, spec.destination);
      net.b.tun(udp(spec));
      net.carry();
      EXPECT_EQ(net.a.take_delivered(), one_hop_less(spec));
    }
  }
  EXPECT_EQ(net.a.path.drops().total(), 0U);
  EXPECT_EQ(net.b.path.drops().total(), 0U);
}

TEST(Trip, BatchesAndCounters) {
  TwoSites net;
  net.up();
  const Bytes packet = udp(a_to_b());
  std::vector<ByteView> batch(100, ByteView{packet});
  net.a.path.handle_tun(net.a.now, {}, batch, net.a.sink);
  ASSERT_EQ(net.a.sink.sent.size(), 100U);
  std::vector<Bytes> datagrams;
  for (const SentEsp& s : net.a.sink.sent) datagrams.push_back(s.esp);
  std::vector<MutableByteView> views(datagrams.begin(), datagrams.end());
  net.b.path.handle_esp(net.b.now, net.link.path_of_b(), 0, views, net.b.sink);
  EXPECT_EQ(net.b.sink.delivered.size(), 100U);
  EXPECT_EQ(net.b.count_events<ipsec::FirstInbound>(), 1U);

  net.b.wire(net.link.path_of_b(), 0, net.a.sink.sent.front().esp);
  net.b.post(ipsec::ReadCounters{RequestId{9}});
  const auto counters = net.b.event<ipsec::Counters>();
  ASSERT_TRUE(counters);
  EXPECT_EQ(counters->request, RequestId{9});
  ASSERT_EQ(counters->sas.size(), 1U);
  EXPECT_EQ(counters->sas[0].packets_in, 100U);
  EXPECT_EQ(counters->sas[0].bytes_in, 100 * packet.size());
  EXPECT_EQ(counters->sas[0].last_in, net.b.now);
  EXPECT_FALSE(counters->sas[0].last_out);
  ASSERT_EQ(counters->tunnels.size(), 1U);
  EXPECT_EQ(counters->tunnels[0].packets_in, 100U);
  ASSERT_EQ(counters->tunnels[0].drops.size(), 1U);
  EXPECT_EQ(counters->tunnels[0].drops[0], (std::pair<std::string, std::uint64_t>{"replay", 1}));
  EXPECT_EQ(counters->drops, counters->tunnels[0].drops);

  // Totals outlive the SA.
  net.b.post(ipsec::RemoveInbound{ChildSaId{1}});
  net.b.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.b.post(ipsec::ReadCounters{RequestId{10}});
  const auto after = net.b.event<ipsec::Counters>();
  ASSERT_TRUE(after);
  EXPECT_TRUE(after->sas.empty());
  EXPECT_EQ(after->tunnels[0].packets_in, 100U);
}

TEST(Trip, SiteToSiteNeverTouchesTheTun) {
  // a (10.1/16) -- hub -- c (10.3/16)
  constexpr TunnelId kA{1};
  constexpr TunnelId kC{3};
  constexpr TunnelId kHub{9};
  Gateway a(1);
  Gateway hub(2);
  Gateway c(3);
  a.set(plan(kHub, {"10.3.0.0/16"}));
  c.set(plan(kHub, {"10.1.0.0/16"}));
  auto to_a = plan(kA, {"10.1.0.0/16"});
  to_a.interface4 = ip("10.255.1.1");
  to_a.peer_interface4 = ip("10.255.1.0");
  hub.set(to_a);
  hub.set(plan(kC, {"10.3.0.0/16"}));
  const Link ab{.suite = kGcm256, .a = "192.0.2.1", .b = "198.51.100.7"};
  const Link bc{.suite = kCbc256, .a = "198.51.100.7", .b = "203.0.113.9"};
  connect(a, kHub, hub, kA, ab, 1);
  connect(hub, kC, c, kHub, bc, 2);

  PacketSpec s{.source = ip("10.1.0.5"), .destination = ip("10.3.0.9"), .ttl = 33};
  a.tun(udp(s));
  hub.wire(a.take_sent());
  EXPECT_TRUE(hub.sink.delivered.empty());
  ASSERT_EQ(hub.sink.sent.size(), 1U);
  EXPECT_EQ(hub.sink.sent.front().path, bc.path_of_a());
  c.wire(hub.take_sent());
  s.ttl = 31;  // two forwarders
  EXPECT_EQ(c.take_delivered(), udp(s));

  // Used up at the hub: the answer comes back through the tunnel, from the hub's interface.
  s.ttl = 2;
  a.tun(udp(s));
  hub.wire(a.take_sent());
  EXPECT_EQ(hub.dropped(DropReason::TtlExpired), 1U);
  ASSERT_EQ(hub.sink.sent.size(), 1U);
  EXPECT_EQ(hub.sink.sent.front().path, ab.path_of_b());
  // a's own selectors are any, its route to the hub's interface is missing: so is the packet's way past the source
  // check.
  a.wire(hub.take_sent());
  EXPECT_EQ(a.dropped(DropReason::WrongTunnel), 1U);
  auto to_hub = plan(kHub, {"10.3.0.0/16"});
  to_hub.peer_interface4 = ip("10.255.1.1");
  a.set(to_hub);
  a.tun(udp(s));
  hub.wire(a.take_sent());
  a.wire(hub.take_sent());
  const Bytes error = a.take_delivered();
  ASSERT_FALSE(error.empty());
  EXPECT_TRUE(checksums_right(error));
  EXPECT_EQ(esp::parse_inner(error)->source, ip("10.255.1.1"));
  EXPECT_EQ(error[20], 11);
}

TEST(Trip, TheHostDecidesWhereADefaultRouteOrItsOwnNetworkMatches) {
  Gateway hub(1);
  Gateway a(2);
  constexpr TunnelId kA{1};
  constexpr TunnelId kB{2};
  hub.set(plan(kA, {"10.1.0.0/16"}));
  hub.set(plan(kB, {"0.0.0.0/0", "10.0.0.0/8"}));
  a.set(plan(kA, {"0.0.0.0/0"}));
  connect(a, kA, hub, kA, {}, 1);
  hub.path.post(hub.now, ipsec::SetLocalPrefixes{.vrf = {}, .prefixes = {net("10.9.0.0/16")}});
  for (const auto* destination : {"192.0.2.77", "10.9.0.1"}) {
    a.tun(udp({.source = ip("10.1.0.5"), .destination = ip(destination)}));
    hub.wire(a.take_sent());
    EXPECT_FALSE(hub.take_delivered().empty()) << destination;
  }
  // 10.8/16 lies behind b, which is down: held, not given to the host.
  a.tun(udp({.source = ip("10.1.0.5"), .destination = ip("10.8.0.1")}));
  hub.wire(a.take_sent());
  EXPECT_TRUE(hub.sink.delivered.empty());
  EXPECT_EQ(hub.event<ipsec::Acquire>()->tunnel, kB);
  // Nobody speaks as a host of it, though a wider prefix leads there.
  Gateway b(3);
  b.set(plan(kB, {"0.0.0.0/0"}));
  connect(b, kB, hub, kB, {}, 2);
  for (const auto* source : {"10.9.0.1", "10.8.0.1"}) {
    b.tun(udp({.source = ip(source), .destination = ip("192.0.2.77")}));
    hub.wire(b.take_sent());
  }
  EXPECT_FALSE(hub.take_delivered().empty());
  EXPECT_TRUE(hub.sink.delivered.empty());
  EXPECT_EQ(hub.dropped(DropReason::WrongTunnel), 1U);
  // What the host reaches itself does not come out of the TUN again.
  hub.tun(udp({.source = ip("10.1.0.5"), .destination = ip("10.9.0.1")}));
  EXPECT_EQ(hub.dropped(DropReason::NoRoute), 1U);
}

TEST(Trip, VrfsWithTheSamePrefixesStayApart) {
  Gateway g(1);
  Gateway peer1(2);
  Gateway peer2(3);
  auto p1 = plan(TunnelId{1}, {"10.2.0.0/16"});
  auto p2 = plan(TunnelId{2}, {"10.2.0.0/16"});
  p1.vrf = VrfId{1};
  p2.vrf = VrfId{2};
  g.set(p1);
  g.set(p2);
  for (Gateway* peer : {&peer1, &peer2}) peer->set(plan(TunnelId{1}, {"10.1.0.0/16"}));
  const Link l2{.b = "203.0.113.5"};
  connect(g, TunnelId{1}, peer1, TunnelId{1}, {}, 1);
  connect(g, TunnelId{2}, peer2, TunnelId{1}, l2, 2);
  const Bytes packet = udp(a_to_b());
  g.tun(packet, VrfId{2});
  ASSERT_EQ(g.sink.sent.size(), 1U);
  EXPECT_EQ(g.take_sent().path.peer.address, ip("203.0.113.5"));
  g.tun(ByteView{packet}, VrfId{0});
  EXPECT_EQ(g.dropped(DropReason::NoRoute), 1U);
  peer1.tun(udp(b_to_a()));
  g.wire(peer1.take_sent());
  ASSERT_EQ(g.sink.delivered.size(), 1U);
  EXPECT_EQ(g.sink.delivered.front().vrf, VrfId{1});
}

TEST(Rekey, LosesNothingWhateverTheOrder) {
  for (const CipherSuite& suite : {kGcm256, kCbc256}) {
    TwoSites net({.suite = suite});
    constexpr TunnelId kT = TwoSites::kTunnel;
    net.up();
    std::uint16_t number = 0;
    std::vector<std::uint16_t> arrived;
    SeededRng rng(30);
    const auto send = [&](int count) {
      for (int i = 0; i < count; ++i) {
        PacketSpec s = a_to_b();
        s.source_port = ++number;
        net.a.tun(udp(s));
        PacketSpec back = b_to_a();
        back.source_port = number;
        net.b.tun(udp(back));
      }
    };
    // In flight, shuffled within the replay window.
    const auto carry = [&] {
      for (Gateway* g : {&net.a, &net.b}) {
        Gateway& other = g == &net.a ? net.b : net.a;
        auto& sent = g->sink.sent;
        for (std::size_t i = sent.size(); i > 1; --i) std::swap(sent[i - 1], sent[rng.below(i)]);
        while (!sent.empty()) other.wire(g->take_sent());
      }
    };
    send(50);
    carry();
    EXPECT_EQ(net.b.count_events<ipsec::FirstInbound>(), 1U);
    for (std::uint64_t child = 2; child < 40; ++child) {
      const ChildSaId fresh{child};
      const ChildSaId old{child - 1};
      const Keyed k = key_up(net.a, kT, net.b, kT, child);
      EXPECT_EQ(ipsec::spi_bucket(k.spi_a), ipsec::spi_bucket(net.keyed.spi_a));
      // Responder b: inbound before its answer leaves, outbound installed but not used.
      ASSERT_TRUE(net.b.install_inbound(b_in(net.link, k, fresh, kT)));
      ASSERT_TRUE(net.b.install_outbound(b_out(net.link, k, fresh, kT)));
      send(20);
      EXPECT_EQ(load_be32(net.b.sink.sent.back().esp.data()), net.keyed.spi_a);
      if (child % 2 == 0) carry();
      // Initiator a: its pair, then it switches at once and shows it.
      ASSERT_TRUE(net.a.install_inbound(a_in(net.link, k, fresh, kT)));
      ASSERT_TRUE(net.a.install_outbound(a_out(net.link, k, fresh, kT)));
      net.a.post(ipsec::SwitchOutbound{kT, fresh});
      net.a.post(ipsec::SendDummy{fresh});
      ASSERT_TRUE(net.a.path.next_timeout());
      EXPECT_LE(*net.a.path.next_timeout(), net.a.now);
      net.a.timeout();
      EXPECT_FALSE(net.a.path.next_timeout());
      EXPECT_EQ(load_be32(net.a.sink.sent.back().esp.data()), k.spi_b);
      send(20);
      carry();
      const auto first = net.b.event<ipsec::FirstInbound>();
      ASSERT_TRUE(first);
      EXPECT_EQ(first->child, fresh);
      net.b.post(ipsec::SwitchOutbound{kT, fresh});
      send(20);
      // The DELETE exchange: outbound halves go at once, inbound ones later.
      net.a.post(ipsec::RemoveOutbound{old});
      net.b.post(ipsec::RemoveOutbound{old});
      carry();
      net.a.post(ipsec::RemoveInbound{old});
      net.b.post(ipsec::RemoveInbound{old});
      net.keyed = k;
    }
    carry();
    EXPECT_EQ(net.a.sink.delivered.size(), number);
    EXPECT_EQ(net.b.sink.delivered.size(), number);
    EXPECT_EQ(net.b.path.drops().total(), net.b.dropped(DropReason::Dummy));
    EXPECT_EQ(net.b.dropped(DropReason::Dummy), 38U);
    EXPECT_EQ(net.a.path.drops().total(), 0U);
  }
}

TEST(Rekey, AnInstalledSaCarriesOnlyOnceItIsSwitchedTo) {
  TwoSites net({.limits = {.soft_packets = 2, .hard_packets = 3}});
  net.up();
  constexpr TunnelId kT = TwoSites::kTunnel;
  for (int i = 0; i < 3; ++i) net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.sink.sent.size(), 3U);
  EXPECT_TRUE(net.a.event<ipsec::SoftLimit>());
  EXPECT_EQ(net.a.event<ipsec::HardLimit>()->child, ChildSaId{1});
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.dropped(DropReason::HardLimit), 1U);
  EXPECT_EQ(net.a.count_events<ipsec::HardLimit>(), 0U);
  const Keyed k = key_up(net.a, kT, net.b, kT, 2);
  ASSERT_TRUE(net.a.install_outbound(a_out(net.link, k, ChildSaId{2}, kT)));
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.dropped(DropReason::HardLimit), 2U);
  // A dummy is all that it sends; and while nothing carries, packets wait for the switch.
  net.a.post(ipsec::SendDummy{ChildSaId{2}});
  net.a.timeout();
  EXPECT_EQ(load_be32(net.a.sink.sent.back().esp.data()), k.spi_b);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.a.sink.sent.clear();
  net.a.tun(udp(a_to_b()));
  EXPECT_TRUE(net.a.sink.sent.empty());
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 0U);  // one is on its way
  net.a.post(ipsec::SwitchOutbound{kT, ChildSaId{2}});
  net.a.timeout();
  ASSERT_EQ(net.a.sink.sent.size(), 1U);
  EXPECT_EQ(load_be32(net.a.sink.sent.back().esp.data()), k.spi_b);
}

TEST(Hold, PacketsWaitForTheSaAndLeaveInOrder) {
  TwoSites net;
  for (std::uint16_t i = 0; i < 70; ++i) {
    PacketSpec s = a_to_b();
    s.source_port = i;
    net.a.tun(udp(s));
  }
  const auto acquire = net.a.event<ipsec::Acquire>();
  ASSERT_TRUE(acquire);
  EXPECT_EQ(acquire->tunnel, TwoSites::kTunnel);
  EXPECT_EQ(acquire->local, (wire::TrafficSelector{ip("10.1.0.5"), ip("10.1.0.5"), 17, 0, 0}));
  EXPECT_EQ(acquire->remote, (wire::TrafficSelector{ip("10.2.0.9"), ip("10.2.0.9"), 17, 5000, 5000}));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 0U);
  EXPECT_EQ(net.a.dropped(DropReason::HoldFull), 6U);
  EXPECT_EQ(net.a.path.next_timeout(), net.a.now + 1s);
  net.a.now = net.a.now + 900ms;
  net.up();
  EXPECT_LE(*net.a.path.next_timeout(), net.a.now);
  net.a.timeout();
  EXPECT_EQ(net.a.sink.sent.size(), 64U);
  EXPECT_FALSE(net.a.path.next_timeout());
  net.carry();
  for (std::uint16_t i = 0; i < 64; ++i) {
    PacketSpec s = a_to_b();
    s.source_port = i;
    EXPECT_EQ(net.b.take_delivered(), one_hop_less(s));
  }
}

TEST(Hold, OneSecondAndNoLonger) {
  TwoSites net;
  net.a.tun(udp(a_to_b()));
  net.a.now = net.a.now + 999ms;
  net.a.timeout();
  EXPECT_EQ(net.a.dropped(DropReason::HoldTimeout), 0U);
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 1U);
  net.a.now = net.a.now + 1ms;
  net.a.timeout();
  EXPECT_EQ(net.a.dropped(DropReason::HoldTimeout), 1U);
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 1U);  // once a second
  net.a.post(ipsec::RemoveTunnel{TwoSites::kTunnel});
  EXPECT_EQ(net.a.dropped(DropReason::NoOutboundSa), 2U);
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.dropped(DropReason::NoRoute), 1U);
  EXPECT_FALSE(net.a.path.next_timeout());
}

TEST(Hold, DatagramsWaitForTheKeyOfTheirSpi) {
  TwoSites net;
  constexpr TunnelId kT = TwoSites::kTunnel;
  const Keyed k = key_up(net.a, kT, net.b, kT, 1);
  ASSERT_TRUE(net.a.install_outbound(a_out(net.link, k, ChildSaId{1}, kT)));
  net.a.post(ipsec::SwitchOutbound{kT, ChildSaId{1}});
  for (int i = 0; i < 70; ++i) net.a.tun(udp(a_to_b()));
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 0U);
  EXPECT_EQ(net.b.dropped(DropReason::KeyHoldFull), 6U);
  ASSERT_TRUE(net.b.install_inbound(b_in(net.link, k, ChildSaId{1}, kT)));
  net.b.timeout();
  EXPECT_EQ(net.b.sink.delivered.size(), 64U);

  // Never keyed: a second, then counted.
  const Keyed late = key_up(net.a, kT, net.b, kT, 2);
  ASSERT_TRUE(net.a.install_outbound(a_out(net.link, late, ChildSaId{2}, kT)));
  net.a.post(ipsec::SwitchOutbound{kT, ChildSaId{2}});
  net.a.tun(udp(a_to_b()));
  net.carry();
  EXPECT_EQ(net.b.path.next_timeout(), net.b.now + 1s);
  net.b.now = net.b.now + 1s;
  net.b.timeout();
  EXPECT_EQ(net.b.dropped(DropReason::KeyTimeout), 1U);
  // Given back: dropped at once.
  net.a.tun(udp(a_to_b()));
  net.carry();
  net.b.post(ipsec::ReleaseSpi{late.spi_b});
  EXPECT_EQ(net.b.dropped(DropReason::NoSa), 1U);
  net.a.tun(udp(a_to_b()));
  net.carry();
  EXPECT_EQ(net.b.dropped(DropReason::NoSa), 2U);
}

}  // namespace
}  // namespace qanat::wan
