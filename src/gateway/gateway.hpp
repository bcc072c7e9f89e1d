// Gateway: the control side of a gateway, Director and IKE shards, as one pure machine. The daemon runs it on its
// control thread; tests and the simulator run the same one in virtual time. The packet path stands behind the command
// and event queues of ipsec/data_plane.hpp.
//
// Inputs: apply, command, handle_datagram, handle_plane, handle_host, handle_auth, handle_addresses,
// handle_path_error, handle_host_networks, handle_kernel_routes, handle_timeout, handle_shards, shut_down. Output:
// poll(), until empty after every call. Getters: next_timeout(), snapshot(), is_quiet().
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "gateway/director.hpp"
#include "gateway/half_open_book.hpp"
#include "gateway/ike_shard.hpp"
#include "gateway/tunnel_places.hpp"

namespace qanat::gateway {

struct PlaneOut {
  ipsec::Command command;
};
// A question (ike/auth_task.hpp) is for a worker; its answer comes back by handle_auth, in any order, at any time.
using Output = std::variant<ike::Transmit, PlaneOut, HostOut, CommandDone, CredentialsOut, LogEvent, ike::SignQuestion,
                            ike::VerifyQuestion, ike::KeyLog, ike::EspKeyLog>;

class Gateway {
 public:
  // `shards`: 1 to 64 (ike/shard_map.hpp). The limits of half-open IKE SAs hold for all of them together.
  Gateway(const ike::EndpointConfig& ike, Rng& rng, std::size_t shards = 1);
  // The same with shards that `make` places elsewhere: handle_shards() takes what they have said.
  Gateway(const ike::EndpointConfig& ike, Rng& rng, std::size_t shards, const ShardMaker& make);

  [[nodiscard]] Status apply(Instant now, const model::Config& config);
  // See Director.
  [[nodiscard]] Result<std::vector<config::Change>> reload(Instant now, const model::Config& config);
  [[nodiscard]] const model::Config& config() const { return director_.config(); }
  void command(Instant now, std::uint64_t ticket, const control::GatewayCommand& command);
  [[nodiscard]] Status capture(Instant now, const control::CaptureOrder& order);
  void handle_datagram(Instant now, const ike::Path& arrived, ByteView payload);
  void handle_plane(Instant now, const ipsec::Event& event);
  void handle_host(Instant now, const HostResult& result);
  void handle_auth(Instant now, ike::SignAnswer answer);
  void handle_auth(Instant now, ike::VerifyAnswer answer);
  // See ike::IkeEndpoint.
  void handle_addresses(Instant now, const ike::HostAddresses& host);
  void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote);
  // All of them, as they are now.
  void handle_host_networks(Instant now, std::vector<HostNetwork> networks);
  void handle_kernel_routes(Instant now, std::vector<KernelRoute> routes);
  void handle_timeout(Instant now);
  void handle_shards(Instant now);
  void shut_down(Instant now);

  [[nodiscard]] std::optional<Output> poll();
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  // `wall`: for certificates that expire.
  [[nodiscard]] control::Snapshot snapshot(Instant now, std::optional<WallTime> wall = std::nullopt) const;
  // Fills snapshot.routes: there may be many, and most readers do not ask for them.
  void add_routes(control::Snapshot& snapshot) const;
  [[nodiscard]] PostureBook& posture() { return director_.posture(); }
  [[nodiscard]] std::vector<ike::SaInfo> ike_sas() const;  // of all shards
  // Entries in the tables of all IKE shards; 0 when nothing of any IKE SA is left.
  [[nodiscard]] std::size_t holdings() const;
  // After shut_down(): every Delete has been answered or given up.
  [[nodiscard]] bool is_quiet() const;

 private:
  void pump(Instant now);
  void to_shards(Instant now, ToIkeShard message);
  void plane_to_shards(Instant now, const ipsec::Event& event);
  void cross(Instant now, std::uint32_t from, ike::Crossing crossing);
  void handle_from_shard(Instant now, std::uint32_t shard, FromIkeShard message);
  [[nodiscard]] std::uint32_t shard_of_datagram(const ike::Path& arrived, ByteView payload) const;
  // By an id that a shard has made; null: the Director has.
  [[nodiscard]] ShardPort* shard_of_id(std::uint64_t id) const;

  Director director_;
  std::uint16_t nat_port_;
  ike::ShardMap map_;
  std::vector<std::unique_ptr<ShardPort>> shards_;
  TunnelPlaces places_;
  HalfOpenBook half_open_;
  std::deque<Output> outputs_;
  std::vector<IpAddress> addresses_;  // of the host
};

}  // namespace qanat::gateway
