// What an IKE SA says of itself: for `qanat status`. No secrets.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ike/actions.hpp"
#include "ipsec/proposal.hpp"
#include "ipsec/selectors.hpp"
#include "wire/identity.hpp"

namespace qanat::ike {

enum class SaState : std::uint8_t { Handshake, Installing, Established, Deleting, Closed };

// How safe keys are (rules.md "How safe an SA is").
struct SafetyVerdict {
  bool hybrid = false;     // ML-KEM went into the keys, or into the SK_d that they come from
  bool ppk = false;        // a PPK did (RFC 8784)
  bool inherited = false;  // by the SK_d only: the exchange that made these keys had no ML-KEM of its own
  std::string reason;
  // Why neither, as one of five words: no_intermediate | no_addke | private_key_exchanges | fragments_lost |
  // local_policy; the fourth is of attempts that failed (gateway/posture_book.hpp).
  std::string_view code{};
};

// "mlkem768 and mlkem512 went into the keys", and a PPK.
[[nodiscard]] std::string ml_kem_reason(const std::vector<KeId>& key_exchanges, bool ppk = false);

enum class ChildState : std::uint8_t { Installing, Live, Rekeying, Rekeyed, Deleting, Retired };

struct ChildInfo {
  ChildSaId id;
  ChildState state{};
  ipsec::EspSpi spi_in = 0;
  ipsec::EspSpi spi_out = 0;
  CipherSuite suite;
  bool esn = false;
  ipsec::Encapsulation encapsulation{};
  ipsec::Selectors local_ts;
  ipsec::Selectors remote_ts;
  std::uint32_t replay_window = 0;
  Instant since;
  Instant renew_at;
  std::vector<KeId> key_exchanges;  // of the exchange that made it; empty: the keys come from the IKE SA alone
  SafetyVerdict verdict;
};

struct SaInfo {
  IkeSaId id;
  TunnelId tunnel;
  SaState state{};
  bool initiator = false;
  std::uint64_t spi_i = 0;
  std::uint64_t spi_r = 0;
  Path path;
  wire::Identity local_id;
  wire::Identity remote_id;
  std::optional<ipsec::ChosenIke> chosen;
  std::vector<KeId> key_exchanges;  // those that went into the keys, in order
  SafetyVerdict verdict;
  bool psk_generated = false;
  std::string authenticated_by;     // what proved the peer's identity: "PSK", "ML-DSA-65 certificate CN=..."
  bool auth_quantum_safe = false;   // ... and whether a quantum computer could have forged it
  bool downgrade_excluded = false;  // both IKE_SA_INIT messages were covered by both AUTHs (notify 16447)
  bool mobike = false;
  bool nat_local = false;
  bool nat_remote = false;
  bool fragmentation = false;
  std::vector<IpAddress> peer_addresses;  // what a peer with MOBIKE has announced besides the one in use
  Instant since;                          // established, or begun
  Instant renew_at;
  std::vector<ExchangeRecord> handshake;
  std::string offered;              // as responder: the peer's proposals, at most 400 characters
  std::vector<ChildInfo> children;  // in the order in which they were made, the old ones that are being deleted too
  std::string hint;                 // the last unauthenticated answer, while in the handshake
};

}  // namespace qanat::ike
