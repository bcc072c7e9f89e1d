// Health checks whose answers come back over the Internet: out through the tunnel from outer address to outer address,
// and home in the clear (wan.md 1.4).
#include <gtest/gtest.h>

#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;  // NOLINT: a test's own words
using esp::DropReason;
using ipsec::HealthPlan;

constexpr TunnelId kTunnel{7};

PacketPathConfig hearing(bool hears) {
  PacketPathConfig config;
  config.hears_outside = hears;
  return config;
}

struct Internet {
  explicit Internet(HealthPlan::Type type, std::optional<IpAddress> target = {}, bool hears = true)
      : a(1, hearing(hears)), b(2) {
    Plan pa = plan(kTunnel, {"10.2.0.0/16"});
    pa.health = {.enabled = true, .type = type, .unidirectional = true, .target = target};
    a.set(pa);
    b.set(plan(kTunnel, {"10.1.0.0/16"}));
  }
  void up() { connect(a, kTunnel, b, kTunnel, link); }
  void pass(Duration time) {
    for (Duration t{}; t < time; t += 10ms) {
      a.now = b.now = a.now + 10ms;
      a.timeout();
      b.timeout();
      while (!a.sink.sent.empty()) {
        const SentEsp sent = a.take_sent();
        if (!tunnel_cut) b.wire(sent);
      }
      EXPECT_TRUE(b.sink.sent.empty()) << "no answer comes through the tunnel";
      while (!b.sink.outside.empty()) {
        const auto answer = b.sink.outside.front();
        b.sink.outside.pop_front();
        ++outside;
        if (!clear_cut) a.path.handle_outside(a.now, answer.remote, answer.local, answer.icmp, a.sink);
      }
    }
  }
  ipsec::Health health() {
    a.post(ipsec::ReadCounters{RequestId{5}});
    return a.event<ipsec::Counters>()->tunnels.front().health;
  }

  Link link;
  Gateway a;
  Gateway b;
  bool tunnel_cut = false;
  bool clear_cut = false;
  unsigned outside = 0;
};

TEST(Unidirectional, BothTypesAreAnsweredOutside) {
  for (const auto type : {HealthPlan::Type::Request, HealthPlan::Type::Reply}) {
    Internet net(type);
    net.up();
    net.pass(5s);
    EXPECT_EQ(net.health().state, "healthy") << net.health().text;
    EXPECT_EQ(net.health().lost, 0U);
    EXPECT_GE(net.outside, 4U);
    EXPECT_TRUE(net.b.sink.delivered.empty()) << "the gateway answers by itself";
    EXPECT_EQ(net.b.dropped(DropReason::WrongTunnel), 0U);
  }
}

TEST(Unidirectional, ACutTunnelIsDownAndSoIsACutWayBack) {
  for (const bool inside : {true, false}) {
    Internet net(HealthPlan::Type::Request);
    net.up();
    net.pass(5s);
    (inside ? net.tunnel_cut : net.clear_cut) = true;
    net.pass(3s);
    EXPECT_EQ(net.health().code, "probes_lost");
  }
}

TEST(Unidirectional, WithoutASocketItIsSaidSo) {
  Internet net(HealthPlan::Type::Request, {}, false);
  net.up();
  net.pass(2s);
  EXPECT_EQ(net.health().code, "unidirectional");
  EXPECT_EQ(net.health().state, "not measurable");
}

// A tunnel that goes and comes has to show that it carries before it counts as well as the others.
TEST(Unidirectional, WhatWasSeenOutlivesTheSa) {
  Internet net(HealthPlan::Type::Request);
  net.up();
  net.pass(5s);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.pass(1s);
  EXPECT_EQ(net.health().code, "no_sa");
  net.clear_cut = true;
  connect(net.a, kTunnel, net.b, kTunnel, net.link, 2);
  net.pass(100ms);
  EXPECT_EQ(net.health().code, "awaits_answers");
}

TEST(Unidirectional, AnAnswerThroughATunnelOrOfSomebodyElseIsNone) {
  Internet net(HealthPlan::Type::Request);
  net.up();
  net.clear_cut = true;
  net.pass(3s);
  const Bytes forged = echo_request(ip(net.link.b), ip(net.link.a));
  net.a.path.handle_outside(net.a.now, ip(net.link.a), ip(net.link.b), ByteView{forged}.subspan(20), net.a.sink);
  net.a.path.handle_outside(net.a.now, ip(net.link.a), ip(net.link.b), {}, net.a.sink);
  EXPECT_EQ(net.health().code, "no_answer_yet");
}

// A peer could use us to send to a third party otherwise.
TEST(Unidirectional, OnlyThePeersOwnAddressIsAnsweredOutside) {
  TwoSites net;
  net.up();
  HostileA hostile(net);
  hostile.send(echo_request(ip("203.0.113.99"), ip(net.link.b)));
  EXPECT_TRUE(net.b.sink.outside.empty());
  EXPECT_EQ(net.b.dropped(DropReason::WrongTunnel), 1U);
  hostile.send(echo_request(ip(net.link.a), ip("203.0.113.99")));
  EXPECT_TRUE(net.b.sink.outside.empty());
  hostile.send(echo_request(ip(net.link.a), ip(net.link.b)));
  ASSERT_EQ(net.b.sink.outside.size(), 1U);
  EXPECT_EQ(net.b.sink.outside.front().remote, ip(net.link.a));
  EXPECT_EQ(esp::checksum(net.b.sink.outside.front().icmp), 0U);
  EXPECT_TRUE(net.b.sink.delivered.empty());
}

TEST(Unidirectional, ATargetIsAsked) {
  Internet net(HealthPlan::Type::Request, ip("198.51.100.8"));
  net.up();
  net.pass(3s);
  EXPECT_EQ(net.outside, 0U) << "it is not the gateway itself";
  EXPECT_FALSE(net.b.sink.delivered.empty() && net.b.dropped(DropReason::WrongTunnel) == 0);
}

}  // namespace
}  // namespace qanat::wan
