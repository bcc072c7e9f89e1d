// PolicyTable: the packet rules of every VRF. Ordered, the first that fits decides, stateless, default allow.
//
//   inputs   the rules when it is made; for each packet its flow, size, and where from and where to
//   outputs  allow, drop, or that the ports of a first fragment are wanted; which rule decided, which ask for a log
//            line (the caller limits their rate); counters per rule
//
// It speaks of packets that are routed from one side to another, tunnels and the host: not of those to a tunnel's own
// interface address, and never of health probes, which a mistaken rule would turn into an outage (wan.md 1.6).
// Fragments go by the flow of their first one (wan/fragments.hpp). A new table is made whole and then takes the place
// of the old one, whose counters go on under the same names. rules.md "Sharing and steering".
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ipsec/data_plane.hpp"
#include "model/wan.hpp"
#include "wan/flow.hpp"

namespace qanat::wan {

struct PolicyPacket {
  VrfId vrf{};
  std::optional<TunnelId> from = std::nullopt;  // the host side
  std::optional<TunnelId> to = std::nullopt;
  Direction direction = Direction::Out;  // that `flow` was made with: out, its local end is the packet's source
  Flow flow;
  std::uint64_t size = 0;     // octets of the whole packet
  std::uint64_t packets = 1;  // more of a super-packet
};

struct PolicyVerdict {
  enum class Action : std::uint8_t {
    Allow,
    Drop,
    NeedsPorts,  // a later fragment whose first was not seen, where ports decide: drop as fragment_unknown
  };
  static constexpr std::size_t kMaxLogs = 4;

  Action action = Action::Allow;
  std::optional<std::uint32_t> rule;  // that decided, an index into counters(); nullopt: none fits, so allowed
  std::uint8_t logs = 0;              // of `log` in use: rules with action log that fit, the first four
  std::array<std::uint32_t, kMaxLogs> log{};
};

using FindTunnel = std::function<std::optional<TunnelId>(VrfId, std::string_view)>;

// The rules as the packet path takes them. LocalPolicy: one that contradicts itself, two of one name in a VRF, or a
// tunnel that does not exist.
[[nodiscard]] Result<std::vector<ipsec::PolicyRule>> policy_rules(std::span<const model::PolicyRule> rules,
                                                                  const FindTunnel& find);

class PolicyTable {
 public:
  PolicyTable() = default;  // allows everything
  explicit PolicyTable(std::span<const ipsec::PolicyRule> rules);

  // Counts.
  [[nodiscard]] PolicyVerdict decide(const PolicyPacket& packet);

  [[nodiscard]] std::span<const ipsec::PolicyCounters> counters() const {
    return counters_;
  }  // in the order of the rules
  [[nodiscard]] bool empty() const { return counters_.empty(); }
  // Goes on counting where the table before it stopped, for rules of the same VRF, name and action.
  void adopt_counters(const PolicyTable& before);

 private:
  // An address as two words in network order, and a prefix as what is left of it under a mask.
  struct Words {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    bool v6 = false;
    [[nodiscard]] static Words of(const IpAddress& address);
  };
  struct Net {
    Words value;
    std::uint64_t mask_high = 0;
    std::uint64_t mask_low = 0;
    [[nodiscard]] static Net of(const Prefix& prefix);
    [[nodiscard]] bool holds(const Words& a) const {
      return a.v6 == value.v6 && ((a.high & mask_high) == value.high) && ((a.low & mask_low) == value.low);
    }
  };
  struct Range {
    std::uint32_t begin = 0;  // in the VRF's nets
    std::uint32_t end = 0;
  };
  struct Rule {
    std::uint32_t index = 0;  // of its counter
    ipsec::PolicyRule::Action action{};
    ipsec::PolicyRule::Side from;
    ipsec::PolicyRule::Side to;
    bool any_protocol = true;
    std::uint8_t protocol = 0;
    bool wants_ports = false;
    bool wants_icmp_type = false;
    std::uint8_t icmp_type = 0;
    ipsec::PolicyRule::Ports source_ports;
    ipsec::PolicyRule::Ports destination_ports;
    Range sources{};
    Range destinations{};
  };
  struct Vrf {
    std::vector<Rule> rules;
    std::vector<Net> nets;
  };
  struct Facts;  // of a packet, as rules compare them

  static Rule compile(const ipsec::PolicyRule& rule, Vrf& vrf);
  [[nodiscard]] static Fit fits_rule(const Rule& rule, const Vrf& vrf, const Facts& facts);

  std::unordered_map<VrfId, Vrf> vrfs_;
  std::vector<ipsec::PolicyCounters> counters_;
};

}  // namespace qanat::wan
