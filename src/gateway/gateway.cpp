#include "gateway/gateway.hpp"

#include <algorithm>
#include <utility>

namespace qanat::gateway {

Gateway::Gateway(const ike::EndpointConfig& ike, Rng& rng) : director_(rng) {
  shards_.push_back(std::make_unique<IkeShard>(ike, rng));
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
        shards_.front()->handle(now, std::move(*to_shard));
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
    for (const auto& shard : shards_) {
      while (auto out = shard->poll()) {
        moved = true;
        if (const auto* failure = std::get_if<CannotInitiate>(&*out)) {
          director_.handle_cannot_initiate(now, *failure);
          continue;
        }
        auto& action = std::get<ike::Action>(*out);
        if (auto* transmit = std::get_if<ike::Transmit>(&action)) {
          outputs_.emplace_back(std::move(*transmit));
        } else if (auto* plane = std::get_if<ike::PlaneCommand>(&action)) {
          outputs_.emplace_back(PlaneOut{std::move(plane->command)});
        } else if (const auto* report = std::get_if<ike::Report>(&action)) {
          const bool up = report->what == ike::Report::What::ChildUp || report->what == ike::Report::What::IkeUp;
          director_.handle_report(now, *report, up ? shard->sas(report->tunnel) : std::vector<ike::SaInfo>{});
        } else if (auto* sign = std::get_if<ike::SignQuestion>(&action)) {
          outputs_.emplace_back(std::move(*sign));
        } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&action)) {
          outputs_.emplace_back(std::move(*verify));
        } else if (auto* key_log = std::get_if<ike::KeyLog>(&action)) {
          outputs_.emplace_back(std::move(*key_log));
        } else if (auto* esp_log = std::get_if<ike::EspKeyLog>(&action)) {
          outputs_.emplace_back(std::move(*esp_log));
        }
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

void Gateway::handle_datagram(Instant now, const ike::Path& arrived, ByteView payload) {
  shards_.front()->handle_datagram(now, arrived, payload);
  pump(now);
}

void Gateway::handle_plane(Instant now, const ipsec::Event& event) {
  director_.handle_plane(now, event);
  for (const auto& shard : shards_) shard->handle(now, event);
  pump(now);
}

void Gateway::handle_host(Instant now, const HostResult& result) {
  director_.handle_host(now, result);
  pump(now);
}

void Gateway::handle_auth(Instant now, ike::SignAnswer answer) {
  shards_.front()->handle(now, std::move(answer));
  pump(now);
}

void Gateway::handle_auth(Instant now, ike::VerifyAnswer answer) {
  shards_.front()->handle(now, std::move(answer));
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

void Gateway::handle_kernel_routes(Instant now, std::vector<KernelRoute> routes) {
  director_.handle_kernel_routes(std::move(routes));
  pump(now);
}

void Gateway::handle_timeout(Instant now) {
  director_.handle_timeout(now);
  for (const auto& shard : shards_) shard->handle_timeout(now);
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
  for (const auto& shard : shards_) {
    for (ike::SaInfo& sa : shard->sas()) out.push_back(std::move(sa));
  }
  return out;
}

std::size_t Gateway::holdings() const {
  std::size_t out = 0;
  for (const auto& shard : shards_) out += shard->holdings();
  return out;
}

control::Snapshot Gateway::snapshot(Instant now, std::optional<WallTime> wall) const {
  const std::vector<ike::SaInfo> sas = ike_sas();
  control::NamedCounters counters;
  for (const auto& info : ike::kCounterInfo) counters.emplace_back(std::string{info.name}, 0);
  for (const auto& shard : shards_) {
    const auto& values = shard->counters().all();
    for (std::size_t i = 0; i < values.size(); ++i) counters[i].second += values[i];
  }
  std::erase_if(counters, [](const auto& c) { return c.second == 0; });
  return director_.snapshot(now, wall, sas, counters);
}

void Gateway::add_routes(control::Snapshot& snapshot) const {
  snapshot.routes = director_.routes(snapshot);
}

bool Gateway::is_quiet() const {
  return std::all_of(shards_.begin(), shards_.end(), [](const auto& shard) {
    const auto sas = shard->sas();
    return std::all_of(sas.begin(), sas.end(), [](const ike::SaInfo& sa) { return sa.state == ike::SaState::Closed; });
  });
}

}  // namespace qanat::gateway
