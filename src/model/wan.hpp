// What a WAN is made of beside its tunnels, as the config file, the API and the store share it: health checks, routes,
// packet rules, source NAT, VRFs. Plain, comparable values; check() says what is wrong with one, and what to write.
// Defaults and words: rules.md "Health", "Sharing and steering"; wan.md 1.4, 1.5, "Our names for the same things".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/strong_id.hpp"

namespace qanat::model {

enum class ProbeType : std::uint8_t {
  Reply,
  Request
};  // what we send: an echo reply that is routed back, or a request
enum class ProbeDirection : std::uint8_t {
  Unidirectional,  // out through the tunnel, back over the Internet
  Bidirectional,   // both ways through the tunnel
};
enum class ProbeRate : std::uint8_t { Low, Mid, High };  // one probe in 10 s, 1 s, 0.2 s

struct HealthCheck {
  bool enabled = true;
  ProbeType type = ProbeType::Request;
  ProbeDirection direction = ProbeDirection::Bidirectional;
  ProbeRate rate = ProbeRate::Mid;
  std::optional<IpAddress> target;  // default: the peer's interface address, or its outer one when unidirectional
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

enum class RoutePq : std::uint8_t { Any, Require };  // Require: over hybrid SAs only, and dropped otherwise

struct Route {
  VrfId vrf;
  Prefix prefix;
  std::string tunnel;            // a tunnel's name
  std::uint32_t priority = 100;  // lower wins
  std::uint32_t weight = 1;      // 1..256, among equal priorities
  RoutePq pq = RoutePq::Any;
  std::string description;
  friend bool operator==(const Route&, const Route&) = default;
};

// Where a packet rule speaks of a tunnel's name, this stands for everything behind the TUN: the host, its LAN, the
// Internet. No tunnel can be called so.
inline constexpr std::string_view kHostSide = "@host";

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

enum class RuleAction : std::uint8_t { Allow, Drop, Log };  // Log: counted and logged, and on to the next rule

// A packet is meant when all that is named here fits it; what is empty fits every packet.
struct PolicyRule {
  std::string name;
  VrfId vrf;
  std::vector<Prefix> from;  // inner source
  std::vector<Prefix> to;    // inner destination
  std::optional<std::uint8_t> protocol;
  std::optional<PortRange> from_ports;  // TCP, UDP, UDP-Lite, SCTP, DCCP
  std::optional<PortRange> to_ports;
  std::optional<std::uint8_t> icmp_type;   // with protocol 1 or 58
  std::optional<std::string> from_tunnel;  // a tunnel's name, or kHostSide
  std::optional<std::string> to_tunnel;
  RuleAction action = RuleAction::Allow;
  friend bool operator==(const PolicyRule&, const PolicyRule&) = default;
};

// Source NAT, by the kernel, of what comes out of the VRF's TUN or by its interfaces and leaves by another one.
struct NatRule {
  VrfId vrf;
  std::vector<Prefix> sources;         // empty: all of the VRF
  std::string out_interface;           // empty: whichever the host's route takes
  std::optional<IpAddress> translate;  // nullopt: masquerade, the address of the interface
  [[nodiscard]] bool masquerade() const { return !translate.has_value(); }
  friend bool operator==(const NatRule&, const NatRule&) = default;
};

struct Vrf {
  VrfId id;
  std::string name = "default";
  std::string tun_name = "qanat0";
  std::uint32_t route_table = 5200;          // this one, and the next for a default route
  std::vector<std::string> interfaces = {};  // of the host, whose packets are the VRF's; not of the default one
  friend bool operator==(const Vrf&, const Vrf&) = default;
};

// Protocols whose packets have source and destination ports.
[[nodiscard]] bool has_port_numbers(std::uint8_t protocol);

[[nodiscard]] Status check(const HealthCheck& health);
[[nodiscard]] Status check(const Route& route);
[[nodiscard]] Status check(const PolicyRule& rule);
[[nodiscard]] Status check(const NatRule& rule);
[[nodiscard]] Status check(const Vrf& vrf);

[[nodiscard]] std::string_view to_string(ProbeType type);            // "reply", "request"
[[nodiscard]] std::string_view to_string(ProbeDirection direction);  // "unidirectional", "bidirectional"
[[nodiscard]] std::string_view to_string(ProbeRate rate);            // "low", "mid", "high"
[[nodiscard]] std::string_view to_string(RoutePq pq);                // "any", "require"
[[nodiscard]] std::string_view to_string(RuleAction action);         // "allow", "drop", "log"
[[nodiscard]] Result<ProbeType> parse_probe_type(std::string_view word);
[[nodiscard]] Result<ProbeDirection> parse_probe_direction(std::string_view word);
[[nodiscard]] Result<ProbeRate> parse_probe_rate(std::string_view word);
[[nodiscard]] Result<RoutePq> parse_route_pq(std::string_view word);
[[nodiscard]] Result<RuleAction> parse_rule_action(std::string_view word);

}  // namespace qanat::model
