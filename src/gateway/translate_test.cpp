#include "gateway/translate.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace qanat::gateway {
namespace {

model::Gateway gateway_v4() {
  model::Gateway g;
  g.address4 = *IpAddress::parse("203.0.113.1");
  return g;
}

model::Tunnel tunnel() {
  model::Tunnel t;
  t.name = "berlin";
  t.peer = *IpAddress::parse("198.51.100.7");
  t.routes = {*Prefix::parse("10.1.0.0/16")};
  return t;
}

bool any_ml_kem(const std::vector<ipsec::IkeProposal>& proposals) {
  return std::any_of(proposals.begin(), proposals.end(), ipsec::allows_ml_kem);
}

TEST(IkeTunnel, IdentitiesAreTheConfiguredAddresses) {
  const auto t = ike_tunnel(gateway_v4(), tunnel(), TunnelId{1});
  ASSERT_TRUE(t);
  EXPECT_EQ((*t)->local_id.to_string(), "203.0.113.1");
  EXPECT_EQ((*t)->remote_id.to_string(), "198.51.100.7");
}

TEST(IkeTunnel, ThePolicyDecidesWhatIsOffered) {
  model::Tunnel t = tunnel();
  t.pq = model::PqPolicy::Prefer;
  const auto prefer = *ike_tunnel(gateway_v4(), t, TunnelId{1});
  EXPECT_TRUE(ipsec::guarantees_ml_kem(prefer->ike.front())) << "hybrid first";
  EXPECT_FALSE(ipsec::allows_ml_kem(prefer->ike.back())) << "classical twins after";
  t.pq = model::PqPolicy::Require;
  const auto require = *ike_tunnel(gateway_v4(), t, TunnelId{1});
  EXPECT_TRUE(std::all_of(require->ike.begin(), require->ike.end(), ipsec::guarantees_ml_kem));
  t.pq = model::PqPolicy::Off;
  EXPECT_FALSE(any_ml_kem((*ike_tunnel(gateway_v4(), t, TunnelId{1}))->ike));
}

TEST(IkeTunnel, APeerThatCallsInNeedsAnIdentity) {
  model::Tunnel t = tunnel();
  t.peer.reset();
  const auto without = ike_tunnel(gateway_v4(), t, TunnelId{1});
  ASSERT_FALSE(without);
  EXPECT_NE(without.error().detail.find("remote_id"), std::string::npos);
  t.remote_id = *wire::Identity::parse("fqdn:berlin.example.com");
  EXPECT_TRUE(ike_tunnel(gateway_v4(), t, TunnelId{1}));
}

TEST(IkeTunnel, NeedsALocalAddressOfThePeersFamily) {
  model::Tunnel t = tunnel();
  t.peer = *IpAddress::parse("2001:db8::7");
  EXPECT_FALSE(ike_tunnel(gateway_v4(), t, TunnelId{1}));
}

TEST(IkeTunnel, SelectorsFollowTheirMode) {
  model::Tunnel t = tunnel();
  EXPECT_EQ((*ike_tunnel(gateway_v4(), t, TunnelId{1}))->remote_ts, ipsec::Selectors{ipsec::any_selector_v4()});
  t.interface6 = *IpAddress::parse("fd00::1");
  EXPECT_EQ((*ike_tunnel(gateway_v4(), t, TunnelId{1}))->remote_ts.size(), 2U) << "IPv6 inside asks for ::/0 as well";
  t.interface6.reset();
  t.selectors = model::SelectorMode::Routes;
  EXPECT_EQ((*ike_tunnel(gateway_v4(), t, TunnelId{1}))->remote_ts,
            ipsec::Selectors{ipsec::selector_of(*Prefix::parse("10.1.0.0/16"))});
}

TEST(IkeTunnel, WithoutAReplayWindowThereIsNoEsn) {
  model::Tunnel t = tunnel();
  EXPECT_EQ((*ike_tunnel(gateway_v4(), t, TunnelId{1}))->esn.front(), EsnId::ESN);
  t.replay_window = 0;
  EXPECT_EQ((*ike_tunnel(gateway_v4(), t, TunnelId{1}))->esn, std::vector{EsnId::NO_ESN});
}

std::optional<TunnelId> find(VrfId vrf, std::string_view name) {
  if (vrf != VrfId{0} || name != "berlin") return std::nullopt;
  return TunnelId{4};
}

TEST(PlaneRoutes, AreThoseOfTheTunnelsUnlessTheConfigurationSaysMore) {
  model::Config config;
  config.gateway = gateway_v4();
  config.tunnels = {tunnel()};
  const auto plain = plane_routes(config, find);
  ASSERT_TRUE(plain);
  ASSERT_EQ(plain->size(), 1U);
  EXPECT_EQ(plain->front().add,
            (std::vector{ipsec::RouteHop{.prefix = *Prefix::parse("10.1.0.0/16"), .tunnel = TunnelId{4}}}));
  model::Route route;
  route.prefix = *Prefix::parse("10.9.0.0/16");
  route.tunnel = "berlin";
  route.priority = 50;
  route.weight = 256;
  route.pq = model::RoutePq::Require;
  config.routes = {route};
  EXPECT_EQ(plane_routes(config, find)->front().add,
            (std::vector{ipsec::RouteHop{
                .prefix = route.prefix, .tunnel = TunnelId{4}, .priority = 50, .weight = 256, .hybrid_only = true}}));
  EXPECT_EQ(protection(config).prefixes, std::vector{route.prefix});
  config.routes.front().tunnel = "belrin";
  ASSERT_FALSE(plane_routes(config, find));
  EXPECT_NE(plane_routes(config, find).error().detail.find("belrin"), std::string::npos);
}

TEST(TunnelPlan, SaysHowHealthIsMeasuredAndWhatKeysAreWorth) {
  model::Tunnel t = tunnel();
  t.health.rate = model::ProbeRate::High;
  t.health.type = model::ProbeType::Reply;
  t.health.target = *IpAddress::parse("10.1.0.1");
  t.pq = model::PqPolicy::Require;
  t.classical_penalty = 7;
  const ipsec::TunnelPlan plan = tunnel_plan(gateway_v4(), t, TunnelId{1});
  EXPECT_EQ(plan.health, (ipsec::HealthPlan{.enabled = true,
                                            .type = ipsec::HealthPlan::Type::Reply,
                                            .rate = ipsec::HealthPlan::Rate::High,
                                            .target = t.health.target}));
  EXPECT_TRUE(plan.hybrid_only);
  EXPECT_EQ(plan.classical_penalty, 7U);
  t.health.enabled = false;
  EXPECT_FALSE(tunnel_plan(gateway_v4(), t, TunnelId{1}).health.enabled);
}

TEST(Protection, CoversEveryRouteAndThePeersInterfaceAddress) {
  model::Config config;
  config.gateway = gateway_v4();
  model::Tunnel t = tunnel();
  t.peer_interface4 = *IpAddress::parse("10.255.0.1");
  config.tunnels = {t, t};
  const SetProtection p = protection(config);
  EXPECT_EQ(p.prefixes, (std::vector{*Prefix::parse("10.1.0.0/16"), *Prefix::parse("10.255.0.1/32")})) << "each once";
  EXPECT_EQ(p.tun_mtu, 1446) << "what a native tunnel with AES-GCM takes";
}

TEST(Protection, EveryAccountHasItsOwn) {
  model::Config config;
  config.gateway = gateway_v4();
  model::Tunnel blue = tunnel();
  blue.name = "blue-berlin";
  blue.vrf = VrfId{1};
  blue.mtu = 1300;
  blue.peer_interface4 = *IpAddress::parse("10.255.0.1");
  config.tunnels = {tunnel(), blue};
  config.vrfs = {{VrfId{1}, "blue", "qanat1", 5210, {"lan1"}}, {VrfId{2}, "empty", "qanat2", 5220, {}}};
  const SetProtection p = protection(config);
  EXPECT_EQ(p.prefixes, std::vector{*Prefix::parse("10.1.0.0/16")});
  EXPECT_EQ(p.tun_mtu, 1446);
  ASSERT_EQ(p.accounts.size(), 2U);
  EXPECT_EQ(
      p.accounts[0],
      (AccountProtection{
          VrfId{1}, "qanat1", 5210, 1300, {*Prefix::parse("10.1.0.0/16"), *Prefix::parse("10.255.0.1/32")}, {"lan1"}}));
  EXPECT_EQ(p.accounts[1].prefixes, std::vector<Prefix>{});
}

TEST(SourceNat, IsForWhatComesOutOfTheVrf) {
  model::Config config;
  config.gateway = gateway_v4();
  config.vrfs = {{VrfId{1}, "blue", "qanat1", 5210, {"lan1"}}};
  EXPECT_EQ(source_nat(config), SetNat{});
  const auto address = *IpAddress::parse("192.0.2.9");
  config.nat = {
      {.vrf = {}, .sources = {}, .out_interface = "wan", .translate = {}},
      {.vrf = VrfId{1}, .sources = {*Prefix::parse("10.0.0.0/8")}, .out_interface = "", .translate = address}};
  EXPECT_EQ(source_nat(config), (SetNat{{{{"qanat0"}, {}, "wan", std::nullopt},
                                         {{"lan1", "qanat1"}, {*Prefix::parse("10.0.0.0/8")}, "", address}}}));
}

}  // namespace
}  // namespace qanat::gateway
