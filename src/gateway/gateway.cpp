#include "gateway/gateway.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "wire/message.hpp"

namespace qanat::gateway {

namespace {

constexpr std::size_t kMarkerSize = 4;  // of IKE on the NAT port

ShardMaker here(Rng& rng) {
  return [&rng](const ike::EndpointConfig& config) { return std::make_unique<IkeShard>(config, rng); };
}

}  // namespace

Gateway::Gateway(const ike::EndpointConfig& ike, Rng& rng, std::size_t shards) : Gateway(ike, rng, shards, here(rng)) {}

Gateway::Gateway(const ike::EndpointConfig& ike, Rng& rng, std::size_t shards, const ShardMaker& make)
    : director_(rng), nat_port_(ike.nat_port), half_open_(shards) {
  ensure(shards >= 1 && shards <= ike::kMaxShards, "a number of IKE shards that an SPI has room for");
  ike::EndpointConfig config = ike;
  if (shards > 1) map_ = {static_cast<std::uint32_t>(shards), rng.u64()};
  config.shards = map_;
  for (config.shard = 0; config.shard < shards; ++config.shard) shards_.push_back(make(config));
}

// From the header alone; what is none is counted by the first.
std::uint32_t Gateway::shard_of_datagram(const ike::Path& arrived, ByteView payload) const {
  if (shards_.size() == 1) return 0;
  if (arrived.local.port == nat_port_ && payload.size() >= kMarkerSize) payload = payload.subspan(kMarkerSize);
  const auto header = wire::parse_header(payload);
  if (!header) return 0;
  if (!header->from_initiator()) return map_.of_ours(header->spi_i);
  return header->spi_r == 0 ? map_.of_new(header->spi_i) : map_.of_ours(header->spi_r);
}

// By an id that a shard has made; null: the Director has.
ShardPort* Gateway::shard_of_id(std::uint64_t id) const {
  const std::uint32_t shard = ike::ShardMap::in_id(id);
  return shard < shards_.size() ? shards_[shard].get() : nullptr;
}

// Tunnels are everybody's business; an attempt is one shard's.
void Gateway::to_shards(Instant now, ToIkeShard message) {
  if (const auto* initiate = std::get_if<Initiate>(&message)) {
    const std::uint32_t home = map_.home_of(initiate->tunnel.value());
    const auto others = places_.others(initiate->tunnel, home);
    // A peer's IKE SA may stand elsewhere, and lack a Child SA.
    if (!others.empty() && !places_.has(initiate->tunnel, home)) {
      shards_[others.front()]->handle(now, Complete{initiate->tunnel});
    } else {
      shards_[home]->handle(now, std::move(message));
    }
    return;
  }
  if (const auto* remove = std::get_if<RemoveIkeTunnel>(&message)) places_.forget(remove->tunnel);
  for (const auto& shard : shards_) shard->handle(now, message);
}

// From one shard to others. What arrives here first was there first.
void Gateway::cross(Instant now, std::uint32_t from, ike::Crossing crossing) {
  const auto to_owner = [&](std::uint64_t spi) { shards_[map_.of_ours(spi)]->handle(now, std::move(crossing)); };
  if (const auto* met = std::get_if<ike::Met>(&crossing)) {
    const TunnelId tunnel = met->fresh.tunnel->id;
    const auto others = places_.meet(tunnel, from);
    for (const std::uint32_t other : others) shards_[other]->handle(now, crossing);
    if (others.empty() && met->fresh.waits)
      shards_[from]->handle(now, ike::Crossing{ike::Unopposed{met->fresh.our_spi}});
    const std::uint32_t home = map_.home_of(tunnel.value());
    if (home != from && places_.tell_home(tunnel)) shards_[home]->handle(now, ike::Crossing{ike::Contacted{tunnel}});
  } else if (const auto* outlived = std::get_if<ike::Outlived>(&crossing)) {
    for (const std::uint32_t other : places_.others(outlived->loser.tunnel->id, from))
      shards_[other]->handle(now, crossing);
  } else if (const auto* nobody = std::get_if<ike::NobodyCarries>(&crossing)) {
    for (const std::uint32_t other : places_.others(nobody->tunnel, from)) shards_[other]->handle(now, crossing);
  } else if (const auto* doubted = std::get_if<ike::Doubted>(&crossing)) {
    to_owner(doubted->spi);
  } else if (const auto* replaced = std::get_if<ike::Replaced>(&crossing)) {
    to_owner(replaced->spi);
  } else if (const auto* unopposed = std::get_if<ike::Unopposed>(&crossing)) {
    to_owner(unopposed->spi);
  } else if (const auto* taken = std::get_if<ike::TakeOver>(&crossing)) {
    to_owner(taken->spi);
  } else if (const auto* left = std::get_if<ike::Left>(&crossing)) {
    places_.leave(left->tunnel, from);
  } else if (const auto* half_open = std::get_if<ike::HalfOpenChanged>(&crossing)) {
    half_open_.note(from, *half_open);
  } else if (std::holds_alternative<ike::NotKnown>(crossing)) {
    if (from + 1 < shards_.size()) shards_[from + 1]->handle(now, std::move(crossing));
  } else if (std::holds_alternative<ike::NotKnownThere>(crossing)) {
    for (std::uint32_t other = 0; other < shards_.size(); ++other) {
      if (other != from) shards_[other]->handle(now, crossing);
    }
  }
}

void Gateway::handle_from_shard(Instant now, std::uint32_t shard, FromIkeShard message) {
  if (const auto* failure = std::get_if<CannotInitiate>(&message)) {
    return director_.handle_cannot_initiate(now, *failure);
  }
  if (const auto* reported = std::get_if<Reported>(&message)) {
    return director_.handle_report(now, reported->report, reported->sas);
  }
  if (const auto* nothing = std::get_if<NothingToComplete>(&message)) {
    shards_[map_.home_of(nothing->tunnel.value())]->handle(now, Initiate{nothing->tunnel});
    return;
  }
  auto& action = std::get<ike::Action>(message);
  if (auto* transmit = std::get_if<ike::Transmit>(&action)) {
    outputs_.emplace_back(std::move(*transmit));
  } else if (auto* plane = std::get_if<ike::PlaneCommand>(&action)) {
    outputs_.emplace_back(PlaneOut{std::move(plane->command)});
  } else if (auto* sign = std::get_if<ike::SignQuestion>(&action)) {
    outputs_.emplace_back(std::move(*sign));
  } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&action)) {
    outputs_.emplace_back(std::move(*verify));
  } else if (auto* crossing = std::get_if<ike::Crossing>(&action)) {
    cross(now, shard, std::move(*crossing));
  } else if (auto* key_log = std::get_if<ike::KeyLog>(&action)) {
    outputs_.emplace_back(std::move(*key_log));
  } else if (auto* esp_log = std::get_if<ike::EspKeyLog>(&action)) {
    outputs_.emplace_back(std::move(*esp_log));
  }
}

