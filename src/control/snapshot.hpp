// Snapshot: what the gateway publishes for everybody who looks (API, command line, metrics): immutable, replaced as a
// whole, read on any thread without waiting for the Director.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "control/event_ring.hpp"

namespace qanat::control {

using NamedCounters = std::vector<std::pair<std::string, std::uint64_t>>;

// One exchange of the handshake that made an IKE SA, for `qanat status NAME`.
struct ExchangeStep {
  std::string exchange;             // "IKE_INTERMEDIATE (mlkem768)"
  std::uint32_t request_bytes = 0;  // IKE octets on the wire, all fragments
  std::uint32_t response_bytes = 0;
  std::uint32_t request_fragments = 1;  // datagrams
  std::uint32_t response_fragments = 1;
  std::uint32_t retransmissions = 0;
  double milliseconds = 0;  // from our first send (or first receive) to the answer
  // What the key operations cost us, in microseconds; 0: not measured, or there was none.
  std::uint32_t own_us = 0;   // our key pair, or our proof
  std::uint32_t peer_us = 0;  // the secret out of the peer's value, or its proof judged
  std::uint32_t prf_us = 0;   // the keys out of that
};

// How safe keys are (rules.md "How safe an SA is").
struct Verdict {
  std::string keys;    // "hybrid" | "inherited" | "ppk" | "classical"
  std::string reason;  // why hybrid, or why not: "peer does not support IKE_INTERMEDIATE"
  // Why classical, for programs: "no_intermediate" | "no_addke" | "private_key_exchanges" | "fragments_lost" |
  // "local_policy"; empty when the keys are not classical.
  std::string code = {};
};

// The harvest ledger of a tunnel (model/posture.hpp), since it was first configured.
struct PostureStatus {
  std::uint64_t classical_bytes = 0;
  double classical_seconds = 0;
  std::uint64_t safe_bytes = 0;
  double safe_seconds = 0;
  std::string first_hybrid_at;     // "2026-07-20T12:00:00Z"; empty: never
  std::string last_classical_at;   // likewise
  bool fell_to_classical = false;  // it once came up hybrid, and is up with classical keys
};

struct ChildStatus {
  std::uint32_t spi_in = 0;
  std::uint32_t spi_out = 0;
  std::string suite;  // "aes256gcm16"
  bool esn = false;
  std::string encapsulation;  // "udp" | "native"
  std::vector<std::string> local_ts;
  std::vector<std::string> remote_ts;
  std::uint32_t replay_window = 0;
  std::uint16_t inner_mtu = 0;
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
  double seconds_up = 0;
  double seconds_to_rekey = 0;
  Verdict verdict;
};

struct IkeStatus {
  std::uint64_t spi_i = 0;
  std::uint64_t spi_r = 0;
  std::string role;   // "initiator" | "responder"
  std::string local;  // endpoints in use
  std::string remote;
  std::string local_id;
  std::string remote_id;
  std::string suite;                       // "aes256gcm16-prfsha384"
  std::vector<std::string> key_exchanges;  // in order: "x25519", "mlkem768"
  Verdict verdict;
  std::string authentication;          // "PSK"
  std::string authentication_verdict;  // "quantum-safe (generated PSK, 256 bits)" | "depends on the PSK's entropy"
  bool downgrade_excluded = false;     // both sides signed both IKE_SA_INIT messages (notify 16447)
  bool mobike = false;
  bool nat_local = false;  // we are behind a NAT
  bool nat_remote = false;
  bool fragmentation = false;
  double seconds_up = 0;
  double seconds_to_rekey = 0;
  std::vector<ExchangeStep> handshake;
  std::string offered;  // proposals: as initiator ours, as responder the peer's
  std::string accepts;  // those that this side accepts, as responder; empty as initiator
};

// How a tunnel fares by its health checks (rules.md "Health").
struct HealthStatus {
  std::string state;   // "healthy" | "degraded" | "down" | "not measurable"
  std::string code;    // stable: "probes_lost"
  std::string reason;  // the same for people, and what to do
  double loss = 0;     // share of the probes of the last 5 minutes
  std::uint32_t samples = 0;
  std::optional<double> p50_ms;  // round trip
  std::optional<double> p99_ms;
  std::optional<double> jitter_ms;
  double seconds_since = 0;  // in this state
  std::uint64_t probes = 0;  // sent
};

// One rule of the packet policy.
struct PolicyStatus {
  std::uint32_t vrf = 0;
  std::string rule;
  std::string action;  // "allow" | "drop" | "log"
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::string account = "default";  // the VRF's name
};

struct TunnelStatus {
  std::string name;
  std::string wanted;  // "up" | "down" | "on call"
  std::string actual;  // "up" | "connecting" | "waiting" | "down"
  std::string reason;  // why wanted and actual differ, or what else is wrong, and what to do; empty when nothing is
  std::string local;   // configured addresses
  std::string peer;
  std::string pq;  // policy
  std::vector<std::string> routes;
  std::optional<IkeStatus> ike;
  std::vector<ChildStatus> children;
  std::uint64_t packets_in = 0;  // over all SAs since the tunnel was configured
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
  NamedCounters drops;
  HealthStatus health;
  PostureStatus posture;
  std::uint64_t child_rekeys = 0;  // Child SAs that followed another, since the daemon's start
  std::uint64_t ike_rekeys = 0;
  std::uint64_t times_up = 0;
  std::uint64_t failed_attempts = 0;
  std::vector<ExchangeStep> last_failure;          // how far the last failed attempt came; empty after a success
  std::string failure_code;                        // "fragments_lost" when that is what the last failure looks like
  std::uint32_t classical_penalty = 0;             // configured
  std::optional<WallTime> certificate_until = {};  // the first of our own certificates to expire
  std::optional<WallTime> peer_certificate_until = {};  // of those that the peer showed last, since the daemon's start
  std::string account = "default";                      // the VRF's name
};

// One entry of the routing table.
struct RouteStatus {
  std::uint32_t vrf = 0;
  std::string prefix;
  std::string tunnel;
  std::uint32_t priority = 0;  // as configured
  std::uint32_t weight = 1;
  std::string pq;             // "any" | "require"
  std::uint32_t penalty = 0;  // added to the priority now: health, classical keys
  bool refused = false;       // pq = "require", and the tunnel's keys are classical, or there are none
  // "config" | "kernel": a route of the host's kernel to the peer's interface address | "host": a network or an address
  // of the host's own inside a wider prefix, the tunnel is "@host" then
  std::string source = "config";
  std::string account = "default";  // the VRF's name
};

// The listener for HTTPS, since the daemon's start.
struct ApiStatus {
  std::string listen;             // "127.0.0.1:8443"
  std::uint64_t connections = 0;  // now
  std::uint64_t hybrid = 0;       // TLS handshakes with X25519MLKEM768
  std::uint64_t classical = 0;    // with X25519
  std::uint64_t failed_tls = 0;
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;  // without a token that is known, or without the scope
  std::uint64_t rate_limited = 0;
  std::uint64_t closed_idle = 0;  // connections that made room for others, or did not finish what they began
  std::string certificate_until;  // "2027-03-01"
  std::optional<WallTime> certificate_end = {};  // the same
};

// Notifications by webhooks (control/alerts.hpp), since the daemon's start.
struct AlertStatus {
  std::uint64_t notifications = 0;  // changes that were told, to however many webhooks
  std::uint64_t queued = 0;         // now: not delivered yet
  std::uint64_t delivered = 0;
  std::uint64_t failed_attempts = 0;
  std::uint64_t undelivered = 0;  // given up, refused by the receiver, or lost
  std::uint64_t lost = 0;         // of these: too many waited for one webhook
};

// How long exchanges took, for those that we began. Counts are not cumulative; the last is for what took longer.
inline constexpr std::array<double, 12> kHandshakeBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                            0.1,   0.25,   0.5,   1,    2.5,   10};  // seconds
struct HandshakeTimes {
  std::string exchange;  // "IKE_SA_INIT"
  std::uint64_t count = 0;
  double seconds = 0;
  std::vector<std::uint64_t> buckets;  // kHandshakeBounds.size() + 1
};
// IKE SAs that came up since the daemon's start, by the keys that they got.
struct HandshakeCount {
  std::string keys;  // Verdict::keys
  std::string kem;   // "mlkem768", "mlkem768+mlkem1024", "none"
  std::uint64_t count = 0;
};

