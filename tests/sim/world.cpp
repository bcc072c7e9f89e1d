#include "sim/world.hpp"

#include <algorithm>

namespace qanat::sim {

namespace {

std::uint16_t checksum(ByteView header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < header.size(); i += 2) sum += load_be16(&header[i]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

IpAddress address(const std::string& text) {
  auto parsed = IpAddress::parse(text);
  ensure(parsed.has_value(), "an address in a test");
  return *parsed;
}

}  // namespace

Bytes udp_packet(const std::string& source, const std::string& destination, const std::string& text) {
  ByteWriter out;
  const auto total = static_cast<std::uint16_t>(20 + 8 + text.size());
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
  out.u16(static_cast<std::uint16_t>(8 + text.size()));
  out.u16(0);
  out.bytes(to_bytes(text));
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
  config.tunnels = {t};
  return config;
}

Node::Node(World& world, std::string name, model::Config config, std::uint64_t seed)
    : world_(world), name_(std::move(name)), config_(std::move(config)), seed_(seed) {}

void Node::start() {
  rng_ = std::make_unique<SeededRng>(seed_++);
  wan::PacketPathConfig path;
  path.capabilities.native_esp = true;
  path_ = std::make_unique<wan::PacketPath>(path, *rng_);
  gateway_ = std::make_unique<gateway::Gateway>(ike::EndpointConfig{}, *rng_);
  const Status applied = gateway_->apply(world_.now(), config_);
  ensure(applied.has_value(), "a configuration in a test");
  drain();
}

void Node::crash() {
  gateway_.reset();
  path_.reset();
}

void Node::command(control::GatewayCommand::Verb verb, const std::string& tunnel) {
  gateway_->command(world_.now(), next_ticket_++, {verb, tunnel, true});
  drain();
}

void Node::send(ByteView packet) {
  path_->handle_tun(world_.now(), VrfId{}, {&packet, 1}, *this);
  drain();
}

control::TunnelStatus Node::status(const std::string& tunnel) {
  for (const control::TunnelStatus& t : gateway_->snapshot(world_.now()).tunnels) {
    if (t.name == tunnel) return t;
  }
  return {};
}

void Node::receive_ike(const ike::Path& arrived, const Bytes& payload) {
  gateway_->handle_datagram(world_.now(), arrived, payload);
  drain();
}

void Node::receive_esp(const ipsec::OuterPath& arrived, Bytes esp) {
  const MutableByteView view{esp};
  path_->handle_esp(world_.now(), arrived, 0, {&view, 1}, *this);
  drain();
}

void Node::handle_timeout() {
  path_->handle_timeout(world_.now(), *this);
  gateway_->handle_timeout(world_.now());
  drain();
}

std::optional<Instant> Node::next_timeout() const {
  std::optional<Instant> next = gateway_->next_timeout();
  const auto path = path_->next_timeout();
  if (path && (!next || *path < *next)) next = path;
  return next;
}

void Node::drain() {
  bool moved = true;
  while (moved) {
    moved = false;
    while (auto event = path_->poll_event()) {
      moved = true;
      gateway_->handle_plane(world_.now(), *event);
    }
    while (auto out = gateway_->poll()) {
      moved = true;
      if (auto* datagram = std::get_if<ike::Transmit>(&*out)) {
        world_.transmit({{},
                         datagram->path.local,
                         datagram->path.remote,
                         ipsec::Encapsulation::Udp,
                         std::move(datagram->datagram)});
      } else if (auto* plane = std::get_if<gateway::PlaneOut>(&*out)) {
        path_->post(world_.now(), std::move(plane->command));
      } else if (auto* host = std::get_if<gateway::HostOut>(&*out)) {
        host_commands.push_back(host->command);
        Status status;
        if (host_refuses) status = fail(ErrorKind::Internal, "routes", "the kernel says no");
        gateway_->handle_host(world_.now(), {host->request, std::move(status)});
      } else if (auto* done = std::get_if<gateway::CommandDone>(&*out)) {
        answers[done->ticket] = done->result;
      } else if (auto* event = std::get_if<gateway::LogEvent>(&*out)) {
        log.push_back(std::move(*event));
      }
    }
  }
}

void Node::send_esp(const ipsec::OuterPath& path, std::uint8_t, wan::DfBit, ByteView esp) {
  world_.transmit({{}, path.local, path.peer, path.encapsulation, to_bytes(esp)});
}

void Node::write_tun(VrfId, ByteView packet) {
  delivered.push_back(to_bytes(packet));
}

Node& World::add(std::string name, model::Config config) {
  nodes_.push_back(std::make_unique<Node>(*this, std::move(name), std::move(config), 1000 * (nodes_.size() + 1)));
  return *nodes_.back();
}

void World::transmit(InFlight datagram) {
  outside.push_back(datagram.payload);
  if (!weather(datagram.from, datagram.to, datagram.payload)) return;
  datagram.arrives = now_ + delay;
  wire_.push_back(std::move(datagram));
}

std::optional<Instant> World::next_event() const {
  std::optional<Instant> next;
  if (!wire_.empty()) next = wire_.front().arrives;
  for (const auto& node : nodes_) {
    if (!node->running()) continue;
    const auto at = node->next_timeout();
    if (at && (!next || *at < *next)) next = at;
  }
  return next;
}

void World::step() {
  if (!wire_.empty() && wire_.front().arrives <= now_) {
    InFlight d = std::move(wire_.front());
    wire_.pop_front();
    for (const auto& node : nodes_) {
      if (!node->running() || node->config_.gateway.address4 != d.to.address) continue;
      const bool is_esp = d.encapsulation == ipsec::Encapsulation::Native ||
                          (d.to.port == 4500 && d.payload.size() >= 4 && load_be32(d.payload.data()) != 0);
      if (is_esp) {
        node->receive_esp({d.to, d.from, d.encapsulation}, std::move(d.payload));
      } else {
        node->receive_ike({d.to, d.from}, d.payload);
      }
      return;
    }
    return;
  }
  for (const auto& node : nodes_) {
    if (!node->running()) continue;
    const auto at = node->next_timeout();
    if (at && *at <= now_) {
      node->handle_timeout();
      return;
    }
  }
}

void World::run_for(Duration duration) {
  const Instant end = now_ + duration;
  for (auto next = next_event(); next && *next <= end; next = next_event()) {
    now_ = std::max(now_, *next);
    step();
  }
  now_ = end;
}

bool World::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    const auto next = next_event();
    if (!next || *next > end) return false;
    now_ = std::max(now_, *next);
    step();
  }
  return true;
}

}  // namespace qanat::sim
