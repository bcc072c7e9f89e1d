// A gateway of several IKE shards: every message finds the shard whose it is.
#include <deque>
#include <map>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "gateway/shards_test_support.hpp"

namespace qanat::gateway {
namespace {

using test::Datagram;
using test::kHub;
using test::kSites;
using test::Node;
using test::Side;
using test::site;

constexpr std::size_t kShards = 3;

class Shards : public ::testing::Test {
 protected:
  void settle() {
    hub->drain(wire);
    sites->drain(wire);
    while (!wire.empty()) {
      const Datagram d = std::move(wire.front());
      wire.pop_front();
      Node& to = *(d.path.remote.address == kHub ? hub : sites);
      to.gateway.handle_datagram(to.now, d.mirrored(), d.payload);
      to.drain(wire);
    }
  }
  void pass(Duration by) {
    for (Node* n : {hub.get(), sites.get()}) n->now = n->now + by;
    for (Node* n : {hub.get(), sites.get()}) n->gateway.handle_timeout(n->now);
    settle();
  }
  // The only established IKE SA of each tunnel, which has one Child SA.
  static void expect_one_each(const Node& node) {
    std::map<TunnelId, std::size_t> count;
    for (const ike::SaInfo& sa : node.gateway.ike_sas()) {
      if (sa.state != ike::SaState::Established) continue;
      ++count[sa.tunnel];
      EXPECT_EQ(sa.children.size(), 1U) << "tunnel " << sa.tunnel.value();
    }
    EXPECT_EQ(count.size(), kSites);
    for (const auto& [tunnel, sas] : count) EXPECT_EQ(sas, 1U) << "tunnel " << tunnel.value();
    for (const control::TunnelStatus& t : node.gateway.snapshot(node.now).tunnels) EXPECT_EQ(t.actual, "up") << t.name;
  }
  // Tunnels whose IKE SA stands elsewhere than where we would have begun it.
  [[nodiscard]] static std::set<std::uint32_t> away_from_home(const Node& node, std::size_t shards) {
    std::set<std::uint32_t> out;
    for (const ike::SaInfo& sa : node.gateway.ike_sas()) {
      if (((sa.initiator ? sa.spi_i : sa.spi_r) & (ike::kMaxShards - 1)) != sa.tunnel.value() % shards)
        out.insert(sa.tunnel.value());
    }
    return out;
  }

