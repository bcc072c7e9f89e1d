// What the packet path refuses or answers on the way in, selectors both ways, moved peers, and commands.
#include <gtest/gtest.h>

#include "esp/ecn.hpp"
#include "ipsec/selectors.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
constexpr TunnelId kT = TwoSites::kTunnel;

TEST(Inbound, InjectedSources) {
  TwoSites net;
  net.b.set(plan(TunnelId{8}, {"10.7.0.0/16"}));
  net.up();
  HostileA a(net);
  for (const auto* source : {"10.7.0.1", "10.2.0.1", "192.0.2.66", "10.255.0.1", "0.0.0.0", "127.0.0.1"}) {
    a.send(udp({.source = ip(source), .destination = ip("10.2.0.9")}));
  }
  a.send(udp({.source = ip("2001:db8:7::1"), .destination = ip("2001:db8:2::9")}));
  EXPECT_EQ(net.b.dropped(DropReason::WrongTunnel), 7U);
  EXPECT_TRUE(net.b.sink.delivered.empty());
  a.send(udp({.source = ip("10.255.0.0"), .destination = ip("10.2.0.9")}));  // its interface
  a.send(udp({.source = ip("10.1.255.255"), .destination = ip("10.2.0.9")}));
  EXPECT_EQ(net.b.sink.delivered.size(), 2U);

  auto off = net.plan_b;
  off.source_check = false;
  net.b.set(off);
  a.send(udp({.source = ip("192.0.2.66"), .destination = ip("10.2.0.9")}));
  EXPECT_EQ(net.b.sink.delivered.size(), 3U);
  off.source_check = true;
  off.routes.push_back(testing::net("0.0.0.0/0"));  // default routes count
  net.b.set(off);
  a.send(udp({.source = ip("192.0.2.66"), .destination = ip("10.2.0.9")}));
  EXPECT_EQ(net.b.sink.delivered.size(), 4U);
}

TEST(Inbound, PayloadsThatLie) {
  TwoSites net;
  net.up();
  HostileA a(net);
  const Bytes good = udp(a_to_b());
  a.send(good, 41);
  a.send(udp(a_to_b6()), 4);
  EXPECT_EQ(net.b.dropped(DropReason::NotIp), 2U);
  a.send({}, 4);
  EXPECT_EQ(net.b.dropped(DropReason::NotIp), 3U);
  a.send(good, 59);
  EXPECT_EQ(net.b.dropped(DropReason::Dummy), 1U);
  a.send(good, 6);
  EXPECT_EQ(net.b.dropped(DropReason::NextHeader), 1U);
  Bytes longer = good;
  store_be16(&longer[2], static_cast<std::uint16_t>(good.size() + 1));
  a.send(longer);
  EXPECT_EQ(net.b.dropped(DropReason::BadInnerLength), 1U);
  EXPECT_TRUE(net.b.sink.delivered.empty());
  // TFC padding is trimmed.
  Bytes padded = good;
  append(padded, Bytes(500, 0xee));
  a.send(padded);
  EXPECT_EQ(net.b.take_delivered(), good);
}

TEST(Inbound, ThingsThatAreNotEsp) {
  TwoSites net;
  net.up();
  const auto path = net.link.path_of_b();
  net.b.wire(path, 0, {0xff});
  net.b.wire(path, 0, Bytes(40, 0));
  EXPECT_EQ(net.b.dropped(DropReason::NotEsp), 2U);
  for (std::size_t size = 0; size < 8; ++size) net.b.wire(path, 0, Bytes(size, 1));
  EXPECT_EQ(net.b.dropped(DropReason::TooShort), 8U);
  for (std::uint32_t spi = 1; spi < 256; ++spi) {
    Bytes d(64, 0);
    store_be32(d.data(), spi);
    net.b.wire(path, 0, d);
  }
  EXPECT_EQ(net.b.dropped(DropReason::NoSa), 255U);
  Bytes other(64, 0);
  store_be32(other.data(), net.keyed.spi_b ^ (1U << 27));  // another generation of the slot
  net.b.wire(path, 0, other);
  EXPECT_EQ(net.b.dropped(DropReason::NoSa), 256U);
}

TEST(Inbound, EcnTable) {
  for (unsigned inner = 0; inner < 4; ++inner) {
    for (unsigned outer = 0; outer < 4; ++outer) {
      TwoSites net;
      net.up();
      PacketSpec s = a_to_b();
      s.tos = static_cast<std::uint8_t>(0xb8 | inner);
      HostileA a(net);
      a.send(udp(s), 4, static_cast<std::uint8_t>(0x40 | outer));
      const auto expected = esp::decapsulated_ecn(static_cast<esp::Ecn>(inner), static_cast<esp::Ecn>(outer));
      if (!expected) {
        EXPECT_EQ(net.b.dropped(DropReason::EcnCe), 1U);
        continue;
      }
      s.tos = static_cast<std::uint8_t>(0xb8 | static_cast<unsigned>(*expected));  // the outer DSCP stays outside
      EXPECT_EQ(net.b.take_delivered(), udp(s));
    }
  }
}

