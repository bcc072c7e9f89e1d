// Two IKE endpoints in memory, an initiator and a responder, with as many tunnels as one likes; every handshake is
// carried from one to the other by hand, and what the responder does in it is timed alone.
#pragma once

#include <ctime>
#include <deque>
#include <memory>
#include <vector>

#include "crypto/rng.hpp"
#include "gateway/auth_service.hpp"
#include "ike/endpoint.hpp"

namespace qanat::bench {

enum class Proof : std::uint8_t { Psk, EcdsaP256, MlDsa65 };

// CPU time of the calling thread, in seconds: what others do on the machine does not count.
inline double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// What a tunnel needs to prove itself by certificates; both gateways use the same, issued by one CA.
[[nodiscard]] model::Tunnel credentials_for(Proof proof);

class Side {
 public:
  // `peers`: addresses of the other side, a tunnel for each; or one, of `tunnels` local addresses of ours.
  Side(Proof proof, const char* proposal, bool initiator, std::size_t tunnels, std::uint32_t shard,
       const model::Tunnel& credentials);

  // Carries out what the endpoint wants. What it sends is appended to `wire`.
  void drain(Instant now, std::deque<ike::Transmit>& wire);

  crypto::SystemRng rng;
  ike::IkeEndpoint endpoint;
  std::shared_ptr<const gateway::AuthCredentials> credentials;
  gateway::ChainCache chains;
  std::size_t established = 0;

 private:
  ipsec::EspSpi next_spi_ = 1000;
};

class Pair {
 public:
  Pair(Proof proof, const char* proposal, std::size_t tunnels, std::uint32_t shard = 0);

  // One handshake, of the next tunnel. False: it did not come up.
  [[nodiscard]] bool handshake();
  [[nodiscard]] bool exhausted() const { return next_ == tunnels_; }
  [[nodiscard]] double responder_seconds() const { return responder_seconds_; }
  [[nodiscard]] double initiator_seconds() const { return initiator_seconds_; }

  std::unique_ptr<Side> left;   // initiator
  std::unique_ptr<Side> right;  // responder

 private:
  std::size_t tunnels_;
  std::size_t next_ = 0;
  Instant now_ = Instant::from_ns(1'000'000'000);
  double responder_seconds_ = 0;
  double initiator_seconds_ = 0;
  std::deque<ike::Transmit> wire_;
};

}  // namespace qanat::bench
