// Two gateways with two tunnels between them, each between addresses of its own: failover, keys and policy as the
// whole gateway does them (rules.md "Health", "Sharing and steering").
#include <algorithm>

#include <gtest/gtest.h>

#include "sim/world.hpp"

namespace qanat::sim {
namespace {

using Verb = control::GatewayCommand::Verb;

model::Config two_tunnels(bool left) {
  const std::string mine = left ? "1" : "2";
  const std::string other = left ? "2" : "1";
  const auto spec = [&](const std::string& name, const std::string& tens) {
    const std::string net = name == "one" ? "10.255.1." : "10.255.2.";
    return config_of({name, "192.0.2." + tens + mine, "192.0.2." + tens + other, net + (left ? "0" : "1"),
                      net + (left ? "1" : "0"), "10." + other + ".0.0/16"});
  };
  model::Config config = spec("one", "");
  model::Tunnel second = spec("two", "1").tunnels.front();
  second.local = address("192.0.2.1" + mine);
  config.tunnels.push_back(std::move(second));
  for (model::Tunnel& t : config.tunnels) {
    t.health.enabled = true;
    model::Route route;
    route.prefix = t.routes.front();
    route.tunnel = t.name;
    route.priority = t.name == "one" ? 100 : 200;
    config.routes.push_back(route);
  }
  return config;
}

struct TwoWays {
  explicit TwoWays(const std::function<void(model::Config&)>& change = {}, std::uint64_t seed = 1) : world(seed) {
    for (const bool left : {true, false}) {
      model::Config config = two_tunnels(left);
      if (change) change(config);
      world.add(left ? "a" : "b", std::move(config)).start();
    }
    // What is longer than any probe: traffic. From a, by its way.
    world.filter = [this](const Endpoint& from, const Endpoint& to, ByteView payload) {
      if (to.port != 500 && payload.size() > 200 && load_be32(payload.data()) != 0) {
        if (from.address == address("192.0.2.1")) last = 1;
        if (from.address == address("192.0.2.11")) last = 2;
        if (last != before) ++moves;
        before = last;
      }
      return true;
    };
  }
  Node& a() { return *world.nodes()[0]; }
  Node& b() { return *world.nodes()[1]; }
  bool up() { return a().up("one") && a().up("two") && b().up("one") && b().up("two"); }
  // From a to b; how many were lost.
  std::size_t traffic_for(Duration how_long, Duration gap) {
    const std::size_t already = b().delivered.size();
    std::size_t sent = 0;
    for (Duration t{}; t < how_long; t += gap) {
      a().send(udp_packet("10.1.0.5", "10.2.0.5", std::string(200, 'x')));
      ++sent;
      world.run_for(gap);
    }
    world.run_for(20ms);
    return sent - (b().delivered.size() - already);
  }
  std::size_t logged(const std::string& name, const std::string& code) {
    return static_cast<std::size_t>(std::count_if(a().log.begin(), a().log.end(), [&](const gateway::LogEvent& e) {
      return e.name == name &&
             std::any_of(e.fields.begin(), e.fields.end(),
                         [&](const auto& f) { return f.first == "tunnel" && f.second == "one"; }) &&
             std::any_of(e.fields.begin(), e.fields.end(),
                         [&](const auto& f) { return f.first == "code" && f.second == code; });
    }));
  }

