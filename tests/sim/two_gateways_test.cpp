// Two whole gateways in virtual time: what an operator would see over hours, in milliseconds.
#include <algorithm>

#include <gtest/gtest.h>

#include "pki/issue.hpp"
#include "sim/world.hpp"

namespace qanat::sim {
namespace {

using Verb = control::GatewayCommand::Verb;

class TwoGateways : public ::testing::Test {
 protected:
  TwoGateways() : a(world.add("a", config_of(spec_a()))), b(world.add("b", config_of(spec_b()))) {}

  static TunnelSpec spec_a() { return {"to-b", "192.0.2.1", "192.0.2.2", "10.255.0.0", "10.255.0.1", "10.2.0.0/16"}; }
  static TunnelSpec spec_b() { return {"to-a", "192.0.2.2", "192.0.2.1", "10.255.0.1", "10.255.0.0", "10.1.0.0/16"}; }

  bool up(Node& node, const std::string& tunnel) { return node.running() && node.status(tunnel).actual == "up"; }
  bool both_up() { return up(a, "to-b") && up(b, "to-a"); }
  void start_both() {
    a.start();
    b.start();
    ASSERT_TRUE(world.run_until([&] { return both_up(); }));
  }
  // One numbered packet each way, every `interval`.
  void traffic_for(Duration duration, Duration interval) {
    for (Duration t{}; t < duration; t += interval) {
      const std::string text = "packet " + std::to_string(sent++);
      a.send(udp_packet("10.1.0.5", "10.2.0.5", text));
      b.send(udp_packet("10.2.0.5", "10.1.0.5", text));
      world.run_for(interval);
    }
  }

