// Routes, health checks, VRFs, packet rules and NAT: what is written arrives in the model, and what cannot be meant is
// refused with its place, its value, what is allowed, and what to do.
#include <algorithm>

#include <fmt/format.h>

#include "config/config_testing.hpp"

namespace qanat::config::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

model::Config config_of(const std::string& text) {
  auto loaded = load_text(text);
  EXPECT_TRUE(loaded.has_value()) << text << "\n" << (loaded ? "" : render_problems(loaded.error()));
  return loaded ? std::move(loaded->config) : model::Config{};
}

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}

// Two tunnels that are fine, berlin and paris, with interfaces; lines 3 to 12, so that `more` begins on line 13.
std::string with_two(std::string_view more) {
  return with_tunnel("interface = \"10.255.0.0/31\"") +
         second_tunnel("peer = \"198.51.100.8\"\ninterface = \"10.255.0.2/31\"") + std::string{more} + "\n";
}
constexpr std::string_view kBlue = "[[vrf]]\nname = \"blue\"\ntun = \"qanat1\"\nroute_table = 5210\n";

TEST(WanConfig, RoutesOfATunnelSteer) {
  const auto config = config_of(with_tunnel(
      "routes = [\"10.1.0.0/16\", { prefix = \"10.9.0.0/16\", priority = 50, weight = 2, pq = \"require\", description "
      "= \"payroll\" }]"));
  EXPECT_THAT(config.tunnels.at(0).routes, ElementsAre(prefix("10.1.0.0/16"), prefix("10.9.0.0/16")));
  EXPECT_THAT(
      config.routes,
      ElementsAre(model::Route{{}, prefix("10.1.0.0/16"), "berlin", 100, 1, model::RoutePq::Any, ""},
                  model::Route{{}, prefix("10.9.0.0/16"), "berlin", 50, 2, model::RoutePq::Require, "payroll"}));
}

TEST(WanConfig, SeveralTunnelsMayShareAPrefix) {
  const auto config = config_of(
      with_two("routes = [{ prefix = \"10.1.0.0/16\", weight = 3 }]\n[[route]]\nprefix = \"10.1.0.0/16\"\ntunnel = "
               "\"berlin\"\n[[route]]\nprefix = \"10.2.0.0/16\"\nnexthop = \"10.255.0.3\"\npriority = 7\n"));
  ASSERT_EQ(config.routes.size(), 3U);
  EXPECT_EQ(config.routes[0].tunnel, "paris");
  EXPECT_EQ(config.routes[0].weight, 3U);
  EXPECT_EQ(config.routes[1].tunnel, "berlin");
  EXPECT_EQ(config.routes[2], (model::Route{{}, prefix("10.2.0.0/16"), "paris", 7, 1, model::RoutePq::Any, ""}));
  EXPECT_THAT(config.tunnels[0].routes, ElementsAre(prefix("10.1.0.0/16"))) << "[[route]] says what lies behind, too";
  EXPECT_THAT(config.tunnels[1].routes, ElementsAre(prefix("10.1.0.0/16"), prefix("10.2.0.0/16")));
}

TEST(WanConfig, SelectorsFromRoutesNeedNoRoutesKey) {
  EXPECT_EQ(config_of(with_tunnel("selectors = \"routes\"\n[[route]]\nprefix = \"10.1.0.0/16\"\ntunnel = \"berlin\""))
                .tunnels.at(0)
                .routes.size(),
            1U);
}

