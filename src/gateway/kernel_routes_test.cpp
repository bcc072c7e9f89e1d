#include "gateway/kernel_routes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::gateway {
namespace {

using ipsec::RouteHop;
using ipsec::SetRoutes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}
IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

constexpr TunnelId kBerlin{1};
constexpr TunnelId kParis{2};
constexpr TunnelId kBlue{3};

// Berlin and Paris are in the default VRF; Blue is in another one and has Berlin's address there.
std::optional<TunnelId> find_peer(VrfId vrf, const IpAddress& address) {
  if (vrf == VrfId{1}) return address == ip("10.255.0.1") ? std::optional{kBlue} : std::nullopt;
  if (address == ip("10.255.0.1") || address == ip("fd00:255::1")) return kBerlin;
  if (address == ip("10.255.0.3")) return kParis;
  return std::nullopt;
}

KernelRoute route(std::string_view prefix, std::string_view gateway, std::uint32_t metric = 0) {
  return {.vrf = {}, .prefix = net(prefix), .gateway = ip(gateway), .metric = metric};
}

std::vector<RouteHop> hops(const std::vector<KernelRoute>& routes, std::vector<RouteHop> configured = {}) {
  std::ranges::sort(configured, earlier);
  const std::vector<SetRoutes> known = {{.vrf = {}, .add = std::move(configured), .remove = {}}};
  const auto out = kernel_hops(routes, known, find_peer);
  return out.empty() ? std::vector<RouteHop>{} : out.front().add;
}

TEST(KernelRoutes, LeadToTheTunnelWhosePeerHasTheGatewaysAddress) {
  EXPECT_THAT(hops({route("10.9.0.0/16", "10.255.0.1", 32), route("fd09::/16", "fd00:255::1", 20)}),
              ElementsAre(RouteHop{.prefix = net("10.9.0.0/16"), .tunnel = kBerlin, .priority = 32},
                          RouteHop{.prefix = net("fd09::/16"), .tunnel = kBerlin, .priority = 20}));
  EXPECT_THAT(hops({route("10.9.0.0/16", "10.255.0.7"), route("10.9.0.0/16", "10.255.0.0")}), IsEmpty());
  KernelRoute blue = route("10.9.0.0/16", "10.255.0.1");
  blue.vrf = VrfId{1};
  const auto of_blue = kernel_hops(std::vector{blue}, {}, find_peer);
  ASSERT_EQ(of_blue.size(), 1U);
  EXPECT_EQ(of_blue.front().vrf, VrfId{1});
  EXPECT_EQ(of_blue.front().add.front().tunnel, kBlue);
  for (const char* odd : {"127.0.0.0/8", "224.0.0.0/4"})
    EXPECT_THAT(hops({route(odd, "10.255.0.1")}), IsEmpty()) << odd;
}

TEST(KernelRoutes, WithoutAMetricCountAsMuchAsAConfiguredOneThatNamesNone) {
  EXPECT_EQ(hops({route("10.9.0.0/16", "10.255.0.1")}).front().priority, 100U);
  EXPECT_EQ(hops({route("fd09::/16", "fd00:255::1", 1024)}).front().priority, 100U);
  EXPECT_EQ(hops({route("10.9.0.0/16", "10.255.0.1", 1024)}).front().priority, 1024U);
  EXPECT_EQ(hops({route("10.9.0.0/16", "10.255.0.1", 4294967295U)}).front().priority, 2147483647U);
}

TEST(KernelRoutes, OfSeveralForOnePrefixAndTunnelTheBestCounts) {
  EXPECT_THAT(hops({route("10.9.0.0/16", "10.255.0.1", 50), route("10.9.0.0/16", "10.255.0.1", 20),
                    route("10.9.0.0/16", "10.255.0.3", 20)}),
              ElementsAre(RouteHop{.prefix = net("10.9.0.0/16"), .tunnel = kBerlin, .priority = 20},
                          RouteHop{.prefix = net("10.9.0.0/16"), .tunnel = kParis, .priority = 20}));
  KernelRoute heavy = route("10.9.0.0/16", "10.255.0.1");
  heavy.weight = 1000;
  EXPECT_EQ(hops({heavy}).front().weight, 256);
}

TEST(KernelRoutes, TheConfigurationWinsATie) {
  const RouteHop configured{.prefix = net("10.9.0.0/16"), .tunnel = kParis, .priority = 100};
  EXPECT_EQ(hops({route("10.9.0.0/16", "10.255.0.1")}, {configured}).front().priority, 101U);
  EXPECT_EQ(hops({route("10.9.0.0/16", "10.255.0.1", 99)}, {configured}).front().priority, 99U);
  EXPECT_EQ(hops({route("10.9.1.0/24", "10.255.0.1")}, {configured}).front().priority, 100U) << "another prefix";
  EXPECT_THAT(hops({route("10.9.0.0/16", "10.255.0.3", 1)}, {configured}), IsEmpty())
      << "for the same tunnel its terms hold";
}

