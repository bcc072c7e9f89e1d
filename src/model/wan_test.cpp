#include "model/wan.hpp"

#include <gtest/gtest.h>

namespace qanat::model {
namespace {

Prefix net(std::string_view text) {
  return Prefix::parse(text).value();
}

// rules.md "Health", and the defaults of routes that wan.md 1.5 names.
TEST(WanModel, Defaults) {
  const HealthCheck health;
  EXPECT_TRUE(health.enabled);
  EXPECT_EQ(health.type, ProbeType::Request);
  EXPECT_EQ(health.direction, ProbeDirection::Bidirectional);
  EXPECT_EQ(health.rate, ProbeRate::Mid);
  const Route route;
  EXPECT_EQ(route.priority, 100U);
  EXPECT_EQ(route.weight, 1U);
  EXPECT_EQ(route.pq, RoutePq::Any);
}

TEST(WanModel, WordsGoBothWays) {
  for (const auto v : {ProbeType::Reply, ProbeType::Request}) EXPECT_EQ(parse_probe_type(to_string(v)), v);
  for (const auto v : {ProbeDirection::Unidirectional, ProbeDirection::Bidirectional})
    EXPECT_EQ(parse_probe_direction(to_string(v)), v);
  for (const auto v : {ProbeRate::Low, ProbeRate::Mid, ProbeRate::High}) EXPECT_EQ(parse_probe_rate(to_string(v)), v);
  for (const auto v : {RoutePq::Any, RoutePq::Require}) EXPECT_EQ(parse_route_pq(to_string(v)), v);
  for (const auto v : {RuleAction::Allow, RuleAction::Drop, RuleAction::Log})
    EXPECT_EQ(parse_rule_action(to_string(v)), v);
  EXPECT_EQ(parse_probe_rate("fast").error().detail, "'fast' is none of low, mid, high");
  EXPECT_EQ(to_string(ProbeDirection::Bidirectional), "bidirectional");
  EXPECT_EQ(to_string(RuleAction::Drop), "drop");
}

TEST(WanModel, RoutesAreChecked) {
  Route route{.vrf = {}, .prefix = net("10.1.0.0/16"), .tunnel = "berlin", .description = ""};
  EXPECT_TRUE(check(route));
  for (const std::uint32_t weight : {1U, 256U}) {
    route.weight = weight;
    EXPECT_TRUE(check(route));
  }
  for (const std::uint32_t weight : {0U, 257U}) {
    route.weight = weight;
    EXPECT_FALSE(check(route));
  }
  route.weight = 1;
  route.prefix = net("224.0.0.0/4");
  EXPECT_FALSE(check(route));
  route.prefix = net("0.0.0.0/0");
  EXPECT_TRUE(check(route));
  route.tunnel.clear();
  EXPECT_FALSE(check(route));
}

TEST(WanModel, RulesAreChecked) {
  PolicyRule rule;
  EXPECT_FALSE(check(rule));  // without a name
  rule.name = "ssh";
  EXPECT_TRUE(check(rule));
  rule.to_ports = PortRange{.first = 22, .last = 22};
  EXPECT_FALSE(check(rule));
  rule.protocol = 47;
  EXPECT_FALSE(check(rule));
  rule.protocol = 6;
  EXPECT_TRUE(check(rule));
  rule.from_ports = PortRange{.first = 2, .last = 1};
  EXPECT_FALSE(check(rule));
  rule = PolicyRule{};
  rule.name = "ping";
  rule.icmp_type = 8;
  EXPECT_FALSE(check(rule));
  rule.protocol = 1;
  EXPECT_TRUE(check(rule));
  rule.from = {net("10.0.0.0/8")};
  rule.to = {net("2001:db8::/32")};
  EXPECT_FALSE(check(rule));
  rule.to.push_back(net("192.0.2.0/24"));
  EXPECT_TRUE(check(rule));
}

TEST(WanModel, NatAndVrfsAreChecked) {
  NatRule nat{.vrf = {}, .sources = {net("10.0.0.0/8")}, .out_interface = "eth0", .translate = {}};
  EXPECT_TRUE(check(nat));
  EXPECT_TRUE(nat.masquerade());
  nat.translate = IpAddress::parse("2001:db8::1").value();
  EXPECT_FALSE(nat.masquerade());
  EXPECT_FALSE(check(nat));
  nat.translate = IpAddress::parse("192.0.2.1").value();
  EXPECT_TRUE(check(nat));
  nat.out_interface = "a name of a device";
  EXPECT_FALSE(check(nat));
  Vrf vrf;
  EXPECT_TRUE(check(vrf));
  for (const std::uint32_t table : {0U, 252U, 254U, 255U}) {
    vrf.route_table = table;
    EXPECT_FALSE(check(vrf)) << table;
  }
  vrf.route_table = 256;
  EXPECT_TRUE(check(vrf));
  vrf.tun_name = "qanat0123456789x";
  EXPECT_FALSE(check(vrf));
  HealthCheck health;
  EXPECT_TRUE(check(health));
  health.target = IpAddress{};
  EXPECT_FALSE(check(health));
}

}  // namespace
}  // namespace qanat::model
