// A tunnel with several Child SAs: packets that none of them fits, moved peers, counters.
#include <gtest/gtest.h>

#include "esp/overhead.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
constexpr TunnelId kT = TwoSites::kTunnel;

Bytes to_host(unsigned host, std::uint16_t source_port = 4000) {
  PacketSpec s = a_to_b();
  s.destination = IpAddress::v4(0x0a020000U + host);
  s.source_port = source_port;
  return udp(s);
}

// A Child SA for one host of b.
Link only_host(unsigned host) {
  Link link;
  link.b_ts = {{.first = IpAddress::v4(0x0a020000U + host), .last = IpAddress::v4(0x0a020000U + host)}};
  return link;
}

// Far more tunnels than keys that are kept expanded, in batches in which every packet is another tunnel's.
TEST(ManyTunnels, AllCarryWhenOnlyAFewKeysAreExpanded) {
  constexpr std::uint32_t kTunnels = 40;
  PacketPathConfig config;
  config.expanded_keys = 3;
  Gateway a(1, config);
  Gateway b(2, config);
  const auto network = [](const char* first, std::uint32_t i) { return first + std::to_string(i) + ".0.0/16"; };
  for (std::uint32_t i = 1; i <= kTunnels; ++i) {
    a.set(plan(TunnelId{i}, {network("11.", i)}));
    b.set(plan(TunnelId{i}, {network("10.", i)}));
    connect(a, TunnelId{i}, b, TunnelId{i}, Link{.suite = i % 3 == 0 ? kChaCha : kGcm256}, i);
  }
  SeededRng rng(4);
  std::map<std::uint32_t, std::uint64_t> sent;
  for (int round = 0; round < 30; ++round) {
    std::vector<Bytes> packets;
    for (int n = 0; n < 20; ++n) {
      const auto i = static_cast<std::uint32_t>(1 + rng.below(kTunnels));
      PacketSpec s = a_to_b();
      s.source = IpAddress::v4((10U << 24) | (i << 16) | 5);
      s.destination = IpAddress::v4((11U << 24) | (i << 16) | 9);
      packets.push_back(udp(s));
      ++sent[i];
    }
    const std::vector<ByteView> views(packets.begin(), packets.end());
    a.path.handle_tun(a.now, VrfId{}, views, a.sink);
    std::vector<Bytes> datagrams;
    while (!a.sink.sent.empty()) datagrams.push_back(a.take_sent().esp);
    ASSERT_EQ(datagrams.size(), packets.size());
    std::vector<Bytes> with_strangers = datagrams;
    with_strangers.insert(with_strangers.begin() + 5, Bytes(3, 1));      // too short
    with_strangers.insert(with_strangers.begin() + 9, Bytes(64, 0x77));  // no SA
    const std::vector<MutableByteView> arriving(with_strangers.begin(), with_strangers.end());
    b.path.handle_esp(b.now, Link{}.path_of_b(), 0, arriving, b.sink);
    ASSERT_EQ(b.sink.delivered.size(), packets.size());
    b.sink.delivered.clear();
    // The same again: nothing but replays.
    const std::vector<MutableByteView> again(datagrams.begin(), datagrams.end());
    b.path.handle_esp(b.now, Link{}.path_of_b(), 0, again, b.sink);
    ASSERT_TRUE(b.sink.delivered.empty());
  }
  EXPECT_EQ(b.dropped(DropReason::TooShort), 30U);
  EXPECT_EQ(b.dropped(DropReason::NoSa), 30U);
  EXPECT_EQ(b.dropped(DropReason::Replay), 600U);
  b.post(ipsec::ReadCounters{RequestId{1}});
  const auto counters = b.event<ipsec::Counters>();
  ASSERT_TRUE(counters);
  ASSERT_EQ(counters->sas.size(), kTunnels);
  for (const ipsec::SaCounters& sa : counters->sas) {
    EXPECT_EQ(sa.packets_in, sent[static_cast<std::uint32_t>(sa.child.value())]);
  }
}

