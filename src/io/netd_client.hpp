// NetdClient: qanatd's end of the socket pair to its privileged helper.
//
// open_*: blocking, for start-up (they also work later, and then hold the calling thread for as long as the helper is
// busy). post(): at once; the answer comes out of poll() when fd() is readable. When the helper is gone, every call
// fails and closed() says so: the process should end, its protection stays (unreachable routes, filter).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/address.hpp"
#include "gateway/host_command.hpp"
#include "io/esp_socket.hpp"
#include "io/fd.hpp"
#include "io/netd_protocol.hpp"
#include "io/udp_socket.hpp"

namespace qanat::io {

class NetdClient {
 public:
  explicit NetdClient(UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] Result<UniqueFd> open_udp(const Endpoint& local, std::uint32_t mark, ReusePort reuse_port);
  [[nodiscard]] Result<UniqueFd> open_esp(Family family, std::uint32_t mark);
  // Up, with this MTU, a queue of 5,000 packets, rp_filter off and no address.
  [[nodiscard]] Result<UniqueFd> open_tun(const std::string& name, std::uint16_t mtu, TunQueue queue = TunQueue::Only);

  void post(RequestId request, gateway::HostCommand command);
  [[nodiscard]] std::optional<gateway::HostResult> poll();             // until empty
  [[nodiscard]] bool wants_write() const { return !unsent_.empty(); }  // then call flush() when fd() is writable
  void flush();

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  struct Received {
    NetdAnswer answer;
    UniqueFd fd;
  };
  [[nodiscard]] Result<UniqueFd> open(NetdCommand command, std::string where);
  [[nodiscard]] std::optional<Received> receive();
  void send(const NetdRequest& request);
  void lose(std::string why);

  UniqueFd socket_;
  std::deque<Bytes> unsent_;
  std::deque<gateway::HostResult> results_;
  std::deque<RequestId> posted_;                      // unanswered: they fail when the helper goes
  std::uint64_t next_open_ = std::uint64_t{1} << 63;  // ids of open_*: never a caller's
  bool closed_ = false;
};

}  // namespace qanat::io