  World world;
  Node& a;
  Node& b;
  std::size_t sent = 0;
};

TEST_F(TwoGateways, CarryPacketsUnderHybridKeysWithoutAnySetting) {
  start_both();
  traffic_for(1s, 100ms);
  EXPECT_EQ(a.delivered.size(), sent);
  EXPECT_EQ(b.delivered.size(), sent);
  const auto status = a.status("to-b");
  ASSERT_TRUE(status.ike);
  EXPECT_EQ(status.ike->verdict.keys, "hybrid");
  EXPECT_EQ(status.ike->key_exchanges, (std::vector<std::string>{"x25519", "mlkem768"}));
  EXPECT_TRUE(world.leaks.empty()) << world.leaks.front();
}

TEST_F(TwoGateways, AskForTheBarrierBeforeAnythingElse) {
  a.start();
  ASSERT_FALSE(a.host_commands.empty());
  const auto* protection = std::get_if<gateway::SetProtection>(&a.host_commands.front());
  ASSERT_NE(protection, nullptr);
  EXPECT_TRUE(std::find(protection->prefixes.begin(), protection->prefixes.end(), *Prefix::parse("10.2.0.0/16")) !=
              protection->prefixes.end());
}

TEST_F(TwoGateways, BeginNothingWhileTheBarrierDoesNotStand) {
  a.host_refuses = true;
  a.start();
  world.run_for(500ms);
  EXPECT_EQ(world.network.counts().sent, 0U) << "a message left";
  EXPECT_NE(a.status("to-b").reason.find("the kernel says no"), std::string::npos) << a.status("to-b").reason;
  a.host_refuses = false;  // it is asked again
  b.start();
  EXPECT_TRUE(world.run_until([&] { return both_up(); }, 30s));
}

TEST_F(TwoGateways, BothBeginAtOnceAndOneSaRemains) {
  start_both();
  world.run_for(15s);  // a winner that the peer began is waited for before the loser goes
  EXPECT_EQ(a.status("to-b").children.size(), 1U);
  EXPECT_EQ(b.status("to-a").children.size(), 1U);
  EXPECT_EQ(a.status("to-b").children.front().spi_in, b.status("to-a").children.front().spi_out);
  traffic_for(1s, 100ms);
  EXPECT_EQ(b.delivered.size(), sent);
}

TEST_F(TwoGateways, RenewTheirKeysWithoutLosingAPacket) {
  start_both();
  const auto first = a.status("to-b").children.front().spi_in;
  traffic_for(3h, 1s);  // the Child SA's lifetime is one hour
  EXPECT_NE(a.status("to-b").children.front().spi_in, first);
  EXPECT_EQ(a.delivered.size(), sent);
  EXPECT_EQ(b.delivered.size(), sent);
  EXPECT_TRUE(both_up());
}

TEST_F(TwoGateways, NoticeADeadPeerAndComeBack) {
  start_both();
  b.crash();
  ASSERT_TRUE(world.run_until([&] { return !up(a, "to-b"); }));
  EXPECT_NE(a.status("to-b").reason, "");
  b.start();
  ASSERT_TRUE(world.run_until([&] { return both_up(); }, 300s));
  traffic_for(1s, 100ms);
  EXPECT_EQ(b.delivered.size(), sent);
}

TEST_F(TwoGateways, ARestartedPeerIsBackAtOnce) {
  start_both();
  b.crash();
  world.run_for(1s);
  b.start();  // its INITIAL_CONTACT clears what a still believes
  ASSERT_TRUE(world.run_until([&] { return both_up(); }, 5s));
  traffic_for(1s, 100ms);
  EXPECT_EQ(a.delivered.size(), sent);
  EXPECT_EQ(b.delivered.size(), sent);
}

TEST_F(TwoGateways, SurviveAnHourOfBadWeather) {
  world.network.weather.loss = 0.1;
  a.start();
  b.start();
  ASSERT_TRUE(world.run_until([&] { return both_up(); }));
  world.run_for(1h);
  EXPECT_TRUE(both_up());
}

TEST_F(TwoGateways, DownStaysDownUntilUp) {
  start_both();
  a.command(Verb::Down, "to-b");
  world.run_for(120s);
  EXPECT_EQ(a.status("to-b").actual, "down");
  EXPECT_EQ(a.status("to-b").wanted, "down");
  EXPECT_FALSE(up(b, "to-a"));
  const std::size_t before = b.delivered.size();
  a.send(udp_packet("10.1.0.5", "10.2.0.5", "must not leave"));
  world.run_for(5s);
  EXPECT_EQ(b.delivered.size(), before);
  a.command(Verb::Up, "to-b");
  ASSERT_TRUE(world.run_until([&] { return both_up(); }));
  EXPECT_TRUE(a.answers.at(1).ok);
  EXPECT_TRUE(a.answers.at(2).ok) << a.answers.at(2).message;
}

TEST_F(TwoGateways, UpNamesTheReasonWhenThePskDiffers) {
  TunnelSpec wrong = spec_b();
  wrong.psk = "another secret";
  World other;
  Node& left = other.add("left", config_of(spec_a()));
  Node& right = other.add("right", config_of(wrong));
  left.start();
  right.start();
  other.run_for(10s);
  EXPECT_NE(left.status("to-b").reason.find("PSK"), std::string::npos) << left.status("to-b").reason;
  EXPECT_NE(left.status("to-b").actual, "up");
  EXPECT_TRUE(left.delivered.empty());
}

// The daemon's own signatures and judgement of chains: the workers answer with gateway/auth_service.hpp.
TEST_F(TwoGateways, ProveThemselvesByCertificates) {
  SeededRng rng{3};
  constexpr WallTime kIssued{1'799'999'000};
  const auto ca = pki::make_ca("Example CA", {crypto::KeyKind::MlDsa65}, kIssued, 30, rng).value();
  World other;
  for (const TunnelSpec& spec : {spec_a(), spec_b()}) {
    model::Config config = config_of(spec);
    const auto own = pki::issue({ca.certificate, ca.key}, std::vector{wire::Identity::of_address(address(spec.local))},
                                {crypto::KeyKind::MlDsa65}, kIssued, 20, rng)
                         .value();
    auto& credentials = config.tunnels.front().credentials;
    credentials.certificates = {own.certificate.der()};
    credentials.private_key = std::make_shared<const SecretBytes>(own.key.to_pkcs8().value());
    credentials.trust_anchors = {ca.certificate.der()};
    other.add(spec.name, std::move(config)).start();
  }
  Node& left = *other.nodes()[0];
  ASSERT_TRUE(other.run_until([&] { return up(left, "to-b") && up(*other.nodes()[1], "to-a"); }, 10s));
  left.send(udp_packet("10.1.0.5", "10.2.0.5", "signed for"));
  other.run_for(1s);
  EXPECT_EQ(other.nodes()[1]->delivered.size(), 1U);
  EXPECT_EQ(left.status("to-b").ike->authentication_verdict.substr(0, 12), "quantum-safe");
}

TEST_F(TwoGateways, AnUnknownTunnelIsNamed) {
  a.start();
  a.command(Verb::Up, "nowhere");
  ASSERT_TRUE(a.answers.contains(1));
  EXPECT_FALSE(a.answers.at(1).ok);
  EXPECT_NE(a.answers.at(1).message.find("nowhere"), std::string::npos);
}

TEST(OnePeerCallsIn, IsKnownByItsIdentity) {
  World world;
  TunnelSpec hub{"branch", "192.0.2.1", "", "10.255.0.0", "10.255.0.1", "10.2.0.0/16"};
  model::Config hub_config = config_of(hub);
  hub_config.tunnels.front().remote_id = *wire::Identity::parse("fqdn:branch.example.com");
  model::Config branch_config =
      config_of({"hub", "198.51.100.77", "192.0.2.1", "10.255.0.1", "10.255.0.0", "0.0.0.0/0"});
  branch_config.tunnels.front().local_id = *wire::Identity::parse("fqdn:branch.example.com");
  Node& hub_node = world.add("hub", hub_config);
  Node& branch = world.add("branch", branch_config);
  hub_node.start();
  branch.start();
  ASSERT_TRUE(
      world.run_until([&] { return hub_node.status("branch").actual == "up" && branch.status("hub").actual == "up"; }));
  branch.send(udp_packet("10.2.0.9", "8.8.8.8", "everything goes through the hub"));
  world.run_for(100ms);
  EXPECT_EQ(hub_node.delivered.size(), 1U);
}

}  // namespace
}  // namespace qanat::sim