// Carries messages between the Director and the shards until both are silent. One page, one order: it is what the
// daemon's queues do, too.
void Gateway::pump(Instant now) {
  bool moved = true;
  while (moved) {
    moved = false;
    while (auto out = director_.poll()) {
      moved = true;
      if (auto* to_shard = std::get_if<ToIkeShard>(&*out)) {
        to_shards(now, std::move(*to_shard));
      } else if (auto* command = std::get_if<ipsec::Command>(&*out)) {
        outputs_.emplace_back(PlaneOut{std::move(*command)});
      } else if (auto* host = std::get_if<HostOut>(&*out)) {
        outputs_.emplace_back(std::move(*host));
      } else if (auto* done = std::get_if<CommandDone>(&*out)) {
        outputs_.emplace_back(std::move(*done));
      } else if (auto* credentials = std::get_if<CredentialsOut>(&*out)) {
        outputs_.emplace_back(std::move(*credentials));
      } else if (auto* event = std::get_if<LogEvent>(&*out)) {
        outputs_.emplace_back(std::move(*event));
      }
    }
    for (std::uint32_t shard = 0; shard < shards_.size(); ++shard) {
      while (auto out = shards_[shard]->poll()) {
        moved = true;
        handle_from_shard(now, shard, std::move(*out));
      }
    }
  }
}

