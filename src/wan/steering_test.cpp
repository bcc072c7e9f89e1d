// rules.md "Sharing and steering" and what "Health" says of priorities.
#include "wan/steering.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "esp/packet_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace esp::testing;
using Outcome = Choice::Outcome;

constexpr TunnelState kGood{.health = HealthState::Healthy, .keys = KeySafety::Hybrid};

TunnelState in_health(HealthState health) {
  return {.health = health, .keys = KeySafety::Hybrid};
}
Hop hop(std::uint32_t tunnel, std::uint32_t priority = 100, std::uint16_t weight = 1) {
  return {.tunnel = TunnelId{tunnel}, .priority = priority, .weight = weight};
}
// The i-th of many flows, of both families.
esp::InnerPacket flow(std::uint32_t i) {
  esp::InnerPacket p;
  if (i % 4 == 3) {
    p.source = ip("2001:db8:1::7");
    p.destination = ip("2001:db8:2::9");
  } else {
    p.source = IpAddress::v4(0x0a010000 + i / 200);
    p.destination = IpAddress::v4(0x0a020000 + i % 7);
  }
  p.protocol = i % 2 == 0 ? 6 : 17;
  p.has_ports = true;
  p.ports = {static_cast<std::uint16_t>(32768 + i % 20000), static_cast<std::uint16_t>(i % 3 == 0 ? 443 : 53)};
  return p;
}

struct Steering {
  TunnelStates states;
  std::vector<Hop> hops;

  void add(const Hop& h, const TunnelState& state = kGood) {
    hops.push_back(h);
    set(h.tunnel.value(), state);
  }
  void set(std::uint32_t id, const TunnelState& state) {
    states.set(TunnelId{id}, "site-" + std::to_string(id), state);
  }
  [[nodiscard]] std::uint32_t of(const esp::InnerPacket& p) const {
    const Choice c = choose(hops, states, p);
    EXPECT_EQ(c.outcome == Outcome::Chosen, c.hop != nullptr);
    return c.hop == nullptr ? 0 : c.hop->tunnel.value();
  }
  [[nodiscard]] std::vector<std::uint32_t> of_flows(std::uint32_t count = 10'000) const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t i = 0; i < count; ++i) out.push_back(of(flow(i)));
    return out;
  }
};

double share(const std::vector<std::uint32_t>& flows, std::uint32_t tunnel) {
  return static_cast<double>(std::count(flows.begin(), flows.end(), tunnel)) / static_cast<double>(flows.size());
}

TEST(Steering, TheLowestPriorityWins) {
  Steering s;
  EXPECT_EQ(choose(s.hops, s.states, flow(0)).outcome, Outcome::NoHop);
  s.add(hop(1, 200));
  s.add(hop(2, 100, 1));
  s.add(hop(3, 101, 256));
  EXPECT_EQ(share(s.of_flows(), 2), 1.0);
}

