// Steering, health and policy in the packet path: two gateways with two tunnels between them, each over a path of its
// own (rules.md "Health", "Selectors and routes", "Sharing and steering").
#include <algorithm>

#include <gtest/gtest.h>

#include "ipsec/selectors.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;
using esp::DropReason;
using ipsec::HealthPlan;
using ipsec::KeySafety;

constexpr TunnelId kOne{1};
constexpr TunnelId kTwo{2};

ipsec::RouteHop route(std::string_view prefix, TunnelId tunnel, std::uint32_t priority = 100,
                      std::uint16_t weight = 1) {
  return {.prefix = testing::net(prefix), .tunnel = tunnel, .priority = priority, .weight = weight};
}

struct TwoPaths {
  explicit TwoPaths(const HealthPlan& health = {}, KeySafety keys_one = KeySafety::Hybrid) {
    one.keys = keys_one;
    two.keys = KeySafety::Hybrid;
    for (const TunnelId id : {kOne, kTwo}) {
      const std::string prefix = "10.255." + std::to_string(id.value()) + ".";
      for (Gateway* g : {&a, &b}) {
        Plan p = plan(id, {});
        p.interface4 = ip(prefix + (g == &a ? "0" : "1"));
        p.peer_interface4 = ip(prefix + (g == &a ? "1" : "0"));
        p.health = health;
        g->set(p);
      }
      connect(a, id, b, id, id == kOne ? one : two, id.value());
    }
    steer(route("10.2.0.0/16", kOne, 100), route("10.2.0.0/16", kTwo, 200));
    b.post(ipsec::SetRoutes{
        .vrf = {}, .add = {route("10.1.0.0/16", kOne, 100), route("10.1.0.0/16", kTwo, 200)}, .remove = {}});
    settle();
  }
  // At a.
  void steer(const ipsec::RouteHop& first, const ipsec::RouteHop& second) {
    a.post(ipsec::SetRoutes{.vrf = {}, .add = {first, second}, .remove = {}});
  }
  [[nodiscard]] bool over_one(const SentEsp& sent) const {
    return sent.path.local.address == ip(one.a) || sent.path.local.address == ip(one.b);
  }
  void exchange() {
    while (!a.sink.sent.empty() || !b.sink.sent.empty()) {
      for (const auto& [from, to] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
        while (!from->sink.sent.empty()) {
          const SentEsp sent = from->take_sent();
          if (!(cut_one && over_one(sent))) to->wire(sent);
        }
      }
    }
  }
  void settle() {
    for (Gateway* g : {&a, &b}) {
      g->timeout();
      exchange();
    }
  }
  void pass(Duration how_long) {
    for (const Instant end = a.now + how_long; a.now < end;) {
      a.now = b.now = a.now + 1ms;
      for (Gateway* g : {&a, &b}) {
        if (const auto at = g->path.next_timeout(); at && *at <= g->now) g->timeout();
      }
      exchange();
    }
  }
  // Which tunnel takes it; 0: none.
  std::uint32_t taken(const PacketSpec& spec) {
    a.tun(udp(spec));
    if (a.sink.sent.empty()) return 0;
    const bool first = over_one(a.sink.sent.front());
    a.sink.sent.clear();
    return first ? 1 : 2;
  }
  [[nodiscard]] ipsec::Health health(Gateway& g, TunnelId id) {
    g.post(ipsec::ReadCounters{RequestId{9}});
    const auto counters = g.event<ipsec::Counters>();
    for (const auto& t : counters->tunnels) {
      if (t.tunnel == id) return t.health;
    }
    return {};
  }
  std::vector<std::string> changes(TunnelId id) {
    std::vector<std::string> out;
    while (const auto e = a.event<ipsec::HealthChanged>()) {
      if (e->tunnel == id) out.emplace_back(e->health.code);
    }
    return out;
  }

  Link one;
  Link two{.a = "192.0.2.11", .b = "198.51.100.17"};
  Gateway a{1};
  Gateway b{2};
  bool cut_one = false;
};

constexpr HealthPlan kMid{.enabled = true, .target = {}};
constexpr HealthPlan kHigh{.enabled = true, .rate = HealthPlan::Rate::High, .target = {}};

