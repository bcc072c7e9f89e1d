// Packet policy: ordered, first match, stateless, default allow (rules.md "Sharing and steering").
#include "wan/policy.hpp"

#include <map>

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "esp/packet_test_support.hpp"
#include "wan/fragments.hpp"

namespace qanat::wan {
namespace {

using namespace esp::testing;
using Action = PolicyVerdict::Action;
using model::kHostSide;
using model::PolicyRule;
using model::PortRange;
using model::RuleAction;

const std::map<std::string, TunnelId, std::less<>> kTunnels = {
    {"berlin", TunnelId{1}}, {"paris", TunnelId{2}}, {"rome", TunnelId{3}}};

std::optional<TunnelId> find(VrfId vrf, std::string_view name) {
  const auto at = kTunnels.find(name);
  if (vrf != VrfId{0} || at == kTunnels.end()) return std::nullopt;
  return at->second;
}

PolicyRule rule(std::string name, RuleAction action) {
  PolicyRule r;
  r.name = std::move(name);
  r.action = action;
  return r;
}
PolicyTable table(const std::vector<PolicyRule>& rules) {
  const auto r = policy_rules(rules, find);
  EXPECT_TRUE(r) << r.error().detail;
  return PolicyTable{*r};
}
PolicyPacket packet(std::string_view source, std::string_view destination, std::uint8_t protocol = 6,
                    std::uint16_t destination_port = 80) {
  esp::InnerPacket p;
  p.source = ip(source);
  p.destination = ip(destination);
  p.protocol = protocol;
  p.has_ports = esp::protocol_has_ports(protocol);
  p.ports = {40000, destination_port};
  if (protocol == 1 || protocol == 58) p.ports.source = p.ports.destination;
  PolicyPacket out{.flow = make_flow(Direction::Out, p), .size = 100};
  out.from = TunnelId{1};
  out.to = TunnelId{2};
  return out;
}
Action act(PolicyTable& t, const PolicyPacket& p) {
  return t.decide(p).action;
}

TEST(Policy, NothingSaidIsAllowed) {
  PolicyTable none;
  const PolicyVerdict v = none.decide(packet("10.1.0.1", "10.2.0.1"));
  EXPECT_EQ(v.action, Action::Allow);
  EXPECT_FALSE(v.rule);
  auto r = rule("other", RuleAction::Drop);
  r.from = {net("192.0.2.0/24")};
  PolicyTable t = table({r});
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1")), Action::Allow);
  EXPECT_EQ(t.counters()[0].packets, 0U);
}

TEST(Policy, TheFirstThatFitsDecides) {
  auto web = rule("web", RuleAction::Allow);
  web.protocol = 6;
  web.to_ports = PortRange{.first = 80, .last = 443};
  const auto rest = rule("rest", RuleAction::Drop);
  const auto never = rule("never", RuleAction::Allow);
  PolicyTable t = table({web, rest, never});
  EXPECT_EQ(t.decide(packet("10.1.0.1", "10.2.0.1", 6, 80)).rule, 0U);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 6, 443)), Action::Allow);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 6, 444)), Action::Drop);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 6, 79)), Action::Drop);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 17, 80)), Action::Drop);
  EXPECT_EQ(t.decide(packet("10.1.0.1", "10.2.0.1", 47)).rule, 1U);
  EXPECT_EQ(t.counters()[0].packets, 2U);
  EXPECT_EQ(t.counters()[1].packets, 4U);
  EXPECT_EQ(t.counters()[1].bytes, 400U);
  EXPECT_EQ(t.counters()[2].packets, 0U);
}

TEST(Policy, EveryPartOfARuleCounts) {
  PolicyRule r = rule("all", RuleAction::Drop);
  r.from = {net("10.1.0.0/16"), net("192.0.2.128/25")};
  r.to = {net("10.2.0.0/24")};
  r.protocol = 17;
  r.from_ports = PortRange{.first = 40000, .last = 40000};
  r.to_ports = PortRange{.first = 53, .last = 53};
  r.from_tunnel = "berlin";
  r.to_tunnel = "paris";
  PolicyTable t = table({r});
  const PolicyPacket good = packet("10.1.255.255", "10.2.0.1", 17, 53);
  EXPECT_EQ(act(t, good), Action::Drop);
  EXPECT_EQ(act(t, packet("192.0.2.128", "10.2.0.255", 17, 53)), Action::Drop);
  EXPECT_EQ(act(t, packet("192.0.2.127", "10.2.0.1", 17, 53)), Action::Allow);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.1.0", 17, 53)), Action::Allow);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 6, 53)), Action::Allow);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 17, 54)), Action::Allow);
  PolicyPacket p = good;
  p.flow.local_port = 40001;
  EXPECT_EQ(act(t, p), Action::Allow);
  p = good;
  p.from = TunnelId{3};
  EXPECT_EQ(act(t, p), Action::Allow);
  p.from.reset();
  EXPECT_EQ(act(t, p), Action::Allow);
  p = good;
  p.to.reset();
  EXPECT_EQ(act(t, p), Action::Allow);
}