TEST(WanConfig, Health) {
  const auto health = [](std::string_view more) { return config_of(with_two(more)).tunnels.at(1).health; };
  EXPECT_EQ(health(""), model::HealthCheck{});
  EXPECT_FALSE(health("health = \"off\"").enabled);
  EXPECT_FALSE(health("[tunnel.health]\nenabled = false").enabled);
  const model::HealthCheck all{true, model::ProbeType::Reply, model::ProbeDirection::Unidirectional,
                               model::ProbeRate::High, *IpAddress::parse("192.0.2.9")};
  EXPECT_EQ(health("[tunnel.health]\nenabled = true\ntype = \"reply\"\ndirection = \"unidirectional\"\nrate = "
                   "\"high\"\ntarget = \"192.0.2.9\""),
            all);
  EXPECT_EQ(health("health = { rate = \"low\" }").rate, model::ProbeRate::Low);
  EXPECT_EQ(config_of(with_tunnel("classical_penalty = 200000")).tunnels.at(0).classical_penalty, 200'000U);
  EXPECT_THAT(said(with_tunnel("health = { rate = \"low\" }")),
              AllOf(HasSubstr("qanat.toml:7:1: warning: [[tunnel]] berlin: health: the tunnel has no IPv4 address"),
                    HasSubstr("add interface")));
  EXPECT_THAT(said(with_tunnel("")), IsEmpty()) << "nobody asked for health checks here";
}

TEST(WanConfig, Pin) {
  EXPECT_EQ(config_of(with_tunnel("pq = \"pin\"")).tunnels.at(0).pq, model::PqPolicy::Pin);
  EXPECT_THAT(said(with_tunnel("pq = \"pin\"\nike = [\"aes256-sha256-modp2048\"]")),
              HasSubstr("qanat.toml:8:1: error: [[tunnel]] berlin: ike: no proposal has ML-KEM, and pq = \"pin\""));
}

TEST(WanConfig, VrfsHaveTheirOwnAddresses) {
  const auto config =
      config_of(std::string{kBlue} + with_tunnel("interface = \"10.255.0.0/31\"\nroutes = [\"10.1.0.0/16\"]") +
                second_tunnel("peer = \"198.51.100.8\"\nvrf = \"blue\"\ninterface = \"10.255.0.0/31\"\nroutes = "
                              "[\"10.1.0.0/16\"]") +
                "[[route]]\nprefix = \"10.2.0.0/16\"\nnexthop = \"10.255.0.1\"\nvrf = \"blue\"\n");
  EXPECT_THAT(config.vrfs, ElementsAre(model::Vrf{VrfId{1}, "blue", "qanat1", 5210}));
  EXPECT_EQ(config.tunnels.at(0).vrf, VrfId{0});
  EXPECT_EQ(config.tunnels.at(1).vrf, VrfId{1});
  ASSERT_EQ(config.routes.size(), 3U);
  EXPECT_EQ(config.routes[1].vrf, VrfId{1});
  EXPECT_EQ(config.routes[2].tunnel, "paris");
}

TEST(WanConfig, PolicyIsInOrder) {
  const auto config = config_of(with_two(R"(
[[policy]]
name = "web"
from = ["10.1.0.0/16", "10.2.0.0/16"]
to = "192.0.2.0/24"
protocol = "tcp"
from_ports = "1024-65535"
to_ports = 443
from_tunnel = "berlin"
to_tunnel = "@host"
action = "allow"
[[policy]]
name = "pings"
protocol = 1
icmp_type = 8
action = "log"
[[policy]]
name = "rest"
action = "drop"
)"));
  ASSERT_EQ(config.policy.size(), 3U);
  model::PolicyRule web;
  web.name = "web";
  web.from = {prefix("10.1.0.0/16"), prefix("10.2.0.0/16")};
  web.to = {prefix("192.0.2.0/24")};
  web.protocol = 6;
  web.from_ports = model::PortRange{1024, 65535};
  web.to_ports = model::PortRange{443, 443};
  web.from_tunnel = "berlin";
  web.to_tunnel = "@host";
  EXPECT_EQ(config.policy[0], web);
  EXPECT_EQ(config.policy[1].icmp_type, 8);
  EXPECT_EQ(config.policy[1].action, model::RuleAction::Log);
  EXPECT_EQ(config.policy[2].action, model::RuleAction::Drop);
  for (const model::PolicyRule& rule : config.policy) EXPECT_TRUE(model::check(rule).has_value());
}

TEST(WanConfig, Nat) {
  const auto config = config_of(std::string{kBlue} + with_two("[[nat]]\n[[nat]]\nsources = "
                                                              "[\"10.1.0.0/16\"]\nout_interface = "
                                                              "\"eth0\"\ntranslate = \"203.0.113.9\"\nvrf = \"blue\""));
  EXPECT_THAT(config.nat,
              ElementsAre(model::NatRule{},
                          model::NatRule{VrfId{1}, {prefix("10.1.0.0/16")}, "eth0", *IpAddress::parse("203.0.113.9")}));
}

TEST(WanConfig, AVrfHasInterfacesOfItsOwn) {
  const std::string text = std::string{kBlue} + "interfaces = [\"lan1\", \"eth0.7\"]\n" + with_two("");
  EXPECT_THAT(config_of(text).vrfs, ElementsAre(model::Vrf{VrfId{1}, "blue", "qanat1", 5210, {"lan1", "eth0.7"}}));
  EXPECT_THAT(config_of(std::string{kBlue} + "interfaces = \"lan1\"\n" + with_two("")).vrfs.front().interfaces,
              ElementsAre("lan1"));
}

TEST(WanConfig, Metrics) {
  const auto metrics = [](std::string_view text) {
    return config_of(fmt::format("[gateway]\naddress = \"203.0.113.1\"\nmetrics = \"{}\"\n", text)).gateway.metrics;
  };
  EXPECT_EQ(metrics("127.0.0.1:9469"), (Endpoint{*IpAddress::parse("127.0.0.1"), 9469}));
  EXPECT_EQ(metrics("[::1]:80"), (Endpoint{*IpAddress::parse("::1"), 80}));
  EXPECT_THAT(said("[gateway]\naddress = \"203.0.113.1\"\nmetrics = \"0.0.0.0:9469\"\n"),
              HasSubstr("qanat.toml:3:11: warning: [gateway]: metrics = \"0.0.0.0:9469\": whoever reaches"));
  EXPECT_THAT(said("[gateway]\naddress = \"203.0.113.1\"\nmetrics = \"[::1]:9469\"\n"), Not(HasSubstr("metrics")));
  for (const char* bad : {"9469", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "::1:80", "[127.0.0.1]:80", "host:80",
                          "127.0.0.1:80x", ":"}) {
    EXPECT_THAT(said(fmt::format("[gateway]\naddress = \"203.0.113.1\"\nmetrics = \"{}\"\n", bad)),
                HasSubstr("must be an address and a port"))
        << bad;
  }
}

struct Wrong {
  const char* more;   // from line 13 on
  const char* place;  // "13:1"
  const char* complaint;
  const char* hint;
};

class WrongWan : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongWan, IsRefusedWithPlaceAndHint) {
  const std::string text = with_two(GetParam().more);
  EXPECT_TRUE(fails(text)) << text;
  EXPECT_THAT(said(text), AllOf(HasSubstr(fmt::format("qanat.toml:{}: error: ", GetParam().place)),
                                HasSubstr(GetParam().complaint), HasSubstr(GetParam().hint)))
      << text;
}

INSTANTIATE_TEST_SUITE_P(
    Lines, WrongWan,
    ::testing::Values(
        Wrong{"routes = [7]", "13:11", "the entry 7 must be a prefix", "write \"10.1.0.0/16\", or { prefix"},
        Wrong{"routes = [{ priority = 3 }]", "13:11", "prefix is missing", "prefix = \"10.1.0.0/16\""},
        Wrong{"routes = [{ prefix = \"10.0.0.0/8\", weight = 257 }]", "13:45",
              "routes: weight = 257: must be a whole number from 1 to 256", ""},
        Wrong{"routes = [{ prefix = \"10.0.0.0/8\", weight = 0 }]", "13:45", "from 1 to 256", ""},
        Wrong{"routes = [{ prefix = \"10.0.0.0/8\", priority = -1 }]", "13:47", "from 0 to 2147483647", ""},
        Wrong{"routes = [{ prefix = \"10.0.0.0/8\", pq = \"prefer\" }]", "13:41", "must be \"any\" or \"require\"", ""},
        Wrong{"routes = [{ prefix = \"10.0.0.0/8\", prioritty = 1 }]", "13:36", "unknown key 'prioritty'",
              "did you mean 'priority'"},
        Wrong{"routes = [{ prefix = \"224.0.0.0/4\" }]", "13:22", "multicast", ""},
        Wrong{"routes = [\"10.0.0.0/8\", \"10.0.0.0/8\"]", "13:25", "is listed twice for tunnel paris: at line 13",
              "several tunnels may share a prefix"},
        Wrong{"routes = [\"10.0.0.0/8\"]\n[[route]]\nprefix = \"10.0.0.0/8\"\ntunnel = \"paris\"", "15:1",
              "[[route]] 10.0.0.0/8: \"10.0.0.0/8\" is listed twice", ""},
        Wrong{"[[route]]\nprefix = \"10.0.0.0/8\"\ntunnel = \"pari\"", "15:10", "tunnel = \"pari\": there is no such",
              "did you mean \"paris\"?"},
        Wrong{"[[route]]\nprefix = \"10.0.0.0/8\"", "13:1", "tunnel is missing", "nexthop = \"10.255.0.1\""},
        Wrong{"[[route]]\ntunnel = \"paris\"", "13:1", "[[route]] number 1: prefix is missing", ""},
        Wrong{"[[route]]\nprefix = \"10.0.0.0/8\"\ntunnel = \"paris\"\nnexthop = \"10.255.0.1\"", "16:1",
              "tunnel and nexthop are both given", "keep one"},
        Wrong{"[[route]]\nprefix = \"10.0.0.0/8\"\nnexthop = \"10.255.0.2\"", "15:11", "is no peer's interface address",
              "it is the other host"},
        Wrong{"[[route]]\nprefix = \"10.0.0.0/8\"\nnexthop = \"paris\"", "15:11", "is neither an IPv4 address", ""},
        Wrong{"[route]\nprefix = \"10.0.0.0/8\"", "13:2", "route is a table: must be a list", "write [[route]]"},
        Wrong{"health = \"on\"", "13:10", "health = \"on\": must be \"off\", or a table", "leave it out"},
        Wrong{"[tunnel.health]\nrate = \"fast\"", "14:8", "must be \"low\" or \"mid\" or \"high\"", ""},
        Wrong{"[tunnel.health]\ntarget = \"0.0.0.0\"", "14:10", "stands for no address", ""},
        Wrong{"[tunnel.health]\nrat = \"low\"", "14:1", "unknown key 'rat' in health of [[tunnel]]", "'rate'"},
        Wrong{"classical_penalty = -1", "13:21", "from 0 to 1000000000", ""},
        Wrong{"vrf = \"blue\"", "13:7", "vrf = \"blue\": there is no such VRF; there are: default", "add [[vrf]]"},
        Wrong{"[[vrf]]\ntun = \"q1\"\nroute_table = 6000", "13:1", "name is missing", "name = \"blue\""},
        Wrong{"[[vrf]]\nname = \"blue\"\nroute_table = 6000", "13:1", "tun is missing", "tun = \"qanat1\""},
        Wrong{"[[vrf]]\nname = \"blue\"\ntun = \"q1\"", "13:1", "route_table is missing", "route_table = 5210"},
        Wrong{"[[vrf]]\nname = \"default\"\ntun = \"q1\"\nroute_table = 6000", "14:8", "is the VRF that is there", ""},
        Wrong{"[[vrf]]\nname = \"blue\"\ntun = \"qanat0\"\nroute_table = 6000", "15:1", "is the interface of [gateway]",
              ""},
        Wrong{"[[vrf]]\nname = \"blue\"\ntun = \"q1\"\nroute_table = 5201", "16:1", "table 5201 is one of [gateway]",
              "two tables"},
        Wrong{
            "[[vrf]]\nname = \"b\"\ntun = \"q1\"\nroute_table = 600\n[[vrf]]\nname = \"b\"\ntun = \"q2\"\nroute_table "
            "= 610",
            "18:1", "the VRF at line 14 has this name already", ""},
        Wrong{"[[vrf]]\nname = \"b\"\ntun = \"q1\"\nroute_table = 600\ninterfaces = [\"a b\"]", "17:15",
              "interfaces = \"a b\": must be an interface name", ""},
        Wrong{"[[vrf]]\nname = \"b\"\ntun = \"q1\"\nroute_table = 600\ninterfaces = \"qanat0\"", "17:14",
              "interfaces: \"qanat0\" is an interface of [gateway]", "an interface belongs to one VRF"},
        Wrong{"[[vrf]]\nname = \"b\"\ntun = \"q1\"\nroute_table = 600\ninterfaces = \"lan\"\n[[vrf]]\nname = "
              "\"c\"\ntun = \"q2\"\nroute_table = 610\ninterfaces = \"lan\"",
              "22:14", "is an interface of [[vrf]] b", ""},
        Wrong{"[[policy]]\naction = \"drop\"", "13:1", "[[policy]] number 1: name is missing", ""},
        Wrong{"[[policy]]\nname = \"a\"", "13:1", "action is missing", "write action"},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"deny\"", "15:10", "must be \"allow\" or \"drop\" or \"log\"", ""},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\n[[policy]]\nname = \"a\"\naction = \"drop\"", "17:1",
              "the rule at line 14 has this name already", ""},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nprotocol = \"tpc\"", "16:12",
              "must be the name or the number", "names: icmp"},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nprotocol = 256", "16:12", "protocol = 256", ""},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nto_ports = \"80\"", "16:1",
              "to_ports needs a protocol that has ports", "protocol = \"tcp\""},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nprotocol = \"gre\"\nto_ports = \"80\"", "17:1",
              "needs a protocol that has ports", ""},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nprotocol = \"tcp\"\nto_ports = \"90-80\"", "17:12",
              "must be a port or a range", "the lower one first"},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nprotocol = \"tcp\"\nto_ports = 70000", "17:12",
              "must be a port or a range", ""},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nicmp_type = 8", "16:13", "icmp_type needs protocol", "128"},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nfrom = \"10.0.0.0/8\"\nto = \"fd00::/8\"", "17:1",
              "no packet fits", "one for IPv6"},
        Wrong{"[[policy]]\nname = \"a\"\naction = \"drop\"\nto_tunnel = \"@hots\"", "16:13", "there is no such tunnel",
              "\"@host\""},
        Wrong{"[[nat]]\ntranslate = \"eth0\"", "14:13", "is neither an IPv4 address", ""},
        Wrong{"[[nat]]\nout_interface = \"a/b\"", "14:17", "must be an interface name", "leave it out"},
        Wrong{"[[nat]]\nsources = \"fd00::/8\"\ntranslate = \"192.0.2.1\"", "15:13", "of the other address family",
              "one section for IPv4"}));

