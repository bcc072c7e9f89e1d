// What a tunnel says about its health and its routes as a whole, and the sections [[vrf]], [[policy]] and [[nat]].
#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

using model::PortRange;
using model::ProbeDirection;
using model::ProbeRate;
using model::ProbeType;
using model::RuleAction;

constexpr auto kTypes = std::to_array<std::pair<std::string_view, ProbeType>>(
    {{"request", ProbeType::Request}, {"reply", ProbeType::Reply}});
constexpr auto kDirections = std::to_array<std::pair<std::string_view, ProbeDirection>>(
    {{"bidirectional", ProbeDirection::Bidirectional}, {"unidirectional", ProbeDirection::Unidirectional}});
constexpr auto kRates = std::to_array<std::pair<std::string_view, ProbeRate>>(
    {{"low", ProbeRate::Low}, {"mid", ProbeRate::Mid}, {"high", ProbeRate::High}});
constexpr auto kActions = std::to_array<std::pair<std::string_view, RuleAction>>(
    {{"allow", RuleAction::Allow}, {"drop", RuleAction::Drop}, {"log", RuleAction::Log}});

// Names of /etc/protocols, which a sandboxed daemon need not have.
constexpr auto kProtocols = std::to_array<std::pair<std::string_view, std::uint8_t>>({{"icmp", std::uint8_t{1}},
                                                                                      {"igmp", std::uint8_t{2}},
                                                                                      {"tcp", std::uint8_t{6}},
                                                                                      {"udp", std::uint8_t{17}},
                                                                                      {"dccp", std::uint8_t{33}},
                                                                                      {"gre", std::uint8_t{47}},
                                                                                      {"esp", std::uint8_t{50}},
                                                                                      {"ah", std::uint8_t{51}},
                                                                                      {"icmpv6", std::uint8_t{58}},
                                                                                      {"ospf", std::uint8_t{89}},
                                                                                      {"sctp", std::uint8_t{132}},
                                                                                      {"udplite", std::uint8_t{136}}});
constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kIcmpv6 = 58;
constexpr std::int64_t kMaxPenalty = 1'000'000'000;
constexpr std::int64_t kMaxTable = 4294967294;  // the one after it is ours as well
constexpr std::size_t kMaxPrefixes = 10'000;
constexpr std::size_t kMaxInterfaces = 64;  // of a VRF
constexpr const char* kPortForms = "a port or a range in double quotes, like \"443\" or \"1000-2000\"";

void read_health(Section& health, ParsedTunnel& parsed) {
  model::HealthCheck& out = parsed.tunnel.health;
  if (const auto flag = health.boolean("enabled")) out.enabled = flag->value;
  if (const auto type = health.choice("type", kTypes)) out.type = type->value;
  if (const auto direction = health.choice("direction", kDirections)) out.direction = direction->value;
  if (const auto rate = health.choice("rate", kRates)) out.rate = rate->value;
  if (const auto target = health.text("target", "an address in double quotes"))
    out.target = host_address(health, "target", *target);
  health.finish();
}

template <typename T>
std::optional<T> whole_number(std::string_view text) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// nullopt: absent or reported.
std::optional<Placed<std::uint8_t>> read_protocol(Section& section) {
  const Entry* entry = section.find("protocol");
  if (!entry) return std::nullopt;
  if (const auto* number = std::get_if<std::int64_t>(&entry->value.data)) {
    if (*number >= 0 && *number <= 255)
      return Placed<std::uint8_t>{static_cast<std::uint8_t>(*number), entry->value.at};
  }
  std::string known;
  const auto* text = std::get_if<std::string>(&entry->value.data);
  for (const auto& [name, number] : kProtocols) {
    if (text && *text == name) return Placed<std::uint8_t>{number, entry->value.at};
    known += (known.empty() ? "" : ", ") + std::string{name};
  }
  section.refuse("protocol", entry->value, "the name or the number (0 to 255) of an IP protocol",
                 "names: " + known + "; others by their number, without quotes");
  return std::nullopt;
}

