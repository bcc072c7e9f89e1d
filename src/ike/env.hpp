// What IKE SAs share: their surroundings, and who finds tunnels and one another for them.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/rng.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/key_pool.hpp"
#include "ike/actions.hpp"
#include "ike/config.hpp"
#include "ike/counters.hpp"
#include "ike/create_child.hpp"
#include "ike/mobike.hpp"
#include "ipsec/proposal.hpp"
#include "wire/message.hpp"

namespace qanat::ike {

class TunnelDirectory;
class IkeSa;

// What an IKE SA shares with the others of its endpoint.
struct Env {
  const EndpointConfig& config;
  TunnelDirectory& tunnels;
  Rng& rng;
  Counters& counters;
  std::deque<Action>& actions;
  crypto::KeyPool& keys;  // for IKE_SA_INIT and IKE_INTERMEDIATE; rekeys have time
  std::uint64_t next_request = 1;
  std::uint64_t next_child = 1;
  // Which IKE SA, by our SPI, awaits an answer of the packet path, or owns a Child SA.
  std::unordered_map<RequestId, std::uint64_t> requests{};
  std::unordered_map<ChildSaId, std::uint64_t> children{};
  HostAddresses host{};
  // What a peer has offered, as text: peers of one kind offer the same, and many IKE SAs keep it.
  [[nodiscard]] std::shared_ptr<const std::string> offer(std::string text) {
    if (!last_offer || *last_offer != text) last_offer = std::make_shared<const std::string>(std::move(text));
    return last_offer;
  }
  std::shared_ptr<const std::string> last_offer{};
};

// Which tunnels there are; how a responder finds the one that an IKE_AUTH request means.
class TunnelDirectory {
 public:
  virtual ~TunnelDirectory() = default;
  // The tunnels whose addresses and identities fit, the ones that name the peer's address first.
  [[nodiscard]] virtual std::vector<TunnelRef> by_identities(const IpAddress& local, const IpAddress& remote,
                                                             const wire::Identity& idi,
                                                             const wire::Identity* idr) const = 0;
  // The tunnel as it is configured now; null when it is gone.
  [[nodiscard]] virtual TunnelRef current(TunnelId tunnel) const = 0;
  // True once, when `tunnel` has no other IKE SA, live or starting, with its identities: INITIAL_CONTACT is sent.
  [[nodiscard]] virtual bool claim_first_contact(const TunnelConfig& tunnel, IkeSaId asking) = 0;
  // Whether another IKE SA of the same tunnel and peer carries our packets.
  [[nodiscard]] virtual bool is_carried_beside(const IkeSa& asking) const = 0;
  // Whether another established IKE SA of the tunnel could carry, as far as this shard knows.
  [[nodiscard]] virtual bool stands_beside(const IkeSa& leaving) const = 0;
  // For the IKE SA that a rekey makes: its id, its SPI, its place; and to find one again.
  [[nodiscard]] virtual IkeSaId new_sa_id() = 0;
  [[nodiscard]] virtual std::uint64_t new_spi() = 0;
  virtual void adopt(std::unique_ptr<IkeSa> sa) = 0;
  [[nodiscard]] virtual IkeSa* find_sa(std::uint64_t our_spi) = 0;
  // By our SPIs: what was to become of `old` concerns `heir` now.
  virtual void succeed(std::uint64_t old, std::uint64_t heir) = 0;
  // What outlives the IKE SAs of a tunnel.
  [[nodiscard]] virtual TunnelMemory& memory(TunnelId tunnel) = 0;
};

// A responder's IKE_SA_INIT that passed every check which costs nothing.
struct InitRequest {
  Bytes datagram;
  wire::IkeHeader header;
  wire::Payloads payloads;
  ipsec::ChosenIke chosen;
  std::vector<TunnelRef> candidates;  // tunnels that accept the choice, one of each group (TunnelIndex)
  crypto::KeReply ke;
  std::uint32_t ke_microseconds = 0;
  bool cookie_verified = false;
  Duration patience = 30s;  // how long the peer may take for its next message; twice that between later ones
};

}  // namespace qanat::ike
