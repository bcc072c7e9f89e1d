// Snapshot as JSON, and back: what GET /v1/status answers and what `qanat` reads. nlohmann's header is seen only by
// status_json.cpp and answers_json.cpp (json_text.hpp).
//
// The names of the fields are those of the structs in snapshot.hpp, in their order; they are part of the API and do
// not change. Beyond that:
//   counters ("drops", "ike_counters")   one object: name of the reason -> number
//   SPIs                                 text: "0x1a2b3c4d" of ESP, "0x0011223344556677" of IKE
//   "ike" of a tunnel                    null while there is no IKE SA
//   "verdict"                            { "keys": "hybrid" | "inherited" | "ppk" | "classical", "reason": "..." }
// Text of a peer was escaped before it came into the snapshot; octets that are no UTF-8 become U+FFFD.
// A reader ignores fields that it does not know and takes the default for those that are missing, so that a command
// and a daemon of different versions understand each other.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "control/posture.hpp"
#include "control/route_choice.hpp"
#include "control/snapshot.hpp"

namespace qanat::control {

[[nodiscard]] std::string to_json(const Snapshot& snapshot);
[[nodiscard]] std::string to_json(const TunnelStatus& tunnel);
// Error{Malformed} with what is wrong.
[[nodiscard]] Result<Snapshot> snapshot_from_json(std::string_view text);
[[nodiscard]] Result<TunnelStatus> tunnel_from_json(std::string_view text);

// { "tunnels": [ ... ], "up": 3, ... }: the fields of Posture.
[[nodiscard]] std::string to_json(const Posture& posture);
[[nodiscard]] Result<Posture> posture_from_json(std::string_view text);

// { "routes": [ ... ] }: the fields of RouteStatus.
[[nodiscard]] std::string routes_to_json(const std::vector<RouteStatus>& routes);
[[nodiscard]] Result<std::vector<RouteStatus>> routes_from_json(std::string_view text);
// { "rules": [ ... ] }: the fields of PolicyStatus.
[[nodiscard]] std::string policy_to_json(const std::vector<PolicyStatus>& rules);
[[nodiscard]] Result<std::vector<PolicyStatus>> policy_from_json(std::string_view text);
[[nodiscard]] std::string to_json(const PingStatus& ping);
[[nodiscard]] Result<PingStatus> ping_from_json(std::string_view text);
[[nodiscard]] std::string to_json(const RouteAnswer& answer);
[[nodiscard]] Result<RouteAnswer> route_answer_from_json(std::string_view text);

// { "events": [ { "number", "time", "level", "event", "fields": { "tunnel": "berlin", ... } } ], "last": 17 }; `last`
// is what to give as ?since= the next time.
[[nodiscard]] std::string events_to_json(const Events& events, std::uint64_t last);
[[nodiscard]] std::string to_json(const Event& event);  // one of them, in one line
struct EventLine {
  std::uint64_t number = 0;
  std::string time;
  std::string level;
  std::string name;
  std::vector<std::pair<std::string, std::string>> fields;
};
[[nodiscard]] Result<std::vector<EventLine>> events_from_json(std::string_view text);

// { "error": { "code": "not_found", "message": "..." } }
struct ApiError {
  std::string code;     // one word for programs
  std::string message;  // one line for people: what is wrong and what to do
};
[[nodiscard]] std::string to_json(const ApiError& error);
[[nodiscard]] std::optional<ApiError> error_from_json(std::string_view text);  // nullopt: it is something else

// { "ok": true, "command": "up", "tunnel": "berlin", "message": "..." }; "tunnel" only where there is one.
struct Outcome {
  std::string command;
  std::string tunnel;
  std::string message;
};
[[nodiscard]] std::string to_json(const Outcome& outcome);
[[nodiscard]] std::optional<Outcome> outcome_from_json(std::string_view text);

// { "version": "0.1.0", "crypto": "..." }
struct Version {
  std::string version;
  std::string crypto;
};
[[nodiscard]] std::string to_json(const Version& version);
[[nodiscard]] std::optional<Version> version_from_json(std::string_view text);

// { "paths": [ { "method": "GET", "path": "/v1/status", "does": "..." } ] }
struct PathHelp {
  std::string method;
  std::string path;
  std::string does;
};
[[nodiscard]] std::string to_json(const std::vector<PathHelp>& paths);

}  // namespace qanat::control