TEST(PlaneSteering, ACutPathIsLeftInTimeAndTakenAgainOnce) {
  for (const auto& [health, limit] : {std::pair<HealthPlan, Duration>{kMid, 1800ms}, {kHigh, 1000ms}}) {
    TwoPaths net(health);
    net.pass(3s);
    EXPECT_EQ(net.health(net.a, kOne).state, "healthy");
    ASSERT_EQ(net.taken(a_to_b()), 1U);
    (void)net.changes(kOne);
    net.cut_one = true;
    Duration switched{};
    while (net.taken(a_to_b()) == 1 && switched < 5s) {
      net.pass(1ms);
      switched += 1ms;
    }
    EXPECT_LE(switched, limit);
    EXPECT_GT(switched, 300ms);
    net.pass(500ms);
    EXPECT_EQ(net.changes(kOne), (std::vector<std::string>{"loss", "probes_lost"}));
    EXPECT_EQ(net.health(net.a, kOne).state, "down");

    // Routes are never removed: the down one takes the packets when the other is gone.
    net.a.post(ipsec::RemoveOutbound{ChildSaId{2}});
    EXPECT_EQ(net.taken(a_to_b()), 1U);
    net.a.post(ipsec::RemoveTunnel{kTwo});
    EXPECT_EQ(net.taken(a_to_b()), 1U);
  }
  TwoPaths net(kHigh);
  net.pass(3s);
  net.cut_one = true;
  net.pass(2s);
  EXPECT_EQ(net.taken(a_to_b()), 2U);
  net.cut_one = false;
  net.pass(2s);
  EXPECT_EQ(net.health(net.a, kOne).code, "answers_again");
  EXPECT_EQ(net.taken(a_to_b()), 2U) << "degraded is not good enough while the other is healthy";
}

// A rule that drops every ICMP packet would otherwise look like an outage.
TEST(PlaneSteering, ProbesPassBesidePolicyAndRoutes) {
  TwoPaths net(kMid);
  ipsec::PolicyRule none;
  none.name = "none";
  none.action = ipsec::PolicyRule::Action::Drop;
  for (Gateway* g : {&net.a, &net.b}) g->post(ipsec::SetPolicy{{none}});
  net.steer(route("10.255.0.0/16", kTwo), route("10.255.1.1/32", kTwo));
  net.pass(5s);
  EXPECT_EQ(net.health(net.a, kOne).state, "healthy");
  EXPECT_EQ(net.health(net.a, kTwo).state, "healthy");
  EXPECT_GE(net.health(net.a, kOne).samples, 4U);
  EXPECT_EQ(net.health(net.a, kOne).lost, 0U);
  EXPECT_GE(net.a.dropped(DropReason::Probe), 8U);
  EXPECT_EQ(net.a.dropped(DropReason::Policy) + net.a.dropped(DropReason::LocalAddress), 0U);
}

// Type `reply`: the far router just routes it back, and so do we for a peer that probes us so.
TEST(PlaneSteering, ReplyProbesComeBackWithOneHopLess) {
  TwoPaths net({.enabled = true, .type = HealthPlan::Type::Reply, .target = {}});
  net.pass(4s);
  EXPECT_EQ(net.health(net.a, kOne).state, "healthy");
  EXPECT_EQ(net.health(net.b, kTwo).state, "healthy");
  EXPECT_EQ(net.b.dropped(DropReason::WrongTunnel), 0U);
  EXPECT_TRUE(net.b.sink.delivered.empty());
}

TEST(PlaneSteering, WhatCannotBeMeasuredHasAReasonAndNoPenalty) {
  TwoPaths net({.enabled = true, .unidirectional = true, .target = {}});
  EXPECT_EQ(net.health(net.a, kOne).code, "unidirectional");
  EXPECT_EQ(net.taken(a_to_b()), 1U);
  TwoPaths off;
  EXPECT_EQ(off.health(off.a, kOne).code, "disabled");
  TwoPaths target({.enabled = true, .target = ip("2001:db8::1")});
  EXPECT_EQ(target.health(target.a, kOne).code, "no_probe_address");

  TwoPaths mute(kMid);
  auto silent = plan(kOne, {});
  mute.b.set(silent);  // without an interface address nothing answers there
  mute.pass(20s);
  EXPECT_EQ(mute.health(mute.a, kOne).code, "no_answer_yet");
  EXPECT_EQ(mute.health(mute.a, kOne).state, "not measurable");
  EXPECT_EQ(mute.taken(a_to_b()), 1U);
}

