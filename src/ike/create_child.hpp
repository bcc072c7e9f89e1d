// What stands between the messages of a CREATE_CHILD_SA and its IKE_FOLLOWUP_KEs, in either role.
#pragma once

#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "ike/negotiation.hpp"
#include "ike/task_queue.hpp"
#include "ipsec/selectors.hpp"

namespace qanat::ike {

// The peer's rekey of what we are rekeying ourselves, answered before our own answer came: the exchange with the
// lowest of the four nonces loses (RFC 7296 2.8.1).
struct Rival {
  Bytes lowest_nonce;
  std::optional<ChildSaId> child;  // once it is installed
};
struct OwnChild {  // our CREATE_CHILD_SA for a Child SA
  enum class Stage : std::uint8_t { Spi, Create, Followup, Install } stage = Stage::Spi;
  QueuedTask task;
  std::optional<ChildSaId> old;
  RequestId spi_request;
  ipsec::EspSpi spi = 0;  // reserved, not installed
  wire::SaPayload offer;
  ipsec::Selectors local_ts;
  ipsec::Selectors remote_ts;
  Bytes nonce_i;
  Bytes nonce_r;
  KeRounds rounds;
  std::unique_ptr<crypto::KeyExchange> ke;
  TunnelMemory memory;    // as it will be when the peer takes this
  unsigned refusals = 0;  // INVALID_KE_PAYLOAD and NO_PROPOSAL_CHOSEN
  ipsec::ChosenEsp chosen;
  std::optional<Rival> rival;
  bool lost = false;
  std::vector<ipsec::EspSpi> deleted;  // by the peer, unknown to us: what its delayed answer will bring is gone already
  ChildSaId child;
};
struct PeerChild {  // the peer's
  std::optional<ChildSaId> old;
  RequestId spi_request;
  ipsec::EspSpi spi = 0;  // reserved, not installed
  ipsec::ChosenEsp chosen;
  ipsec::Selectors local_ts;
  ipsec::Selectors remote_ts;
  Bytes nonce_i;
  Bytes nonce_r;
  KeRounds rounds;
  wire::ExchangeType exchange{};  // that is being answered
  wire::Payloads answer;
  ChildSaId child;
};
struct IkeRival {
  Bytes lowest_nonce;
  std::uint64_t spi = 0;  // our SPI of the IKE SA that it made; 0 while key exchanges are to come
};
struct OwnIke {  // our CREATE_CHILD_SA for the IKE SA
  enum class Stage : std::uint8_t { Create, Followup } stage = Stage::Create;
  QueuedTask task;
  std::uint64_t spi = 0;
  std::uint64_t peer_spi = 0;
  wire::SaPayload offer;  // without SPIs
  KeId group{};
  Bytes nonce_i;
  Bytes nonce_r;
  KeRounds rounds;
  std::unique_ptr<crypto::KeyExchange> ke;
  unsigned refusals = 0;
  ipsec::ChosenIke chosen;
  std::optional<IkeRival> rival;
};
struct PeerIke {  // the peer's
  std::uint64_t spi = 0;
  std::uint64_t peer_spi = 0;
  ipsec::ChosenIke chosen;
  Bytes nonce_i;
  Bytes nonce_r;
  KeRounds rounds;
  wire::ExchangeType exchange{};  // that is being answered
};
using Active = std::variant<std::monostate, task::Liveness, task::DeleteChild, task::InvalidSelectors, task::CrashToken,
                            OwnChild, OwnIke, AddressExchange>;
struct Parked {  // a negotiation of the peer's that its next IKE_FOLLOWUP_KE carries on
  Bytes link;
  Instant deadline;
  std::variant<PeerChild, PeerIke> negotiation;
};

}  // namespace qanat::ike