Status Gateway::apply(Instant now, const model::Config& config) {
  QANAT_TRY(director_.apply(now, config));
  pump(now);
  return {};
}

Result<std::vector<config::Change>> Gateway::reload(Instant now, const model::Config& config) {
  auto changes = director_.reload(now, config);
  pump(now);
  return changes;
}

void Gateway::command(Instant now, std::uint64_t ticket, const control::GatewayCommand& command) {
  director_.command(now, ticket, command);
  pump(now);
}

Status Gateway::capture(Instant now, const control::CaptureOrder& order) {
  const Status done = director_.capture(order);
  pump(now);
  return done;
}

void Gateway::handle_datagram(Instant now, const ike::Path& arrived, ByteView payload) {
  const std::uint32_t shard = shard_of_datagram(arrived, payload);
  shards_[shard]->handle_datagram(now, arrived, payload, half_open_.elsewhere(shard, arrived.remote.address));
  pump(now);
}

void Gateway::handle_plane(Instant now, const ipsec::Event& event) {
  director_.handle_plane(now, event);
  plane_to_shards(now, event);
  pump(now);
}

void Gateway::plane_to_shards(Instant now, const ipsec::Event& event) {
  if (shards_.size() == 1) return shards_.front()->handle_plane(now, event);
  if (const auto* counters = std::get_if<ipsec::Counters>(&event)) {
    std::vector<ipsec::Counters> parts(shards_.size());  // of the SAs that show life, to whom they belong
    for (const ipsec::SaCounters& c : counters->sas) {
      const std::uint32_t shard = ike::ShardMap::in_id(c.child.value());
      if (c.last_in && shard < parts.size()) parts[shard].sas.push_back(c);
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!parts[i].sas.empty()) shards_[i]->handle_plane(now, parts[i]);
    }
    return;
  }
  if (const auto* acquire = std::get_if<ipsec::Acquire>(&event)) {
    // One asks for the Child SA that the packet wants.
    const std::uint32_t home = map_.home_of(acquire->tunnel.value());
    const auto others = places_.others(acquire->tunnel, home);
    return shards_[others.empty() || places_.has(acquire->tunnel, home) ? home : others.front()]->handle_plane(now,
                                                                                                               event);
  }
  std::optional<std::uint64_t> id;  // that says whom it is for
  if (const auto* done = std::get_if<ipsec::Done>(&event)) id = done->request.value();
  if (const auto* soft = std::get_if<ipsec::SoftLimit>(&event)) id = soft->child.value();
  if (const auto* hard = std::get_if<ipsec::HardLimit>(&event)) id = hard->child.value();
  if (const auto* first = std::get_if<ipsec::FirstInbound>(&event)) id = first->child.value();
  if (const auto* outside = std::get_if<ipsec::OutsideSelectors>(&event)) id = outside->child.value();
  if (id) {
    if (ShardPort* shard = shard_of_id(*id)) shard->handle_plane(now, event);
  } else if (std::holds_alternative<ipsec::UnknownSpi>(event)) {
    shards_.front()->handle_plane(now, event);  // which asks the others
  } else if (std::holds_alternative<ipsec::PeerMoved>(event)) {
    for (const auto& shard : shards_) shard->handle_plane(now, event);
  }
}