  World world;
  int last = 0;
  int before = 0;
  int moves = 0;
};

TEST(Wan, ACutPathCostsLessThanTheRulesAllow) {
  for (const auto& [rate, limit] :
       {std::pair<model::ProbeRate, Duration>{model::ProbeRate::Mid, 1800ms}, {model::ProbeRate::High, 1000ms}}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      TwoWays ways(
          [rate = rate](model::Config& config) {
            for (model::Tunnel& t : config.tunnels) t.health.rate = rate;
          },
          seed);
      ASSERT_TRUE(ways.world.run_until([&] { return ways.up(); }));
      ways.world.run_for(3s);
      EXPECT_EQ(ways.traffic_for(500ms, 1ms), 0U);
      EXPECT_EQ(ways.last, 1);
      EXPECT_EQ(ways.a().status("one").health.state, "healthy");
      ways.world.network.cut(address("192.0.2.1"), address("192.0.2.2"));
      const std::size_t lost = ways.traffic_for(3s, 1ms);
      EXPECT_LE(lost * 1ms, limit);
      EXPECT_GT(lost, 0U);
      EXPECT_EQ(ways.last, 2);
      EXPECT_EQ(ways.moves, 2) << "to the first, and then to the second";
      EXPECT_EQ(ways.logged("health-changed", "probes_lost"), 1U);
      ways.world.run_for(1s);
      const control::HealthStatus health = ways.a().status("one").health;
      EXPECT_EQ(health.state, "down");
      EXPECT_EQ(health.code, "probes_lost");
      EXPECT_GT(health.loss, 0.0);
      EXPECT_LT(health.seconds_since, 5.0);
      EXPECT_TRUE(health.p50_ms && *health.p50_ms >= 2.0) << "there and back";
      RecordProperty("lost_" + std::string{model::to_string(rate)} + "_" + std::to_string(seed),
                     static_cast<int>(lost));
    }
  }
}

TEST(Wan, AMendedPathHasItsTrafficBackOnce) {
  TwoWays ways;
  ASSERT_TRUE(ways.world.run_until([&] { return ways.up(); }));
  ways.world.run_for(3s);
  EXPECT_EQ(ways.traffic_for(1s, 10ms), 0U);
  ways.world.network.cut(address("192.0.2.1"), address("192.0.2.2"));
  (void)ways.traffic_for(8s, 10ms);  // shorter than IKE's own patience
  EXPECT_EQ(ways.last, 2);
  ways.world.network.cuts.clear();
  EXPECT_EQ(ways.traffic_for(5min + 30s, 100ms), 0U);
  EXPECT_EQ(ways.last, 1);
  EXPECT_EQ(ways.moves, 3) << "to the first, away, and back";
  EXPECT_EQ(ways.a().status("one").health.code, "recovered");
}

TEST(Wan, KeysThatAreRenewedAreNoOutage) {
  TwoWays ways;
  ASSERT_TRUE(ways.world.run_until([&] { return ways.up(); }));
  ways.world.run_for(20s);
  ways.a().log.clear();
  for (int i = 0; i < 5; ++i) {
    ways.a().command(i % 2 == 0 ? Verb::RekeyChild : Verb::Reauthenticate, "one");
    EXPECT_EQ(ways.traffic_for(20s, 20ms), 0U);
  }
  EXPECT_EQ(ways.moves, 1);
  EXPECT_TRUE(std::none_of(ways.a().log.begin(), ways.a().log.end(),
                           [](const gateway::LogEvent& e) { return e.name == "health-changed"; }));
}

TEST(Wan, APrefixThatRequiresHybridKeysAvoidsAClassicalTunnel) {
  TwoWays ways([](model::Config& config) {
    config.tunnels[0].pq = model::PqPolicy::Off;
    for (model::Route& route : config.routes) route.pq = model::RoutePq::Require;
  });
  ASSERT_TRUE(ways.world.run_until([&] { return ways.up(); }));
  ways.world.run_for(3s);
  EXPECT_EQ(ways.a().status("one").children.at(0).verdict.keys, "classical");
  EXPECT_EQ(ways.traffic_for(100ms, 10ms), 0U);
  EXPECT_EQ(ways.last, 2);
  ways.a().command(Verb::Down, "two");
  ways.world.run_for(1s);
  EXPECT_EQ(ways.traffic_for(100ms, 10ms), 10U);
  EXPECT_EQ(ways.a().path().drops()[esp::DropReason::PqRequired], 10U);
}

TEST(Wan, ATunnelThatIsTakenDownHoldsNothingBack) {
  TwoWays ways;
  ASSERT_TRUE(ways.world.run_until([&] { return ways.up(); }));
  ways.world.run_for(3s);
  ways.a().command(Verb::Down, "one");
  EXPECT_LE(ways.traffic_for(1s, 10ms), 2U) << "what was sent before the peer agreed";
  EXPECT_EQ(ways.last, 2);
  EXPECT_EQ(ways.a().status("one").health.code, "no_sa");
}

TEST(Wan, PolicyIsCountedByRule) {
  TwoWays ways([](model::Config& config) {
    model::PolicyRule rule;
    rule.name = "no-test";
    rule.protocol = 17;
    rule.to_ports = model::PortRange{.first = 4001, .last = 4001};
    rule.from_tunnel = std::string{model::kHostSide};
    rule.to_tunnel = "one";
    rule.action = model::RuleAction::Drop;
    model::PolicyRule note;
    note.name = "note";
    note.action = model::RuleAction::Log;
    config.policy = {note, rule};
  });
  ASSERT_TRUE(ways.world.run_until([&] { return ways.up(); }));
  ways.world.run_for(3s);
  EXPECT_EQ(ways.traffic_for(100ms, 10ms), 10U);
  ways.world.run_for(2s);
  const control::Snapshot snapshot = ways.a().gateway().snapshot(ways.world.now());
  ASSERT_EQ(snapshot.policy.size(), 2U);
  EXPECT_EQ(snapshot.policy[1].rule, "no-test");
  EXPECT_EQ(snapshot.policy[1].action, "drop");
  EXPECT_EQ(snapshot.policy[1].packets, 10U);
  EXPECT_EQ(ways.a().status("one").health.state, "healthy");
  EXPECT_TRUE(std::any_of(ways.a().log.begin(), ways.a().log.end(),
                          [](const gateway::LogEvent& e) { return e.name == "policy-match"; }));
}

}  // namespace
}  // namespace qanat::sim