// Otherwise a routing daemon that announces half of a prefix would send it over classical keys.
TEST(KernelRoutes, WhatMustBeHybridStaysSo) {
  const RouteHop payroll{
      .prefix = net("10.9.0.0/16"), .tunnel = kParis, .priority = 100, .weight = 1, .hybrid_only = true};
  EXPECT_TRUE(hops({route("10.9.128.0/17", "10.255.0.1")}, {payroll}).front().hybrid_only);
  EXPECT_TRUE(hops({route("10.9.0.0/16", "10.255.0.1", 1)}, {payroll}).front().hybrid_only);
  EXPECT_FALSE(hops({route("10.8.0.0/15", "10.255.0.1")}, {payroll}).front().hybrid_only);
  EXPECT_FALSE(hops({route("10.10.0.0/16", "10.255.0.1")}, {payroll}).front().hybrid_only);
}

TEST(KernelBarriers, StandBesideEachRouteThatLeadsToATunnel) {
  SetProtection configured;
  configured.prefixes = {net("10.1.0.0/16")};
  configured.accounts = {{VrfId{1}, "qanat1", 5210, 1400, {net("10.9.0.0/16")}, {}}};
  KernelRoute blue = route("10.9.0.0/16", "10.255.0.1");
  blue.vrf = VrfId{1};
  KernelRoute elsewhere = route("10.9.0.0/16", "10.255.0.3");
  elsewhere.table = 99;
  const std::vector<KernelRoute> routes = {route("10.1.0.0/16", "10.255.0.1"),   // configured
                                           route("10.9.0.0/16", "10.255.0.1"),   //
                                           route("10.9.0.0/16", "10.255.0.3"),   // beside the same
                                           route("10.8.0.0/16", "10.255.0.77"),  // to nobody
                                           elsewhere,
                                           blue};  // configured there
  EXPECT_THAT(kernel_barriers(routes, configured, find_peer),
              ElementsAre(Barrier{99, net("10.9.0.0/16")}, Barrier{254, net("10.9.0.0/16")}));
}

// A more specific route comes and goes without a moment in which its barrier hides the wider route.
TEST(KernelBarriers, OneCoversWhatIsWithinIt) {
  const std::vector<KernelRoute> routes = {route("10.9.0.0/25", "10.255.0.1"), route("10.9.0.0/24", "10.255.0.3"),
                                           route("10.9.0.128/25", "10.255.0.1"), route("10.9.1.0/24", "10.255.0.1")};
  EXPECT_THAT(kernel_barriers(routes, {}, find_peer),
              ElementsAre(Barrier{254, net("10.9.0.0/24")}, Barrier{254, net("10.9.1.0/24")}));
}

TEST(KernelBarriers, ChangeInPartsThatTheHelperTakes) {
  const Barrier a{254, net("10.1.0.0/16")};
  const Barrier b{254, net("10.2.0.0/16")};
  EXPECT_THAT(barrier_changes(std::vector{a}, std::vector{a}), IsEmpty());
  EXPECT_THAT(barrier_changes(std::vector{a}, std::vector{b}), ElementsAre(ChangeBarriers{{b}, {a}}));
  std::vector<Barrier> many;
  for (std::uint32_t i = 0; i < 120'000; ++i)
    many.push_back({254, Prefix::masked(IpAddress::v4(0x0a000000U + (i << 4)), 28)});
  const auto parts = barrier_changes({}, many);
  ASSERT_EQ(parts.size(), 3U);
  std::size_t sum = 0;
  for (const ChangeBarriers& part : parts) sum += part.add.size();
  EXPECT_EQ(sum, many.size());
}

TEST(KernelRoutes, ChangesAreADifference) {
  const auto set = [](std::vector<RouteHop> list) {
    return std::vector<SetRoutes>{{.vrf = VrfId{4}, .add = std::move(list), .remove = {}}};
  };
  const RouteHop a{.prefix = net("10.1.0.0/16"), .tunnel = kBerlin};
  const RouteHop b{.prefix = net("10.2.0.0/16"), .tunnel = kBerlin};
  RouteHop dearer = b;
  dearer.priority = 300;
  const RouteHop c{.prefix = net("10.3.0.0/16"), .tunnel = kParis};
  EXPECT_THAT(route_changes(set({a, b}), set({a, b})), IsEmpty());
  const auto change = route_changes(set({a, b}), set({dearer, c}));
  ASSERT_EQ(change.size(), 1U);
  EXPECT_EQ(change.front().vrf, VrfId{4});
  EXPECT_THAT(change.front().remove, ElementsAre(a));
  EXPECT_THAT(change.front().add, ElementsAre(dearer, c));
  EXPECT_THAT(route_changes({}, set({c})).front().add, ElementsAre(c));
  EXPECT_THAT(route_changes(set({c}), {}).front().remove, ElementsAre(c));
  const auto both = merged(set({a, c}), set({b}));
  ASSERT_EQ(both.size(), 1U);
  EXPECT_THAT(both.front().add, ElementsAre(a, b, c));
}

}  // namespace
}  // namespace qanat::gateway
