// Result<T>: every operation of the pure rooms returns a value or an Error that says who is to blame.
//
// The kind decides what happens next (one function, ike/fault.hpp, turns it into wire, drop or close):
// an unauthenticated error changes no state, a peer's error never ends the process, a bug of ours aborts.
#pragma once

#include <cstdint>
#include <expected>
#include <source_location>
#include <string>
#include <utility>

namespace qanat {

enum class ErrorKind : std::uint8_t {
  Malformed,         // bytes that are no message of the protocol
  PeerMisbehaved,    // well formed, but not allowed here
  PeerIncompatible,  // nothing in common with us: proposals, selectors, features
  AuthFailed,        // an integrity check, a signature or an identity did not verify
  LocalPolicy,       // our own configuration forbids it
  Resource,          // a limit was reached
  Internal,          // a library or the system failed us
};

[[nodiscard]] constexpr const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Malformed:
      return "malformed";
    case ErrorKind::PeerMisbehaved:
      return "peer misbehaved";
    case ErrorKind::PeerIncompatible:
      return "peer incompatible";
    case ErrorKind::AuthFailed:
      return "authentication failed";
    case ErrorKind::LocalPolicy:
      return "local policy";
    case ErrorKind::Resource:
      return "resource limit";
    case ErrorKind::Internal:
      return "internal";
  }
  return "unknown";
}

struct Error {
  ErrorKind kind = ErrorKind::Internal;
  std::uint16_t notify = 0;  // IKEv2 Notify Message Type to answer with where an answer is due, 0 for none
  std::string where;         // "KE payload", "tunnel berlin": what the reader should look at
  std::string detail;        // what is wrong and, where we can know it, what to do; never a secret

  friend bool operator==(const Error&, const Error&) = default;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorKind kind, std::string where, std::string detail,
                                                 std::uint16_t notify = 0) {
  return std::unexpected(Error{kind, notify, std::move(where), std::move(detail)});
}

// Ends the process because of a bug of ours: never reachable from what a peer or a user sends.
[[noreturn]] void bug(const char* what, std::source_location where = std::source_location::current());

// An invariant of our own code. Not for input.
inline void ensure(bool holds, const char* what, std::source_location where = std::source_location::current()) {
  if (!holds) {
    bug(what, where);
  }
}

}  // namespace qanat

// Evaluates a Status or Result and returns its error from the calling function.
#define QANAT_TRY(expression)                                                                                        \
  do {                                                                                                               \
    if (auto qanat_status_ = (expression); !qanat_status_) return std::unexpected(std::move(qanat_status_).error()); \
  } while (false)

#define QANAT_CONCAT_INNER(a, b) a##b
#define QANAT_CONCAT(a, b) QANAT_CONCAT_INNER(a, b)
// QANAT_ASSIGN(auto value, expression): binds the value or returns the error.
#define QANAT_ASSIGN(declaration, expression) \
  QANAT_ASSIGN_INNER(QANAT_CONCAT(qanat_result_, __LINE__), declaration, expression)
#define QANAT_ASSIGN_INNER(name, declaration, expression)     \
  auto name = (expression);                                   \
  if (!name) return std::unexpected(std::move(name).error()); \
  declaration = std::move(*name)
