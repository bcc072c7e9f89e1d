// What a gateway asks of its host, and what it makes of the host's own routes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/gateway.hpp"

namespace qanat::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}

class Host : public ::testing::Test {
 protected:
  Host() {
    config.gateway.address4 = *IpAddress::parse("192.0.2.1");
    for (const char* last : {"1", "3"}) {
      model::Tunnel& t = config.tunnels.emplace_back();
      t.name = std::string{"site-"} + last;
      t.peer = *IpAddress::parse(std::string{"198.51.100."} + last);
      t.psk = model::PresharedKey{SecretBytes::copy_of(Bytes(32, 0x61))};
      t.peer_interface4 = *IpAddress::parse(std::string{"10.255.0."} + last);
    }
  }
  void apply() {
    ASSERT_TRUE(gateway.apply(now, config).has_value());
    take();
  }
  void reload() {
    const auto done = gateway.reload(now, config);
    ASSERT_TRUE(done.has_value()) << done.error().detail;
    take();
  }
  void take() {
    while (auto out = gateway.poll()) {
      if (const auto* host = std::get_if<HostOut>(&*out)) {
        if (const auto* nat = std::get_if<SetNat>(&host->command)) {
          nats.push_back(*nat);
          gateway.handle_host(now, {host->request, refuse ? fail(ErrorKind::Internal, "nftables", "no") : Status{}});
        } else if (const auto* change = std::get_if<ChangeBarriers>(&host->command)) {
          barriers.push_back(*change);
          gateway.handle_host(now, {host->request, refuse ? fail(ErrorKind::Internal, "rtnetlink", "no") : Status{}});
        } else {
          gateway.handle_host(now, {host->request, {}});
        }
      }
      const auto* plane = std::get_if<PlaneOut>(&*out);
      const auto* routes = plane != nullptr ? std::get_if<ipsec::SetRoutes>(&plane->command) : nullptr;
      if (routes != nullptr) changes.push_back(*routes);
      if (const auto* event = std::get_if<LogEvent>(&*out); event != nullptr && event->name == "kernel-routes") ++told;
    }
  }
  void hear(std::vector<KernelRoute> routes) {
    changes.clear();
    gateway.handle_kernel_routes(now, std::move(routes));
    take();
  }
  // "10.1.0.0/16 site-1 100 config"
  [[nodiscard]] std::vector<std::string> routes() const {
    control::Snapshot snapshot = gateway.snapshot(now);
    gateway.add_routes(snapshot);
    std::vector<std::string> out;
    for (const control::RouteStatus& r : snapshot.routes)
      out.push_back(r.prefix + " " + r.tunnel + " " + std::to_string(r.priority) + " " + r.source);
    return out;
  }
  static model::Route route(std::string_view prefix, const std::string& tunnel) {
    model::Route out;
    out.prefix = net(prefix);
    out.tunnel = tunnel;
    return out;
  }
  static KernelRoute of_kernel(std::string_view prefix, std::string_view gateway, std::uint32_t metric = 0) {
    return {.vrf = {}, .prefix = net(prefix), .gateway = *IpAddress::parse(gateway), .metric = metric};
  }

  Instant now = Instant::from_ns(1'000'000'000);
  SeededRng rng{7};
  Gateway gateway{ike::EndpointConfig{}, rng};
  model::Config config;
  std::vector<ipsec::SetRoutes> changes;
  std::vector<SetNat> nats;
  std::vector<ChangeBarriers> barriers;
  bool refuse = false;  // what can be asked for again
  int told = 0;
};

TEST_F(Host, KernelRoutesComeAndGoAsADifference) {
  config.routes = {route("10.1.0.0/16", "site-1")};
  apply();
  hear({of_kernel("10.9.0.0/16", "10.255.0.1", 20), of_kernel("10.1.0.0/16", "10.255.0.3")});
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].add.size(), 2U);
  EXPECT_EQ(told, 1);
  EXPECT_THAT(routes(), ElementsAre("10.1.0.0/16 site-1 100 config", "10.1.0.0/16 site-3 101 kernel",
                                    "10.9.0.0/16 site-1 20 kernel"));
  hear({of_kernel("10.1.0.0/16", "10.255.0.3"), of_kernel("10.9.0.0/16", "10.255.0.1", 20)});
  EXPECT_THAT(changes, IsEmpty()) << "the same in another order";
  hear({of_kernel("10.9.0.0/16", "10.255.0.1", 30)});
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_THAT(changes[0].add,
              ElementsAre(ipsec::RouteHop{.prefix = net("10.9.0.0/16"), .tunnel = TunnelId{1}, .priority = 30}));
  ASSERT_EQ(changes[0].remove.size(), 1U);
  EXPECT_EQ(changes[0].remove[0].tunnel, TunnelId{2});
  hear({});
  EXPECT_THAT(routes(), ElementsAre("10.1.0.0/16 site-1 100 config"));
  hear({of_kernel("10.9.0.0/16", "10.255.0.77")});
  EXPECT_THAT(changes, IsEmpty()) << "nobody's address";
  EXPECT_EQ(told, 3);
}

