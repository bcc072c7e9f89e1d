#include "cli/ask.hpp"

#include <fmt/format.h>

#include "cli/capture.hpp"
#include "control/status_json.hpp"

namespace qanat::cli {

namespace {

constexpr const char* kStart =
    "start it: systemctl start qanatd, or: sudo qanatd -c /etc/qanat/qanat.toml; if it has another socket: --socket "
    "PATH or QANAT_SOCKET";

}  // namespace

// An error in the form that was asked for: JSON on standard output, or a line for people on standard error.
int report(Shell& shell, bool json, int exit_code, const std::string& code, const std::string& message,
           const std::string& hint) {
  if (json) {
    shell.out(control::to_json(control::ApiError{code, hint.empty() ? message : message + "; " + hint}));
  } else {
    shell.err(fmt::format("qanat: {}\n", clean(message)));
    if (!hint.empty()) shell.err(fmt::format("  {}\n", clean(hint)));
  }
  return exit_code;
}

Unreachable explain(const ClientError& error, const std::string& socket, const Shell& shell) {
  switch (error.fault) {
    case ClientFault::NoSocket:
      return {fmt::format("qanatd does not run: there is no socket at {}", socket), kStart};
    case ClientFault::NobodyListens:
      return {fmt::format("qanatd does not run: nobody listens at {}", socket),
              std::string{kStart} + "; why it ended: journalctl -u qanatd"};
    case ClientFault::NotAllowed: {
      const std::string owner = shell.owner_of(socket);
      return {fmt::format("you may not use {}{}", socket, owner.empty() ? "" : ", which belongs to " + owner),
              "use sudo, or be in that group: control_group in [gateway] names it, `sudo usermod -aG GROUP USER` adds "
              "you at the next login"};
    }
    case ClientFault::NoAnswer:
      return {fmt::format("qanatd does not answer at {}: {}", socket, error.detail),
              "it may be busy or stuck: look at journalctl -u qanatd, then try again"};
    case ClientFault::NoHttp:
      return {fmt::format("what answers at {} does not speak HTTP: {}", socket, error.detail),
              "is this qanatd's control socket? See control_socket in [gateway]"};
    case ClientFault::Other:
      break;
  }
  return {fmt::format("qanatd cannot be reached at {}: {}", socket, error.detail), kStart};
}

// A reply with a status of 200 to 299; anything else has been reported and gives the exit code.
std::expected<control::Reply, int> ask(const CommandLine& line, Shell& shell, const std::string& method,
                                       const std::string& target, std::chrono::seconds timeout,
                                       const std::string& body) {
  auto reply = shell.exchange(line.socket, {method, target, body}, timeout);
  if (!reply) {
    const Unreachable why = explain(reply.error(), line.socket, shell);
    return std::unexpected(report(shell, line.json, kUnreachable, "unreachable", why.message, why.hint));
  }
  if (reply->status >= 200 && reply->status < 300) return std::move(*reply);
  auto error = control::error_from_json(reply->body);
  if (!error) error = envelope_error(reply->body);
  return std::unexpected(
      error
          ? report(shell, line.json, kFailed, error->code, error->message)
          : report(shell, line.json, kFailed, "bad_reply",
                   fmt::format("the daemon answered with HTTP status {} and nothing that can be read", reply->status)));
}

int bad_reply(const CommandLine& line, Shell& shell, const std::string& detail) {
  return report(shell, line.json, kFailed, "bad_reply", "the daemon's answer cannot be read: " + detail,
                "are qanat and qanatd of the same version? See: qanat version");
}

}  // namespace qanat::cli
