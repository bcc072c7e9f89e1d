// What `qanat` prints, as functions of what it knows.
#pragma once

#include <span>
#include <string>

#include "cli/style.hpp"
#include "config/config.hpp"
#include "control/snapshot.hpp"

namespace qanat::cli {

// `qanat status`: one line a tunnel, then why those that are not up are not.
[[nodiscard]] std::string status_table(const control::Snapshot& snapshot, Colour colour);
// `qanat status NAME`.
[[nodiscard]] std::string tunnel_page(const control::TunnelStatus& tunnel, Colour colour);

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
[[nodiscard]] std::string psk_json(const std::string& psk);        // { "psk": ... }
[[nodiscard]] std::string psk_file_json(const std::string& file);  // { "file": ... }
// { "version", "daemon": { "version", "crypto" } }; "daemon" is null when none was reached.
[[nodiscard]] std::string version_json(const std::string& version, const std::string& daemon_version,
                                       const std::string& daemon_crypto);

}  // namespace qanat::cli
