// The objects that the config file, the API and the store share, as plain values: validated by whoever makes them
// (config/), compared to find what a reload changes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/secret.hpp"
#include "base/strong_id.hpp"
#include "model/wan.hpp"
#include "wire/identity.hpp"

namespace qanat::model {

// What a tunnel demands of its keys (rules.md "Proposals"): require: nothing without ML-KEM, in both roles; prefer:
// hybrid whenever the peer can, classical peers connect and are named as such; off: classical only; pin: as prefer, but
// a peer that has once come up hybrid and now offers classical keys only is refused.
enum class PqPolicy : std::uint8_t { Require, Prefer, Off, Pin };
enum class EncapMode : std::uint8_t { Auto, Force };           // UDP encapsulation of ESP: by NAT detection, or always
enum class DfMode : std::uint8_t { Copy, Set, Clear };         // DF of the outer IPv4 header
enum class SelectorMode : std::uint8_t { Any, Routes, List };  // what TSi and TSr offer
enum class StartMode : std::uint8_t { Initiate, Respond };     // who begins; "any" peers can only be responded to
enum class SourceCheck : std::uint8_t { Strict, Off };
enum class EsnMode : std::uint8_t { Auto, Off };               // Auto: offer both, ESN preferred
enum class PpkPolicy : std::uint8_t { Off, Prefer, Require };  // RFC 8784: Prefer connects without when the peer cannot
// Full transcript authentication (notify 16447): Auto uses it with peers that can, Require refuses others.
enum class DowngradePolicy : std::uint8_t { Off, Auto, Require };
enum class PqAuthPolicy : std::uint8_t { Prefer, Require };  // Require: only a quantum-safe authentication of the peer

[[nodiscard]] std::string to_string(PqPolicy policy);  // "require", "prefer", "off", "pin"

// A pre-shared key shared by copies of the same tunnel; compared in constant time.
class PresharedKey {
 public:
  PresharedKey() = default;
  explicit PresharedKey(SecretBytes key) : key_(std::make_shared<const SecretBytes>(std::move(key))) {}
  [[nodiscard]] bool empty() const { return !key_ || key_->empty(); }
  [[nodiscard]] ByteView expose() const { return key_ ? key_->expose() : ByteView{}; }
  // True for keys in the form that `qanat genpsk` writes, which carry 256 bits of entropy.
  [[nodiscard]] bool is_generated() const;
  friend bool operator==(const PresharedKey& a, const PresharedKey& b) {
    return constant_time_equal(a.expose(), b.expose());
  }

 private:
  std::shared_ptr<const SecretBytes> key_;
};
// `qanat genpsk`: "qpsk1-" and 32 random octets in base64url; short enough for every vendor's field (49 characters).
inline constexpr std::string_view kGeneratedPskPrefix = "qpsk1-";
[[nodiscard]] std::string generated_psk_text(ByteView random32);

struct SelectorPair {
  Prefix local;
  Prefix remote;
  friend bool operator==(const SelectorPair&, const SelectorPair&) = default;
};

struct Tunnel {
  std::string name;  // [A-Za-z0-9][A-Za-z0-9_-]{0,62}
  VrfId vrf;
  StartMode start = StartMode::Initiate;

  std::optional<IpAddress> local;           // default: the gateway's address of the peer's family
  std::optional<IpAddress> peer;            // nullopt: "any", a peer that calls in
  std::uint16_t peer_port = 500;            // 500, or 4500 to start there
  std::optional<wire::Identity> local_id;   // default: the configured local address
  std::optional<wire::Identity> remote_id;  // default: the configured peer address; needed when the peer is "any"
  PresharedKey psk;

  // Certificates, as the files held them. A tunnel with `certificates` signs; one with `trust_anchors` wants the peer
  // to.
  struct Credentials {
    std::vector<Bytes> certificates;                 // DER, leaf first
    std::shared_ptr<const SecretBytes> private_key;  // PKCS#8, DER
    std::vector<Bytes> trust_anchors;                // DER
    std::vector<Bytes> crls;                         // DER
    friend bool operator==(const Credentials& a, const Credentials& b) {
      return a.certificates == b.certificates && a.trust_anchors == b.trust_anchors && a.crls == b.crls &&
             (a.private_key == b.private_key ||
              (a.private_key && b.private_key &&
               constant_time_equal(a.private_key->expose(), b.private_key->expose())));
    }
  } credentials;
  PqAuthPolicy pq_auth = PqAuthPolicy::Prefer;
  PpkPolicy ppk_policy = PpkPolicy::Off;
  std::string ppk_id;
  PresharedKey ppk;
  DowngradePolicy downgrade = DowngradePolicy::Auto;

  PqPolicy pq = PqPolicy::Prefer;
  std::vector<std::string> ike_proposals;  // empty: the defaults of ipsec/proposal.hpp for `pq`
  std::vector<std::string> esp_proposals;