// degraded +500,000, down +1,000,000; routes are never removed.
TEST(Steering, HealthAddsToThePriority) {
  Steering s;
  s.add(hop(1, 100));
  s.add(hop(2, 500'099));
  for (const auto& [health, expected] : {std::pair{HealthState::Healthy, 1U},
                                         {HealthState::NotMeasurable, 1U},
                                         {HealthState::Degraded, 2U},
                                         {HealthState::Down, 2U}}) {
    s.set(1, in_health(health));
    EXPECT_EQ(s.of(flow(0)), expected) << to_string(health);
  }
  s.hops[1].priority = 500'101;
  s.set(1, in_health(HealthState::Degraded));
  EXPECT_EQ(s.of(flow(0)), 1U);
  s.set(1, in_health(HealthState::Down));
  EXPECT_EQ(s.of(flow(0)), 2U);
  s.hops[1].priority = 1'000'101;
  EXPECT_EQ(s.of(flow(0)), 1U);
  s.set(2, in_health(HealthState::Down));
  EXPECT_EQ(s.of(flow(0)), 1U) << "all down: the way it would take anyway";
  s.hops.pop_back();
  EXPECT_EQ(s.of(flow(0)), 1U);
}

TEST(Steering, ATunnelWithoutAnSaComesLast) {
  Steering s;
  s.add(hop(1, 10), {});
  s.add(hop(2, 1000), in_health(HealthState::Down));
  EXPECT_EQ(s.of(flow(0)), 2U);
  s.set(2, {});
  EXPECT_EQ(s.of(flow(0)), 1U) << "it is held there until there is an SA";
  s.states.remove(TunnelId{1});
  s.states.remove(TunnelId{99});
  EXPECT_EQ(s.of(flow(0)), 1U) << "a tunnel that is not known has no SA";
  EXPECT_EQ(penalty({.health = HealthState::NotMeasurable, .keys = KeySafety::None}), kNoSaPenalty);
}

TEST(Steering, ClassicalKeysCarryAPenaltyOfTheirOwn) {
  Steering s;
  TunnelState classical{.health = HealthState::Healthy, .keys = KeySafety::Classical, .classical_penalty = 50};
  s.add(hop(1, 100), classical);
  s.add(hop(2, 149));
  EXPECT_EQ(s.of(flow(0)), 2U);
  s.hops[1].priority = 151;
  EXPECT_EQ(s.of(flow(0)), 1U);
  for (const KeySafety keys : {KeySafety::Ppk, KeySafety::Hybrid}) {
    TunnelState safe = classical;
    safe.keys = keys;
    EXPECT_EQ(penalty(safe), 0U);
  }
  classical.health = HealthState::Degraded;
  EXPECT_EQ(penalty(classical), 500'050U) << "both";
  classical.classical_penalty = UINT32_MAX;
  EXPECT_EQ(penalty(classical), UINT32_MAX);
}

// pq = "require" steers a prefix over hybrid tunnels only, and drops otherwise.
TEST(Steering, RequiredHybridKeys) {
  Steering s;
  s.add(hop(1, 100), {.health = HealthState::Healthy, .keys = KeySafety::Classical});
  s.add(hop(2, 200), {.health = HealthState::Down, .keys = KeySafety::Hybrid});
  EXPECT_EQ(s.of(flow(0)), 1U);
  s.hops[0].pq_require = true;
  EXPECT_EQ(s.of(flow(0)), 2U) << "any route of the prefix demands it for all, even over a tunnel that is down";
  for (const KeySafety keys : {KeySafety::Classical, KeySafety::Ppk, KeySafety::None}) {
    s.set(2, {.health = HealthState::Healthy, .keys = keys});
    const Choice c = choose(s.hops, s.states, flow(0));
    EXPECT_EQ(c.outcome, Outcome::PqRequired);
    EXPECT_EQ(c.hop, nullptr);
  }
  s.set(2, {.keys = KeySafety::None, .hybrid_only = true});
  EXPECT_EQ(s.of(flow(0)), 2U) << "what comes up there can only be hybrid: held";
}

TEST(Steering, RequiredHybridKeysAmongEquals) {
  Steering s;
  s.add(hop(1));
  s.add(hop(2), {.health = HealthState::Healthy, .keys = KeySafety::Classical});
  s.add(hop(3));
  EXPECT_NEAR(share(s.of_flows(), 2), 1.0 / 3, 0.02);
  s.hops[2].pq_require = true;
  const auto flows = s.of_flows();
  EXPECT_EQ(share(flows, 2), 0.0);
  EXPECT_NEAR(share(flows, 1), 0.5, 0.02);
}

TEST(Steering, EqualOnesShareByWeight) {
  for (const auto& weights :
       {std::vector<std::uint16_t>{1, 1}, {1, 3}, {1, 1, 1, 1, 1}, {256, 64, 64, 128}, {10, 20, 30, 40}}) {
    Steering s;
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < weights.size(); ++i) {
      s.add(hop(i + 1, 100, weights[i]));
      sum += weights[i];
    }
    s.add(hop(99, 101, 256));
    const auto flows = s.of_flows();
    EXPECT_EQ(share(flows, 99), 0.0);
    for (std::uint32_t i = 0; i < weights.size(); ++i)
      EXPECT_NEAR(share(flows, i + 1), static_cast<double>(weights[i]) / sum, 0.015) << i;
  }
  Steering s;
  s.add(hop(1, 100, 256));
  s.add(hop(2, 100, 1));
  EXPECT_NEAR(share(s.of_flows(100'000), 2), 1.0 / 257, 0.001);
}

// Equal sums share, however they come about.
TEST(Steering, PenaltiesMakeEquals) {
  Steering s;
  s.add(hop(1, 100), in_health(HealthState::Degraded));
  s.add(hop(2, 500'100));
  EXPECT_NEAR(share(s.of_flows(), 1), 0.5, 0.02);
}

TEST(Steering, ALostMemberMovesOnlyItsOwnFlows) {
  Steering s;
  for (std::uint32_t id = 1; id <= 5; ++id) s.add(hop(id, 100, static_cast<std::uint16_t>(id)));
  const auto before = s.of_flows();
  s.set(3, in_health(HealthState::Down));
  const auto without = s.of_flows();
  std::size_t moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == without[i]) continue;
    ++moved;
    EXPECT_EQ(before[i], 3U) << "only those of the lost one";
    EXPECT_NE(without[i], 3U);
  }
  EXPECT_NEAR(static_cast<double>(moved) / 10'000, 3.0 / 15, 0.015);
  // They spread over the others by weight.
  for (const std::uint32_t id : {1U, 2U, 4U, 5U}) EXPECT_NEAR(share(without, id), id / 12.0, 0.015);
  s.set(3, kGood);
  EXPECT_EQ(s.of_flows(), before) << "back as it was";

  // A new one takes its share of each, and nothing else moves.
  s.add(hop(6, 100, 15));
  const auto more = s.of_flows();
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(more[i] == before[i] || more[i] == 6U);
  }
  EXPECT_NEAR(share(more, 6), 0.5, 0.015);
  // More weight only draws flows in.
  s.hops[0].weight = 10;
  const auto heavier = s.of_flows();
  for (std::size_t i = 0; i < more.size(); ++i) {
    EXPECT_TRUE(heavier[i] == more[i] || heavier[i] == 1U);
  }
}

TEST(Steering, TheOrderOfHopsDoesNotMatter) {
  Steering s;
  for (std::uint32_t id = 1; id <= 6; ++id) s.add(hop(id, 100, static_cast<std::uint16_t>(1 + id % 3)));
  const auto before = s.of_flows(2000);
  std::reverse(s.hops.begin(), s.hops.end());
  EXPECT_EQ(s.of_flows(2000), before);
  std::rotate(s.hops.begin(), s.hops.begin() + 2, s.hops.end());
  EXPECT_EQ(s.of_flows(2000), before);
}

TEST(Steering, StatesOfManyTunnelsComeAndGo) {
  SeededRng rng{9};
  TunnelStates states;
  std::map<TunnelId, std::uint32_t> expected;
  for (int i = 0; i < 20'000; ++i) {
    const TunnelId id{i % 2 == 0 ? static_cast<std::uint32_t>(rng.below(1500)) : UINT32_MAX - rng.u32() % 64};
    if (rng.below(20) == 0) {
      states.remove(id);
      expected.erase(id);
    } else {
      const auto penalty = static_cast<std::uint32_t>(rng.below(1000));
      states.set(id, "x", {.health = HealthState::Healthy, .keys = KeySafety::Classical, .classical_penalty = penalty});
      expected[id] = penalty;
    }
  }
  EXPECT_EQ(states.size(), expected.size());
  EXPECT_GT(expected.size(), 1000U);
  for (std::uint32_t n = 0; n < 2000; ++n) {
    for (const TunnelId id : {TunnelId{n}, TunnelId{UINT32_MAX - n}}) {
      const auto at = expected.find(id);
      EXPECT_EQ(states.hot(id).penalty, at == expected.end() ? kNoSaPenalty : at->second);
    }
  }
}

TEST(Steering, UnknownTunnelsAreFoundToBeSo) {
  TunnelStates states;
  EXPECT_EQ(states.hot(TunnelId{0}).penalty, kNoSaPenalty);
  for (std::uint32_t id = 0; id < 200; ++id) {
    states.set(TunnelId{id}, "x", kGood);
    EXPECT_EQ(states.hot(TunnelId{id}).penalty, 0U);
    for (std::uint32_t other = id + 1; other < id + 50; ++other)
      ASSERT_EQ(states.hot(TunnelId{other}).penalty, kNoSaPenalty);
  }
}

// A restart numbers tunnels anew; their names stay.
TEST(Steering, FlowsGoByTheTunnelsName) {
  Steering a;
  Steering b;
  for (std::uint32_t i = 1; i <= 4; ++i) {
    a.hops.push_back(hop(i));
    a.states.set(TunnelId{i}, "site-" + std::to_string(i), kGood);
    b.hops.push_back(hop(20 - i));
    b.states.set(TunnelId{20 - i}, "site-" + std::to_string(i), kGood);
  }
  for (std::uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(a.of(flow(i)), 20 - b.of(flow(i)));
}

TEST(Steering, AllFragmentsTakeOneWay) {
  for (const char* destination : {"10.2.0.1", "2001:db8::1"}) {
    Steering s;
    for (std::uint32_t id = 1; id <= 4; ++id) s.add(hop(id));
    std::set<std::uint32_t> used;
    for (std::uint32_t i = 0; i < 200; ++i) {
      esp::InnerPacket first = flow(0);
      first.destination = ip(destination);
      first.source = first.is_v6() ? first.source : IpAddress::v4(0x0a010000 + i);
      if (first.destination.is_v6()) {
        Bytes b = to_bytes(first.destination.bytes());
        b[8] = static_cast<std::uint8_t>(i);
        first.source = IpAddress::from_bytes(b);
      }
      first.protocol = 17;
      first.fragment = first.more_fragments = true;
      esp::InnerPacket later = first;
      later.has_ports = false;
      later.ports = {};
      later.fragment_offset = 1480;
      // A destination options header behind the fragment header: only the first shows what follows it.
      if (later.is_v6()) later.protocol = 60;
      EXPECT_EQ(s.of(first), s.of(later));
      used.insert(s.of(first));
    }
    EXPECT_EQ(used.size(), 4U);
  }
}

TEST(Steering, EveryPartOfAFlowCounts) {
  const esp::InnerPacket base = flow(0);
  std::set<std::uint64_t> hashes = {flow_hash(base)};
  const auto differs = [&](auto change) {
    esp::InnerPacket p = base;
    change(p);
    EXPECT_TRUE(hashes.insert(flow_hash(p)).second);
  };
  differs([](auto& p) { p.source = ip("10.1.0.99"); });
  differs([](auto& p) { p.destination = ip("10.1.0.99"); });
  differs([](auto& p) { std::swap(p.source, p.destination); });
  differs([](auto& p) { p.protocol = 17; });
  differs([](auto& p) { ++p.ports.source; });
  differs([](auto& p) { ++p.ports.destination; });
  differs([](auto& p) { std::swap(p.ports.source, p.ports.destination); });
  esp::InnerPacket other_ttl = base;
  other_ttl.ttl = 3;
  other_ttl.tos = 0xb8;
  other_ttl.size = 1400;
  EXPECT_EQ(flow_hash(other_ttl), flow_hash(base)) << "a flow is no packet";
}

// No hop of a large group is starved, and the hash has no pattern that consecutive ports could meet.
TEST(Steering, ManyHopsSpreadEvenly) {
  Steering s;
  for (std::uint32_t id = 1; id <= 64; ++id) s.add(hop(id));
  std::map<std::uint32_t, int> counts;
  for (const std::uint32_t id : s.of_flows(64'000)) ++counts[id];
  ASSERT_EQ(counts.size(), 64U);
  double chi = 0;
  for (const auto& [id, n] : counts) chi += (n - 1000.0) * (n - 1000.0) / 1000.0;
  EXPECT_LT(chi, 110.0) << "63 degrees of freedom: 103 is one in a thousand";
}

TEST(Steering, Explains) {
  Steering s;
  const esp::InnerPacket p = flow(0);
  EXPECT_EQ(explain(s.hops, s.states, p).summary, "dropped: no tunnel leads there");
  s.add(hop(1, 100), in_health(HealthState::Down));
  s.add(hop(2, 200));
  Explanation e = explain(s.hops, s.states, p);
  EXPECT_EQ(e.summary, "through site-2: the lowest priority");
  EXPECT_EQ(e.choice.hop, &s.hops[1]);
  EXPECT_EQ(e.hops, (std::vector<std::string>{"site-1: priority 100 + 1000000 (down): above 200",
                                              "site-2: priority 200: chosen"}));
  s.hops[0].priority = 200;
  s.hops[0].weight = 3;
  s.set(1, kGood);
  e = explain(s.hops, s.states, p);
  EXPECT_EQ(e.summary, "through " + s.states.name(e.choice.hop->tunnel) + ": the flow's share among equals");
  EXPECT_TRUE(e.hops[0].starts_with("site-1: priority 200, weight 3 of 4"));
  s.set(1, {.health = HealthState::Healthy, .keys = KeySafety::Classical, .classical_penalty = 7});
  e = explain(s.hops, s.states, p);
  EXPECT_EQ(e.hops[0], "site-1: priority 200 + 7 (classical keys): above 200");
  s.hops[1].pq_require = true;
  e = explain(s.hops, s.states, p);
  EXPECT_EQ(e.hops[0], "site-1: refused: classical keys, and the prefix requires hybrid ones");
  s.set(2, {});
  e = explain(s.hops, s.states, p);
  EXPECT_EQ(e.choice.outcome, Outcome::PqRequired);
  EXPECT_EQ(e.summary, "dropped: the prefix requires hybrid keys (pq = \"require\"), and no tunnel has them");
  EXPECT_EQ(e.hops[1], "site-2: refused: no SA, and the prefix requires hybrid ones");
  s.hops[1].pq_require = false;
  s.set(1, {});
  e = explain(s.hops, s.states, p);
  EXPECT_TRUE(e.summary.ends_with("; held until it has an SA")) << e.summary;
  EXPECT_EQ(s.states.name(TunnelId{55}), "tunnel 55");
}

}  // namespace
}  // namespace qanat::wan
