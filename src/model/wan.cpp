#include "model/wan.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "base/text.hpp"

namespace qanat::model {

namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kIcmpv6 = 58;
constexpr std::uint32_t kMaxWeight = 256;
constexpr std::size_t kMaxInterfaceName = 15;  // Linux' IFNAMSIZ without its NUL

template <typename Value>
struct Word {
  std::string_view text;
  Value value;
};
constexpr std::array<Word<ProbeType>, 2> kTypes = {{{"reply", ProbeType::Reply}, {"request", ProbeType::Request}}};
constexpr std::array<Word<ProbeDirection>, 2> kDirections = {
    {{"unidirectional", ProbeDirection::Unidirectional}, {"bidirectional", ProbeDirection::Bidirectional}}};
constexpr std::array<Word<ProbeRate>, 3> kRates = {
    {{"low", ProbeRate::Low}, {"mid", ProbeRate::Mid}, {"high", ProbeRate::High}}};
constexpr std::array<Word<RoutePq>, 2> kPqs = {{{"any", RoutePq::Any}, {"require", RoutePq::Require}}};
constexpr std::array<Word<RuleAction>, 3> kActions = {
    {{"allow", RuleAction::Allow}, {"drop", RuleAction::Drop}, {"log", RuleAction::Log}}};

template <typename Value>
std::string_view word_of(std::span<const Word<Value>> words, Value value) {
  for (const auto& w : words) {
    if (w.value == value) return w.text;
  }
  return "unknown";
}

template <typename Value>
Result<Value> value_of(std::span<const Word<Value>> words, const char* where, std::string_view text) {
  std::string known;
  for (const auto& w : words) {
    if (w.text == text) return w.value;
    known += (known.empty() ? "" : ", ") + std::string{w.text};
  }
  return fail(ErrorKind::LocalPolicy, where, "'" + printable(text) + "' is none of " + known);
}

Status check_interface_name(const std::string& where, std::string_view name) {
  const auto odd = [](char c) { return c <= ' ' || c > '~' || c == '/' || c == '"' || c == '\\'; };
  if (name.size() <= kMaxInterfaceName && std::none_of(name.begin(), name.end(), odd)) return {};
  return fail(ErrorKind::LocalPolicy, where,
              "'" + printable(name) + "' is no name of a network interface: at most 15 characters, no '/' or space");
}

bool mixes_families(std::span<const Prefix> a, std::span<const Prefix> b) {
  if (a.empty() || b.empty()) return false;
  const auto none = [](std::span<const Prefix> list, bool v4) {
    return std::none_of(list.begin(), list.end(), [&](const Prefix& p) { return p.is_v4() == v4; });
  };
  return (none(a, true) || none(b, true)) && (none(a, false) || none(b, false));
}

}  // namespace

bool has_port_numbers(std::uint8_t protocol) {
  constexpr std::array<std::uint8_t, 5> with = {6, 17, 33, 132, 136};  // TCP, UDP, DCCP, SCTP, UDP-Lite
  return std::find(with.begin(), with.end(), protocol) != with.end();
}

Status check(const HealthCheck& health) {
  if (!health.target) return {};
  if (health.target->is_unspecified() || health.target->is_multicast())
    return fail(ErrorKind::LocalPolicy, "health.target", health.target->to_string() + " is not the address of a host");
  return {};
}

Status check(const Route& route) {
  const std::string where = "route " + route.prefix.to_string();
  if (route.tunnel.empty()) return fail(ErrorKind::LocalPolicy, where, "names no tunnel");
  if (route.weight < 1 || route.weight > kMaxWeight)
    return fail(ErrorKind::LocalPolicy, where, "weight " + std::to_string(route.weight) + " is not in 1..256");
  if (route.prefix.address().is_multicast())
    return fail(ErrorKind::LocalPolicy, where, "multicast is not routed into tunnels");
  return {};
}

Status check(const PolicyRule& rule) {
  const std::string where = "policy rule '" + printable(rule.name) + "'";
  if (rule.name.empty()) return fail(ErrorKind::LocalPolicy, where, "needs a name: its counter is shown under it");
  for (const auto& ports : {rule.from_ports, rule.to_ports}) {
    if (!ports) continue;
    if (ports->first > ports->last)
      return fail(ErrorKind::LocalPolicy, where,
                  "ports " + std::to_string(ports->first) + "-" + std::to_string(ports->last) + " run backwards");
    if (!rule.protocol || !has_port_numbers(*rule.protocol))
      return fail(ErrorKind::LocalPolicy, where, "ports need a protocol that has them: tcp, udp, sctp, dccp, udplite");
  }
  if (rule.icmp_type && rule.protocol != kIcmp && rule.protocol != kIcmpv6)
    return fail(ErrorKind::LocalPolicy, where, "icmp_type needs protocol icmp or icmpv6: their numbers differ");
  if (mixes_families(rule.from, rule.to))
    return fail(ErrorKind::LocalPolicy, where, "no packet has both an IPv4 and an IPv6 address: nothing can match");
  return {};
}

Status check(const NatRule& rule) {
  const std::string where = "nat of vrf " + std::to_string(rule.vrf.value());
  QANAT_TRY(check_interface_name(where, rule.out_interface));
  if (!rule.translate) return {};
  for (const Prefix& source : rule.sources) {
    if (source.is_v4() != rule.translate->is_v4())
      return fail(ErrorKind::LocalPolicy, where,
                  source.to_string() + " cannot become " + rule.translate->to_string() + ": not the same family");
  }
  return {};
}

Status check(const Vrf& vrf) {
  const std::string where = "vrf '" + printable(vrf.name) + "'";
  if (vrf.name.empty() || vrf.tun_name.empty()) return fail(ErrorKind::LocalPolicy, where, "needs a name and a TUN");
  QANAT_TRY(check_interface_name(where, vrf.tun_name));
  for (const std::string& name : vrf.interfaces) QANAT_TRY(check_interface_name(where, name));
  // 253..255 are the kernel's own tables, and ours are two that follow each other.
  if (vrf.route_table == 0 || (vrf.route_table >= 252 && vrf.route_table <= 255))
    return fail(ErrorKind::LocalPolicy, where,
                "route table " + std::to_string(vrf.route_table) + " is the kernel's, or the one before it");
  return {};
}

std::string_view to_string(ProbeType type) {
  return word_of<ProbeType>(kTypes, type);
}
std::string_view to_string(ProbeDirection direction) {
  return word_of<ProbeDirection>(kDirections, direction);
}
std::string_view to_string(ProbeRate rate) {
  return word_of<ProbeRate>(kRates, rate);
}
std::string_view to_string(RoutePq pq) {
  return word_of<RoutePq>(kPqs, pq);
}
std::string_view to_string(RuleAction action) {
  return word_of<RuleAction>(kActions, action);
}
Result<ProbeType> parse_probe_type(std::string_view word) {
  return value_of<ProbeType>(kTypes, "health.type", word);
}
Result<ProbeDirection> parse_probe_direction(std::string_view word) {
  return value_of<ProbeDirection>(kDirections, "health.direction", word);
}
Result<ProbeRate> parse_probe_rate(std::string_view word) {
  return value_of<ProbeRate>(kRates, "health.rate", word);
}
Result<RoutePq> parse_route_pq(std::string_view word) {
  return value_of<RoutePq>(kPqs, "route.pq", word);
}
Result<RuleAction> parse_rule_action(std::string_view word) {
  return value_of<RuleAction>(kActions, "policy.action", word);
}

}  // namespace qanat::model
