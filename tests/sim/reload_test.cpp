// Each row of rules.md "What a reload does to live SAs", with traffic: three gateways, of which the first gets another
// configuration for its tunnel to the second. Its tunnel to the third is untouched, and loses nothing in any row.
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/world.hpp"

namespace qanat::sim {
namespace {

class Reload : public ::testing::Test {
 protected:
  Reload() {
    add_mesh(world, 3);
    for (const auto& node : world.nodes()) nodes.push_back(node.get());
  }

  void start() {
    for (Node* node : nodes) node->start();
    ASSERT_TRUE(world.run_until([&] { return world.all_up(); }));
    world.run_for(20s);  // whoever began at once has settled who stays
  }

  // The first gateway's configuration with its tunnel to the second changed.
  [[nodiscard]] model::Config changed(const std::function<void(model::Tunnel&)>& change, std::size_t node = 0) const {
    model::Config config = nodes[node]->config();
    change(config.tunnels[0]);
    return config;
  }

  // Packets between the first gateway and the others, by default 100 a second each way.
  void traffic_for(Duration duration, Duration interval = 10ms) {
    for (Duration t{}; t < duration; t += interval) {
      for (const std::size_t peer : {2U, 3U}) {
        const std::string there = fmt::format("10.{}.0.5", peer);
        nodes[0]->send(udp_packet("10.1.0.5", there, fmt::format("1 to {} {:06}", peer, sent)));
        nodes[peer - 1]->send(udp_packet(there, "10.1.0.5", fmt::format("{} to 1 {:06}", peer, sent)));
      }
      ++sent;
      world.run_for(interval);
    }
  }
  // Of those that were sent between the first gateway and this one, how many have not come out. Everything that came
  // out twice counts, too.
  [[nodiscard]] std::size_t lost(std::size_t peer) {
    world.run_for(100ms);  // what is under way arrives
    std::size_t wrong = 0;
    for (const bool out : {true, false}) {
      const std::string label = out ? fmt::format("1 to {} ", peer) : fmt::format("{} to 1 ", peer);
      std::map<std::string, int> seen;
      for (const Bytes& packet : (out ? nodes[peer - 1] : nodes[0])->delivered) {
        const std::string text{packet.begin() + 28, packet.end()};
        if (text.starts_with(label)) ++seen[text];
      }
      wrong += sent - seen.size();
      for (const auto& [text, times] : seen) wrong += static_cast<std::size_t>(times - 1);
    }
    return wrong;
  }
  [[nodiscard]] std::set<std::uint64_t> ike_sas(Node& node, const std::string& tunnel) const {
    std::set<std::uint64_t> out;
    for (const ike::SaInfo& sa : node.gateway().ike_sas()) {
      if (sa.tunnel == node.tunnel_id(tunnel) && sa.state == ike::SaState::Established) out.insert(sa.spi_i);
    }
    return out;
  }
  [[nodiscard]] std::set<std::uint32_t> child_sas(Node& node, const std::string& tunnel) const {
    std::set<std::uint32_t> out;
    for (const ike::SaInfo& sa : node.gateway().ike_sas()) {
      for (const ike::ChildInfo& child : sa.children) {
        if (sa.tunnel == node.tunnel_id(tunnel) && child.state == ike::ChildState::Live) out.insert(child.spi_in);
      }
    }
    return out;
  }
  void expect_the_third_untouched() {
    EXPECT_EQ(lost(3), 0U);
    EXPECT_EQ(ike_sas(*nodes[0], "to-3"), third_ike);
    EXPECT_EQ(child_sas(*nodes[0], "to-3"), third_child);
    EXPECT_TRUE(world.leaks.empty()) << world.leaks.front();
  }
  // Traffic before, at, and after the change; what was before is kept in the members.
  void reload_under_traffic(const std::function<void(model::Tunnel&)>& change, Duration after = 3s) {
    start();
    traffic_for(500ms);
    ike_before = ike_sas(*nodes[0], "to-2");
    child_before = child_sas(*nodes[0], "to-2");
    third_ike = ike_sas(*nodes[0], "to-3");
    third_child = child_sas(*nodes[0], "to-3");
    ASSERT_EQ(ike_before.size(), 1U);
    ASSERT_EQ(child_before.size(), 1U);
    const auto changes = nodes[0]->reload(changed(change));
    ASSERT_TRUE(changes.has_value()) << changes.error().detail;
    traffic_for(after);
  }