TEST(Acquire, IsAskedOncePerDestinationAndEightTimesASecond) {
  TwoSites net(only_host(1));
  net.up();
  for (int round = 0; round < 3; ++round) {
    for (unsigned host = 2; host < 40; ++host) net.a.tun(to_host(host));
  }
  std::vector<IpAddress> asked;
  while (const auto acquire = net.a.event<ipsec::Acquire>()) {
    EXPECT_EQ(acquire->tunnel, kT);
    EXPECT_EQ(acquire->local.first, ip("10.1.0.5"));
    EXPECT_EQ(acquire->remote.first, acquire->remote.last);
    EXPECT_EQ(acquire->remote.protocol, 17);
    EXPECT_EQ(acquire->remote.port_first, 5000);
    asked.push_back(acquire->remote.first);
  }
  ASSERT_EQ(asked.size(), 8U);
  for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(asked[i], IpAddress::v4(0x0a020000U + 2 + i));
  // Only what was asked for waits.
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 3U * 30);
  net.a.now = net.a.now + 999ms;
  net.a.tun(to_host(2));
  net.a.tun(to_host(30));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 0U);
  net.a.now = net.a.now + 1ms;
  net.a.tun(to_host(30));
  net.a.tun(to_host(2));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 2U);
  net.a.now = net.a.now + 1s;
  net.a.timeout();
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 3U * 38 + 4);
  EXPECT_EQ(net.a.path.drops().total(), net.a.dropped(DropReason::TsMismatch));
  EXPECT_FALSE(net.a.path.next_timeout());
}

TEST(Acquire, WhatWaitsLeavesInOrderWhenAnSaThatFitsIsSwitchedTo) {
  TwoSites net(only_host(1));
  net.up();
  for (std::uint16_t i = 0; i < 40; ++i) {
    net.a.tun(to_host(2, i));
    net.a.tun(to_host(3, i));
  }
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 16U);  // 64 wait
  net.a.now = net.b.now = net.a.now + 400ms;
  connect(net.a, kT, net.b, kT, only_host(9), 9);  // not what they wait for
  net.a.timeout();
  EXPECT_TRUE(net.a.sink.sent.empty());
  const Keyed k = key_up(net.a, kT, net.b, kT, 2);
  const Link to_2 = only_host(2);
  ASSERT_TRUE(net.b.install_inbound(b_in(to_2, k, ChildSaId{2}, kT)));
  ASSERT_TRUE(net.a.install_outbound(a_out(to_2, k, ChildSaId{2}, kT)));
  net.a.timeout();
  EXPECT_TRUE(net.a.sink.sent.empty());  // installed is not enough
  net.a.post(ipsec::SwitchOutbound{kT, ChildSaId{2}});
  EXPECT_LE(*net.a.path.next_timeout(), net.a.now);
  net.a.tun(to_host(2, 99));  // behind those that wait
  net.carry();
  ASSERT_EQ(net.b.sink.delivered.size(), 33U);
  for (std::uint16_t i = 0; i < 33; ++i) {
    const Bytes packet = net.b.take_delivered();
    EXPECT_EQ(load_be16(&packet[20]), i == 32 ? 99 : i);
  }
  // The others wait on, no longer than they would have.
  EXPECT_EQ(net.a.path.next_timeout(), net.a.now + 600ms);
  net.a.now = net.a.now + 600ms;
  net.a.timeout();
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 48U);
  EXPECT_FALSE(net.a.path.next_timeout());
}

TEST(Acquire, IsNotToldForWhatIsOnItsWay) {
  TwoSites net(only_host(1));
  net.up();
  const Keyed k = key_up(net.a, kT, net.b, kT, 2);
  ASSERT_TRUE(net.b.install_inbound(b_in(only_host(2), k, ChildSaId{2}, kT)));
  ASSERT_TRUE(net.a.install_outbound(a_out(only_host(2), k, ChildSaId{2}, kT)));
  net.a.tun(to_host(2));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 0U);
  EXPECT_EQ(net.a.path.drops().total(), 0U);
  net.a.post(ipsec::SwitchOutbound{kT, ChildSaId{2}});
  net.a.timeout();
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 1U);
}

