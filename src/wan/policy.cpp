#include "wan/policy.hpp"

#include <algorithm>
#include <map>

#include "base/text.hpp"

namespace qanat::wan {

using model::RuleAction;

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

bool within(const model::PortRange& range, std::uint16_t port) {
  return range.first <= port && port <= range.last;
}

std::uint64_t high_bits(unsigned count) {
  return count == 0 ? 0 : ~std::uint64_t{0} << (64 - std::min(count, 64U));
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

Result<PolicyTable> PolicyTable::make(std::span<const model::PolicyRule> rules, const FindTunnel& find) {
  PolicyTable table;
  std::map<std::pair<VrfId, std::string_view>, std::size_t> names;
  for (const model::PolicyRule& rule : rules) {
    QANAT_TRY(model::check(rule));
    if (!names.emplace(std::pair{rule.vrf, std::string_view{rule.name}}, names.size()).second)
      return fail(ErrorKind::LocalPolicy, "policy rule '" + printable(rule.name) + "'",
                  "stands twice: rules are counted by name, so give each its own");
    Vrf& vrf = table.vrfs_[rule.vrf];
    QANAT_ASSIGN(Rule compiled, compile(rule, find, vrf));
    compiled.index = static_cast<std::uint32_t>(table.counters_.size());
    vrf.rules.push_back(compiled);
    table.counters_.push_back({.name = rule.name, .vrf = rule.vrf, .action = rule.action});
  }
  return table;
}

Result<PolicyTable::Rule> PolicyTable::compile(const model::PolicyRule& rule, const FindTunnel& find, Vrf& vrf) {
  Rule out{.action = rule.action,
           .any_protocol = !rule.protocol,
           .protocol = rule.protocol.value_or(0),
           .wants_ports = rule.from_ports || rule.to_ports,
           .wants_icmp_type = rule.icmp_type.has_value(),
           .icmp_type = rule.icmp_type.value_or(0),
           .source_ports = rule.from_ports.value_or(model::PortRange{}),
           .destination_ports = rule.to_ports.value_or(model::PortRange{})};
  struct End {
    const std::optional<std::string>& name;
    Side& side;
    TunnelId& tunnel;
  };
  for (const End& end :
       {End{rule.from_tunnel, out.from, out.from_tunnel}, End{rule.to_tunnel, out.to, out.to_tunnel}}) {
    if (!end.name) continue;
    end.side = *end.name == model::kHostSide ? Side::Host : Side::Tunnel;
    if (end.side == Side::Host) continue;
    const auto id = find(rule.vrf, *end.name);
    if (!id)
      return fail(ErrorKind::LocalPolicy, "policy rule '" + printable(rule.name) + "'",
                  "there is no tunnel '" + printable(*end.name) + "' in this VRF; the host's side is called '" +
                      std::string{model::kHostSide} + "'");
    end.tunnel = *id;
  }
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
  const auto side_fits = [](Side side, TunnelId wanted, const std::optional<TunnelId>& is) {
    return side == Side::Any || (side == Side::Host ? !is : is == wanted);
  };
  if (!side_fits(rule.from, rule.from_tunnel, facts.from) || !side_fits(rule.to, rule.to_tunnel, facts.to))
    return Fit::No;
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
      if (rule.action == RuleAction::Log) continue;  // nobody knows
      verdict.action = PolicyVerdict::Action::NeedsPorts;
      verdict.rule = rule.index;
      return verdict;
    }
    PolicyCounter& counter = counters_[rule.index];
    ++counter.packets;
    counter.bytes += packet.size;
    if (rule.action == RuleAction::Log) {
      if (verdict.logs < PolicyVerdict::kMaxLogs) verdict.log[verdict.logs++] = rule.index;
      continue;
    }
    verdict.action = rule.action == RuleAction::Drop ? PolicyVerdict::Action::Drop : PolicyVerdict::Action::Allow;
    verdict.rule = rule.index;
    return verdict;
  }
  return verdict;
}

void PolicyTable::adopt_counters(const PolicyTable& before) {
  std::map<std::pair<VrfId, std::string_view>, const PolicyCounter*> old;
  for (const PolicyCounter& c : before.counters_) old.emplace(std::pair{c.vrf, std::string_view{c.name}}, &c);
  for (PolicyCounter& c : counters_) {
    const auto at = old.find({c.vrf, c.name});
    if (at == old.end() || at->second->action != c.action) continue;
    c.packets += at->second->packets;
    c.bytes += at->second->bytes;
  }
}

}  // namespace qanat::wan
