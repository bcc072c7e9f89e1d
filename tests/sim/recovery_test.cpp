// What outlives a gateway: that a peer was hybrid (pq = "pin"), and the key of the crash tokens (RFC 6290).
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ike/crash_token.hpp"
#include "sim/world.hpp"

namespace qanat::sim {
namespace {

using ::testing::HasSubstr;
using Verb = control::GatewayCommand::Verb;

class Recovery : public ::testing::Test {
 protected:
  // The second gateway is a hub that waits for the first one to call.
  void begin(const std::function<void(model::Tunnel&)>& change_first) {
    add_two_sites(world, [&](model::Tunnel& t) {
      if (t.name == "to-2") {
        change_first(t);
      } else {
        t.start = model::StartMode::Respond;
      }
    });
    a = world.nodes()[0].get();
    b = world.nodes()[1].get();
  }
  void start() {
    a->start();
    b->start();
    ASSERT_TRUE(world.run_until([&] { return world.all_up(); }));
    world.run_for(1s);
  }
  void peer_becomes(model::PqPolicy pq) {
    model::Config config = b->config();
    config.tunnels[0].pq = pq;
    ASSERT_TRUE(b->reload(config).has_value());
  }
  [[nodiscard]] static std::size_t logged(const Node& node, std::string_view event) {
    return static_cast<std::size_t>(
        std::ranges::count_if(node.log, [&](const gateway::LogEvent& e) { return e.name == event; }));
  }
  [[nodiscard]] static std::string keys_of(Node& node, const std::string& tunnel) {
    const auto status = node.status(tunnel);
    return status.children.empty() ? "none" : status.children.front().verdict.keys;
  }