// The flow of a packet from a peer is read with its ends swapped.
TEST(Policy, BothDirectionsOfFlows) {
  PolicyRule r = rule("dns", RuleAction::Drop);
  r.from = {net("10.1.0.0/16")};
  r.protocol = 17;
  r.from_ports = PortRange{.first = 40000, .last = 40000};
  r.to_ports = PortRange{.first = 53, .last = 53};
  PolicyTable t = table({r});
  esp::InnerPacket p;
  p.source = ip("10.1.0.1");
  p.destination = ip("10.2.0.1");
  p.protocol = 17;
  p.has_ports = true;
  p.ports = {40000, 53};
  for (const Direction direction : {Direction::In, Direction::Out}) {
    const PolicyPacket shown{.direction = direction, .flow = make_flow(direction, p), .size = 60};
    EXPECT_EQ(act(t, shown), Action::Drop);
  }
  std::swap(p.source, p.destination);
  std::swap(p.ports.source, p.ports.destination);
  for (const Direction direction : {Direction::In, Direction::Out}) {
    const PolicyPacket shown{.direction = direction, .flow = make_flow(direction, p), .size = 60};
    EXPECT_EQ(act(t, shown), Action::Allow);
  }
}

TEST(Policy, SidesAreTunnelsOrTheHost) {
  PolicyRule egress = rule("no-egress", RuleAction::Drop);
  egress.to_tunnel = std::string{kHostSide};
  PolicyRule ingress = rule("no-ingress", RuleAction::Drop);
  ingress.from_tunnel = std::string{kHostSide};
  ingress.to_tunnel = "rome";
  PolicyTable t = table({egress, ingress});
  PolicyPacket p = packet("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(act(t, p), Action::Allow);
  p.to.reset();
  EXPECT_EQ(t.decide(p).rule, 0U);
  p.from.reset();
  p.to = TunnelId{3};
  EXPECT_EQ(t.decide(p).rule, 1U);
  p.to = TunnelId{2};
  EXPECT_EQ(act(t, p), Action::Allow);
}

TEST(Policy, IcmpTypes) {
  PolicyRule ping = rule("ping", RuleAction::Drop);
  ping.protocol = 1;
  ping.icmp_type = 8;
  PolicyRule ping6 = rule("ping6", RuleAction::Drop);
  ping6.protocol = 58;
  ping6.icmp_type = 128;
  PolicyTable t = table({ping, ping6});
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 1, 8 << 8)), Action::Drop);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 1, (8 << 8) | 5)), Action::Drop) << "any code";
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 1, 3 << 8)), Action::Allow);
  EXPECT_EQ(act(t, packet("10.1.0.1", "10.2.0.1", 17, 8 << 8)), Action::Allow);
  EXPECT_EQ(act(t, packet("2001:db8::1", "2001:db8::2", 58, 128 << 8)), Action::Drop);
  EXPECT_EQ(act(t, packet("2001:db8::1", "2001:db8::2", 58, 8 << 8)), Action::Allow);
}

// log goes on to the next rule.
TEST(Policy, LogGoesOn) {
  std::vector<PolicyRule> rules;
  for (int i = 0; i < 6; ++i) rules.push_back(rule("log" + std::to_string(i), RuleAction::Log));
  rules[1].from = {net("192.0.2.0/24")};
  rules.push_back(rule("drop", RuleAction::Drop));
  rules.push_back(rule("log-late", RuleAction::Log));
  PolicyTable t = table(rules);
  const PolicyVerdict v = t.decide(packet("10.1.0.1", "10.2.0.1"));
  EXPECT_EQ(v.action, Action::Drop);
  EXPECT_EQ(v.rule, 6U);
  ASSERT_EQ(v.logs, 4U);
  EXPECT_EQ(v.log, (std::array<std::uint32_t, 4>{0, 2, 3, 4})) << "the first four are told";
  EXPECT_EQ(t.counters()[5].packets, 1U) << "and all are counted";
  EXPECT_EQ(t.counters()[1].packets, 0U);
  EXPECT_EQ(t.counters()[7].packets, 0U) << "after the decision nothing is asked";
  PolicyTable only = table({rule("log", RuleAction::Log)});
  EXPECT_EQ(act(only, packet("10.1.0.1", "10.2.0.1")), Action::Allow);
}

