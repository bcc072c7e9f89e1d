// Configurations and packets for the simulator's worlds.
#include <fmt/format.h>

#include "sim/world.hpp"

namespace qanat::sim {

namespace {

std::uint16_t checksum(ByteView header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < header.size(); i += 2) sum += load_be16(&header[i]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

}  // namespace

IpAddress address(const std::string& text) {
  auto parsed = IpAddress::parse(text);
  ensure(parsed.has_value(), "an address in a test");
  return *parsed;
}

Bytes udp_packet(const std::string& source, const std::string& destination, const std::string& text) {
  const std::string payload = text + std::string{kMarker};
  ByteWriter out;
  const auto total = static_cast<std::uint16_t>(20 + 8 + payload.size());
  out.u16(0x4500);
  out.u16(total);
  out.u32(0x12340000);
  out.u16(0x4011);  // TTL 64, UDP
  out.u16(0);
  out.bytes(address(source).bytes());
  out.bytes(address(destination).bytes());
  out.patch_u16(10, checksum(out.view()));
  out.u16(4000);
  out.u16(4001);
  out.u16(static_cast<std::uint16_t>(8 + payload.size()));
  out.u16(0);
  out.bytes(to_bytes(payload));
  return std::move(out).take();
}

model::Config config_of(const TunnelSpec& spec) {
  model::Config config;
  config.gateway.address4 = address(spec.local);
  model::Tunnel t;
  t.name = spec.name;
  if (spec.peer.empty()) {
    t.start = model::StartMode::Respond;
  } else {
    t.peer = address(spec.peer);
  }
  t.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes(spec.psk))};
  t.interface4 = address(spec.interface_address);
  t.peer_interface4 = address(spec.peer_interface);
  auto route = Prefix::parse(spec.route);
  ensure(route.has_value(), "a prefix in a test");
  t.routes = {*route};
  // Worlds of IKE judge what IKE does: probes would prove a peer alive before it asks. Those of health turn them on.
  t.health.enabled = false;
  config.tunnels = {t};
  return config;
}

void add_mesh(World& world, std::size_t count, const std::function<void(model::Tunnel&)>& change) {
  const auto inner = [](std::size_t n, std::size_t host) { return fmt::format("10.255.{}.{}", n, host); };
  for (std::size_t n = 1; n <= count; ++n) {
    model::Config config;
    for (std::size_t peer = 1; peer <= count; ++peer) {
      if (peer == n) continue;
      const std::size_t net = 10 * std::min(n, peer) + std::max(n, peer);
      model::Config one =
          config_of({fmt::format("to-{}", peer), fmt::format("192.0.2.{}", n), fmt::format("192.0.2.{}", peer),
                     inner(net, n < peer ? 0 : 1), inner(net, n < peer ? 1 : 0), fmt::format("10.{}.0.0/16", peer)});
      config.gateway = one.gateway;
      if (change) change(one.tunnels.front());
      config.tunnels.push_back(std::move(one.tunnels.front()));
    }
    world.add(fmt::format("gateway {}", n), std::move(config));
  }
  const auto& nodes = world.nodes();
  for (std::size_t n = 1; n <= count; ++n) {
    for (std::size_t peer = n + 1; peer <= count; ++peer)
      world.links.push_back({nodes[n - 1].get(), fmt::format("to-{}", peer), fmt::format("10.{}.0.5", n),
                             nodes[peer - 1].get(), fmt::format("to-{}", n), fmt::format("10.{}.0.5", peer)});
  }
}

}  // namespace qanat::sim