  World world{21};
  Node* a = nullptr;
  Node* b = nullptr;
};

void pinned(model::Tunnel& t) {
  t.pq = model::PqPolicy::Pin;
}

TEST_F(Recovery, APinnedPeerDoesNotComeBackClassicalNotEvenOverARestart) {
  begin(pinned);
  start();
  EXPECT_EQ(keys_of(*a, "to-2"), "hybrid");
  peer_becomes(model::PqPolicy::Off);
  world.run_for(120s);  // the old IKE SA had its time
  EXPECT_FALSE(a->up("to-2"));
  EXPECT_THAT(a->status("to-2").reason, HasSubstr("pq = \"pin\" refuses"));
  EXPECT_THAT(a->status("to-2").reason, HasSubstr("qanat posture forget to-2"));
  EXPECT_GE(logged(*a, "pin-refused"), 1U);
  EXPECT_TRUE(b->tap.outbound.empty());

  a->crash();
  a->start();
  world.run_for(120s);
  EXPECT_FALSE(a->up("to-2")) << "no loophole";
  EXPECT_TRUE(a->tap.outbound.empty());

  a->command(Verb::ForgetPin, "to-2");
  ASSERT_FALSE(a->answers.empty());
  EXPECT_TRUE(a->answers.rbegin()->second.ok) << a->answers.rbegin()->second.message;
  ASSERT_TRUE(world.run_until([&] { return world.all_up(); }, 60s)) << a->status("to-2").reason;
  EXPECT_EQ(keys_of(*a, "to-2"), "classical");
  EXPECT_EQ(logged(*a, "fell-to-classical"), 0U) << "it is meant to be so";

  // Hybrid again, it is pinned again.
  peer_becomes(model::PqPolicy::Prefer);
  ASSERT_TRUE(world.run_until([&] { return keys_of(*a, "to-2") == "hybrid"; }, 120s));
  world.run_for(70s);
  peer_becomes(model::PqPolicy::Off);
  world.run_for(120s);
  EXPECT_FALSE(a->up("to-2"));
}

TEST_F(Recovery, TheSideThatIsCalledHoldsItsPinToo) {
  add_two_sites(world, [](model::Tunnel& t) {
    if (t.name == "to-1") t.start = model::StartMode::Respond;
    if (t.name == "to-1") t.pq = model::PqPolicy::Pin;
  });
  a = world.nodes()[0].get();
  b = world.nodes()[1].get();
  start();
  model::Config config = a->config();
  config.tunnels[0].pq = model::PqPolicy::Off;
  ASSERT_TRUE(a->reload(config).has_value());
  world.run_for(300s);  // the old IKE SA goes after 60 s; then it is the next attempt that is refused
  EXPECT_FALSE(b->up("to-1"));
  EXPECT_THAT(b->status("to-1").reason, HasSubstr("qanat posture forget to-1"));
  EXPECT_GE(logged(*b, "pin-refused"), 1U);
  b->crash();
  b->start();
  world.run_for(120s);
  EXPECT_FALSE(b->up("to-1"));
  b->command(Verb::ForgetPin, "to-1");
  EXPECT_TRUE(world.run_until([&] { return world.all_up(); }, 120s));
}

TEST_F(Recovery, APeerThatNeverWasHybridIsNotRefusedByAPin) {
  begin(pinned);
  b->start();
  peer_becomes(model::PqPolicy::Off);
  a->start();
  ASSERT_TRUE(world.run_until([&] { return world.all_up(); }));
  EXPECT_EQ(keys_of(*a, "to-2"), "classical");
  a->command(Verb::ForgetPin, "to-2");
  EXPECT_FALSE(a->answers.rbegin()->second.ok) << "there is nothing to forget";
}

TEST_F(Recovery, UnderPreferAFallIsAnAlert) {
  begin([](model::Tunnel&) {});
  start();
  peer_becomes(model::PqPolicy::Off);
  ASSERT_TRUE(world.run_until([&] { return keys_of(*a, "to-2") == "classical"; }, 120s));
  world.run_for(1s);
  EXPECT_EQ(logged(*a, "fell-to-classical"), 1U);
  EXPECT_EQ(logged(*a, "pin-refused"), 0U);
}

TEST_F(Recovery, ATunnelThatIsPinnedByAReloadLosesItsClassicalSas) {
  begin([](model::Tunnel&) {});
  start();
  peer_becomes(model::PqPolicy::Off);
  ASSERT_TRUE(world.run_until([&] { return keys_of(*a, "to-2") == "classical"; }, 120s));
  world.run_for(70s);
  model::Config config = a->config();
  config.tunnels[0].pq = model::PqPolicy::Pin;
  ASSERT_TRUE(a->reload(config).has_value());
  world.run_for(1s);
  EXPECT_FALSE(a->up("to-2"));
  EXPECT_TRUE(a->tap.outbound.empty());
}

TEST_F(Recovery, PingAsksThePeerInsideTheTunnel) {
  begin([](model::Tunnel&) {});
  a->start();
  a->command(Verb::Ping, "to-2");
  ASSERT_FALSE(a->answers.empty());
  EXPECT_FALSE(a->answers.rbegin()->second.ok);
  EXPECT_THAT(a->answers.rbegin()->second.message, HasSubstr("to-2 is not up"));
  b->start();
  ASSERT_TRUE(world.run_until([&] { return world.all_up(); }));
  const std::size_t before = a->answers.size();
  a->command(Verb::Ping, "to-2");
  world.run_for(1s);
  ASSERT_EQ(a->answers.size(), before + 1);
  const auto answered = a->answers.rbegin()->second;
  ASSERT_TRUE(answered.ok && answered.ping) << answered.message;
  EXPECT_TRUE(answered.ping->answered);
  EXPECT_GT(answered.ping->milliseconds.value_or(0), 0.0);
  b->crash();
  a->command(Verb::Ping, "to-2");
  world.run_for(3s);
  ASSERT_EQ(a->answers.size(), before + 2);
  ASSERT_TRUE(a->answers.rbegin()->second.ping);
  EXPECT_FALSE(a->answers.rbegin()->second.ping->answered);
  EXPECT_TRUE(a->delivered.empty());
}

class CrashTokens : public Recovery {
 protected:
  static void keep_secret(Node& node, std::uint8_t fill) {
    node.ike.crash_secret = std::make_shared<const SecretBytes>(SecretBytes::adopt(Bytes(ike::kCrashSecretSize, fill)));
  }
  // From the restart of the hub until the tunnel is up at both ends again; nullopt: not within a minute.
  [[nodiscard]] std::optional<Duration> back_after_a_crash() {
    b->crash();
    world.run_for(100ms);
    b->start();
    const Instant begun = world.now();
    if (!world.run_until([&] { return world.all_up(); }, 60s)) return std::nullopt;
    return world.now() - begun;
  }
};

TEST_F(CrashTokens, TellThePeerOfARestartedHubAtItsNextQuestion) {
  begin([](model::Tunnel&) {});
  keep_secret(*a, 1);
  keep_secret(*b, 2);
  start();
  const auto time = back_after_a_crash();
  ASSERT_TRUE(time);
  EXPECT_LE(*time, 11s) << "the peer asks after 10 s of silence";
  EXPECT_EQ(logged(*a, "peer-restarted"), 1U);
}

TEST_F(CrashTokens, WithoutThemLivenessHasToFail) {
  begin([](model::Tunnel&) {});
  start();
  const auto time = back_after_a_crash();
  EXPECT_TRUE(!time || *time > 25s);
}

TEST_F(CrashTokens, HoldOverManyCrashesOfEither) {
  begin([](model::Tunnel&) {});
  keep_secret(*a, 1);
  keep_secret(*b, 2);
  start();
  for (int i = 0; i < 5; ++i) {
    Node& falls = i % 2 == 0 ? *b : *a;
    falls.crash();
    world.run_for(50ms);
    falls.start();
    ASSERT_TRUE(world.run_until([&] { return world.all_up(); }, 12s)) << i;
    world.run_for(5s);
  }
  EXPECT_TRUE(world.leaks.empty());
}

}  // namespace
}  // namespace qanat::sim