// The packet path has one hop for a prefix and tunnel: it changes its terms, and never goes in between.
TEST_F(Host, AReloadKeepsWhatTheKernelHas) {
  apply();
  hear({of_kernel("10.9.0.0/16", "10.255.0.1", 20)});
  changes.clear();
  config.routes = {route("10.9.0.0/16", "site-1")};
  reload();
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_THAT(changes[0].remove, IsEmpty());
  EXPECT_THAT(changes[0].add,
              ElementsAre(ipsec::RouteHop{.prefix = net("10.9.0.0/16"), .tunnel = TunnelId{1}, .priority = 100}));
  EXPECT_THAT(routes(), ElementsAre("10.9.0.0/16 site-1 100 config"));
  changes.clear();
  config.routes.clear();
  reload();
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_THAT(changes[0].remove, IsEmpty());
  EXPECT_THAT(changes[0].add,
              ElementsAre(ipsec::RouteHop{.prefix = net("10.9.0.0/16"), .tunnel = TunnelId{1}, .priority = 20}));
  // The tunnel that the kernel means is the one that has the address now.
  std::swap(config.tunnels[0].peer_interface4, config.tunnels[1].peer_interface4);
  reload();
  EXPECT_THAT(routes(), ElementsAre("10.9.0.0/16 site-3 20 kernel"));
  config.tunnels.pop_back();
  reload();
  EXPECT_THAT(routes(), IsEmpty());
}

TEST_F(Host, AKernelRouteHasItsBarrierUntilItIsWithdrawn) {
  config.routes = {route("10.1.0.0/16", "site-1")};
  apply();
  EXPECT_THAT(barriers, IsEmpty());
  const Barrier barrier{254, net("10.9.0.0/16")};
  hear({of_kernel("10.9.0.0/16", "10.255.0.1", 20), of_kernel("10.1.0.0/16", "10.255.0.1", 20)});
  EXPECT_THAT(barriers, ElementsAre(ChangeBarriers{{barrier}, {}})) << "the configured one has its own";
  hear({of_kernel("10.9.0.0/16", "10.255.0.3", 30)});
  EXPECT_EQ(barriers.size(), 1U) << "another tunnel, the same prefix";
  refuse = true;
  hear({});
  ASSERT_EQ(barriers.size(), 2U);
  EXPECT_EQ(barriers[1], (ChangeBarriers{{}, {barrier}}));
  hear({of_kernel("10.9.0.0/16", "10.255.0.3", 30)});
  refuse = false;
  now = now + 5s;
  gateway.handle_timeout(now);
  take();
  ASSERT_EQ(barriers.size(), 4U);
  EXPECT_EQ(barriers[3], (ChangeBarriers{{barrier}, {}})) << "what was refused is asked for again";
  config.routes.push_back(route("10.9.0.0/16", "site-1"));
  reload();
  EXPECT_EQ(barriers.back(), (ChangeBarriers{{}, {barrier}})) << "now it is protected as the configuration's";
}

TEST_F(Host, NatIsAskedForAtTheStartAndWhenItChanges) {
  apply();
  EXPECT_THAT(nats, ElementsAre(SetNat{})) << "an earlier configuration may have had rules";
  config.routes = {route("10.9.0.0/16", "site-1")};
  reload();
  EXPECT_EQ(nats.size(), 1U);
  config.nat = {{.vrf = {}, .sources = {}, .out_interface = "wan", .translate = {}}};
  refuse = true;
  reload();
  ASSERT_EQ(nats.size(), 2U);
  EXPECT_EQ(nats[1].rules.size(), 1U);
  // What the host refused is asked for again.
  ASSERT_TRUE(gateway.next_timeout().has_value());
  now = now + 5s;
  gateway.handle_timeout(now);
  take();
  EXPECT_EQ(nats.size(), 3U);
  refuse = false;
  now = now + 5s;
  gateway.handle_timeout(now);
  take();
  EXPECT_EQ(nats.size(), 4U);
  EXPECT_EQ(nats[3], nats[1]);
  now = now + 60s;
  gateway.handle_timeout(now);
  take();
  EXPECT_EQ(nats.size(), 4U) << "and once it stands, no more";
}

}  // namespace
}  // namespace qanat::gateway