  World world{7};
  std::vector<Node*> nodes;
  std::size_t sent = 0;
  std::set<std::uint64_t> ike_before;
  std::set<std::uint32_t> child_before;
  std::set<std::uint64_t> third_ike;
  std::set<std::uint32_t> third_child;
};

TEST_F(Reload, TheSameAgainChangesNothing) {
  reload_under_traffic([](model::Tunnel&) {});
  EXPECT_EQ(lost(2), 0U);
  EXPECT_EQ(child_sas(*nodes[0], "to-2"), child_before);
  expect_the_third_untouched();
}

TEST_F(Reload, RoutesAndMssInPlace) {
  reload_under_traffic([](model::Tunnel& t) {
    t.clamp_mss = false;
    t.routes.push_back(*Prefix::parse("10.22.0.0/16"));
  });
  EXPECT_EQ(lost(2), 0U);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before);
  EXPECT_EQ(child_sas(*nodes[0], "to-2"), child_before);
  const auto* protection = std::get_if<gateway::SetProtection>(&nodes[0]->host_commands.back());
  ASSERT_NE(protection, nullptr);
  EXPECT_TRUE(std::find(protection->prefixes.begin(), protection->prefixes.end(), *Prefix::parse("10.22.0.0/16")) !=
              protection->prefixes.end())
      << "the barrier stands for a new route, too";
  expect_the_third_untouched();
}

TEST_F(Reload, LifetimesByChildRekey) {
  reload_under_traffic([](model::Tunnel& t) { t.child_lifetime = 100s; });
  EXPECT_EQ(lost(2), 0U);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before);
  ASSERT_EQ(child_sas(*nodes[0], "to-2").size(), 1U);
  const auto now = child_sas(*nodes[0], "to-2");
  EXPECT_NE(now, child_before);
  traffic_for(100s, 100ms);
  EXPECT_NE(child_sas(*nodes[0], "to-2"), now) << "and they hold from now on";
  EXPECT_EQ(lost(2), 0U);
  expect_the_third_untouched();
}

TEST_F(Reload, EspProposalsAndReplayWindowByChildRekey) {
  reload_under_traffic(
      [](model::Tunnel& t) {
        t.esp_proposals = {"aes128gcm16"};
        t.replay_window = 64;
      },
      8s);  // the old inbound keys are kept for 5 s
  EXPECT_EQ(lost(2), 0U);
  const auto status = nodes[0]->status("to-2");
  ASSERT_EQ(status.children.size(), 1U);
  EXPECT_EQ(status.children[0].suite, "aes128gcm16");
  EXPECT_EQ(status.children[0].replay_window, 64U);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before);
  expect_the_third_untouched();
}

TEST_F(Reload, IkeLifetimeRenewsTheKeysOfIke) {
  reload_under_traffic([](model::Tunnel& t) { t.ike_lifetime = 300s; });
  EXPECT_EQ(lost(2), 0U);
  EXPECT_NE(ike_sas(*nodes[0], "to-2"), ike_before);
  traffic_for(300s, 100ms);
  EXPECT_EQ(lost(2), 0U);
  expect_the_third_untouched();
}

TEST_F(Reload, IkeProposalsByANewIkeSa) {
  reload_under_traffic([](model::Tunnel& t) { t.ike_proposals = {"aes128gcm16-prfsha256-x25519-ke1_mlkem768"}; });
  EXPECT_EQ(lost(2), 0U);
  const auto now = ike_sas(*nodes[0], "to-2");
  ASSERT_EQ(now.size(), 1U);
  EXPECT_NE(now, ike_before);
  EXPECT_EQ(nodes[0]->status("to-2").ike->suite, "aes128gcm16-prfsha256");
  expect_the_third_untouched();
}

TEST_F(Reload, AnotherPskIsTakenWhenTheOtherSideHasItToo) {
  const auto psk = [](model::Tunnel& t) {
    t.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes(std::string_view{"the next secret of both"}))};
  };
  reload_under_traffic(psk, 5s);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before) << "the other side does not know it yet: the old one carries on";
  ASSERT_TRUE(nodes[1]->reload(changed(psk, 1)).has_value());
  traffic_for(20s);
  const auto now = ike_sas(*nodes[0], "to-2");
  ASSERT_EQ(now.size(), 1U);
  EXPECT_NE(now, ike_before);
  EXPECT_EQ(lost(2), 0U);
  expect_the_third_untouched();
}

