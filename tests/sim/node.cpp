// Node: one gateway of a world, and its tap.
#include <algorithm>

#include "sim/world.hpp"

namespace qanat::sim {

void PlaneTap::command(const ipsec::Command& command) {
  if (const auto* reserve = std::get_if<ipsec::ReserveSpi>(&command)) {
    reserving_.insert(reserve->request);
  } else if (const auto* release = std::get_if<ipsec::ReleaseSpi>(&command)) {
    reserved.erase(release->spi);
  } else if (const auto* in = std::get_if<ipsec::InstallInbound>(&command)) {
    installing_in_[in->request] = {in->sa.child, in->sa.spi};
  } else if (const auto* out = std::get_if<ipsec::InstallOutbound>(&command)) {
    installing_out_[out->request] = {out->sa.child, out->sa.spi};
    tunnels[out->sa.child] = out->sa.tunnel;
  } else if (const auto* change = std::get_if<ipsec::SwitchOutbound>(&command)) {
    current[change->tunnel] = change->child;
  } else if (const auto* remove_in = std::get_if<ipsec::RemoveInbound>(&command)) {
    inbound.erase(remove_in->child);
  } else if (const auto* remove_out = std::get_if<ipsec::RemoveOutbound>(&command)) {
    outbound.erase(remove_out->child);
    const auto gone = tunnels.extract(remove_out->child);
    if (gone.empty() || current[gone.mapped()] != remove_out->child) return;
    // The packet path goes on with the newest that is left.
    current.erase(gone.mapped());
    for (const auto& [child, tunnel] : tunnels) {
      if (tunnel == gone.mapped()) current[tunnel] = child;
    }
  }
}

void PlaneTap::done(const ipsec::Done& done) {
  if (reserving_.erase(done.request) == 1) {
    if (done.status) reserved.insert(done.spi);
  } else if (auto in = installing_in_.extract(done.request); !in.empty()) {
    if (!done.status) return;
    reserved.erase(in.mapped().second);
    inbound.insert(in.mapped());
    ++installed;
  } else if (auto out = installing_out_.extract(done.request); !out.empty() && done.status) {
    outbound.insert(out.mapped());
  }
}

Node::Node(World& world, std::string name, model::Config config, std::uint64_t seed)
    : workers(seed ^ 0x51674), world_(world), name_(std::move(name)), config_(std::move(config)), seed_(seed) {}

void Node::start() {
  rng_ = std::make_unique<SeededRng>(seed_++);
  tap = {};
  tunnel_names_.clear();
  for (const model::Tunnel& t : config_.tunnels) tunnel_names_.push_back(t.name);
  wan::PacketPathConfig path;
  path.capabilities.native_esp = true;
  path_ = std::make_unique<wan::PacketPath>(path, *rng_);
  gateway_ = std::make_unique<gateway::Gateway>(ike, *rng_, shards);
  gateway_->posture().set_wall(world_.now(), {1'790'000'000});
  std::vector<model::PostureRecord> known;
  for (const auto& [name, record] : ledger) known.push_back(record);
  gateway_->posture().restore(std::move(known));
  const Status applied = gateway_->apply(world_.now(), config_);
  ensure(applied.has_value(), "a configuration in a test");
  drain();
}

void Node::crash() {
  gateway_.reset();
  path_.reset();
  tap = {};
  workers.die();
}

void Node::shut_down() {
  gateway_->shut_down(world_.now());
  drain();
}

void Node::command(control::GatewayCommand::Verb verb, const std::string& tunnel) {
  gateway_->command(world_.now(), next_ticket_++, {verb, tunnel, true});
  drain();
}

Result<std::vector<config::Change>> Node::reload(model::Config config) {
  auto changes = gateway_->reload(world_.now(), config);
  if (changes) {
    for (const config::Change& change : *changes) {
      if (change.kind == config::Change::Kind::Tunnel && change.effect == config::Effect::Added)
        tunnel_names_.push_back(change.name);
    }
    config_ = std::move(config);
  }
  drain();
  return changes;
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

bool Node::has(const IpAddress& a) const {
  return a == address() || std::any_of(config_.tunnels.begin(), config_.tunnels.end(),
                                       [&](const model::Tunnel& t) { return t.local == a; });
}

TunnelId Node::tunnel_id(const std::string& tunnel) const {
  // One that was removed and came again has a new one.
  for (std::size_t i = tunnel_names_.size(); i != 0; --i) {
    if (tunnel_names_[i - 1] == tunnel) return TunnelId{static_cast<std::uint32_t>(i)};
  }
  return {};
}

// As the daemon's sockets tell them apart.
void Node::receive(Datagram d) {
  const bool is_esp = d.encapsulation == ipsec::Encapsulation::Native ||
                      (d.to.port == ike.nat_port && d.payload.size() >= 4 && load_be32(d.payload.data()) != 0);
  if (is_esp) {
    const MutableByteView view{d.payload};
    path_->handle_esp(world_.now(), {d.to, d.from, d.encapsulation}, 0, {&view, 1}, *this);
  } else {
    gateway_->handle_datagram(world_.now(), {d.to, d.from}, d.payload);
  }
  drain();
}

void Node::handle_timeout() {
  path_->handle_timeout(world_.now(), *this);
  gateway_->handle_timeout(world_.now());
  while (auto answer = workers.poll(world_.now()))
    std::visit([&](auto& a) { gateway_->handle_auth(world_.now(), std::move(a)); }, *answer);
  drain();
}

std::optional<Instant> Node::next_timeout() const {
  std::optional<Instant> next = gateway_->next_timeout();
  for (const auto& other : {path_->next_timeout(), workers.next_answer()}) {
    if (other && (!next || *other < *next)) next = other;
  }
  return next;
}

void Node::ask(Workers::Question question) {
  const TunnelId id = std::visit([](const auto& q) { return q.tunnel; }, question);
  const std::string& name = tunnel_names_.at(id.value() - 1);
  const auto tunnel = std::find_if(config_.tunnels.begin(), config_.tunnels.end(),
                                   [&](const model::Tunnel& t) { return t.name == name; });
  const bool named = tunnel != config_.tunnels.end() && tunnel->local_id;
  workers.ask(world_.now(), std::move(question), named ? *tunnel->local_id : wire::Identity::of_address(address()));
}

void Node::drain() {
  bool moved = true;
  while (moved) {
    moved = false;
    while (auto event = path_->poll_event()) {
      moved = true;
      if (const auto* done = std::get_if<ipsec::Done>(&*event)) tap.done(*done);
      gateway_->handle_plane(world_.now(), *event);
    }
    while (auto out = gateway_->poll()) {
      moved = true;
      if (auto* datagram = std::get_if<ike::Transmit>(&*out)) {
        world_.transmit(
            {datagram->path.local, datagram->path.remote, ipsec::Encapsulation::Udp, std::move(datagram->datagram)});
      } else if (auto* plane = std::get_if<gateway::PlaneOut>(&*out)) {
        tap.command(plane->command);
        path_->post(world_.now(), std::move(plane->command));
      } else if (auto* host = std::get_if<gateway::HostOut>(&*out)) {
        host_commands.push_back(host->command);
        Status status;
        if (host_refuses) status = fail(ErrorKind::Internal, "routes", "the kernel says no");
        gateway_->handle_host(world_.now(), {host->request, std::move(status)});
      } else if (auto* done = std::get_if<gateway::CommandDone>(&*out)) {
        answers[done->ticket] = done->result;
      } else if (auto* credentials = std::get_if<gateway::CredentialsOut>(&*out)) {
        workers.set_tunnel(credentials->tunnel, std::move(credentials->credentials));
      } else if (auto* sign = std::get_if<ike::SignQuestion>(&*out)) {
        ask(std::move(*sign));
      } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&*out)) {
        ask(std::move(*verify));
      } else if (auto* event = std::get_if<gateway::LogEvent>(&*out)) {
        log.push_back(std::move(*event));
      }
    }
  }
  if (!gateway_->posture().is_urgent()) return;
  for (model::PostureRecord& record : gateway_->posture().take_changed(world_.now()))
    ledger.insert_or_assign(record.tunnel, record);
}

void Node::send_esp(const ipsec::OuterPath& path, std::uint8_t, wan::DfBit, ByteView esp) {
  world_.transmit({path.local, path.peer, path.encapsulation, to_bytes(esp)});
}

void Node::write_tun(VrfId, ByteView packet) {
  delivered.push_back(to_bytes(packet));
}

}  // namespace qanat::sim
