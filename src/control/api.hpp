// The API as functions: a request and the published snapshot in, a reply or a command for the gateway out. No
// sockets: the shell parses HTTP, calls handle(), and for a command waits for its result and calls reply_for().
//
// Which paths there are: endpoints.hpp. A principal of one account is shown account_view() of the snapshot.
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
[[nodiscard]] Reply error_reply(int status, std::string code, std::string message);

// "%41%2f" -> "A/"; nullopt when a '%' is not followed by two hexadecimal digits.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace qanat::control