TEST_F(Reload, TheOldIkeSaIsKeptForAMinuteAtMost) {
  reload_under_traffic(
      [](model::Tunnel& t) {
        t.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes(std::string_view{"a secret of its own"}))};
      },
      59s);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before);
  EXPECT_EQ(lost(2), 0U);
  traffic_for(3s);
  EXPECT_TRUE(ike_sas(*nodes[0], "to-2").empty());
  EXPECT_GT(lost(2), 0U);
  expect_the_third_untouched();
}

TEST_F(Reload, IdentitiesByANewIkeSa) {
  start();
  traffic_for(500ms);
  third_ike = ike_sas(*nodes[0], "to-3");
  third_child = child_sas(*nodes[0], "to-3");
  ike_before = ike_sas(*nodes[0], "to-2");
  const wire::Identity name = *wire::Identity::parse("fqdn:second.example.com");
  ASSERT_TRUE(nodes[1]->reload(changed([&](model::Tunnel& t) { t.local_id = name; }, 1)).has_value());
  ASSERT_TRUE(nodes[0]->reload(changed([&](model::Tunnel& t) { t.remote_id = name; })).has_value());
  traffic_for(20s);
  const auto now = ike_sas(*nodes[0], "to-2");
  EXPECT_EQ(now.size(), 1U);
  EXPECT_NE(now, ike_before);
  EXPECT_EQ(lost(2), 0U);
  traffic_for(60s, 100ms);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2").size(), 1U);
  EXPECT_EQ(lost(2), 0U) << "the end of the minute touches nothing new";
  expect_the_third_untouched();
}

TEST_F(Reload, TightenedPqKeepsWhatIsHybrid) {
  reload_under_traffic([](model::Tunnel& t) { t.pq = model::PqPolicy::Require; });
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before);
  EXPECT_EQ(child_sas(*nodes[0], "to-2"), child_before);
  EXPECT_EQ(lost(2), 0U);
  expect_the_third_untouched();
}

TEST_F(Reload, TightenedPqDeletesClassicalSasAtOnce) {
  start();
  ASSERT_TRUE(nodes[1]->reload(changed([](model::Tunnel& t) { t.pq = model::PqPolicy::Off; }, 1)).has_value());
  world.run_for(90s);
  ASSERT_TRUE(nodes[0]->up("to-2"));
  ASSERT_EQ(nodes[0]->status("to-2").ike->verdict.keys, "classical");
  third_ike = ike_sas(*nodes[0], "to-3");
  third_child = child_sas(*nodes[0], "to-3");
  traffic_for(500ms);
  ASSERT_EQ(lost(2), 0U);
  ASSERT_TRUE(nodes[0]->reload(changed([](model::Tunnel& t) { t.pq = model::PqPolicy::Require; })).has_value());
  EXPECT_TRUE(child_sas(*nodes[0], "to-2").empty());
  EXPECT_TRUE(nodes[0]->tap.outbound.size() == 1U) << "only the third's is left";
  traffic_for(5s);
  EXPECT_FALSE(nodes[0]->up("to-2"));
  EXPECT_NE(nodes[0]->status("to-2").reason, "");
  EXPECT_GE(lost(2), 1000U) << "both ways, from the first packet on";
  expect_the_third_untouched();
}

TEST_F(Reload, TightenedSelectorsDeleteWiderChildSasAtOnce) {
  reload_under_traffic(
      [](model::Tunnel& t) {
        t.selectors = model::SelectorMode::List;
        t.selector_list = {{*Prefix::parse("10.1.0.0/16"), *Prefix::parse("10.2.0.0/16")}};
      },
      10s);
  EXPECT_EQ(ike_sas(*nodes[0], "to-2"), ike_before) << "it breaks no rule";
  const auto children = nodes[0]->status("to-2").children;
  EXPECT_FALSE(children.empty());
  for (const control::ChildStatus& child : children) {
    for (const std::string& selector : child.remote_ts) EXPECT_TRUE(selector.starts_with("10.2.")) << selector;
  }
  EXPECT_LT(lost(2), 400U) << "a Child SA that fits comes by itself";
  expect_the_third_untouched();
}

TEST_F(Reload, TightenedAnchorsDeleteAtOnce) {
  reload_under_traffic([](model::Tunnel& t) { use_certificates(t); }, 1s);
  // What the peer had got in by is gone from the start, and nothing new comes as long as it has no certificate.
  EXPECT_TRUE(ike_sas(*nodes[0], "to-2").empty());
  EXPECT_GE(lost(2), 200U);
  EXPECT_LE(lost(2), 204U) << "and those that were under way";
  expect_the_third_untouched();
}

