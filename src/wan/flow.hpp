// Flow: what traffic selectors compare (RFC 4301 4.4.1.1), and the comparison, for every packet.
#pragma once

#include <span>

#include "esp/inner_packet.hpp"
#include "wire/ts_payload.hpp"

namespace qanat::wan {

enum class Fit : std::uint8_t { No, Yes, NeedsPorts };  // NeedsPorts: only a later fragment's ports are missing

enum class Direction : std::uint8_t { Out, In };

// One packet as seen from us: local is its source on the way out, its destination on the way in.
struct Flow {
  enum class PortState : std::uint8_t {
    None,  // its protocol has none
    Known,
    Unknown,  // a later fragment whose first we have not seen
  };
  IpAddress local;
  IpAddress remote;
  std::uint8_t protocol = 0;
  PortState ports = PortState::None;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
};

// From what a packet itself says.
[[nodiscard]] Flow make_flow(Direction direction, const esp::InnerPacket& p);
void set_ports(Flow& flow, Direction direction, const esp::Ports& ports);

using SelectorView = std::span<const wire::TrafficSelector>;

[[nodiscard]] Fit fits(SelectorView local, SelectorView remote, const Flow& flow);

// The flow as the narrowest selectors, first among those of a request (RFC 7296 2.9).
[[nodiscard]] wire::TrafficSelector local_selector(const Flow& flow);
[[nodiscard]] wire::TrafficSelector remote_selector(const Flow& flow);

}  // namespace qanat::wan