TEST(Acquire, PacketsThatWaitedForAnySaAskAgainWhenItDoesNotFitThem) {
  TwoSites net(only_host(1));
  net.a.tun(to_host(1));
  net.a.tun(to_host(2));
  EXPECT_EQ(net.a.count_events<ipsec::Acquire>(), 1U);
  net.a.now = net.b.now = net.a.now + 300ms;
  net.up();
  net.a.timeout();
  EXPECT_EQ(net.a.event<ipsec::Acquire>()->remote.first, ip("10.2.0.2"));
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 1U);
  net.a.now = net.b.now = net.a.now + 300ms;
  connect(net.a, kT, net.b, kT, only_host(2), 2);
  net.a.timeout();
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 2U);
  EXPECT_EQ(net.a.path.drops().total(), 0U);
}

TEST(Acquire, FragmentsThatWaitAreSeenOnce) {
  TwoSites net(only_host(1));
  net.up();
  PacketSpec s = a_to_b();
  s.destination = ip("10.2.0.2");
  s.payload = 1592;
  const Bytes whole = udp(s);
  const auto fragment = [&](std::uint16_t from, std::uint16_t to) {
    Bytes packet(whole.begin(), whole.begin() + 20);
    packet.insert(packet.end(), whole.begin() + 20 + from, whole.begin() + 20 + to);
    store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
    store_be16(&packet[6], static_cast<std::uint16_t>((to < 1600 ? 0x2000U : 0U) | (from / 8U)));
    store_be16(&packet[10], 0);
    store_be16(&packet[10], esp::checksum(ByteView{packet}.first(20)));
    return packet;
  };
  net.a.tun(fragment(0, 800));
  net.a.tun(fragment(800, 1600));
  Link to_2 = only_host(2);
  to_2.b_ts[0].protocol = 17;
  to_2.b_ts[0].port_first = to_2.b_ts[0].port_last = 5000;
  connect(net.a, kT, net.b, kT, to_2, 2);
  net.a.timeout();
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 2U);
  EXPECT_EQ(net.a.path.drops().total(), 0U);
}

TEST(Peer, MovesEverySaOfTheTunnelAtOnce) {
  TwoSites net(only_host(1));
  net.up();
  for (unsigned host = 2; host < 6; ++host) connect(net.a, kT, net.b, kT, only_host(host), host);
  const Keyed waiting = key_up(net.a, kT, net.b, kT, 6);
  ASSERT_TRUE(net.a.install_outbound(a_out(only_host(6), waiting, ChildSaId{6}, kT)));
  const ipsec::OuterPath paths[] = {
      {{ip("2001:db8:f::1"), 0}, {ip("2001:db8:e::7"), 0}, ipsec::Encapsulation::Native},
      {{ip("192.0.2.1"), 4500}, {ip("203.0.113.80"), 40000}, ipsec::Encapsulation::Udp},
      {{ip("192.0.2.1"), 0}, {ip("203.0.113.80"), 0}, ipsec::Encapsulation::Native},
      {{ip("2001:db8:f::1"), 4500}, {ip("2001:db8:e::7"), 4501}, ipsec::Encapsulation::Udp},
  };
  for (const ipsec::OuterPath& path : paths) {
    net.a.post(ipsec::UpdatePeer{kT, path});
    for (unsigned host = 1; host < 6; ++host) net.a.tun(to_host(host));
    net.a.post(ipsec::SendDummy{ChildSaId{6}});
    net.a.timeout();
    ASSERT_EQ(net.a.sink.sent.size(), 6U);
    while (!net.a.sink.sent.empty()) EXPECT_EQ(net.a.take_sent().path, path);
    net.a.post(ipsec::ReadCounters{RequestId{1}});
    const auto counters = net.a.event<ipsec::Counters>();
    ASSERT_EQ(counters->sas.size(), 6U);
    const auto mtu = esp::inner_mtu(kGcm256, path.encapsulation, esp::outer_family(path), 1500);
    for (const ipsec::SaCounters& sa : counters->sas) EXPECT_EQ(sa.inner_mtu, mtu);
    // Packets of every SA from there are no news.
    for (unsigned host = 1; host < 6; ++host) {
      PacketSpec s = b_to_a();
      s.source = IpAddress::v4(0x0a020000U + host);
      net.b.tun(udp(s));
      net.a.wire(path, 0, net.b.take_sent().esp);
    }
    EXPECT_EQ(net.a.sink.delivered.size(), 5U);
    net.a.sink.delivered.clear();
    EXPECT_EQ(net.a.count_events<ipsec::PeerMoved>(), 0U);
  }
}

