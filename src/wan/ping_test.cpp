// `qanat ping NAME` in the packet path: from interface address to interface address, inside the tunnel.
#include "wan/ping.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "esp/icmp.hpp"
#include "ipsec/selectors.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;  // NOLINT: a test's own words
using esp::DropReason;
using ::testing::HasSubstr;

class PlanePing : public ::testing::Test, protected TwoSites {
 protected:
  std::optional<ipsec::Pinged> ping(std::uint64_t request = 9) {
    a.post(ipsec::Ping{RequestId{request}, kTunnel});
    a.timeout();
    return a.event<ipsec::Pinged>();
  }
  void pass(Duration time) {
    a.now = b.now = a.now + time;
    a.timeout();
    b.timeout();
  }
};

TEST_F(PlanePing, TheAnswerTellsTheRoundTrip) {
  up();
  EXPECT_FALSE(ping());
  ASSERT_EQ(a.sink.sent.size(), 1U);
  pass(7ms);
  b.wire(a.take_sent());
  pass(5ms);
  ASSERT_EQ(b.sink.sent.size(), 1U) << "b answers by itself";
  a.wire(b.take_sent());
  const auto answer = a.event<ipsec::Pinged>();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->status);
  EXPECT_EQ(answer->request, RequestId{9});
  EXPECT_EQ(answer->round_trip, Duration{12ms});
  EXPECT_EQ(answer->from, ip("10.255.0.0"));
  EXPECT_EQ(answer->to, ip("10.255.0.1"));
  EXPECT_TRUE(a.sink.delivered.empty()) << "it is not the host's";
  EXPECT_TRUE(b.sink.delivered.empty());
  EXPECT_EQ(a.dropped(DropReason::Probe), 1U);
}

TEST_F(PlanePing, WithoutAnAnswerItEndsAfterTwoSeconds) {
  up();
  EXPECT_FALSE(ping());
  const SentEsp late = a.take_sent();
  pass(1999ms);
  EXPECT_FALSE(a.event<ipsec::Pinged>());
  EXPECT_EQ(a.path.next_timeout(), a.now + 1ms);
  pass(1ms);
  const auto end = a.event<ipsec::Pinged>();
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->status);
  EXPECT_FALSE(end->round_trip);
  EXPECT_EQ(a.path.next_timeout(), std::nullopt);
  b.wire(late);
  a.wire(b.take_sent());
  EXPECT_FALSE(a.event<ipsec::Pinged>()) << "a late answer ends nothing twice";
  EXPECT_TRUE(a.sink.delivered.empty());
}

TEST_F(PlanePing, WhatCannotBeDoneHasAReason) {
  auto refusal = ping();
  ASSERT_TRUE(refusal);
  EXPECT_THAT(refusal->status.error().detail, HasSubstr("no SA that carries"));
  up();
  plan_a.interface4.reset();
  plan_a.interface6.reset();
  a.set(plan_a);
  refusal = ping();
  ASSERT_TRUE(refusal);
  EXPECT_THAT(refusal->status.error().detail, HasSubstr("set interface = "));
  a.post(ipsec::Ping{RequestId{1}, TunnelId{77}});
  a.timeout();
  refusal = a.event<ipsec::Pinged>();
  ASSERT_TRUE(refusal);
  EXPECT_FALSE(refusal->status);
}

TEST_F(PlanePing, OutsideTheSelectorsNothingIsSent) {
  link.a_ts = {ipsec::selector_of(testing::net("10.1.0.0/16"))};
  link.b_ts = {ipsec::selector_of(testing::net("10.2.0.0/16"))};
  up();
  const auto refusal = ping();
  ASSERT_TRUE(refusal);
  EXPECT_THAT(refusal->status.error().detail, HasSubstr("outside the negotiated traffic selectors"));
  EXPECT_TRUE(a.sink.sent.empty());
}

TEST_F(PlanePing, ThereIsABoundToWhatIsUnderWay) {
  up();
  for (std::size_t i = 0; i < PingDesk::kMany; ++i) EXPECT_FALSE(ping(i));
  const auto refusal = ping(1000);
  ASSERT_TRUE(refusal);
  EXPECT_THAT(refusal->status.error().detail, HasSubstr("too many"));
  EXPECT_EQ(a.sink.sent.size(), PingDesk::kMany);
  pass(2s);
  EXPECT_EQ(a.count_events<ipsec::Pinged>(), PingDesk::kMany);
  EXPECT_FALSE(ping(2000));
}

// Whoever cannot see the ping cannot answer it, and neither can another tunnel.
TEST_F(PlanePing, AnAnswerOfSomebodyElseIsNone) {
  up();
  EXPECT_FALSE(ping());
  const SentEsp request = a.take_sent();
  Bytes guess = esp::make_echo_reply(echo_request(ip("10.255.0.0"), ip("10.255.0.1")),
                                     *esp::parse_inner(echo_request(ip("10.255.0.0"), ip("10.255.0.1"))));
  b.tun(guess);
  carry();
  EXPECT_FALSE(a.event<ipsec::Pinged>());
  b.wire(request);
  a.wire(b.take_sent());
  EXPECT_TRUE(a.event<ipsec::Pinged>());
}

TEST_F(PlanePing, HealthProbesAreNotMixedUp) {
  plan_a.health.enabled = true;
  a.set(plan_a);
  up();
  for (int i = 0; i < 40; ++i) {
    if (i == 20) {
      EXPECT_FALSE(ping());
    }
    pass(100ms);
    carry();
  }
  EXPECT_EQ(a.count_events<ipsec::Pinged>(), 1U);
  a.post(ipsec::ReadCounters{RequestId{5}});
  const auto counters = a.event<ipsec::Counters>();
  EXPECT_EQ(counters->tunnels.front().health.state, "healthy");
  EXPECT_EQ(counters->tunnels.front().health.lost, 0U);
}

}  // namespace
}  // namespace qanat::wan
