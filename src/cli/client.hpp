// One request to the daemon's HTTP on its Unix socket. Boost is seen only by client.cpp.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "control/api.hpp"

namespace qanat::cli {

enum class ClientFault : std::uint8_t {
  NoSocket,       // nothing is there: the daemon does not run, or has another socket
  NobodyListens,  // a socket is there, and no daemon behind it
  NotAllowed,     // this user may not use it
  NoAnswer,       // not within the time
  NoHttp,         // something answered, and it was not the daemon
  Other,
};

struct ClientError {
  ClientFault fault = ClientFault::Other;
  std::string detail;  // the system's words
};

// Waits at most `timeout` for the whole exchange.
[[nodiscard]] std::expected<control::Reply, ClientError> exchange(const std::string& socket_path,
                                                                  const control::Request& request,
                                                                  std::chrono::seconds timeout);

// The same for an answer that comes bit by bit: what has come of its body goes to `take`, as long as that returns true.
// Of a status that is no success the body is in the reply instead.
using TakeBody = std::function<bool(std::string_view octets)>;
[[nodiscard]] std::expected<control::Reply, ClientError> follow(const std::string& socket_path,
                                                                const control::Request& request, const TakeBody& take,
                                                                std::chrono::seconds timeout);

}  // namespace qanat::cli