TEST(Peer, WhoRewritesEverySourceMovesItOnceASecond) {
  TwoSites net;
  net.up();
  const auto arrive_from = [&](std::uint16_t port) {
    net.a.tun(udp(a_to_b()));
    auto path = net.link.path_of_b();
    path.peer.port = port;
    net.b.wire(path, 0, net.a.take_sent().esp);
    return path;
  };
  std::size_t told = 0;
  for (std::uint16_t i = 0; i < 1000; ++i) {
    const auto path = arrive_from(static_cast<std::uint16_t>(10'000 + i));
    if (const auto moved = net.b.event<ipsec::PeerMoved>()) {
      ++told;
      EXPECT_EQ(moved->from, path.peer);
      net.b.post(ipsec::UpdatePeer{kT, path});
    }
    net.b.now = net.b.now + 10ms;
  }
  EXPECT_EQ(told, 10U);
  EXPECT_EQ(net.b.sink.delivered.size(), 1000U);
  // What was not answered is told again.
  net.b.now = net.b.now + 1s;
  for (int i = 0; i < 3; ++i) {
    arrive_from(20'000);
    arrive_from(20'000);
    EXPECT_EQ(net.b.count_events<ipsec::PeerMoved>(), 1U);
    net.b.now = net.b.now + 1s;
  }
}

TEST(Counters, OfManySasAreEachOnesOwn) {
  TwoSites net(only_host(1));
  net.up();
  for (unsigned host = 2; host < 20; ++host) connect(net.a, kT, net.b, kT, only_host(host), host);
  for (unsigned host = 1; host < 20; ++host) {
    for (unsigned i = 0; i < host; ++i) net.a.tun(to_host(host));
  }
  net.carry();
  net.a.post(ipsec::ReadCounters{RequestId{1}});
  net.b.post(ipsec::ReadCounters{RequestId{1}});
  const auto a = net.a.event<ipsec::Counters>();
  const auto b = net.b.event<ipsec::Counters>();
  ASSERT_EQ(a->sas.size(), 19U);
  ASSERT_EQ(b->sas.size(), 19U);
  const std::size_t size = to_host(1).size();
  for (std::size_t i = 0; i < 19; ++i) {
    EXPECT_EQ(a->sas[i].child, ChildSaId{i + 1});
    EXPECT_EQ(a->sas[i].packets_out, i + 1);
    EXPECT_EQ(a->sas[i].bytes_out, (i + 1) * size);
    EXPECT_EQ(a->sas[i].packets_in, 0U);
    EXPECT_EQ(b->sas[i].packets_in, i + 1);
    EXPECT_EQ(b->sas[i].bytes_in, (i + 1) * size);
  }
  EXPECT_EQ(b->tunnels[0].packets_in, 190U);
  // One that is gone stays in the tunnel's sum only; a half that is left stays.
  net.b.post(ipsec::RemoveOutbound{ChildSaId{19}});
  net.b.post(ipsec::RemoveInbound{ChildSaId{18}});
  net.b.post(ipsec::RemoveOutbound{ChildSaId{18}});
  net.b.post(ipsec::ReadCounters{RequestId{2}});
  const auto after = net.b.event<ipsec::Counters>();
  ASSERT_EQ(after->sas.size(), 18U);
  EXPECT_EQ(after->sas.back().child, ChildSaId{19});
  EXPECT_EQ(after->sas.back().packets_in, 19U);
  EXPECT_EQ(after->sas.back().inner_mtu, 0U);
  EXPECT_EQ(after->tunnels[0].packets_in, 190U);
}

}  // namespace
}  // namespace qanat::wan
