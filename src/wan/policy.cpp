#include "wan/policy.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"

namespace qanat::wan {

using Action = ipsec::PolicyRule::Action;
using Side = ipsec::PolicyRule::Side;

struct PolicyTable::Facts {
  Words source;
  Words destination;
  std::optional<TunnelId> from;
  std::optional<TunnelId> to;
  std::uint8_t protocol = 0;
  Flow::PortState ports = Flow::PortState::None;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
};

namespace {

bool within(const ipsec::PolicyRule::Ports& range, std::uint16_t port) {
  return range.first <= port && port <= range.last;
}

std::uint64_t high_bits(unsigned count) {
  return count == 0 ? 0 : ~std::uint64_t{0} << (64 - std::min(count, 64U));
}

Result<Side> side_of(const model::PolicyRule& rule, const std::optional<std::string>& name, const FindTunnel& find) {
  if (!name) return Side{};
  if (*name == model::kHostSide) return Side{.kind = Side::Kind::Host, .tunnel = {}};
  const auto id = find(rule.vrf, *name);
  if (!id)
    return fail(ErrorKind::LocalPolicy, "policy rule '" + printable(rule.name) + "'",
                "there is no tunnel '" + printable(*name) + "' in this VRF; the host's side is called '" +
                    std::string{model::kHostSide} + "'");
  return Side{.kind = Side::Kind::Tunnel, .tunnel = *id};
}

Action action_of(model::RuleAction action) {
  switch (action) {
    case model::RuleAction::Allow:
      return Action::Allow;
    case model::RuleAction::Drop:
      return Action::Drop;
    case model::RuleAction::Log:
      return Action::Log;
  }
  return Action::Drop;
}

std::optional<ipsec::PolicyRule::Ports> ports_of(const std::optional<model::PortRange>& range) {
  if (!range) return std::nullopt;
  return ipsec::PolicyRule::Ports{.first = range->first, .last = range->last};
}

}  // namespace

PolicyTable::Words PolicyTable::Words::of(const IpAddress& a) {
  if (!a.is_v6()) return {.high = std::uint64_t{a.v4_host_order()} << 32, .low = 0, .v6 = false};
  const ByteView octets = a.bytes();
  return {.high = load_be64(octets.data()), .low = load_be64(octets.data() + 8), .v6 = true};
}

PolicyTable::Net PolicyTable::Net::of(const Prefix& prefix) {
  const unsigned length = prefix.length();
  return {.value = Words::of(prefix.address()),
          .mask_high = high_bits(length),
          .mask_low = high_bits(length > 64 ? length - 64 : 0)};
}

Result<std::vector<ipsec::PolicyRule>> policy_rules(std::span<const model::PolicyRule> rules, const FindTunnel& find) {
  std::vector<ipsec::PolicyRule> out;
  std::set<std::pair<VrfId, std::string_view>> names;
  for (const model::PolicyRule& rule : rules) {
    QANAT_TRY(model::check(rule));
    if (!names.emplace(rule.vrf, rule.name).second)
      return fail(ErrorKind::LocalPolicy, "policy rule '" + printable(rule.name) + "'",
                  "stands twice: rules are counted by name, so give each its own");
    QANAT_ASSIGN(const Side from, side_of(rule, rule.from_tunnel, find));
    QANAT_ASSIGN(const Side to, side_of(rule, rule.to_tunnel, find));
    out.push_back({.name = rule.name,
                   .vrf = rule.vrf,
                   .from = rule.from,
                   .to = rule.to,
                   .protocol = rule.protocol,
                   .from_ports = ports_of(rule.from_ports),
                   .to_ports = ports_of(rule.to_ports),
                   .icmp_type = rule.icmp_type,
                   .from_side = from,
                   .to_side = to,
                   .action = action_of(rule.action)});
  }
  return out;
}

PolicyTable::PolicyTable(std::span<const ipsec::PolicyRule> rules) {
  for (const ipsec::PolicyRule& rule : rules) {
    Vrf& vrf = vrfs_[rule.vrf];
    Rule compiled = compile(rule, vrf);
    compiled.index = static_cast<std::uint32_t>(counters_.size());
    vrf.rules.push_back(compiled);
    counters_.push_back({.vrf = rule.vrf, .rule = rule.name, .action = rule.action});
  }
}

PolicyTable::Rule PolicyTable::compile(const ipsec::PolicyRule& rule, Vrf& vrf) {
  Rule out{.action = rule.action,
           .from = rule.from_side,
           .to = rule.to_side,
           .any_protocol = !rule.protocol,
           .protocol = rule.protocol.value_or(0),
           .wants_ports = rule.from_ports || rule.to_ports,
           .wants_icmp_type = rule.icmp_type.has_value(),
           .icmp_type = rule.icmp_type.value_or(0),
           .source_ports = rule.from_ports.value_or(ipsec::PolicyRule::Ports{}),
           .destination_ports = rule.to_ports.value_or(ipsec::PolicyRule::Ports{})};
  const auto add = [&](const std::vector<Prefix>& prefixes) {
    Range range{.begin = static_cast<std::uint32_t>(vrf.nets.size())};
    for (const Prefix& p : prefixes) vrf.nets.push_back(Net::of(p));
    range.end = static_cast<std::uint32_t>(vrf.nets.size());
    return range;
  };
  out.sources = add(rule.from);
  out.destinations = add(rule.to);
  return out;
}

Fit PolicyTable::fits_rule(const Rule& rule, const Vrf& vrf, const Facts& facts) {
  if (!rule.any_protocol && rule.protocol != facts.protocol) return Fit::No;
  const auto side_fits = [](const Side& wanted, const std::optional<TunnelId>& is) {
    return wanted.kind == Side::Kind::Any || (wanted.kind == Side::Kind::Host ? !is : is == wanted.tunnel);
  };
  if (!side_fits(rule.from, facts.from) || !side_fits(rule.to, facts.to)) return Fit::No;
  const auto in = [&](const Range& range, const Words& address) {
    if (range.begin == range.end) return true;
    for (std::uint32_t i = range.begin; i != range.end; ++i) {
      if (vrf.nets[i].holds(address)) return true;
    }
    return false;
  };
  if (!in(rule.sources, facts.source) || !in(rule.destinations, facts.destination)) return Fit::No;
  if (!rule.wants_ports && !rule.wants_icmp_type) return Fit::Yes;
  if (facts.ports == Flow::PortState::Unknown) return Fit::NeedsPorts;
  if (facts.ports == Flow::PortState::None) return Fit::No;
  // ICMP: the type is the upper half of what selectors call a port.
  const bool ok = rule.wants_icmp_type ? rule.icmp_type == facts.source_port >> 8
                                       : within(rule.source_ports, facts.source_port) &&
                                             within(rule.destination_ports, facts.destination_port);
  return ok ? Fit::Yes : Fit::No;
}

PolicyVerdict PolicyTable::decide(const PolicyPacket& packet) {
  PolicyVerdict verdict;
  const auto at = vrfs_.find(packet.vrf);
  if (at == vrfs_.end()) return verdict;
  const bool out = packet.direction == Direction::Out;
  const Flow& flow = packet.flow;
  const Facts facts{.source = Words::of(out ? flow.local : flow.remote),
                    .destination = Words::of(out ? flow.remote : flow.local),
                    .from = packet.from,
                    .to = packet.to,
                    .protocol = flow.protocol,
                    .ports = flow.ports,
                    .source_port = out ? flow.local_port : flow.remote_port,
                    .destination_port = out ? flow.remote_port : flow.local_port};
  for (const Rule& rule : at->second.rules) {
    const Fit fit = fits_rule(rule, at->second, facts);
    if (fit == Fit::No) continue;
    if (fit == Fit::NeedsPorts) {
      if (rule.action == Action::Log) continue;  // nobody knows
      verdict.action = PolicyVerdict::Action::NeedsPorts;
      verdict.rule = rule.index;
      return verdict;
    }
    ipsec::PolicyCounters& counter = counters_[rule.index];
    counter.packets += packet.packets;
    counter.bytes += packet.size;
    if (rule.action == Action::Log) {
      if (verdict.logs < PolicyVerdict::kMaxLogs) verdict.log[verdict.logs++] = rule.index;
      continue;
    }
    verdict.action = rule.action == Action::Drop ? PolicyVerdict::Action::Drop : PolicyVerdict::Action::Allow;
    verdict.rule = rule.index;
    return verdict;
  }
  return verdict;
}

void PolicyTable::adopt_counters(const PolicyTable& before) {
  std::map<std::pair<VrfId, std::string_view>, const ipsec::PolicyCounters*> old;
  for (const ipsec::PolicyCounters& c : before.counters_) old.emplace(std::pair{c.vrf, std::string_view{c.rule}}, &c);
  for (ipsec::PolicyCounters& c : counters_) {
    const auto at = old.find({c.vrf, c.rule});
    if (at == old.end() || at->second->action != c.action) continue;
    c.packets += at->second->packets;
    c.bytes += at->second->bytes;
  }
}

}  // namespace qanat::wan