TEST(Inbound, EchoToOurInterfaceIsAnsweredThroughTheTunnel) {
  TwoSites net;
  net.up();
  net.a.tun(echo_request(ip("10.1.0.5"), ip("10.255.0.1"), 7));
  net.a.tun(echo_request(ip("2001:db8:1::5"), ip("fd00::1"), 7));
  net.carry();
  EXPECT_EQ(net.b.dropped(DropReason::Answered), 2U);
  EXPECT_TRUE(net.b.sink.delivered.empty());
  for (int i = 0; i < 2; ++i) {
    const Bytes reply = net.a.take_delivered();
    ASSERT_FALSE(reply.empty());
    EXPECT_TRUE(checksums_right(reply));
    EXPECT_EQ(esp::parse_inner(reply)->ttl, 64);  // made here: nothing was forwarded yet
  }
  // The host asks its own side's interface.
  net.a.tun(echo_request(ip("10.1.0.5"), ip("10.255.0.0"), 8));
  EXPECT_TRUE(checksums_right(net.a.take_delivered()));
  net.a.tun(udp({.source = ip("10.1.0.5"), .destination = ip("10.255.0.1")}));
  net.carry();
  EXPECT_EQ(net.b.dropped(DropReason::LocalAddress), 1U);
}

TEST(Inbound, MovedPeersAreToldOnceAndOnlyByNewAuthenticatedPackets) {
  TwoSites net;
  net.up();
  auto moved = net.link.path_of_b();
  moved.peer = {ip("192.0.2.200"), 61000};
  std::vector<Bytes> sent;
  for (int i = 0; i < 6; ++i) {
    net.a.tun(udp(a_to_b()));
    sent.push_back(net.a.take_sent().esp);
  }
  Bytes forged = sent[0];
  forged.back() ^= 1;
  net.b.wire(moved, 0, forged);
  EXPECT_FALSE(net.b.event<ipsec::PeerMoved>());
  net.b.wire(net.link.path_of_b(), 0, sent[1]);
  net.b.wire(moved, 0, sent[0]);  // late, and so no news
  EXPECT_FALSE(net.b.event<ipsec::PeerMoved>());
  net.b.wire(moved, 0, sent[2]);
  net.b.wire(moved, 0, sent[3]);
  const auto event = net.b.event<ipsec::PeerMoved>();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->from, moved.peer);
  EXPECT_FALSE(net.b.event<ipsec::PeerMoved>());
  auto native = moved;
  native.encapsulation = ipsec::Encapsulation::Native;
  native.peer.port = 0;
  net.b.wire(native, 0, sent[4]);
  EXPECT_FALSE(net.b.event<ipsec::PeerMoved>());
  net.b.post(ipsec::UpdatePeer{kT, moved});
  net.b.wire(moved, 0, sent[5]);
  EXPECT_FALSE(net.b.event<ipsec::PeerMoved>());
  net.b.tun(udp(b_to_a()));
  EXPECT_EQ(net.b.take_sent().path, moved);
}

TEST(Inbound, WithoutAReplayWindowNobodyMoves) {
  TwoSites net({.window = 0});
  net.up();
  auto moved = net.link.path_of_b();
  moved.peer.port = 1;
  net.a.tun(udp(a_to_b()));
  const Bytes d = net.a.take_sent().esp;
  net.b.wire(moved, 0, d);
  net.b.wire(moved, 0, d);
  EXPECT_EQ(net.b.sink.delivered.size(), 2U);
  EXPECT_FALSE(net.b.event<ipsec::PeerMoved>());
}