TEST(PlaneSteering, ProbesOutsideTheSelectorsAreNotSent) {
  TwoPaths net(kMid);
  Link narrow = net.one;
  narrow.a_ts = {ipsec::selector_of(testing::net("10.1.0.0/16"))};
  narrow.b_ts = {ipsec::selector_of(testing::net("10.2.0.0/16"))};
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.b.post(ipsec::RemoveOutbound{ChildSaId{1}});
  connect(net.a, kOne, net.b, kOne, narrow, 7);
  net.pass(3s);
  EXPECT_EQ(net.health(net.a, kOne).code, "outside_selectors");
  EXPECT_EQ(net.a.dropped(DropReason::TsMismatch), 0U);
  EXPECT_EQ(net.taken(a_to_b()), 1U);
}

// rules.md "Rekey without loss": keys that are replaced are no outage.
TEST(PlaneSteering, AnSaThatIsReplacedInOneTurnHasNotBeenAway) {
  TwoPaths net(kMid);
  net.pass(3s);
  (void)net.changes(kOne);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  connect(net.a, kOne, net.b, kOne, net.one, 8);
  net.pass(3s);
  EXPECT_EQ(net.changes(kOne), std::vector<std::string>{});
  EXPECT_EQ(net.health(net.a, kOne).state, "healthy");
}

TEST(PlaneSteering, EqualPrioritiesShareByWeight) {
  TwoPaths net;
  net.steer(route("10.2.0.0/16", kOne, 100, 1), route("10.2.0.0/16", kTwo, 100, 3));
  std::size_t first = 0;
  for (std::uint16_t port = 0; port < 2000; ++port) {
    PacketSpec spec = a_to_b();
    spec.source_port = static_cast<std::uint16_t>(20000 + port);
    const std::uint32_t way = net.taken(spec);
    ASSERT_NE(way, 0U);
    ASSERT_EQ(net.taken(spec), way) << "a flow keeps its way";
    if (way == 1) ++first;
  }
  EXPECT_GT(first, 420U);
  EXPECT_LT(first, 580U);
}

TEST(PlaneSteering, RoutesChangeInOneStep) {
  TwoPaths net;
  EXPECT_EQ(net.taken(a_to_b()), 1U);
  net.steer(route("10.2.0.0/16", kOne, 300), route("10.7.0.0/16", kTwo));
  EXPECT_EQ(net.taken(a_to_b()), 2U) << "new terms";
  net.a.post(ipsec::SetRoutes{.vrf = {}, .add = {}, .remove = {route("10.2.0.0/16", kTwo)}});
  EXPECT_EQ(net.taken(a_to_b()), 1U);
  net.a.post(ipsec::SetRoutes{.vrf = VrfId{1}, .add = {}, .remove = {route("10.2.0.0/16", kOne)}});
  EXPECT_EQ(net.taken(a_to_b()), 1U) << "another account's";
  net.a.post(ipsec::SetRoutes{.vrf = {}, .add = {}, .remove = {route("10.2.0.0/16", kOne)}});
  EXPECT_EQ(net.taken(a_to_b()), 0U);
  EXPECT_EQ(net.a.dropped(DropReason::NoRoute), 1U);
}

// The peer's source check counts a route at any priority.
TEST(PlaneSteering, EitherTunnelMayBringASource) {
  TwoPaths net;
  net.steer(route("10.2.0.0/16", kOne, 300), route("10.2.0.0/16", kTwo, 100));
  net.a.tun(udp(a_to_b()));
  net.exchange();
  EXPECT_EQ(net.b.sink.delivered.size(), 1U);
  EXPECT_EQ(net.b.dropped(DropReason::WrongTunnel), 0U);
}

TEST(PlaneSteering, APrefixThatRequiresHybridKeysUsesNoOther) {
  TwoPaths net({}, KeySafety::Classical);
  EXPECT_EQ(net.taken(a_to_b()), 1U);
  auto strict = route("10.2.0.0/16", kOne, 100);
  strict.hybrid_only = true;
  net.steer(strict, route("10.2.0.0/16", kTwo, 200));
  EXPECT_EQ(net.taken(a_to_b()), 2U);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{2}});
  EXPECT_EQ(net.taken(a_to_b()), 0U);
  EXPECT_EQ(net.a.dropped(DropReason::PqRequired), 1U);
  // A hybrid SA beside the classical one: it is the weakest that counts.
  Link hybrid = net.one;
  hybrid.keys = KeySafety::Hybrid;
  connect(net.a, kOne, net.b, kOne, hybrid, 9);
  EXPECT_EQ(net.taken(a_to_b()), 0U);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  EXPECT_EQ(net.taken(a_to_b()), 1U);
}

