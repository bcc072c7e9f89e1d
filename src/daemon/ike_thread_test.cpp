#include "daemon/ike_thread.hpp"

#include <thread>

#include <gtest/gtest.h>

#include "gateway/shards_test_support.hpp"
#include "io/clock.hpp"

namespace qanat::daemon {
namespace {

using gateway::test::Datagram;
using gateway::test::kHub;
using gateway::test::kSites;
using gateway::test::Node;
using gateway::test::Side;

constexpr std::size_t kThreads = 3;
constexpr Duration kPatience = 60s;  // of a machine that does other things, too

// A hub whose shards run on threads, and sites that do not.
class IkeThreads : public ::testing::Test {
 protected:
  IkeThreads() {
    for (IkeThread* t : threads) EXPECT_TRUE(t->start().has_value());
  }
  template <typename Condition>
  bool run_until(const Condition& holds) {
    const Instant end = io::boot_now() + kPatience;
    while (!holds()) {
      const Instant now = io::boot_now();
      if (now > end) return false;
      std::this_thread::sleep_for(100us);  // there may be one processor for all
      hub.now = sites.now = now;
      sites.gateway.handle_timeout(now);
      hub.gateway.handle_timeout(now);
      said.clear();
      hub.gateway.handle_shards(now);
      hub.drain(wire);
      sites.drain(wire);
      while (!wire.empty()) {
        const Datagram d = std::move(wire.front());
        wire.pop_front();
        Node& to = d.path.remote.address == kHub ? hub : sites;
        to.gateway.handle_datagram(now, d.mirrored(), d.payload);
        to.drain(wire);
      }
    }
    return true;
  }

  io::WakeUp said;
  std::vector<IkeThread*> threads;
  Node hub{Side::Hub, kThreads, 1,
           [this](const ike::EndpointConfig& config) {
             auto thread = std::make_unique<IkeThread>(config, said);
             threads.push_back(thread.get());
             return thread;
           },
           io::boot_now()};
  SeededRng rng{9};
  Node sites{Side::Sites, 1, 1,
             [this](const ike::EndpointConfig& config) { return std::make_unique<gateway::IkeShard>(config, rng); },
             io::boot_now()};
  std::deque<Datagram> wire;
};

TEST_F(IkeThreads, BringUpTunnelsRekeyThemAndEnd) {
  ASSERT_TRUE(run_until([&] { return hub.up() == kSites && sites.up() == kSites; }));
  EXPECT_EQ(hub.shards_in_use().size(), kThreads);
  const std::size_t rekeyed = 5;
  hub.gateway.command(hub.now, 1, {control::GatewayCommand::Verb::RekeyIke, "site" + std::to_string(rekeyed), false});
  ASSERT_TRUE(run_until([&] { return hub.gateway.snapshot(hub.now).tunnels.at(rekeyed).ike_rekeys == 1; }));
  sites.gateway.shut_down(sites.now);
  hub.gateway.shut_down(hub.now);
  EXPECT_TRUE(run_until([&] { return hub.gateway.is_quiet() && sites.gateway.is_quiet(); }));
}

TEST(IkeThread, TakesNoMoreDatagramsThanItHasRoomFor) {
  io::WakeUp said;
  IkeThread thread{{}, said, 3};
  const Bytes nonsense{1, 2, 3};
  for (int i = 0; i < 5; ++i) thread.handle_datagram({}, {{kHub, 500}, {kHub, 500}}, nonsense, {});
  ASSERT_TRUE(thread.start().has_value());
  const auto count = [&](ike::Counter which) {
    std::uint64_t out = 0;
    thread.inspect([&](const gateway::IkeShard& shard) { out = shard.counters()[which]; });
    return out;
  };
  EXPECT_EQ(count(ike::Counter::malformed), 3U);
  EXPECT_EQ(count(ike::Counter::thread_busy), 0U) << "it is told with the next one";
  thread.handle_datagram({}, {{kHub, 500}, {kHub, 500}}, nonsense, {});
  EXPECT_EQ(count(ike::Counter::malformed), 4U);
  EXPECT_EQ(count(ike::Counter::thread_busy), 2U);
}

TEST(IkeThread, ThereAreAsManyAsConfiguredOrByTheProcessors) {
  EXPECT_EQ(ike_thread_count(1), 1U);
  EXPECT_EQ(ike_thread_count(12), 12U);
  EXPECT_GE(ike_thread_count(0), 1U);
  EXPECT_LE(ike_thread_count(0), 8U);
}

}  // namespace
}  // namespace qanat::daemon