TEST(Selectors, OutsideThemNothingPasses) {
  TwoSites net;
  const auto range = [](const char* first, const char* last, std::uint8_t protocol = 0, std::uint16_t port = 0) {
    wire::TrafficSelector ts{.first = ip(first), .last = ip(last), .protocol = protocol};
    if (port != 0) ts.port_first = ts.port_last = port;
    return ts;
  };
  net.link.a_ts = {range("10.1.0.0", "10.1.0.255")};
  net.link.b_ts = {range("10.2.0.0", "10.2.255.255", 17, 5000)};
  net.up();
  net.a.tun(udp(a_to_b()));
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 1U);
  PacketSpec bad = a_to_b();
  bad.source = ip("10.1.1.0");
  net.a.tun(udp(bad));
  const auto acquire = net.a.event<ipsec::Acquire>();
  ASSERT_TRUE(acquire);
  EXPECT_EQ(acquire->local.first, bad.source);
  bad = a_to_b();
  bad.destination_port = 5001;
  net.a.tun(udp(bad));  // the same destination
  EXPECT_FALSE(net.a.event<ipsec::Acquire>());
  net.a.tun(udp(a_to_b6()));
  EXPECT_TRUE(net.a.event<ipsec::Acquire>());
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 0U);
  net.a.now = net.a.now + 1s;
  net.a.timeout();
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 3U);
  EXPECT_EQ(net.a.dropped(DropReason::HoldTimeout), 0U);
  net.a.tun(udp(bad));
  EXPECT_TRUE(net.a.event<ipsec::Acquire>());

  HostileA a(net);
  a.send(udp(a_to_b6()));  // its number 1 is used up
  a.send(udp(a_to_b6()));
  a.send(udp(bad));
  EXPECT_EQ(net.b.dropped(DropReason::Replay), 1U);
  EXPECT_EQ(net.b.dropped(DropReason::TsMismatch), 2U);
  const auto outside = net.b.event<ipsec::OutsideSelectors>();
  ASSERT_TRUE(outside);
  EXPECT_EQ(outside->child, ChildSaId{1});
  EXPECT_EQ(outside->packet, to_bytes(ByteView{udp(a_to_b6())}.first(outside->packet.size())));

  // Another SA of the tunnel that fits is used.
  Link second = net.link;
  second.b_ts = {range("10.2.0.0", "10.2.255.255", 17, 5001)};
  connect(net.a, kT, net.b, kT, second, 2);
  for (int i = 0; i < 2; ++i) net.a.post(ipsec::SendDummy{ChildSaId{1}});  // and so are 2 and 3
  net.a.tun(udp(bad));                                                     // behind the one that waited for it
  net.a.tun(udp(a_to_b()));
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 4U);
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 3U);
}

TEST(Selectors, APeerThatIgnoresThemCannotFloodTheControlThread) {
  TwoSites net;
  net.link.b_ts = {ipsec::selector_of(testing::net("10.2.0.0/24"))};
  net.up();
  HostileA a(net);
  PacketSpec bad = a_to_b();
  bad.destination = ip("10.2.1.1");
  bad.payload = 1000;
  for (int second = 0; second < 3; ++second) {
    for (int i = 0; i < 1000; ++i) a.send(udp(bad));
    std::vector<ipsec::OutsideSelectors> told;
    while (auto event = net.b.event<ipsec::OutsideSelectors>()) told.push_back(std::move(*event));
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].packet, to_bytes(ByteView{udp(bad)}.first(128)));
    net.b.now = net.b.now + 1s;
  }
  EXPECT_EQ(net.b.dropped(DropReason::TsMismatch), 3000U);
  // Nobody who does not have the keys causes one, nor does a packet that is dropped for another reason.
  Bytes forged(200, 0x45);
  store_be32(forged.data(), net.keyed.spi_b);
  net.b.wire(net.link.path_of_b(), 0, forged);
  bad.source = ip("192.0.2.66");
  bad.destination = ip("10.2.0.9");
  a.send(udp(bad));
  EXPECT_EQ(net.b.dropped(DropReason::WrongTunnel), 1U);
  EXPECT_EQ(net.b.count_events<ipsec::OutsideSelectors>(), 0U);
}

TEST(Selectors, FragmentsFollowTheirFirst) {
  TwoSites net;
  wire::TrafficSelector port{
      .first = ip("10.2.0.0"), .last = ip("10.2.255.255"), .protocol = 17, .port_first = 5000, .port_last = 5000};
  net.link.b_ts = {port};
  net.up();
  const auto fragment = [](std::uint16_t offset, bool more, std::uint16_t id, std::uint16_t to) {
    PacketSpec s = a_to_b();
    s.payload = 792;
    s.destination_port = to;
    Bytes packet = udp(s);
    store_be16(&packet[4], id);
    store_be16(&packet[6], static_cast<std::uint16_t>((more ? 0x2000U : 0U) | (offset / 8U)));
    store_be16(&packet[10], 0);
    store_be16(&packet[10], esp::checksum(ByteView{packet}.first(20)));
    return packet;
  };
  net.a.tun(fragment(0, true, 1, 5000));
  net.a.tun(fragment(800, true, 1, 6000));  // its "ports" are data
  net.a.tun(fragment(1600, false, 1, 6000));
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 3U);
  net.a.tun(fragment(0, true, 2, 5001));
  net.a.tun(fragment(800, false, 2, 5000));
  net.a.now = net.a.now + 1s;
  net.a.timeout();
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 2U);
  net.a.tun(fragment(800, true, 3, 5000));
  EXPECT_EQ(net.a.dropped(DropReason::FragmentUnknown), 1U);
  net.a.tun(fragment(0, true, 4, 5000));
  net.a.tun(fragment(8, true, 4, 5000));
  EXPECT_EQ(net.a.dropped(DropReason::FragmentOverlap), 1U);
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 4U);
  HostileA a(net);
  for (int i = 0; i < 4; ++i) a.send({}, 59);  // numbers that are used up
  a.send(fragment(800, false, 9, 5000));
  EXPECT_EQ(net.b.dropped(DropReason::FragmentUnknown), 1U);
}