void Gateway::handle_host(Instant now, const HostResult& result) {
  director_.handle_host(now, result);
  pump(now);
}

void Gateway::handle_auth(Instant now, ike::SignAnswer answer) {
  if (ShardPort* shard = shard_of_id(answer.request.value())) shard->handle(now, std::move(answer));
  pump(now);
}

void Gateway::handle_auth(Instant now, ike::VerifyAnswer answer) {
  if (answer.until) director_.note_peer_certificate(answer.tunnel, *answer.until);
  if (ShardPort* shard = shard_of_id(answer.request.value())) shard->handle(now, std::move(answer));
  pump(now);
}

void Gateway::handle_addresses(Instant now, const ike::HostAddresses& host) {
  for (const auto& shard : shards_) shard->handle_addresses(now, host);
  pump(now);  // attempts that end with their address are among what begins again
  if (std::exchange(addresses_, host.all) != host.all) director_.handle_addresses(now);
  pump(now);
}

void Gateway::handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) {
  for (const auto& shard : shards_) shard->handle_path_error(now, local, remote);
  pump(now);
}

void Gateway::handle_host_networks(Instant now, std::vector<HostNetwork> networks) {
  director_.handle_host_networks(std::move(networks));
  pump(now);
}

void Gateway::handle_kernel_routes(Instant now, std::vector<KernelRoute> routes) {
  director_.handle_kernel_routes(std::move(routes));
  pump(now);
}

void Gateway::handle_timeout(Instant now) {
  director_.handle_timeout(now);
  for (const auto& shard : shards_) shard->handle_timeout(now);
  pump(now);
}

void Gateway::handle_shards(Instant now) {
  pump(now);
}

void Gateway::shut_down(Instant now) {
  director_.shut_down(now);
  pump(now);
}

std::optional<Output> Gateway::poll() {
  if (outputs_.empty()) return std::nullopt;
  std::optional<Output> out{std::move(outputs_.front())};
  outputs_.pop_front();
  return out;
}

std::optional<Instant> Gateway::next_timeout() const {
  std::optional<Instant> next = director_.next_timeout();
  for (const auto& shard : shards_) {
    const auto at = shard->next_timeout();
    if (at && (!next || *at < *next)) next = at;
  }
  return next;
}

std::vector<ike::SaInfo> Gateway::ike_sas() const {
  std::vector<ike::SaInfo> out;
  for (const auto& port : shards_) {
    port->inspect([&](const IkeShard& shard) { std::ranges::move(shard.sas(), std::back_inserter(out)); });
  }
  return out;
}

std::size_t Gateway::holdings() const {
  std::size_t out = places_.size() + half_open_.prefixes();
  for (const auto& port : shards_) port->inspect([&](const IkeShard& shard) { out += shard.holdings(); });
  return out;
}

control::Snapshot Gateway::snapshot(Instant now, std::optional<WallTime> wall) const {
  std::vector<ike::SaInfo> sas;
  control::NamedCounters counters;
  for (const auto& info : ike::kCounterInfo) counters.emplace_back(std::string{info.name}, 0);
  for (const auto& port : shards_) {
    port->inspect([&](const IkeShard& shard) {
      std::ranges::move(shard.sas(), std::back_inserter(sas));
      const auto& values = shard.counters().all();
      for (std::size_t i = 0; i < values.size(); ++i) counters[i].second += values[i];
    });
  }
  std::erase_if(counters, [](const auto& c) { return c.second == 0; });
  return director_.snapshot(now, wall, sas, counters);
}

void Gateway::add_routes(control::Snapshot& snapshot) const {
  snapshot.routes = director_.routes(snapshot);
  snapshot.vrfs = director_.vrfs();
}

bool Gateway::is_quiet() const {
  const auto sas = ike_sas();
  return std::ranges::all_of(sas, [](const ike::SaInfo& sa) { return sa.state == ike::SaState::Closed; });
}

}  // namespace qanat::gateway