TEST(PlaneSteering, ClassicalKeysHaveTheirPenalty) {
  TwoPaths net({}, KeySafety::Classical);
  Plan p = plan(kOne, {});
  p.classical_penalty = 1000;
  net.a.set(p);
  EXPECT_EQ(net.taken(a_to_b()), 2U);
}

TEST(PlaneSteering, PolicyDecidesBothWaysAndCounts) {
  TwoPaths net;
  using Rule = ipsec::PolicyRule;
  Rule note;
  note.name = "note";
  note.action = Rule::Action::Log;
  Rule out;
  out.name = "no-53";
  out.protocol = 17;
  out.to_ports = Rule::Ports{.first = 53, .last = 53};
  out.from_side.kind = Rule::Side::Kind::Host;
  out.action = Rule::Action::Drop;
  Rule in;
  in.name = "closed";
  in.from_side = {.kind = Rule::Side::Kind::Tunnel, .tunnel = kOne};
  in.to_side.kind = Rule::Side::Kind::Host;
  in.action = Rule::Action::Drop;
  net.a.post(ipsec::SetPolicy{{note, out, in}});
  PacketSpec dns = a_to_b();
  dns.destination_port = 53;
  EXPECT_EQ(net.taken(dns), 0U);
  EXPECT_EQ(net.taken(a_to_b()), 1U);
  EXPECT_EQ(net.a.dropped(DropReason::Policy), 1U);
  net.b.tun(udp(b_to_a()));
  net.exchange();
  EXPECT_TRUE(net.a.sink.delivered.empty());
  EXPECT_EQ(net.a.dropped(DropReason::Policy), 2U);

  // What is held for an SA is judged as well.
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.a.post(ipsec::RemoveOutbound{ChildSaId{2}});
  net.a.tun(udp(dns));
  EXPECT_EQ(net.a.dropped(DropReason::Policy), 3U);

  for (int i = 0; i < 30; ++i) net.a.tun(udp(dns));
  std::size_t told = 0;
  while (const auto e = net.a.event<ipsec::PolicyMatch>()) ++told;
  EXPECT_EQ(told, 10U) << "a second";
  net.a.now = net.a.now + 1s;
  net.a.tun(udp(dns));
  const auto next = net.a.event<ipsec::PolicyMatch>();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->rule, "note");
  EXPECT_EQ(next->passed_over, 24U);
  net.a.post(ipsec::ReadCounters{RequestId{9}});
  const auto counters = net.a.event<ipsec::Counters>();
  ASSERT_EQ(counters->policy.size(), 3U);
  EXPECT_EQ(counters->policy[0].packets, 35U);
  EXPECT_EQ(counters->policy[1].packets, 33U);
  EXPECT_EQ(counters->policy[2].packets, 1U);
  net.a.post(ipsec::SetPolicy{{in}});
  net.a.post(ipsec::ReadCounters{RequestId{9}});
  EXPECT_EQ(net.a.event<ipsec::Counters>()->policy.at(0).packets, 1U) << "goes on counting";
}

// A site with two tunnels, on one of which a packet to itself arrives: it must not be sent back to it by the other.
TEST(PlaneSteering, ASiteDoesNotGetItsOwnPacketsBack) {
  TwoPaths net;
  net.b.post(ipsec::SetRoutes{
      .vrf = {}, .add = {route("10.1.0.0/16", kOne, 200), route("10.1.0.0/16", kTwo, 100)}, .remove = {}});
  PacketSpec to_itself = a_to_b();
  to_itself.destination = ip("10.1.9.9");
  net.steer(route("10.1.9.9/32", kOne), route("10.1.9.9/32", kTwo, 200));
  net.a.tun(udp(to_itself));
  net.exchange();
  EXPECT_EQ(net.b.sink.delivered.size(), 1U) << "the host decides";
}

}  // namespace
}  // namespace qanat::wan