TEST(Commands, FailuresAreAnsweredAndUnknownIdsChangeNothing) {
  TwoSites net;
  EXPECT_EQ(net.a.reserve(TunnelId{99}), 0U);
  const auto spi = net.a.reserve(kT);
  ASSERT_NE(spi, 0U);
  const Keyed k{.spi_a = spi, .spi_b = 0x1000, .seed_ab = 1, .seed_ba = 2};
  const auto in = [&] { return a_in(net.link, k, ChildSaId{1}, kT); };
  const auto out = [&] { return a_out(net.link, k, ChildSaId{1}, kT); };
  auto bad = in();
  bad.spi ^= 1;
  EXPECT_FALSE(net.a.install_inbound(std::move(bad)));
  bad = in();
  bad.tunnel = TunnelId{99};
  EXPECT_FALSE(net.a.install_inbound(std::move(bad)));
  bad = in();
  bad.suite = {};
  EXPECT_FALSE(net.a.install_inbound(std::move(bad)));
  bad = in();
  bad.keymat = SecretBytes(7);
  EXPECT_FALSE(net.a.install_inbound(std::move(bad)));
  bad = in();
  bad.esn = true;
  bad.replay_window = 0;
  EXPECT_FALSE(net.a.install_inbound(std::move(bad)));
  EXPECT_TRUE(net.a.install_inbound(in()));
  EXPECT_FALSE(net.a.install_inbound(in()));
  bad = out();
  bad.spi = 255;
  EXPECT_FALSE(net.a.install_outbound(std::move(bad)));
  EXPECT_TRUE(net.a.install_outbound(out()));
  EXPECT_FALSE(net.a.install_outbound(out()));

  net.a.post(ipsec::ReleaseSpi{spi});  // keyed: not a reservation any more
  net.a.post(ipsec::ReleaseSpi{12345});
  net.a.post(ipsec::SwitchOutbound{TunnelId{99}, ChildSaId{1}});
  net.a.post(ipsec::SwitchOutbound{kT, ChildSaId{99}});
  net.a.post(ipsec::SendDummy{ChildSaId{99}});
  net.a.post(ipsec::RemoveInbound{ChildSaId{99}});
  net.a.post(ipsec::RemoveOutbound{ChildSaId{99}});
  net.a.post(ipsec::UpdatePeer{TunnelId{99}, {}});
  net.a.post(ipsec::RemoveTunnel{TunnelId{99}});
  EXPECT_FALSE(net.a.path.next_timeout());
  EXPECT_FALSE(net.a.path.poll_event());

  net.a.post(ipsec::SendDummy{ChildSaId{1}});
  net.a.post(ipsec::RemoveTunnel{kT});
  net.a.timeout();
  EXPECT_TRUE(net.a.sink.sent.empty());
  net.a.post(ipsec::RemoveInbound{ChildSaId{1}});
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(net.a.dropped(DropReason::NoRoute), 1U);
  net.a.set(net.plan_a);
  EXPECT_NE(net.a.reserve(kT), spi);
}

TEST(Commands, CapabilitiesNameEverySuite) {
  Gateway g(1);
  const auto caps = g.path.capabilities();
  for (const CipherSuite& suite : kSuites)
    EXPECT_NE(std::find(caps.suites.begin(), caps.suites.end(), suite), caps.suites.end()) << to_string(suite);
  SeededRng rng(1);
  PacketPath without({}, rng);
  EXPECT_FALSE(without.capabilities().native_esp);
  without.post({}, ipsec::SetTunnel{plan(kT, {})});
  auto sa = direction(kGcm256, 0x1000, 1);
  sa.tunnel = kT;
  sa.path.encapsulation = ipsec::Encapsulation::Native;
  without.post({}, ipsec::InstallOutbound{RequestId{1}, std::move(sa)});
  const auto event = without.poll_event();
  ASSERT_TRUE(event);
  EXPECT_FALSE(std::get<ipsec::Done>(*event).status);
}

}  // namespace
}  // namespace qanat::wan
