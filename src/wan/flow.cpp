#include "wan/flow.hpp"

#include <algorithm>

#include "ipsec/selectors.hpp"

namespace qanat::wan {

namespace {

wire::TrafficSelector narrowest(const IpAddress& address, const Flow& flow, std::uint16_t port) {
  wire::TrafficSelector ts{.first = address, .last = address, .protocol = flow.protocol};
  if (flow.ports == Flow::PortState::Known) ts.port_first = ts.port_last = port;
  return ts;
}

Fit fits_side(SelectorView selectors, const IpAddress& address, const Flow& flow, std::uint16_t port) {
  Fit best = Fit::No;
  for (const wire::TrafficSelector& ts : selectors) {
    if (ts.first.is_v6() != address.is_v6() || address < ts.first || ts.last < address) continue;
    if (ts.protocol != 0 && ts.protocol != flow.protocol) continue;
    if (ts.port_first == 0 && ts.port_last == 65535) return Fit::Yes;
    switch (flow.ports) {
      case Flow::PortState::None:
        if (ts.port_first == 65535 && ts.port_last == 0) return Fit::Yes;  // OPAQUE (RFC 4301 4.4.1.1)
        break;
      case Flow::PortState::Known:
        if (ts.port_first <= port && port <= ts.port_last) return Fit::Yes;
        break;
      case Flow::PortState::Unknown:
        best = Fit::NeedsPorts;
        break;
    }
  }
  return best;
}

}  // namespace

Flow make_flow(Direction direction, const esp::InnerPacket& p) {
  const bool out = direction == Direction::Out;
  Flow flow;
  flow.local = out ? p.source : p.destination;
  flow.remote = out ? p.destination : p.source;
  flow.protocol = p.protocol;
  if (p.has_ports) set_ports(flow, direction, p.ports);
  return flow;
}

void set_ports(Flow& flow, Direction direction, const esp::Ports& ports) {
  flow.ports = Flow::PortState::Known;
  flow.local_port = direction == Direction::Out ? ports.source : ports.destination;
  flow.remote_port = direction == Direction::Out ? ports.destination : ports.source;
}

Fit fits(SelectorView local, SelectorView remote, const Flow& flow) {
  const Fit a = fits_side(local, flow.local, flow, flow.local_port);
  if (a == Fit::No) return a;
  const Fit b = fits_side(remote, flow.remote, flow, flow.remote_port);
  if (b == Fit::No) return b;
  return a == Fit::Yes && b == Fit::Yes ? Fit::Yes : Fit::NeedsPorts;
}

SaSelectors sa_selectors(std::vector<wire::TrafficSelector> local, std::vector<wire::TrafficSelector> remote) {
  const auto has = [](const auto& selectors, const wire::TrafficSelector& any) {
    return std::find(selectors.begin(), selectors.end(), any) != selectors.end();
  };
  const auto all_any = [](const auto& selectors) {
    return std::all_of(selectors.begin(), selectors.end(), [](const wire::TrafficSelector& ts) {
      return ts == ipsec::any_selector_v4() || ts == ipsec::any_selector_v6();
    });
  };
  unsigned open = 0;
  const auto look = [&](OpenTo family, const wire::TrafficSelector& any) {
    if (has(local, any) && has(remote, any)) open |= static_cast<unsigned>(family);
  };
  look(OpenTo::V4, ipsec::any_selector_v4());
  look(OpenTo::V6, ipsec::any_selector_v6());
  SaSelectors selectors{.open = static_cast<OpenTo>(open), .narrow = nullptr};
  if (!all_any(local) || !all_any(remote)) {
    selectors.narrow = std::make_unique<const NarrowSelectors>(
        NarrowSelectors{.local = std::move(local), .remote = std::move(remote)});
  }
  return selectors;
}

wire::TrafficSelector local_selector(const Flow& flow) {
  return narrowest(flow.local, flow, flow.local_port);
}
wire::TrafficSelector remote_selector(const Flow& flow) {
  return narrowest(flow.remote, flow, flow.remote_port);
}

}  // namespace qanat::wan
