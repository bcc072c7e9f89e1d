// ShardPort: a gateway's way to one of its IKE shards, which runs here or on a thread of its own (daemon/ike_threads).
// What a shard says comes out of poll(): at once when it runs here, else after Gateway::handle_shards.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "gateway/messages.hpp"

namespace qanat::gateway {

class IkeShard;

class ShardPort {
 public:
  virtual ~ShardPort() = default;
  // `elsewhere`: what the other shards have in the making; nullopt: there is none.
  virtual void handle_datagram(Instant now, const ike::Path& arrived, ByteView payload,
                               const std::optional<ike::HalfOpenElsewhere>& elsewhere) = 0;
  virtual void handle_plane(Instant now, const ipsec::Event& event) = 0;
  virtual void handle_addresses(Instant now, const ike::HostAddresses& host) = 0;
  virtual void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) = 0;
  virtual void handle(Instant now, ToIkeShard message) = 0;
  virtual void handle_timeout(Instant now) = 0;
  [[nodiscard]] virtual std::optional<FromIkeShard> poll() = 0;
  [[nodiscard]] virtual std::optional<Instant> next_timeout() const = 0;  // that handle_timeout must not miss
  // Calls `look` with the shard before it returns.
  virtual void inspect(const std::function<void(const IkeShard&)>& look) const = 0;
};

// Where the shard with that configuration is to run.
using ShardMaker = std::function<std::unique_ptr<ShardPort>(const ike::EndpointConfig&)>;

}  // namespace qanat::gateway