// Fragments go by the flow of their first one, and none passes a rule that it may be meant by.
TEST(Policy, FragmentsThroughTheirFirst) {
  PolicyRule note = rule("note", RuleAction::Log);
  note.protocol = 17;
  note.to_ports = PortRange{.first = 53, .last = 53};
  PolicyRule dns = rule("dns", RuleAction::Drop);
  dns.protocol = 17;
  dns.to_ports = PortRange{.first = 53, .last = 53};
  PolicyTable t = table({note, dns});
  FragmentTable fragments{16};
  const Instant now = Instant::from_ns(1);

  esp::InnerPacket first;
  first.source = ip("10.1.0.1");
  first.destination = ip("10.2.0.1");
  first.protocol = 17;
  first.fragment = first.more_fragments = true;
  first.fragment_id = 7;
  first.header_size = first.transport_offset = 20;
  first.size = 20 + 1480;
  first.has_ports = true;
  first.ports = {40000, 53};
  esp::InnerPacket later = first;
  later.has_ports = later.more_fragments = false;
  later.ports = {};
  later.fragment_offset = 1480;
  later.size = 20 + 100;

  const auto show = [&](const esp::InnerPacket& p, bool followed) {
    PolicyPacket shown{.flow = make_flow(Direction::Out, p), .size = p.size};
    if (followed) {
      const auto facts = fragments.see(now, 0, p);
      EXPECT_TRUE(facts);
      if (facts->ports) set_ports(shown.flow, Direction::Out, *facts->ports);
    }
    if (p.later_fragment() && shown.flow.ports == Flow::PortState::None) shown.flow.ports = Flow::PortState::Unknown;
    return t.decide(shown);
  };
  EXPECT_EQ(show(later, false).action, Action::NeedsPorts);
  EXPECT_EQ(t.counters()[0].packets, 0U);
  EXPECT_EQ(t.counters()[1].packets, 0U);
  EXPECT_EQ(show(first, true).action, Action::Drop);
  EXPECT_EQ(show(later, true).action, Action::Drop);
  EXPECT_EQ(t.counters()[1].packets, 2U);
  PolicyTable only_notes = table({note});
  PolicyPacket unknown{.flow = make_flow(Direction::Out, later), .size = later.size};
  unknown.flow.ports = Flow::PortState::Unknown;
  EXPECT_EQ(act(only_notes, unknown), Action::Allow) << "a log line is no reason to drop";
  // Where no port is asked for, a later fragment needs none.
  first.protocol = later.protocol = 6;
  EXPECT_EQ(show(later, false).action, Action::Allow);
}

// Two accounts with the same prefixes.
TEST(Policy, VrfsDoNotMeet) {
  PolicyRule a = rule("drop", RuleAction::Drop);
  PolicyRule b = rule("drop", RuleAction::Allow);
  b.vrf = VrfId{1};
  PolicyTable t = table({a, b});
  PolicyPacket p = packet("10.1.0.1", "10.2.0.1");
  EXPECT_EQ(t.decide(p).rule, 0U);
  p.vrf = VrfId{1};
  EXPECT_EQ(t.decide(p).rule, 1U);
  p.vrf = VrfId{2};
  EXPECT_FALSE(t.decide(p).rule);
}

TEST(Policy, ErrorsSayWhatToDo) {
  PolicyRule r = rule("x", RuleAction::Drop);
  r.from_tunnel = "belrin";
  auto t = policy_rules(std::vector{r}, find);
  ASSERT_FALSE(t);
  EXPECT_EQ(t.error().where, "policy rule 'x'");
  EXPECT_EQ(t.error().detail, "there is no tunnel 'belrin' in this VRF; the host's side is called '@host'");
  r.from_tunnel = "berlin";
  EXPECT_TRUE(policy_rules(std::vector{r}, find));
  r.vrf = VrfId{4};
  EXPECT_FALSE(policy_rules(std::vector{r}, find)) << "another account's tunnel";
  r.vrf = VrfId{0};
  EXPECT_FALSE(policy_rules(std::vector{r, r}, find)) << "one name twice";
  r.to_ports = PortRange{.first = 1, .last = 2};
  EXPECT_FALSE(policy_rules(std::vector{r}, find)) << "ports without a protocol";
}