  std::unique_ptr<Node> hub = std::make_unique<Node>(Side::Hub, kShards);
  std::unique_ptr<Node> sites = std::make_unique<Node>(Side::Sites, kShards + 1);
  std::deque<Datagram> wire;
};

TEST_F(Shards, ShareTheTunnelsOutAndEachKnowsItsOwn) {
  settle();
  EXPECT_EQ(hub->up(), kSites);
  EXPECT_EQ(sites->up(), kSites);
  EXPECT_EQ(hub->shards_in_use().size(), kShards);
  EXPECT_EQ(sites->shards_in_use().size(), kShards + 1);
  std::set<IkeSaId> ids;
  std::set<ChildSaId> children;
  for (const ike::SaInfo& sa : hub->gateway.ike_sas()) {
    ids.insert(sa.id);
    for (const ike::ChildInfo& child : sa.children) children.insert(child.id);
  }
  EXPECT_EQ(ids.size(), kSites);
  EXPECT_EQ(children.size(), kSites);
  for (const control::TunnelStatus& t : hub->gateway.snapshot(hub->now).tunnels) EXPECT_EQ(t.actual, "up") << t.name;

  // Every second counters are read, and liveness is asked after: nobody gets what is another's.
  for (int i = 0; i < 60; ++i) pass(1s);
  EXPECT_EQ(hub->up(), kSites);
  EXPECT_EQ(sites->up(), kSites);
  EXPECT_EQ(hub->count("unknown_spi"), 0U);

  hub->gateway.command(hub->now, 1, {control::GatewayCommand::Verb::RekeyIke, "site5", false});
  hub->gateway.command(hub->now, 2, {control::GatewayCommand::Verb::RekeyChild, "site5", false});
  settle();
  for (int i = 0; i < 10; ++i) pass(1s);
  EXPECT_EQ(hub->up(), kSites);

  sites->gateway.shut_down(sites->now);
  hub->gateway.shut_down(hub->now);
  settle();
  for (int i = 0; i < 60; ++i) pass(1s);
  EXPECT_TRUE(hub->gateway.is_quiet());
  EXPECT_EQ(hub->gateway.holdings(), 0U);
}

TEST_F(Shards, BothSidesBeginAtOnceAndOneIkeSaStays) {
  hub = std::make_unique<Node>(Side::HubThatBegins, kShards);
  settle();  // the requests of both are on their way before either has an answer
  EXPECT_GT(hub->up(), kSites);
  for (int i = 0; i < 30; ++i) pass(1s);
  expect_one_each(*hub);
  expect_one_each(*sites);
  EXPECT_FALSE(away_from_home(*hub, kShards).empty()) << "or nothing was decided across shards";
  EXPECT_LT(away_from_home(*hub, kShards).size(), kSites);
}

TEST_F(Shards, APeerThatBeginsAnewIsKnownInEveryShard) {
  settle();
  const auto homes = [&] {
    std::map<TunnelId, std::uint64_t> out;
    for (const ike::SaInfo& sa : hub->gateway.ike_sas()) out[sa.tunnel] = sa.spi_r & (ike::kMaxShards - 1);
    return out;
  };
  const auto before = homes();
  const Instant now = sites->now + 60s;
  for (int i = 0; i < 60; ++i) pass(1s);
  sites = std::make_unique<Node>(Side::Sites, kShards + 1, 2);  // after a crash: INITIAL_CONTACT
  sites->now = now;
  settle();
  expect_one_each(*hub);
  expect_one_each(*sites);
  EXPECT_NE(homes(), before);
}

TEST_F(Shards, ANewIkeSaTakesThePlaceOfOneInAnotherShard) {
  settle();
  const auto away = away_from_home(*hub, kShards);
  ASSERT_FALSE(away.empty());
  for (int i = 0; i < 30; ++i) pass(1s);
  for (std::size_t i = 0; i < kSites; ++i) {
    hub->gateway.command(hub->now, i,
                         {control::GatewayCommand::Verb::Reauthenticate, "site" + std::to_string(i), false});
  }
  settle();
  for (int i = 0; i < 32; ++i) pass(1s);
  expect_one_each(*hub);
  expect_one_each(*sites);
  EXPECT_TRUE(away_from_home(*hub, kShards).empty()) << "the hub has begun all that stand now, each at home";
  EXPECT_EQ(hub->count("unknown_spi"), 0U);
}

// The responder sends on the old one as long as that stands.
TEST_F(Shards, WhatThePeerRenewsCarriesWhenTheOldOneIsGone) {
  settle();
  for (int i = 0; i < 30; ++i) pass(1s);
  for (std::size_t i = 0; i < kSites; ++i) {
    sites->gateway.command(sites->now, i,
                           {control::GatewayCommand::Verb::Reauthenticate, "site" + std::to_string(i), false});
  }
  settle();
  pass(1s);
  std::map<TunnelId, ChildSaId> standing;
  for (const ike::SaInfo& sa : hub->gateway.ike_sas()) {
    if (sa.state == ike::SaState::Established) standing[sa.tunnel] = sa.children.back().id;
  }
  EXPECT_EQ(standing.size(), kSites);
  EXPECT_EQ(hub->carries, standing);
}

TEST_F(Shards, AReloadReachesEveryShard) {
  settle();
  model::Config config = hub->gateway.config();
  config.tunnels.erase(config.tunnels.begin() + 3);
  config.tunnels[7].child_lifetime = 1000s;
  ASSERT_TRUE(hub->gateway.reload(hub->now, config).has_value());
  settle();
  EXPECT_EQ(hub->gateway.snapshot(hub->now).tunnels.size(), kSites - 1);
  EXPECT_EQ(hub->up(), kSites - 1);
  for (int i = 0; i < 10; ++i) pass(1s);
  EXPECT_EQ(hub->up(), kSites - 1);
}

TEST_F(Shards, WhatIsReflectedIsTakenForOurOwn) {
  sites->drain(wire);
  ASSERT_FALSE(wire.empty());
  const std::size_t before = sites->gateway.ike_sas().size();
  for (const Datagram& d : wire) sites->gateway.handle_datagram(sites->now, d.path, d.payload);
  EXPECT_EQ(sites->gateway.ike_sas().size(), before);
  EXPECT_EQ(sites->count("wrong_role"), wire.size());
}

// ESP for an SA that nobody has: whichever shard could know the peer is asked, and it is told once (RFC 7296 1.5).
TEST_F(Shards, APeerOfLostSasIsToldOnceAndAsksTheShardThatHasThem) {
  settle();
  const auto unknown = [](std::size_t from) {
    ipsec::UnknownSpi out;
    out.spi = 0x12345678;
    out.arrived.local = {kHub, 4500};
    out.arrived.peer = {site(from), 4500};
    out.arrived.encapsulation = ipsec::Encapsulation::Udp;
    return out;
  };
  for (std::size_t i = 0; i < kSites; ++i) hub->gateway.handle_plane(hub->now, unknown(i));
  hub->drain(wire);
  EXPECT_TRUE(wire.empty()) << "all of them have IKE SAs";

  // After a crash the hub knows nobody. Each site asks at once whether its IKE SA still stands.
  std::map<TunnelId, ipsec::EspSpi> sends_on;
  for (const ike::SaInfo& sa : sites->gateway.ike_sas()) sends_on[sa.tunnel] = sa.children.back().spi_out;
  hub = std::make_unique<Node>(Side::Hub, kShards, 3);
  const auto lost = [&](std::size_t from) {
    ipsec::UnknownSpi out = unknown(from);
    out.spi = sends_on.at(TunnelId{static_cast<std::uint32_t>(from + 1)});
    return out;
  };
  std::size_t asked = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    hub->gateway.handle_plane(hub->now, lost(i));
    hub->drain(wire);
    ASSERT_EQ(wire.size(), 1U) << i;
    const Datagram notice = std::move(wire.front());
    wire.clear();
    EXPECT_EQ(notice.path.remote.address, site(i));
    sites->gateway.handle_datagram(sites->now, notice.mirrored(), notice.payload);
    sites->drain(wire);
    ASSERT_EQ(wire.size(), 1U) << i;
    EXPECT_EQ(wire.front().path.local.address, site(i));
    wire.clear();
    ++asked;
  }
  EXPECT_EQ(hub->count("invalid_spi_sent"), asked);
}

TEST_F(Shards, WhatNobodyKnowsIsCountedOnce) {
  wire::IkeHeader header;
  header.spi_i = 0x1111'1111'1111'113f;  // a shard that there is not
  header.spi_r = 0x2222'2222'2222'223e;
  header.exchange = wire::ExchangeType::INFORMATIONAL;
  for (const std::uint8_t flags : {std::uint8_t{wire::kFlagInitiator}, std::uint8_t{0}}) {
    header.flags = flags;
    const Bytes message = wire::write_clear_message(header, {});
    hub->gateway.handle_datagram(hub->now, {{kHub, 500}, {site(1), 500}}, message);
  }
  EXPECT_EQ(hub->count("unknown_spi"), 2U);
  hub->gateway.handle_datagram(hub->now, {{kHub, 500}, {site(1), 500}}, Bytes{1, 2, 3});
  hub->gateway.handle_datagram(hub->now, {{kHub, 4500}, {site(1), 4500}}, Bytes{0xff});
  hub->gateway.handle_datagram(hub->now, {{kHub, 4500}, {site(1), 4500}}, {});
  EXPECT_EQ(hub->count("malformed"), 2U);
  EXPECT_EQ(hub->count("keepalive"), 1U);
}

}  // namespace
}  // namespace qanat::gateway