  std::optional<IpAddress> interface4;       // our address inside the tunnel and
  std::optional<IpAddress> peer_interface4;  // the other host of its /31 or /30
  unsigned interface4_length = 31;
  std::optional<IpAddress> interface6;
  std::optional<IpAddress> peer_interface6;
  unsigned interface6_length = 127;

  std::vector<Prefix> routes;           // what lies behind the peer; how they steer stands in Config::routes
  std::uint32_t classical_penalty = 0;  // added to the priority of its routes while its keys are classical only
  HealthCheck health;
  SelectorMode selectors = SelectorMode::Any;
  std::vector<SelectorPair> selector_list;  // SelectorMode::List
  SourceCheck source_check = SourceCheck::Strict;

  EncapMode encap = EncapMode::Auto;
  EsnMode esn = EsnMode::Auto;
  std::uint32_t replay_window = 1024;  // 0: no replay protection, and then no ESN
  std::optional<std::uint8_t> dscp;    // nullopt: copied from the inner packet
  DfMode df = DfMode::Copy;
  std::uint16_t mtu = 0;  // of inner packets; 0: worked out from the path and the algorithms
  bool clamp_mss = true;

  std::chrono::seconds ike_lifetime{4 * 3600};
  std::chrono::seconds child_lifetime{3600};
  std::chrono::seconds reauth{0};  // a whole new IKE SA after this long; 0: never
  std::uint64_t rekey_bytes = 0;   // of a Child SA; 0: the cipher's own limit
  std::uint64_t rekey_packets = 0;
  std::chrono::seconds old_keys{5};  // how long old inbound keys stay after a rekey
  bool pfs = true;
  bool childless = false;
  bool mobike = true;
  bool more_children = true;
  std::chrono::seconds dpd_idle{10};
  std::chrono::seconds dpd_timeout{30};
  std::uint16_t ike_fragment_size = 0;  // IP datagram octets; 0: 1,280 for IPv6, and 1,400 for IPv4

  friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

struct Gateway {
  std::optional<IpAddress> address4;  // what peers reach us by; also the default identity
  std::optional<IpAddress> address6;
  std::string tun_name = "qanat0";
  std::uint16_t outer_mtu = 1500;    // of the path to peers until something smaller is learnt
  std::uint32_t route_table = 5200;  // our own routing tables: this one, and the next for a default route
  std::uint32_t fwmark = 0x51a7;     // on our outer sockets: they skip that table
  std::string control_socket = "/run/qanat/qanat.sock";
  std::string control_group;  // group that may talk to the socket; empty: root and the daemon's user only
  std::string state_dir = "/var/lib/qanat";
  std::string user = "qanat";  // who the daemon becomes
  bool log_json = false;
  std::string log_level = "info";
  std::uint32_t half_open_limit = 2000;  // IKE SAs in the making, all peers
  std::uint32_t cookie_threshold = 100;  // half-open SAs above which cookies are demanded
  std::uint32_t prefix_limit = 20;       // half-open SAs from one source prefix (IPv4 /24, IPv6 /56)
  std::uint32_t ike_threads = 1;         // IKE shards; 1: in the control thread, 0: by the processors there are
  std::uint32_t data_workers = 1;        // threads that move packets
  std::uint8_t puzzle_difficulty = 0;    // RFC 8019 zero bits demanded above the threshold; 0: no puzzles
  std::uint8_t puzzle_limit = 22;        // zero bits of a puzzle that we solve as initiator at most; 0: none
  std::optional<Endpoint> metrics;       // where Prometheus may ask, by HTTP; nullopt: nowhere
  std::optional<Endpoint> api;           // where clients may ask with a token, by HTTPS; nullopt: nowhere
  Tunnel::Credentials api_credentials;   // what it shows them: certificates, leaf first, and the key
  // What the secrets of the API's objects are encrypted with on the disk, as `qanat genpsk` makes it; empty: they are
  // not. `store_key_before` is the one that they may still be encrypted with: a start changes it for `store_key`.
  PresharedKey store_key;
  PresharedKey store_key_before;
  bool webhooks = false;              // whether the daemon may connect to webhooks that the API names
  std::vector<Prefix> webhook_allow;  // not public, and theirs nevertheless
  std::vector<Bytes> webhook_ca;      // DER: whom to believe; none: the system's

  friend bool operator==(const Gateway&, const Gateway&) = default;
};

struct Config {
  Gateway gateway;
  std::vector<Tunnel> tunnels;
  std::vector<Route> routes;       // of all tunnels, those of their `routes` keys too; (vrf, prefix, tunnel) is unique
  std::vector<PolicyRule> policy;  // in order
  std::vector<NatRule> nat;
  std::vector<Vrf> vrfs;  // beside the default one, VrfId 0
  friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace qanat::model
