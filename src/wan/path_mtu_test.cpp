// What the packet path learns of the MTU of its paths, from whom, and what follows.
#include <gtest/gtest.h>

#include "esp/overhead.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
using Source = OuterTooBig::Source;
constexpr TunnelId kT = TwoSites::kTunnel;

std::uint16_t inner(std::uint16_t outer, esp::OuterFamily family = esp::OuterFamily::V4) {
  return esp::inner_mtu(kGcm256, ipsec::Encapsulation::Udp, family, outer);
}

struct PathMtu : ::testing::Test {
  static Link ipv6() {
    Link link;
    link.a = "2001:db8:a::1";
    link.b = "2001:db8:b::7";
    return link;
  }
  explicit PathMtu(const Link& link = {}) : net(link) { net.up(); }

  [[nodiscard]] OuterTooBig from_interface(std::uint32_t mtu) const {
    return {.source = Source::Interface, .local = {}, .peer = ip(net.link.b), .quoted_spi = {}, .outer_mtu = mtu};
  }
  [[nodiscard]] OuterTooBig from_router(std::uint32_t mtu) const {
    return {.source = Source::Icmp,
            .local = ip(net.link.a),
            .peer = ip(net.link.b),
            .quoted_spi = net.keyed.spi_b,
            .outer_mtu = mtu};
  }
  void hear(const OuterTooBig& news) { net.a.path.handle_too_big(net.a.now, news); }
  ipsec::Counters read() {
    net.a.post(ipsec::ReadCounters{RequestId{9}});
    return net.a.event<ipsec::Counters>().value();
  }
  std::uint16_t outer() { return read().tunnels.at(0).outer_mtu; }

  TwoSites net;
};
struct PathMtu6 : PathMtu {
  PathMtu6() : PathMtu(ipv6()) {}
};

TEST_F(PathMtu, OurInterfaceIsBelievedAndSendersAreTold) {
  EXPECT_EQ(outer(), 1500);
  PacketSpec s = a_to_b();
  s.dont_fragment = true;
  s.payload = inner(1500) - 28U;
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.sent.size(), 1U);
  hear(from_interface(1400));
  net.a.path.note_too_big_lost(1);
  EXPECT_EQ(outer(), 1400);
  EXPECT_EQ(read().sas.at(0).inner_mtu, inner(1400));
  EXPECT_EQ(read().drops, (std::vector<std::pair<std::string, std::uint64_t>>{{"path_too_big", 1}}));

  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.sent.size(), 1U);
  const Bytes error = net.a.take_delivered();
  ASSERT_FALSE(error.empty());
  EXPECT_EQ(error[20], 3);
  EXPECT_EQ(error[21], 4);
  EXPECT_EQ(load_be16(&error[26]), inner(1400));
  s.payload = inner(1400) - 28U;
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.sent.size(), 2U);

  // Without DF it is cut to the new size, and a SYN offers what fits.
  net.a.sink.sent.clear();
  s.dont_fragment = false;
  s.payload = 1380;
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.sent.size(), 2U);
  for (const SentEsp& sent : net.a.sink.sent) EXPECT_LE(sent.esp.size() + 28, 1400U);
  net.carry();
  net.b.sink.delivered.clear();
  net.a.tun(tcp_syn(a_to_b(), Bytes{2, 4, 0x05, 0xb4}));
  net.carry();
  const Bytes syn = net.b.take_delivered();
  ASSERT_FALSE(syn.empty());
  EXPECT_EQ(load_be16(&syn[syn.size() - 2]), inner(1400) - 40);
}

TEST_F(PathMtu, IcmpMustQuoteALiveSpiAndBothAddresses) {
  std::vector<OuterTooBig> lies(6, from_router(1300));
  lies[0].quoted_spi.reset();
  lies[1].quoted_spi = net.keyed.spi_b + 1;
  lies[2].quoted_spi = net.keyed.spi_a;  // the one that is read from the peer's packets to us
  lies[3].peer = ip("198.51.100.8");
  lies[4].local = ip("192.0.2.2");
  lies[5].local = {};
  for (const OuterTooBig& lie : lies) {
    hear(lie);
    EXPECT_EQ(outer(), 1500);
  }
  OuterTooBig other = from_interface(1300);
  other.peer = ip("198.51.100.8");
  hear(other);
  EXPECT_EQ(outer(), 1500);
  EXPECT_FALSE(net.a.path.next_timeout());
  hear(from_router(1300));
  EXPECT_EQ(outer(), 1300);

  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  hear(from_router(1200));
  EXPECT_EQ(outer(), 1300);
}

