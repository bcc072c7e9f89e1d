#include "io/netd_client.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <variant>

#include <poll.h>
#include <sys/socket.h>

#include "io/clock.hpp"

namespace qanat::io {

namespace {

constexpr Duration kOpenTimeout = 15s;
constexpr const char* kWhere = "privileged helper";

// Waits for `events`; false at the deadline.
bool wait_for(int fd, short events, Instant deadline) {
  while (true) {
    const Duration left = deadline - boot_now();
    if (left <= Duration::zero()) return false;
    pollfd p{fd, events, 0};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count() + 1;
    const int ready = ::poll(&p, 1, static_cast<int>(ms));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

Result<UniqueFd> NetdClient::open_udp(const Endpoint& local, std::uint32_t mark, ReusePort reuse_port) {
  return open(OpenUdp{local, mark, reuse_port}, "UDP socket " + local.to_string());
}

Result<UniqueFd> NetdClient::open_esp(Family family, std::uint32_t mark) {
  return open(OpenEsp{family, mark}, family == Family::V4 ? "ESP socket, IPv4" : "ESP socket, IPv6");
}

Result<UniqueFd> NetdClient::open_tun(const std::string& name, std::uint16_t mtu, TunQueue queue) {
  return open(OpenTun{name, mtu, queue}, "TUN device " + name);
}

Result<UniqueFd> NetdClient::open(NetdCommand command, std::string where) {
  const RequestId id{next_open_++};
  send(NetdRequest{id, std::move(command)});
  const Instant deadline = boot_now() + kOpenTimeout;
  while (!closed_) {
    flush();
    if (auto received = receive()) {
      if (received->answer.request != id) {
        results_.push_back({received->answer.request, std::move(received->answer.status)});
        continue;
      }
      QANAT_TRY(received->answer.status);
      if (!received->fd.valid()) return fail(ErrorKind::Internal, where, "the helper's answer held no descriptor");
      return std::move(received->fd);
    }
    if (closed_) break;
    const auto events = static_cast<short>(unsent_.empty() ? POLLIN : POLLIN | POLLOUT);
    if (!wait_for(socket_.get(), events, deadline)) {
      return fail(ErrorKind::Internal, where, "the privileged helper did not answer in time");
    }
  }
  return fail(ErrorKind::Internal, where, "the privileged helper has ended");
}

void NetdClient::post(RequestId request, gateway::HostCommand command) {
  posted_.push_back(request);
  if (closed_) {
    lose("it has ended");
    return;
  }
  send({request, std::visit([](auto& c) { return NetdCommand(std::move(c)); }, command)});
}

std::optional<gateway::HostResult> NetdClient::poll() {
  flush();
  if (results_.empty() && !closed_) {
    if (auto received = receive()) {
      results_.push_back({received->answer.request, std::move(received->answer.status)});
    }
  }
  if (results_.empty()) return std::nullopt;
  gateway::HostResult result = std::move(results_.front());
  results_.pop_front();
  const auto posted = std::ranges::find(posted_, result.request);
  if (posted != posted_.end()) posted_.erase(posted);
  return result;
}

void NetdClient::send(const NetdRequest& request) {
  for (Bytes& frame : encode_request(request)) unsent_.push_back(std::move(frame));
  flush();
}

void NetdClient::flush() {
  while (!unsent_.empty()) {
    const Bytes& frame = unsent_.front();
    if (::send(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == ENOBUFS) return;
      lose(errno_text(errno));
      return;
    }
    unsent_.pop_front();
  }
}

std::optional<NetdClient::Received> NetdClient::receive() {
  std::array<std::uint8_t, kMaxFrame> buffer{};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(int))> control{};
  iovec iov{buffer.data(), buffer.size()};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) lose(errno_text(errno));
    return std::nullopt;
  }
  if (size == 0) {
    lose("it closed the connection");
    return std::nullopt;
  }
  Received out;
  const cmsghdr* c = CMSG_FIRSTHDR(&header);
  if (c != nullptr && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
      c->cmsg_len == CMSG_LEN(sizeof(int))) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    out.fd = UniqueFd(fd);
  }
  auto answer = decode_answer(ByteView{buffer}.first(static_cast<std::size_t>(size)));
  if (!answer) {
    lose(answer.error().detail);
    return std::nullopt;
  }
  out.answer = std::move(*answer);
  return out;
}

void NetdClient::lose(std::string why) {
  closed_ = true;
  unsent_.clear();
  for (const RequestId request : posted_) {
    const bool answered = std::ranges::any_of(results_, [&](const auto& r) { return r.request == request; });
    if (!answered) results_.push_back({request, fail(ErrorKind::Internal, kWhere, why)});
  }
  posted_.clear();
}

}  // namespace qanat::io