TEST(Policy, CountersOutliveAReload) {
  PolicyRule a = rule("a", RuleAction::Drop);
  PolicyRule b = rule("b", RuleAction::Allow);
  a.protocol = 6;
  PolicyTable before = table({a, b});
  (void)before.decide(packet("10.1.0.1", "10.2.0.1", 6));
  (void)before.decide(packet("10.1.0.1", "10.2.0.1", 17));
  a.action = RuleAction::Allow;
  PolicyTable after = table({rule("new", RuleAction::Log), b, a});
  after.adopt_counters(before);
  EXPECT_EQ(after.counters()[0].packets, 0U);
  EXPECT_EQ(after.counters()[1].packets, 1U);
  EXPECT_EQ(after.counters()[1].bytes, 100U);
  EXPECT_EQ(after.counters()[2].packets, 0U) << "what it counted were drops";
}

// Against the plain reading of the rules, over random rules and packets of both families.
TEST(Policy, AgreesWithThePlainReading) {
  SeededRng rng{42};
  const auto below = [&](std::uint64_t n) { return rng.below(n); };
  const auto random_ip = [&]() -> IpAddress {
    if (below(4) != 0) return IpAddress::v4(0x0a000000 | static_cast<std::uint32_t>(below(4) << 16 | below(4)));
    Bytes b(16);
    b[0] = 0x20;
    b[7] = static_cast<std::uint8_t>(below(3));
    b[8] = static_cast<std::uint8_t>(below(3) << 6);
    b[15] = static_cast<std::uint8_t>(below(3));
    return IpAddress::from_bytes(b);
  };
  const auto random_net = [&] {
    const IpAddress a = random_ip();
    static constexpr std::array<unsigned, 6> v4 = {0, 8, 14, 16, 31, 32};
    static constexpr std::array<unsigned, 6> v6 = {0, 63, 64, 65, 66, 128};
    return Prefix::masked(a, a.is_v6() ? v6[below(6)] : v4[below(6)]);
  };
  constexpr std::array<std::uint8_t, 5> protocols = {1, 6, 17, 47, 58};
  int decided = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<PolicyRule> rules;
    for (int i = 0; i < 12; ++i) {
      PolicyRule r = rule(std::to_string(i), below(2) == 0 ? RuleAction::Allow : RuleAction::Drop);
      for (std::uint64_t n = below(3); n > 0; --n) r.from.push_back(random_net());
      for (std::uint64_t n = below(3); n > 0; --n) r.to.push_back(random_net());
      if (below(2) == 0) r.protocol = protocols[below(5)];
      if (r.protocol && model::has_port_numbers(*r.protocol) && below(2) == 0)
        r.to_ports = PortRange{.first = static_cast<std::uint16_t>(below(3)), .last = 3};
      if (r.protocol && (*r.protocol == 1 || *r.protocol == 58) && below(2) == 0)
        r.icmp_type = static_cast<std::uint8_t>(below(3));
      if (below(3) == 0) r.from_tunnel = below(2) == 0 ? "berlin" : std::string{kHostSide};
      if (!model::check(r)) continue;
      rules.push_back(r);
    }
    PolicyTable t = table(rules);
    for (int i = 0; i < 200; ++i) {
      esp::InnerPacket p;
      p.source = random_ip();
      do p.destination = random_ip();
      while (p.destination.is_v6() != p.source.is_v6());
      p.protocol = protocols[below(5)];
      p.has_ports = p.protocol != 47;
      const bool icmp = p.protocol == 1 || p.protocol == 58;
      p.ports.destination = static_cast<std::uint16_t>(icmp ? below(3) << 8 : below(5));
      p.ports.source = icmp ? p.ports.destination : 9;
      PolicyPacket shown{.flow = make_flow(Direction::Out, p), .size = 1};
      if (below(2) == 0) shown.from = TunnelId{1};
      std::optional<std::uint32_t> expected;
      for (std::uint32_t n = 0; n < rules.size() && !expected; ++n) {
        const PolicyRule& r = rules[n];
        const auto in = [](const std::vector<Prefix>& nets, const IpAddress& a) {
          return nets.empty() ||
                 std::any_of(nets.begin(), nets.end(), [&](const Prefix& prefix) { return prefix.contains(a); });
        };
        const bool side = !r.from_tunnel || (*r.from_tunnel == kHostSide) == !shown.from;
        const bool ports = !r.to_ports || (r.to_ports->first <= p.ports.destination && p.ports.destination <= 3);
        const bool type = !r.icmp_type || *r.icmp_type == p.ports.source >> 8;
        if (in(r.from, p.source) && in(r.to, p.destination) && side && (!r.protocol || *r.protocol == p.protocol) &&
            ports && type)
          expected = n;
      }
      const PolicyVerdict v = t.decide(shown);
      ASSERT_EQ(v.rule, expected);
      ASSERT_EQ(v.action == Action::Drop, expected && rules[*expected].action == RuleAction::Drop);
      if (expected) ++decided;
    }
  }
  EXPECT_GT(decided, 10'000);
}

}  // namespace
}  // namespace qanat::wan
