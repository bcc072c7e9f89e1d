// HttpServer: HTTP/1.1 on a Unix socket, or on TCP with or without TLS, on a thread of its own, for the API's pure
// functions.
//
// Every listener has limits (HttpLimits): octets of a header and a body, times for each step, connections. A client
// that sends slowly or not at all is closed when its time is over; on TCP, when all connections are taken, the one that
// has been idle longest, of the address that holds most, makes room, so that whoever opens thousands only closes his
// own. A bad request gets 400, 413 or 431, and the connection ends; nothing that a client sends ends the process.
//
// HEAD is asked as GET and answered without the body. A reply with a stream is sent in chunks while it is made; the
// stream is destroyed when its reader has gone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/address.hpp"
#include "base/time.hpp"
#include "control/api.hpp"
#include "io/fd.hpp"
#include "io/tls.hpp"

namespace qanat::io {

// Makes the listening socket, before rights are dropped: removes a stale one (nobody accepts on it; a live one is an
// error), mode 0660, group `control_group` (empty, or unknown: root's; the caller warns).
[[nodiscard]] Result<UniqueFd> open_control_socket(const std::string& path, const std::string& control_group);

// The same for TCP: `[gateway] metrics` and `api`; `what` names it. Error{Resource} when the address is taken or not of
// this host.
[[nodiscard]] Result<UniqueFd> open_tcp_listener(const Endpoint& at, const std::string& what = "metrics",
                                                 int backlog = 64);

struct HttpLimits {
  std::size_t connections = 64;  // more wait in the kernel's queue, or see `make_room`
  std::size_t per_address = 64;  // of TCP: an IPv4 address, an IPv6 /64
  bool make_room = false;        // a new connection takes the place of one that does nothing
  std::size_t streams = 16;      // at once; more are answered with 503
  std::uint32_t header = 8 * 1024;
  std::uint64_t body = control::kMaxBody;
  Duration idle = 30s;       // between requests
  Duration receive = 30s;    // for one request, from its first octet
  Duration handshake = 10s;  // of TLS
  Duration handler = 120s;   // for the handler's answer, then 504
  Duration send = 30s;       // without any progress of the reader
};

class HttpServer {
 public:
  struct Peer {
    // Who is at the other end of a Unix socket (SO_PEERCRED: as of its connect()).
    std::uint32_t uid = 65534;
    std::uint32_t gid = 65534;
    std::int32_t pid = 0;
    std::optional<IpAddress> address = {};  // of TCP
    std::string tls_group = {};             // "X25519MLKEM768"; empty without TLS
  };
  // Called on the server's thread, one request a connection at a time. `Reply` may be called on any thread, now or
  // later, once; further calls do nothing.
  using Reply = std::function<void(control::Reply)>;
  using Handler = std::function<void(control::Request, const Peer&, Reply)>;
  // Called with the header, before a body is read: fills in who asks, or refuses. nullopt: go on.
  using Gate = std::function<std::optional<control::Reply>(control::Request&, const Peer&)>;

  struct Options {
    HttpLimits limits = {};
    Gate gate = {};
    // What a request that has passed the gate may bring as its body; limits.body where it is empty.
    std::function<std::uint64_t(const control::Request&)> body_limit = {};
    std::shared_ptr<const TlsContext> tls = {};
  };

  // Since the start, but for `open`. Read on any thread.
  struct Counters {
    std::uint64_t open = 0;  // connections now
    std::uint64_t accepted = 0;
    std::uint64_t made_room = 0;  // connections ended for another one
    std::uint64_t timed_out = 0;  // that did not finish what they began
    std::uint64_t requests = 0;
    std::uint64_t hybrid = 0;     // TLS handshakes with X25519MLKEM768
    std::uint64_t classical = 0;  // with X25519
    std::uint64_t failed_tls = 0;
  };

  // Starts the thread. `listener`: of open_control_socket or open_tcp_listener.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(UniqueFd listener, Handler handler, Options options);
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(UniqueFd listener, Handler handler) {
    return start(std::move(listener), std::move(handler), Options{});
  }
  ~HttpServer();  // closes every connection and joins the thread
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Another certificate, for connections from now on. Any thread.
  void use_tls(std::shared_ptr<const TlsContext> tls);
  [[nodiscard]] Counters counters() const;

  struct Impl;

 private:
  HttpServer();
  std::shared_ptr<Impl> impl_;
};

}  // namespace qanat::io
