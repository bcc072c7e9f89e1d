// IkeShard: one IkeEndpoint with its queues. Datagrams and time come in directly; everything from the Director comes
// through inbox messages, everything for it leaves through the outbox.
#pragma once

#include <deque>
#include <optional>

#include "gateway/shard_port.hpp"
#include "ike/endpoint.hpp"

namespace qanat::gateway {

class IkeShard final : public ShardPort {
 public:
  IkeShard(const ike::EndpointConfig& config, Rng& rng) : endpoint_(config, rng) {}

  void handle_datagram(Instant now, const ike::Path& arrived, ByteView payload,
                       const std::optional<ike::HalfOpenElsewhere>& elsewhere) override {
    if (elsewhere) endpoint_.hear(*elsewhere);
    endpoint_.handle_datagram(now, arrived, payload);
    drain();
  }
  void handle_plane(Instant now, const ipsec::Event& event) override {
    endpoint_.handle_plane(now, event);
    drain();
  }
  void handle_addresses(Instant now, const ike::HostAddresses& host) override {
    endpoint_.handle_addresses(now, host);
    drain();
  }
  void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) override {
    endpoint_.handle_path_error(now, local, remote);
    drain();
  }
  void handle_timeout(Instant now) override {
    endpoint_.handle_timeout(now);
    drain();
  }
  void handle(Instant now, ToIkeShard message) override;
  void note_lost(std::uint64_t datagrams) { endpoint_.note_lost(datagrams); }

  [[nodiscard]] std::optional<FromIkeShard> poll() override;
  [[nodiscard]] std::optional<Instant> next_timeout() const override { return endpoint_.next_timeout(); }
  void inspect(const std::function<void(const IkeShard&)>& look) const override { look(*this); }
  [[nodiscard]] std::vector<ike::SaInfo> sas() const { return endpoint_.sas(); }
  [[nodiscard]] std::vector<ike::SaInfo> sas(TunnelId tunnel) const { return endpoint_.sas(tunnel); }
  [[nodiscard]] const ike::Counters& counters() const { return endpoint_.counters(); }
  [[nodiscard]] std::size_t holdings() const { return endpoint_.holdings(); }

 private:
  void drain();
  ike::IkeEndpoint endpoint_;
  std::deque<FromIkeShard> outbox_;
};

}  // namespace qanat::gateway