std::optional<PortRange> parse_ports(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = whole_number<std::uint16_t>(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : whole_number<std::uint16_t>(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return PortRange{*first, *last};
}

std::optional<PortRange> read_ports(Section& section, std::string_view key,
                                    const std::optional<Placed<std::uint8_t>>& protocol) {
  const Entry* entry = section.find(key);
  if (!entry) return std::nullopt;
  const auto* text = std::get_if<std::string>(&entry->value.data);
  const auto* number = std::get_if<std::int64_t>(&entry->value.data);
  const auto ports = text ? parse_ports(*text) : number ? parse_ports(std::to_string(*number)) : std::nullopt;
  if (!ports) {
    section.refuse(key, entry->value, kPortForms, "ports are 0 to 65535, the lower one first");
    return std::nullopt;
  }
  if (!protocol || !model::has_port_numbers(protocol->value)) {
    section.problems().error(entry->at, fmt::format("{}: {} needs a protocol that has ports", section.title(), key),
                             "add protocol = \"tcp\" (or udp, sctp, dccp, udplite)");
  }
  return ports;
}

std::vector<Prefix> read_prefixes(Section& section, std::string_view key) {
  std::vector<Prefix> out;
  const auto list = section.text_or_texts(key, "a prefix in double quotes, or an array of them");
  if (list.size() > kMaxPrefixes) {
    section.problems().error(section.place(key), fmt::format("{}: {} has {} prefixes, and at most {} are allowed",
                                                             section.title(), key, list.size(), kMaxPrefixes));
    return out;
  }
  for (const auto& text : list) {
    if (const auto prefix = read_prefix(section, key, text)) out.push_back(*prefix);
  }
  return out;
}

// A tunnel's name or "@host"; `parsed` is the tunnel.
std::optional<std::string> read_side(Section& section, std::string_view key, const Names& names,
                                     const ParsedTunnel*& parsed) {
  const auto name = section.text(key, "the name of a tunnel in double quotes, or \"@host\"");
  if (!name) return std::nullopt;
  if (name->value == model::kHostSide) return name->value;
  parsed = names.tunnel(name->value);
  if (parsed) return name->value;
  const std::string guess = names.nearest_tunnel(name->value);
  section.refuse_text(key, *name, "there is no such tunnel",
                      guess.empty() ? "name a [[tunnel]] of this file, or \"@host\" for the gateway's own side"
                                    : fmt::format("did you mean \"{}\"?", guess));
  return std::nullopt;
}

bool has_family(const std::vector<Prefix>& list, bool v4) {
  return list.empty() || std::any_of(list.begin(), list.end(), [&](const Prefix& p) { return p.is_v4() == v4; });
}

void check_matchable(Section& section, const model::PolicyRule& rule) {
  for (const bool v4 : {true, false}) {
    const bool wrong_icmp = rule.protocol && rule.icmp_type && *rule.protocol == (v4 ? kIcmpv6 : kIcmp);
    if (has_family(rule.from, v4) && has_family(rule.to, v4) && !wrong_icmp) return;
  }
  section.problems().error(section.place("to"),
                           fmt::format("{}: no packet fits: its source, destination and protocol are of different "
                                       "address families",
                                       section.title()),
                           "make one rule for IPv4 and one for IPv6");
}

void check_rule_vrf(Section& section, const model::PolicyRule& rule, const Names& names, const ParsedTunnel* side,
                    std::string_view key) {
  if (!side || side->tunnel.vrf == rule.vrf) return;
  section.problems().error(
      section.place(key),
      fmt::format("{}: {} = {}: that tunnel is in VRF {}, and the rule in VRF {}", section.title(), key,
                  quoted(side->tunnel.name), names.vrf_name(side->tunnel.vrf), names.vrf_name(rule.vrf)),
      "packets never pass from one VRF to another: make a rule for each");
}

}  // namespace

void read_steering(Section& section, ParsedTunnel& parsed) {
  if (const auto penalty = section.integer("classical_penalty", 0, kMaxPenalty))
    parsed.tunnel.classical_penalty = static_cast<std::uint32_t>(penalty->value);
  parsed.health_at = section.place("health");
  const Entry* entry = section.find("health");
  if (!entry) return;
  const auto* word = std::get_if<std::string>(&entry->value.data);
  if (const auto* table = std::get_if<Table>(&entry->value.data)) {
    Section health{*table, entry->value.at, "health of [[tunnel]]", section.title() + ": health", section.problems()};
    read_health(health, parsed);
  } else if (word && *word == "off") {
    parsed.tunnel.health.enabled = false;
  } else {
    section.refuse("health", entry->value, "\"off\", or a table: { type = \"request\", rate = \"mid\" }",
                   "leave it out for probes through the tunnel, one a second");
  }
}

ParsedVrf read_vrf(Section& section, VrfId id) {
  ParsedVrf parsed;
  parsed.header = section.at();
  parsed.vrf = {id, "", "", 0};
  parsed.name_at = section.place("name");
  parsed.tun_at = section.place("tun");
  parsed.table_at = section.place("route_table");
  const auto missing = [&](std::string_view key, const char* hint) {
    if (!section.find(key))
      section.problems().error(section.at(), fmt::format("{}: {} is missing", section.title(), key), hint);
  };
  if (const auto name = section.text("name", "text in double quotes")) {
    if (name->value == "default") {
      section.refuse_text("name", *name, "is the VRF that is there without a section",
                          "its interface and table are tun and route_table of [gateway]");
    } else if (!is_object_name(name->value)) {
      section.refuse_text("name", *name, kObjectNameRule);
    } else {
      parsed.vrf.name = name->value;
    }
  }
  missing("name", "for example name = \"blue\"");
  if (const auto tun = section.text("tun", "the name of a network interface in double quotes")) {
    if (is_interface_name(tun->value)) {
      parsed.vrf.tun_name = tun->value;
    } else {
      section.refuse_text("tun", *tun, "must be an interface name: 1 to 15 letters, digits, '-', '_' and '.'");
    }
  }
  missing("tun", "every VRF has an interface of its own: tun = \"qanat1\"");
  if (const auto table = section.integer("route_table", 256, kMaxTable))
    parsed.vrf.route_table = static_cast<std::uint32_t>(table->value);
  missing("route_table", "every VRF has two routing tables of its own, this and the next: route_table = 5210");
  const auto names =
      section.text_or_texts("interfaces", "the name of a network interface in double quotes, or an array");
  if (names.size() > kMaxInterfaces) {
    section.problems().error(section.place("interfaces"), fmt::format("{}: interfaces has {} names, and at most {} are "
                                                                      "allowed",
                                                                      section.title(), names.size(), kMaxInterfaces));
  } else {
    for (const auto& name : names) {
      if (is_interface_name(name.value)) {
        parsed.vrf.interfaces.push_back(name.value);
        parsed.interfaces.push_back(name);
      } else {
        section.refuse_text("interfaces", name, "must be an interface name: 1 to 15 letters, digits, '-', '_' and '.'");
      }
    }
  }
  section.finish();
  return parsed;
}

model::PolicyRule read_policy_rule(Section& section, const Names& names) {
  model::PolicyRule rule;
  if (const auto name = section.text("name", "text in double quotes")) {
    if (is_object_name(name->value)) {
      rule.name = name->value;
    } else {
      section.refuse_text("name", *name, kObjectNameRule);
    }
  }
  if (!section.find("name")) {
    section.problems().error(section.at(), fmt::format("{}: name is missing", section.title()),
                             "its counter is shown under its name: name = \"block-telnet\"");
  }
  rule.from = read_prefixes(section, "from");
  rule.to = read_prefixes(section, "to");
  const auto protocol = read_protocol(section);
  if (protocol) rule.protocol = protocol->value;
  rule.from_ports = read_ports(section, "from_ports", protocol);
  rule.to_ports = read_ports(section, "to_ports", protocol);
  if (const auto type = section.integer("icmp_type", 0, 255)) {
    rule.icmp_type = static_cast<std::uint8_t>(type->value);
    if (rule.protocol != kIcmp && rule.protocol != kIcmpv6) {
      section.problems().error(type->at, fmt::format("{}: icmp_type needs protocol icmp or icmpv6", section.title()),
                               "their numbers differ: echo request is 8 of \"icmp\" and 128 of \"icmpv6\"");
    }
  }
  const ParsedTunnel* from = nullptr;
  const ParsedTunnel* to = nullptr;
  rule.from_tunnel = read_side(section, "from_tunnel", names, from);
  rule.to_tunnel = read_side(section, "to_tunnel", names, to);
  if (const auto action = section.choice("action", kActions)) rule.action = action->value;
  if (!section.find("action")) {
    section.problems().error(section.at(), fmt::format("{}: action is missing", section.title()),
                             "write action = \"allow\", \"drop\" or \"log\" (count, log, and on to the next rule)");
  }
  if (const auto vrf = read_vrf_name(section, names.vrfs())) {
    rule.vrf = vrf->value;
  } else if (from || to) {
    rule.vrf = (from ? from : to)->tunnel.vrf;
  }
  check_rule_vrf(section, rule, names, from, "from_tunnel");
  check_rule_vrf(section, rule, names, to, "to_tunnel");
  check_matchable(section, rule);
  section.finish();
  return rule;
}

model::NatRule read_nat_rule(Section& section, const std::vector<ParsedVrf>& vrfs) {
  model::NatRule rule;
  rule.sources = read_prefixes(section, "sources");
  if (const auto name = section.text("out_interface", "the name of a network interface in double quotes")) {
    if (is_interface_name(name->value)) {
      rule.out_interface = name->value;
    } else {
      section.refuse_text("out_interface", *name,
                          "must be an interface name: 1 to 15 letters, digits, '-', '_' and '.'",
                          "leave it out for whichever interface the host's route takes");
    }
  }
  const auto translate = section.text("translate", "an address in double quotes, or \"masquerade\"");
  if (translate && translate->value != "masquerade") rule.translate = host_address(section, "translate", *translate);
  if (rule.translate) {
    for (const Prefix& source : rule.sources) {
      if (source.is_v4() == rule.translate->is_v4()) continue;
      section.refuse_text("translate", *translate,
                          fmt::format("{} of sources is of the other address family", source.to_string()),
                          "make one section for IPv4 and one for IPv6");
      break;
    }
  }
  if (const auto vrf = read_vrf_name(section, vrfs)) rule.vrf = vrf->value;
  section.finish();
  return rule;
}

}  // namespace qanat::config
