// What the packet path does to packets on their way out: MTU, fragmentation, MSS, TTL, and the outer header.
#include <gtest/gtest.h>

#include "esp/overhead.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
constexpr TunnelId kT = TwoSites::kTunnel;

TEST(Mtu, TooBigIsToldWithTheInnerMtuFromOurInterface) {
  TwoSites net;
  net.up();
  const std::uint16_t mtu = esp::inner_mtu(kGcm256, ipsec::Encapsulation::Udp, esp::OuterFamily::V4, 1500);
  PacketSpec fits = a_to_b();
  fits.dont_fragment = true;
  fits.payload = mtu - 28U;
  net.a.tun(udp(fits));
  ASSERT_EQ(net.a.sink.sent.size(), 1U);
  EXPECT_EQ(net.a.take_sent().df, DfBit::Set);
  ++fits.payload;
  net.a.tun(udp(fits));
  EXPECT_TRUE(net.a.sink.sent.empty());
  const Bytes error = net.a.take_delivered();
  ASSERT_FALSE(error.empty());
  EXPECT_TRUE(checksums_right(error));
  EXPECT_EQ(esp::parse_inner(error)->source, ip("10.255.0.0"));
  EXPECT_EQ(esp::parse_inner(error)->destination, ip("10.1.0.5"));
  EXPECT_EQ(error[20], 3);
  EXPECT_EQ(error[21], 4);
  EXPECT_EQ(load_be16(&error[26]), mtu);
  PacketSpec six = a_to_b6();
  six.payload = mtu - 47U;
  net.a.tun(udp(six));
  const Bytes error6 = net.a.take_delivered();
  ASSERT_FALSE(error6.empty());
  EXPECT_TRUE(checksums_right(error6));
  EXPECT_EQ(error6[40], 2);
  EXPECT_EQ(load_be32(&error6[44]), mtu);
  EXPECT_EQ(esp::parse_inner(error6)->source, ip("fd00::"));
  EXPECT_EQ(net.a.dropped(DropReason::Mtu), 2U);
}

TEST(Mtu, WithoutDfItIsCutBeforeEncryption) {
  TwoSites net;
  net.up();
  PacketSpec s = a_to_b();
  s.payload = 4000;
  net.a.tun(udp(s));
  ASSERT_EQ(net.a.sink.sent.size(), 3U);
  for (const SentEsp& sent : net.a.sink.sent) {
    EXPECT_LE(sent.esp.size() + 28, 1500U);
    EXPECT_EQ(sent.df, DfBit::Clear);
  }
  net.carry();
  Bytes whole;
  for (int i = 0; i < 3; ++i) {
    const Bytes f = net.b.take_delivered();
    EXPECT_TRUE(checksums_right(f));
    if (i == 0) whole.assign(f.begin(), f.begin() + 20);
    append(whole, ByteView{f}.subspan(20));
  }
  EXPECT_TRUE(equal(ByteView{whole}.subspan(20), ByteView{udp(s)}.subspan(20)));
}

TEST(Mtu, SmallPathsNeverAskIpv6ForLessThan1280) {
  TwoSites net;
  auto small = net.plan_a;
  small.outer_mtu = 1280;
  net.a.set(small);
  net.up();
  PacketSpec s = a_to_b6();
  s.payload = 1280 - 48;
  net.a.tun(udp(s));
  ASSERT_EQ(net.a.sink.sent.size(), 1U);
  EXPECT_EQ(net.a.take_sent().df, DfBit::Clear);
  ++s.payload;
  net.a.tun(udp(s));
  EXPECT_EQ(load_be32(&net.a.take_delivered().at(44)), 1280U);
  small.inner_mtu = 1300;  // fixed by the user
  net.a.set(small);
  s.payload = 1300 - 48;
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.sent.size(), 1U);
}

TEST(Mtu, ErrorsAreLimited) {
  TwoSites net;
  net.up();
  PacketSpec s = a_to_b();
  s.dont_fragment = true;
  s.payload = 3000;
  for (int i = 0; i < 3000; ++i) net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.delivered.size(), 1000U);
  net.a.now = net.a.now + 1s;
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.delivered.size(), 1001U);
}

TEST(Outer, DfDscpAndEcn) {
  TwoSites net;
  net.up();
  PacketSpec s = a_to_b();
  s.tos = 0xba;
  using Df = ipsec::TunnelPlan::Df;
  struct Row {
    Df mode;
    bool inner;
    DfBit outer;
  };
  for (const Row& row : {Row{Df::Copy, false, DfBit::Clear}, Row{Df::Copy, true, DfBit::Set},
                         Row{Df::Set, false, DfBit::Set}, Row{Df::Clear, true, DfBit::Clear}}) {
    auto p = net.plan_a;
    p.df = row.mode;
    net.a.set(p);
    s.dont_fragment = row.inner;
    net.a.tun(udp(s));
    const SentEsp sent = net.a.take_sent();
    EXPECT_EQ(sent.df, row.outer);
    EXPECT_EQ(sent.tos, 0xba);
  }
  auto p = net.plan_a;
  p.dscp = std::uint8_t{10};
  net.a.set(p);
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.take_sent().tos, (10U << 2) | 2U);
}

TEST(Outbound, MssTtlAndOddities) {
  TwoSites net;
  net.up();
  const std::uint16_t mtu = esp::inner_mtu(kGcm256, ipsec::Encapsulation::Udp, esp::OuterFamily::V4, 1500);
  const Bytes mss = {2, 4, 0x05, 0xb4};
  for (const PacketSpec& s : {a_to_b(), a_to_b6()}) {
    net.a.tun(tcp_syn(s, mss));
    net.carry();
    const Bytes syn = net.b.take_delivered();
    ASSERT_FALSE(syn.empty());
    EXPECT_TRUE(checksums_right(syn));
    EXPECT_EQ(load_be16(&syn[syn.size() - 2]), mtu - (s.source.is_v6() ? 60 : 40));
  }
  // A peer that does not clamp.
  HostileA hostile(net);
  for (int i = 0; i < 2; ++i) hostile.send({}, 59);
  hostile.send(tcp_syn(a_to_b(), mss));
  const Bytes syn = net.b.take_delivered();
  ASSERT_FALSE(syn.empty());
  EXPECT_TRUE(checksums_right(syn));
  EXPECT_EQ(load_be16(&syn[syn.size() - 2]), mtu - 40);

  for (const std::uint8_t ttl : {std::uint8_t{0}, std::uint8_t{1}}) {
    PacketSpec s = a_to_b();
    s.ttl = ttl;
    net.a.tun(udp(s));
    const Bytes error = net.a.take_delivered();
    ASSERT_FALSE(error.empty());
    EXPECT_EQ(error[20], 11);
    EXPECT_TRUE(checksums_right(error));
  }
  EXPECT_EQ(net.a.dropped(DropReason::TtlExpired), 2U);
  net.a.tun(Bytes{});
  net.a.tun(Bytes(20, 0xff));
  EXPECT_EQ(net.a.dropped(DropReason::NotIp), 2U);
  net.a.tun(udp({.source = ip("10.1.0.1"), .destination = ip("172.16.0.1")}));
  EXPECT_EQ(net.a.dropped(DropReason::NoRoute), 1U);
}

}  // namespace
}  // namespace qanat::wan