TEST_F(PathMtu, OnlyGoesDownAndNeverBelow576) {
  hear(from_router(1500));
  hear(from_router(9000));
  EXPECT_EQ(outer(), 1500);
  hear(from_router(1400));
  hear(from_router(1450));
  EXPECT_EQ(outer(), 1400);
  hear(from_interface(1499));
  EXPECT_EQ(outer(), 1400);
  hear(from_router(68));
  EXPECT_EQ(outer(), 576);
  hear(from_router(0));
  EXPECT_EQ(outer(), 576);
}

TEST_F(PathMtu6, NeverBelow1280OverIpv6) {
  hear(from_router(1400));
  EXPECT_EQ(outer(), 1400);
  EXPECT_EQ(read().sas.at(0).inner_mtu, inner(1400, esp::OuterFamily::V6));
  hear(from_router(600));
  EXPECT_EQ(outer(), 1280);
}

TEST_F(PathMtu, IsForgottenAfterTenMinutes) {
  hear(from_router(1300));
  const Instant heard = net.a.now;
  EXPECT_EQ(net.a.path.next_timeout(), heard + 10min);
  net.a.now = heard + 9min;
  hear(from_router(1300));  // still so
  net.a.now = heard + 10min;
  net.a.timeout();
  EXPECT_EQ(outer(), 1300);
  EXPECT_EQ(net.a.path.next_timeout(), heard + 19min);
  net.a.now = heard + 19min;
  net.a.timeout();
  EXPECT_EQ(outer(), 1500);
  EXPECT_FALSE(net.a.path.next_timeout());
  PacketSpec s = a_to_b();
  s.dont_fragment = true;
  s.payload = inner(1500) - 28U;
  net.a.tun(udp(s));
  EXPECT_EQ(net.a.sink.sent.size(), 1U);
}

TEST_F(PathMtu, BelongsToThePathAndTheTunnel) {
  hear(from_router(1300));
  // Another port is the same path; another address is not.
  ipsec::OuterPath path = net.link.path_of_a();
  path.peer.port = 4711;
  net.a.post(ipsec::UpdatePeer{kT, path});
  EXPECT_EQ(outer(), 1300);
  path.peer.address = ip("203.0.113.1");
  net.a.post(ipsec::UpdatePeer{kT, path});
  EXPECT_EQ(outer(), 1500);
  EXPECT_FALSE(net.a.path.next_timeout());

  OuterTooBig there = from_router(1300);
  hear(there);
  EXPECT_EQ(outer(), 1500);
  there.peer = path.peer.address;
  hear(there);
  EXPECT_EQ(outer(), 1300);
  // A plan that is narrower still wins, and a new SA of the tunnel knows at once.
  auto plan = net.plan_a;
  plan.outer_mtu = 1290;
  net.a.set(plan);
  EXPECT_EQ(outer(), 1290);
  EXPECT_FALSE(net.a.path.next_timeout());
  hear(from_router(1000));  // of the old path
  there.outer_mtu = 1000;
  hear(there);
  connect(net.a, kT, net.b, kT, net.link, 2);
  for (const auto& sa : read().sas) EXPECT_EQ(sa.inner_mtu, inner(1000));
  net.a.post(ipsec::RemoveTunnel{kT});
  EXPECT_FALSE(net.a.path.next_timeout());
}

TEST_F(PathMtu, LowersAFixedInnerMtuToo) {
  auto plan = net.plan_a;
  plan.inner_mtu = 1430;
  net.a.set(plan);
  EXPECT_EQ(read().sas.at(0).inner_mtu, 1430);
  hear(from_interface(1499));
  EXPECT_EQ(read().sas.at(0).inner_mtu, 1430);
  hear(from_interface(1400));
  EXPECT_EQ(read().sas.at(0).inner_mtu, inner(1400));
}

}  // namespace
}  // namespace qanat::wan
