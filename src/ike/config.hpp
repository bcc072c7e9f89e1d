// What IKE must know of each tunnel and of this gateway: plain values, made from model objects by gateway/.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.hpp"
#include "base/stopwatch.hpp"
#include "ike/retransmit.hpp"
#include "ike/shard_map.hpp"
#include "ipsec/child_sa_params.hpp"
#include "ipsec/proposal.hpp"
#include "ipsec/selectors.hpp"
#include "model/tunnel.hpp"
#include "wire/identity.hpp"

namespace qanat::ike {

// How one side proves who it is. A certificate's key and its anchors stay with the workers (ike/auth_task.hpp).
enum class AuthKind : std::uint8_t { Psk, Certificate };

// A post-quantum pre-shared key (RFC 8784).
struct Ppk {
  Bytes id;  // PPK_ID after its type octet (FIXED)
  model::PresharedKey key;
};

struct TunnelConfig {
  TunnelId id;
  VrfId vrf;
  std::string name;
  IpAddress local;                // our outer address
  std::optional<IpAddress> peer;  // nullopt: any address, and we cannot begin
  std::uint16_t peer_port = 500;  // equal to the NAT port: start there
  wire::Identity local_id;
  wire::Identity remote_id;
  model::PresharedKey psk;
  AuthKind local_auth = AuthKind::Psk;
  AuthKind remote_auth = AuthKind::Psk;
  std::vector<std::uint16_t> signature_hashes{5, 2, 3, 4};  // what our verifier takes: Identity, SHA2-256, -384, -512
  std::vector<Bytes> announced;  // AlgorithmIdentifiers that our verifier takes, for SUPPORTED_AUTH_METHODS (RFC 9593)
  std::vector<Bytes> authorities;  // SHA-1 of our trust anchors' SubjectPublicKeyInfo, for CERTREQ (RFC 7296 3.7)
  model::PpkPolicy ppk_policy = model::PpkPolicy::Off;
  std::vector<Ppk> ppks;  // the first is the one that we name as initiator
  model::DowngradePolicy downgrade = model::DowngradePolicy::Auto;
  model::PqPolicy pq = model::PqPolicy::Prefer;
  bool hybrid_known = false;  // for pq = "pin": the peer has come up hybrid before, or nobody can tell
  std::vector<ipsec::IkeProposal> ike;
  std::vector<ipsec::EspProposal> esp;
  std::vector<EsnId> esn;     // accepted, preferred first
  ipsec::Selectors local_ts;  // offered and allowed, our side
  ipsec::Selectors remote_ts;
  bool force_encap = false;
  std::uint32_t replay_window = 1024;
  Duration ike_lifetime = 4h;  // hard; keys are renewed before it (rules.md "Rekey without loss")
  Duration child_lifetime = 1h;
  Duration reauth = 0s;           // a whole new IKE SA after this long, make-before-break; 0: never
  std::uint64_t rekey_bytes = 0;  // soft limit of a Child SA; 0: the cipher's own
  std::uint64_t rekey_packets = 0;
  Duration old_keys = 5s;                  // old inbound keys still open what is under way
  bool pfs = true;                         // a rekey of a Child SA that we begin offers key exchanges
  bool childless = false;                  // we begin without a Child SA where the peer can (RFC 6023)
  bool mobike = true;                      // RFC 4555
  std::vector<IpAddress> outer_addresses;  // ours that peers may use: announced with MOBIKE
  bool pinned_local = false;  // `local` was chosen for this tunnel and is none of them: it never moves elsewhere
  bool more_children = true;  // a packet outside the selectors in use asks for another Child SA
  Duration dpd_idle = 10s;
  Duration dpd_timeout = 30s;
  std::size_t fragment_size = 0;  // IP datagram octets; 0: 1,280 for IPv6, 1,400 for IPv4

  // There is no room for classical keys.
  [[nodiscard]] bool hybrid_only() const {
    return pq == model::PqPolicy::Require || (pq == model::PqPolicy::Pin && hybrid_known);
  }
};
using TunnelRef = std::shared_ptr<const TunnelConfig>;

// Why pq = "pin" refuses a peer's classical keys, and the line to change.
[[nodiscard]] std::string pin_text(const TunnelConfig& tunnel);

// What a changed configuration means for the SAs that live under the old one; nothing set: they go on under the new.
struct TunnelChange {
  bool rekey = false;      // new keys at once, inside the IKE SA
  bool renew = false;      // they are to be replaced by a new IKE SA, and go after 60 s in any case
  bool enforce = false;    // what breaks the new configuration is deleted now
  bool distrust = false;   // ... whatever has authenticated the peer: anchors are gone, or certificates revoked
  bool safe_auth = false;  // ... and what has no quantum-safe authentication of the peer
};

struct EndpointConfig {
  std::uint16_t ike_port = 500;
  std::uint16_t nat_port = 4500;
  std::uint32_t shard = 0;  // this one of
  ShardMap shards;
  std::size_t half_open_limit = 2000;  // IKE SAs in the making, whoever asked
  std::size_t cookie_threshold = 100;  // of peers that have not returned a cookie
  std::size_t prefix_limit = 20;       // of them, half open from one source prefix (IPv4 /24, IPv6 /56)
  std::uint8_t puzzle_difficulty = 0;  // RFC 8019, zero bits demanded with the cookie above the threshold; 0: none
  std::uint8_t puzzle_limit = 22;      // what we solve as initiator at most
  bool native_esp = true;              // the packet path can send IP protocol 50
  Duration half_open_patience = 30s;   // a responder waits so long for the next message; twice that for later ones
  RetransmitSchedule retransmit;
  const Stopwatch* stopwatch = nullptr;             // measures key operations
  bool key_log = false;                             // emit KeyLog actions: for debugging only
  std::shared_ptr<const SecretBytes> crash_secret;  // makes crash tokens, and outlives the process; null: none are made
};

}  // namespace qanat::ike