TEST_F(Reload, ARemovedTunnelIsDeletedAndThenItsBarrierGoes) {
  start();
  traffic_for(500ms);
  third_ike = ike_sas(*nodes[0], "to-3");
  third_child = child_sas(*nodes[0], "to-3");
  const model::Config whole = nodes[0]->config();
  model::Config config = whole;
  config.tunnels.erase(config.tunnels.begin());
  ASSERT_TRUE(nodes[0]->reload(config).has_value());
  world.run_for(1s);
  EXPECT_TRUE(ike_sas(*nodes[1], "to-1").empty()) << "the peer was told";
  EXPECT_EQ(nodes[0]->tap.outbound.size(), 1U);
  const auto* protection = std::get_if<gateway::SetProtection>(&nodes[0]->host_commands.back());
  ASSERT_NE(protection, nullptr);
  EXPECT_TRUE(std::find(protection->prefixes.begin(), protection->prefixes.end(), *Prefix::parse("10.2.0.0/16")) ==
              protection->prefixes.end());
  EXPECT_EQ(nodes[0]->gateway().snapshot(world.now()).tunnels.size(), 1U);
  traffic_for(2s);
  expect_the_third_untouched();

  // And it comes back, in another place, as a tunnel of its own.
  model::Config again = config;
  again.tunnels.push_back(whole.tunnels[0]);
  ASSERT_TRUE(nodes[0]->reload(again).has_value());
  EXPECT_TRUE(world.run_until([&] { return nodes[0]->up("to-2"); }, 60s));
  expect_the_third_untouched();
}

TEST_F(Reload, WhatIsWrongChangesNothing) {
  start();
  traffic_for(500ms);
  third_ike = ike_sas(*nodes[0], "to-3");
  third_child = child_sas(*nodes[0], "to-3");
  child_before = child_sas(*nodes[0], "to-2");
  const auto commands = nodes[0]->host_commands.size();
  EXPECT_FALSE(nodes[0]->reload(changed([](model::Tunnel& t) { t.ike_proposals = {"nonsense"}; })).has_value());
  model::Config vrfs = nodes[0]->config();
  vrfs.vrfs.push_back({VrfId{1}, "blue", "qanat1", 5210});
  const auto refused = nodes[0]->reload(vrfs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().detail.find("restart"), std::string::npos);
  traffic_for(1s);
  EXPECT_EQ(nodes[0]->host_commands.size(), commands);
  EXPECT_EQ(child_sas(*nodes[0], "to-2"), child_before);
  EXPECT_EQ(lost(2), 0U);
  expect_the_third_untouched();
}

TEST_F(Reload, AnAttemptUnderWayBeginsAnew) {
  model::Config config = changed([](model::Tunnel& t) {
    t.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes(std::string_view{"not what the other has"}))};
  });
  const model::Config right = nodes[0]->config();
  nodes[0]->start();
  ASSERT_TRUE(nodes[0]->reload(config).has_value());
  world.run_for(100ms);
  ASSERT_TRUE(nodes[0]->reload(right).has_value());
  nodes[1]->start();
  nodes[2]->start();
  EXPECT_TRUE(world.run_until([&] { return world.all_up(); }, 60s));
}

TEST_F(Reload, DownStaysDown) {
  start();
  nodes[0]->command(control::GatewayCommand::Verb::Down, "to-2");
  world.run_for(1s);
  ASSERT_TRUE(nodes[0]->reload(changed([](model::Tunnel& t) { t.ike_lifetime = 2h; })).has_value());
  ASSERT_TRUE(
      nodes[0]
          ->reload(changed([](model::Tunnel& t) { t.ike_proposals = {"aes128gcm16-prfsha256-x25519-ke1_mlkem768"}; }))
          .has_value());
  world.run_for(30s);
  EXPECT_FALSE(nodes[0]->up("to-2"));
  nodes[0]->command(control::GatewayCommand::Verb::Up, "to-2");
  ASSERT_TRUE(world.run_until([&] { return nodes[0]->up("to-2"); }));
  EXPECT_EQ(nodes[0]->status("to-2").ike->suite, "aes128gcm16-prfsha256") << "under what it was told meanwhile";
}

}  // namespace
}  // namespace qanat::sim
