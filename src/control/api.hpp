// The API as functions: a request and the published snapshot in, a reply or a command for the gateway out. No
// sockets: the shell parses HTTP, calls handle(), and for a command waits for its result and calls reply_for().
//
//   GET  /, /v1                     what there is
//   GET  /v1/openapi.json           the same for programs, and the objects' paths too   (openapi.hpp)
//   GET  /v1/health                 that the daemon answers
//   GET  /v1/status                 the whole snapshot            (JSON: status_json.hpp)
//   GET  /v1/status/{name}          one tunnel
//   GET  /v1/version
//   GET  /v1/events                 the last events; ?since=N: those after number N; ?tunnel=NAME: of one tunnel
//   GET  /v1/events/stream          events as they happen, as server-sent events   (event_stream.hpp)
//   GET  /v1/posture                how safe the keys are, and the harvest ledger
//   GET  /v1/routes                 every route, and what the state of its tunnel adds to its priority
//   GET  /v1/routes/{address}       which tunnel takes a packet there, and why; ?from=ADDRESS, ?vrf=NAME
//   GET  /v1/rules                  the rules of the packet policy with their counters
//   GET  /v1/metrics                Prometheus' text format       (metrics.hpp)
//   POST /v1/tunnels/{name}/up      bring it up; answers when it is up or has failed, with ?wait=0 at once
//   POST /v1/tunnels/{name}/down    take it down and keep it down
//   POST /v1/tunnels/{name}/rekey/child|ike|reauth   new keys now; answers when the rekeying has begun
//   POST /v1/tunnels/{name}/ping    one echo request inside it; answers within 2 s
//   POST /v1/posture/{name}/forget  forget that its peer was ever hybrid; ?confirm=NAME
//   POST /v1/reload                 read the configuration again, apply the difference   (JSON: reload_json.hpp)
//   POST /v1/reload/check           only tell what would change
//   POST /v1/purge                  remove routes and rules that protect against plaintext leaks
// Errors are { "error": { "code", "message" } }: 400 bad_request, 404 not_found, 405 method_not_allowed,
// 409 up_failed | down_failed | rekey_failed | forget_failed |
// ping_failed | purge_failed, 413 body_too_large, 414 target_too_long.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "control/event_stream.hpp"
#include "control/snapshot.hpp"

namespace qanat::control {

// Who asks, as the shell has found: by the Unix socket (then everything is allowed), or by a token.
struct Principal {
  std::string name = "local";          // for the audit log: "local uid 0", a token's name
  std::optional<std::string> account;  // the only account that it may speak of; nullopt: all
  bool read = true;
  bool write = true;
  bool capture = true;
  bool local = true;  // by the Unix socket
  bool root = false;  // and as root: may have secrets exported
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;  // "GET"
  std::string target;  // as it came: "/v1/tunnels/berlin/up?wait=0"
  std::string body;
  Headers headers = {};  // names in lower case, those that a handler may want
  Principal principal = {};
};

// A body that is made while it is sent: events, a capture. It is pulled by the shell, one piece after the other, so
// that a slow reader holds no more than the stream itself bounds.
class BodyStream {
 public:
  virtual ~BodyStream() = default;
  struct Piece {
    std::string octets;  // empty and not the end: nothing now; the wake function is called when there is more
    bool end = false;
  };
  [[nodiscard]] virtual Piece pull(std::size_t at_most) = 0;
  // Before the first pull. Called from any thread, as often as it likes, until the stream is destroyed.
  virtual void on_more(std::function<void()> wake) = 0;
  // Sent when nothing was for a while, so that a reader's going is noticed; empty: nothing is.
  [[nodiscard]] virtual std::string_view when_silent() const { return {}; }
};  // destroyed when the reader is gone

struct Reply {
  int status = 200;
  Headers headers;  // Content-Type is among them, Content-Length is not
  std::string body;
  std::shared_ptr<BodyStream> stream = {};  // set: instead of `body`
};

// The shell may refuse more than this before it calls handle().
inline constexpr std::size_t kMaxTarget = 2048;
inline constexpr std::size_t kMaxBody = 64 * 1024;

// Whether the answer to this needs Snapshot::routes and Snapshot::events; there may be many.
[[nodiscard]] bool wants_routes(const Request& request);
[[nodiscard]] bool wants_events(const Request& request);
using Answer = std::variant<Reply, GatewayCommand, EventStreamWish>;
[[nodiscard]] Answer handle(const Request& request, const Snapshot& snapshot);
[[nodiscard]] Reply reply_for(const GatewayCommand& command, const CommandResult& result);
// For what the shell itself finds wrong (a request that is no HTTP, a gateway that does not answer).
// What handle() serves, in the order of its table.
struct Endpoint {
  std::string_view method;
  std::string_view path;        // "/v1/tunnels/{name}/up"
  std::string_view does;        // one line
  std::string_view parameters;  // of the query, separated by blanks
};
[[nodiscard]] std::vector<Endpoint> endpoints();
[[nodiscard]] Reply error_reply(int status, std::string code, std::string message);

// "%41%2f" -> "A/"; nullopt when a '%' is not followed by two hexadecimal digits.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace qanat::control
