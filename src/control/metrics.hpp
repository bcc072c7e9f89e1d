// Metrics: a snapshot in Prometheus' text format. One table makes the names, the types, the help and docs/metrics.md.
//
// Names and labels are public and stay. A tunnel is named by its `tunnel` label and by nothing that a rekey changes; no
// SPI and no address of a peer is a label.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "control/api.hpp"
#include "control/snapshot.hpp"

namespace qanat::control {

// X(enumerator, name, type, labels, help)
// clang-format off
#define QANAT_METRICS(X)                                                                                              \
  X(BuildInfo, "qanat_build_info", "gauge", "version crypto", "1; versions of the daemon and of its cryptography")     \
  X(Uptime, "qanat_uptime_seconds", "gauge", "", "since the daemon's start")                                           \
  X(TunnelUp, "qanat_tunnel_up", "gauge", "tunnel", "1 while a Child SA carries; a rekey does not change it")         \
  X(TunnelWanted, "qanat_tunnel_wanted_up", "gauge", "tunnel", "1 when it shall be up, 0 when it was taken down or waits for its peer to call") \
  X(TunnelKeys, "qanat_tunnel_keys", "gauge", "tunnel keys key_exchanges code", "1; keys: hybrid, inherited, ppk, classical or none; code: why classical") \
  X(TunnelQuantumSafe, "qanat_tunnel_quantum_safe", "gauge", "tunnel", "1 when no Child SA of it has classical keys; absent while it is down") \
  X(TunnelDowngrade, "qanat_tunnel_downgrade_excluded", "gauge", "tunnel", "1 when both sides signed both first messages; absent while it is down") \
  X(TunnelReceivedBytes, "qanat_tunnel_received_bytes_total", "counter", "tunnel", "inner octets from the peer")       \
  X(TunnelReceivedPackets, "qanat_tunnel_received_packets_total", "counter", "tunnel", "inner packets from the peer")  \
  X(TunnelSentBytes, "qanat_tunnel_sent_bytes_total", "counter", "tunnel", "inner octets to the peer")                 \
  X(TunnelSentPackets, "qanat_tunnel_sent_packets_total", "counter", "tunnel", "inner packets to the peer")            \
  X(TunnelDrops, "qanat_tunnel_dropped_packets_total", "counter", "tunnel reason", "packets of the tunnel that were not delivered, reasons that occurred") \
  X(TunnelEstablished, "qanat_tunnel_established_total", "counter", "tunnel", "how often it came up, having been down") \
  X(TunnelFailures, "qanat_tunnel_failed_attempts_total", "counter", "tunnel", "attempts of ours that ended without a tunnel") \
  X(TunnelRekeys, "qanat_tunnel_rekeys_total", "counter", "tunnel sa", "new keys without interruption; sa: child or ike") \
  X(TunnelHealth, "qanat_tunnel_health", "gauge", "tunnel", "1 healthy, 0.5 degraded, 0 down; absent when it is not measurable") \
  X(TunnelLoss, "qanat_tunnel_probe_loss_ratio", "gauge", "tunnel", "probes of the last 5 minutes that were lost, 0 to 1") \
  X(TunnelP50, "qanat_tunnel_probe_round_trip_p50_seconds", "gauge", "tunnel", "median round trip of the last probes") \
  X(TunnelP99, "qanat_tunnel_probe_round_trip_p99_seconds", "gauge", "tunnel", "99th percentile of the same")          \
  X(TunnelJitter, "qanat_tunnel_probe_jitter_seconds", "gauge", "tunnel", "jitter of probes (RFC 3550)")                \
  X(TunnelHarvestBytes, "qanat_tunnel_harvestable_bytes_total", "counter", "tunnel", "inner octets carried under classical keys, over all restarts: who recorded them reads them with a quantum computer") \
  X(TunnelHarvestSeconds, "qanat_tunnel_harvestable_seconds_total", "counter", "tunnel", "time with a Child SA of classical keys, over all restarts") \
  X(TunnelSafeBytes, "qanat_tunnel_quantum_safe_bytes_total", "counter", "tunnel", "inner octets carried under hybrid or PPK keys, over all restarts") \
  X(TunnelFell, "qanat_tunnel_fell_to_classical", "gauge", "tunnel", "1 while a peer that once had hybrid keys has classical ones") \
  X(Tunnels, "qanat_tunnels", "gauge", "keys", "tunnels by their keys; none: down")                                   \
  X(Handshakes, "qanat_handshakes_total", "counter", "keys kem", "IKE SAs that came up, by verdict and by ML-KEM; rekeys are not counted") \
  X(HandshakeTimes, "qanat_handshake_exchange_duration_seconds", "histogram", "exchange", "from our request to the answer, of exchanges that we began") \
  X(Drops, "qanat_dropped_packets_total", "counter", "reason", "packets of the whole gateway that were not delivered, by reason") \
  X(DataWorkers, "qanat_data_workers", "gauge", "", "threads that move packets")                                        \
  X(HandedOver, "qanat_handed_over_packets_total", "counter", "", "packets that one data worker read and another one, which has their tunnel, took over") \
  X(PolicyPackets, "qanat_policy_packets_total", "counter", "rule vrf action", "packets that a rule of the packet policy was the first to fit, and those that it logged") \
  X(PolicyBytes, "qanat_policy_bytes_total", "counter", "rule vrf action", "octets of the same")                       \
  X(IkeMessages, "qanat_ike_messages_total", "counter", "reason", "IKE messages that were not simply acted upon, by reason") \
  X(ApiConnections, "qanat_api_connections", "gauge", "", "connections to the listener for HTTPS; absent without one, as the next four") \
  X(ApiHandshakes, "qanat_api_tls_handshakes_total", "counter", "group", "TLS handshakes by key exchange; failed: those that came to none") \
  X(ApiRequests, "qanat_api_requests_total", "counter", "", "requests over HTTPS") \
  X(ApiRefused, "qanat_api_refused_requests_total", "counter", "reason", "reason: token (none, unknown, or without the scope) or rate") \
  X(ApiClosed, "qanat_api_closed_connections_total", "counter", "", "connections that made room for others, or did not finish what they began") \
  X(AlertsQueued, "qanat_alert_notifications_queued", "gauge", "", "notifications that wait to be delivered to a webhook; absent without [gateway] webhooks, as the next two") \
  X(AlertsEnded, "qanat_alert_notifications_total", "counter", "outcome", "outcome: delivered, or undelivered (refused by the receiver, given up after a day, or lost from a full queue)") \
  X(AlertsFailed, "qanat_alert_failed_attempts_total", "counter", "", "attempts to deliver a notification that failed")
// clang-format on

struct MetricInfo {
  std::string_view name;
  std::string_view type;    // "gauge", "counter", "histogram"
  std::string_view labels;  // separated by blanks
  std::string_view help;
};
enum class Metric : std::uint8_t {
#define QANAT_METRIC_ENUM(enumerator, name, type, labels, help) enumerator,
  QANAT_METRICS(QANAT_METRIC_ENUM)
#undef QANAT_METRIC_ENUM
      kCount
};
inline constexpr std::array<MetricInfo, static_cast<std::size_t>(Metric::kCount)> kMetrics = {{
#define QANAT_METRIC_INFO(enumerator, name, type, labels, help) MetricInfo{name, type, labels, help},
    QANAT_METRICS(QANAT_METRIC_INFO)
#undef QANAT_METRIC_INFO
}};

// Text format 0.0.4.
[[nodiscard]] std::string metrics_text(const Snapshot& snapshot);

// What the metrics listener answers: GET /metrics, and nothing else.
[[nodiscard]] bool is_metrics_request(const Request& request);
[[nodiscard]] Reply metrics_reply(const Snapshot& snapshot);
[[nodiscard]] Reply only_metrics_reply();

}  // namespace qanat::control
