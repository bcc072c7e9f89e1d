// IkeShard: one IkeEndpoint with its queues. Datagrams and time come in directly; everything from the Director comes
// through inbox messages, everything for it leaves through the outbox.
#pragma once

#include <deque>
#include <optional>

#include "gateway/messages.hpp"
#include "ike/endpoint.hpp"

namespace qanat::gateway {

class IkeShard {
 public:
  IkeShard(ike::EndpointConfig config, Rng& rng) : endpoint_(config, rng) {}

  void handle_datagram(Instant now, const ike::Path& arrived, ByteView payload) {
    endpoint_.handle_datagram(now, arrived, payload);
    drain();
  }
  void handle_addresses(Instant now, ike::HostAddresses host) {
    endpoint_.handle_addresses(now, std::move(host));
    drain();
  }
  void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote) {
    endpoint_.handle_path_error(now, local, remote);
    drain();
  }
  void handle_timeout(Instant now) {
    endpoint_.handle_timeout(now);
    drain();
  }
  void handle(Instant now, ToIkeShard message);

  [[nodiscard]] std::optional<FromIkeShard> poll();
  [[nodiscard]] std::optional<Instant> next_timeout() const { return endpoint_.next_timeout(); }
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
