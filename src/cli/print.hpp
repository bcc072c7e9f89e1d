// What `qanat` prints, as functions of what it knows.
#pragma once

#include <span>
#include <string>

#include "cli/style.hpp"
#include "config/config.hpp"
#include "control/snapshot.hpp"
#include "control/status_json.hpp"

namespace qanat::cli {

// `qanat status`: one line a tunnel, then why those that are not up are not.
[[nodiscard]] std::string status_table(const control::Snapshot& snapshot, Colour colour);
// `qanat status NAME`.
[[nodiscard]] std::string tunnel_page(const control::TunnelStatus& tunnel, Colour colour);

// `qanat watch`: one look. Rates are of the time since `before`; nullptr: there are none yet.
[[nodiscard]] std::string watch_table(const control::Snapshot& snapshot, const control::Snapshot* before,
                                      Colour colour);
// The same over what stood on the terminal before.
[[nodiscard]] std::string in_place(const std::string& text);
// `qanat explain NAME`.
[[nodiscard]] std::string explain_page(const control::TunnelStatus& tunnel, Colour colour);
[[nodiscard]] std::string posture_table(const control::Posture& posture, Colour colour);
[[nodiscard]] std::string posture_csv(const control::Posture& posture);  // RFC 4180, with a head
[[nodiscard]] std::string events_text(const std::vector<control::EventLine>& events, Colour colour);
[[nodiscard]] std::string routes_table(const std::vector<control::RouteStatus>& routes, Colour colour);
[[nodiscard]] std::string route_text(const control::RouteAnswer& answer, Colour colour);

// `qanat policy`.
[[nodiscard]] std::string policy_table(const std::vector<control::PolicyStatus>& rules, Colour colour);
// `qanat ping NAME`: a line for each, numbered from 1, then loss and round trips.
[[nodiscard]] std::string ping_line(const control::PingStatus& ping, std::size_t number);
[[nodiscard]] std::string ping_summary(const std::string& tunnel, const std::vector<control::PingStatus>& pings);

// "healthy", "degraded, 2.5 % lost"; "-" when nothing is known.
[[nodiscard]] std::string health_text(const control::TunnelStatus& tunnel);
[[nodiscard]] Tone health_tone(const control::TunnelStatus& tunnel);
[[nodiscard]] Tone state_tone(const control::TunnelStatus& tunnel);
[[nodiscard]] Tone keys_tone(const std::string& keys);
[[nodiscard]] std::string size_text(std::uint32_t octets, std::uint32_t datagrams);  // "1281 B in 2 fragments"
[[nodiscard]] std::string milliseconds_text(double milliseconds);                    // "-" when it is not known

// "hybrid x25519+mlkem768", "classical: peer does not support IKE_INTERMEDIATE", "-" without an IKE SA.
[[nodiscard]] std::string keys_text(const control::TunnelStatus& tunnel);
// "up", "connecting (wanted up)", "waiting (on call)".
[[nodiscard]] std::string state_text(const control::TunnelStatus& tunnel);

// `qanat check`: "qanat.toml is fine: 3 tunnels (1 requires ML-KEM, 2 prefer it)".
[[nodiscard]] std::string check_summary(const std::string& file, const model::Config& config);

// --json of what does not come from the daemon.
// { "file": ..., "ok": ..., "tunnels": 3, "problems": [ { "line", "column", "severity", "message", "hint" } ] }
[[nodiscard]] std::string check_json(const std::string& file, bool ok, std::size_t tunnels,
                                     std::span<const config::Problem> problems);
// { "tunnel", "sent", "answered", "pings": [ { "from", "to", "milliseconds" } ] }; null: no answer.
[[nodiscard]] std::string ping_json(const std::string& tunnel, const std::vector<control::PingStatus>& pings);
[[nodiscard]] std::string psk_json(const std::string& psk);        // { "psk": ... }
[[nodiscard]] std::string psk_file_json(const std::string& file);  // { "file": ... }
// { "version", "daemon": { "version", "crypto" } }; "daemon" is null when none was reached.
[[nodiscard]] std::string version_json(const std::string& version, const std::string& daemon_version,
                                       const std::string& daemon_crypto);

}  // namespace qanat::cli
