// HttpServer: HTTP/1.1 on a Unix socket, or on TCP for metrics, on a thread of its own, for the API's pure functions.
//
// Limits: body 64 KiB, header 8 KiB, 30 s between requests and for reading one, 120 s for the handler's answer (then
// 504), 64 connections (more wait in the kernel's queue). A bad request gets 400, 413 or 431, and the connection ends;
// nothing that a client sends ends the process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/address.hpp"
#include "control/api.hpp"
#include "io/fd.hpp"

namespace qanat::io {

// Makes the listening socket, before rights are dropped: removes a stale one (nobody accepts on it; a live one is an
// error), mode 0660, group `control_group` (empty, or unknown: root's; the caller warns).
[[nodiscard]] Result<UniqueFd> open_control_socket(const std::string& path, const std::string& control_group);

// The same for TCP: `[gateway] metrics`. Error{Resource} when the address is taken or not of this host.
[[nodiscard]] Result<UniqueFd> open_tcp_listener(const Endpoint& at);

class HttpServer {
 public:
  // Who is at the other end of a Unix socket (SO_PEERCRED: as of its connect()).
  struct Peer {
    std::uint32_t uid = 65534;
    std::uint32_t gid = 65534;
    std::int32_t pid = 0;
  };
  // Called on the server's thread, one request a connection at a time. `Reply` may be called on any thread, now or
  // later, once; further calls do nothing.
  using Reply = std::function<void(control::Reply)>;
  using Handler = std::function<void(control::Request, const Peer&, Reply)>;

  // Starts the thread. `listener`: of open_control_socket or open_tcp_listener.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(UniqueFd listener, Handler handler);
  ~HttpServer();  // closes every connection and joins the thread
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  struct Impl;

 private:
  HttpServer();
  std::shared_ptr<Impl> impl_;
};

}  // namespace qanat::io