struct Snapshot {
  std::string version;
  std::string crypto;  // "OpenSSL 3.5.4, packets by ipsec-mb 1.3"
  double seconds_up = 0;
  std::vector<TunnelStatus> tunnels;                             // every configured tunnel, in the order of the config
  std::vector<PolicyStatus> policy = {};                         // in the order of the rules
  NamedCounters drops;                                           // of packets, by reason
  std::uint32_t data_workers = 1;                                // threads that move packets
  std::uint64_t handed_over = 0;                                 // packets that one of them read for another
  NamedCounters ike_counters;                                    // of IKE messages, by reason
  std::vector<RouteStatus> routes = {};                          // of /v1/routes only
  std::vector<std::pair<std::uint32_t, std::string>> vrfs = {};  // likewise: every VRF and its name
  std::vector<HandshakeTimes> handshake_times = {};
  std::vector<HandshakeCount> handshakes = {};
  std::optional<ApiStatus> api = {};       // nullopt: there is none
  std::optional<AlertStatus> alerts = {};  // nullopt: [gateway] webhooks is off
  Events events = {};                      // of /v1/events; not part of /v1/status
};

// What the API asks of the gateway; answered by one CommandResult with the same ticket.
struct GatewayCommand {
  // Reload and CheckReload read files, so that the daemon's shell serves them (control/reload_json.hpp).
  enum class Verb : std::uint8_t {
    Up,
    Down,
    RekeyChild,
    RekeyIke,
    Reauthenticate,
    Purge,
    Reload,
    CheckReload,
    ForgetPin,
    Ping
  } verb = Verb::Up;
  std::string tunnel;  // empty where the verb is about the gateway
  bool wait = true;    // answer when the tunnel is up (or has failed), not when the attempt has begun
};
// One echo request inside a tunnel, from our interface address to the peer's.
struct PingStatus {
  std::string tunnel;
  std::string from;
  std::string to;
  bool answered = false;  // within 2 s
  std::optional<double> milliseconds;
};
struct CommandResult {
  bool ok = false;
  std::string message;  // one line: what happened, or what is wrong and what to do
  std::optional<PingStatus> ping = {};
};

}  // namespace qanat::control
