// Flow: what traffic selectors compare (RFC 4301 4.4.1.1), and the comparison, for every packet.
#pragma once

#include <memory>
#include <span>
#include <vector>

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

// The selectors of one SA. Most let every packet of a family pass, which one octet says beside the SA; only others are
// kept and compared.
enum class OpenTo : std::uint8_t { None = 0, V4 = 1, V6 = 2, Both = 3 };
struct NarrowSelectors {
  std::vector<wire::TrafficSelector> local;
  std::vector<wire::TrafficSelector> remote;
};
struct SaSelectors {
  OpenTo open = OpenTo::None;
  std::unique_ptr<const NarrowSelectors> narrow;  // nullptr when `open` says it all
};
[[nodiscard]] SaSelectors sa_selectors(std::vector<wire::TrafficSelector> local,
                                       std::vector<wire::TrafficSelector> remote);
[[nodiscard]] inline bool is_open(OpenTo open, const Flow& flow) {
  const auto family = flow.local.is_v6() ? OpenTo::V6 : OpenTo::V4;
  return (static_cast<unsigned>(open) & static_cast<unsigned>(family)) != 0;
}
[[nodiscard]] inline Fit fits(OpenTo open, const NarrowSelectors* narrow, const Flow& flow) {
  if (is_open(open, flow)) return Fit::Yes;
  return narrow == nullptr ? Fit::No : fits(narrow->local, narrow->remote, flow);
}

// The flow as the narrowest selectors, first among those of a request (RFC 7296 2.9).
[[nodiscard]] wire::TrafficSelector local_selector(const Flow& flow);
[[nodiscard]] wire::TrafficSelector remote_selector(const Flow& flow);

}  // namespace qanat::wan