TEST(WanConfig, RulesStayInTheirVrf) {
  const std::string text = std::string{kBlue} + with_tunnel("") +
                           "[[policy]]\nname = \"a\"\naction = \"drop\"\nvrf = \"blue\"\nto_tunnel = \"berlin\"\n";
  EXPECT_THAT(said(text), HasSubstr("to_tunnel = \"berlin\": that tunnel is in VRF default, and the rule in VRF blue"));
  EXPECT_THAT(said(std::string{kBlue} + with_tunnel("") +
                   "[[route]]\nprefix = \"10.0.0.0/8\"\ntunnel = \"berlin\"\nvrf = \"blue\"\n"),
              HasSubstr("tunnel berlin is in VRF default"));
  EXPECT_THAT(said(std::string{kBlue} + with_tunnel("interface = \"10.255.0.0/31\"") +
                   second_tunnel("peer = \"198.51.100.8\"\nvrf = \"blue\"\ninterface = \"10.255.0.0/31\"") +
                   "[[route]]\nprefix = \"10.0.0.0/8\"\nnexthop = \"10.255.0.1\"\n"),
              AllOf(HasSubstr("is a peer's interface address in 2 VRFs"), HasSubstr("say which one: vrf = \"")));
}

// A site with very many prefixes is one line of text each, and checked once.
TEST(WanConfig, ManyRoutesLoad) {
  std::string routes = "routes = [\n";
  for (int i = 0; i < 20'000; ++i)
    routes += fmt::format("\"10.{}.{}.{}/30\",\n", i >> 14, (i >> 6) & 255, (i & 63) * 4);
  EXPECT_EQ(config_of(with_tunnel(routes + "]")).routes.size(), 20'000U);
}

}  // namespace
}  // namespace qanat::config::testing
