#include "io/webhook_post.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/text.hpp"
#include "control/webhook_url.hpp"
#include "io/clock.hpp"
#include "io/fd.hpp"

namespace qanat::io {

namespace {

using control::SendResult;
using Kind = SendResult::Kind;

SendResult again(std::string why) {
  return {Kind::Again, std::move(why)};
}

std::optional<IpAddress> address_of(const sockaddr* any) {
  if (any->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, any, sizeof in);
    return IpAddress::v4(ntohl(in.sin_addr.s_addr));
  }
  if (any->sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, any, sizeof in);
    return IpAddress::from_bytes(ByteView{in.sin6_addr.s6_addr, 16});
  }
  return std::nullopt;
}

struct Found {
  sockaddr_storage at{};
  socklen_t size = 0;
};

// The addresses of a host that may be connected to. An error: there are none, and whether that may change.
std::expected<std::vector<Found>, SendResult> look_up(const control::WebhookUrl& url, const WebhookWay& way) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &list);
  if (failed != 0)
    return std::unexpected(
        again(fmt::format("the name {} could not be looked up: {}", url.host, gai_strerror(failed))));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> keep(list, &::freeaddrinfo);
  std::vector<Found> out;
  std::string refused;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    const auto address = address_of(one->ai_addr);
    if (!address) continue;
    if (!control::is_webhook_address(*address, way.allowed)) {
      refused = address->to_string();
      continue;
    }
    if (out.size() == way.limits.addresses) break;
    Found& found = out.emplace_back();
    std::memcpy(&found.at, one->ai_addr, one->ai_addrlen);
    found.size = one->ai_addrlen;
  }
  if (out.empty())
    return std::unexpected(SendResult{
        Kind::Refused, fmt::format("{} means {}, which is no public address: [gateway] webhook_allow names those that "
                                   "webhooks may reach nevertheless",
                                   url.host, refused.empty() ? "no address" : refused)});
  return out;
}

class Connection {
 public:
  Connection(const WebhookWay& way, Instant until) : way_(way), until_(until) {}

  // nullopt: connected.
  [[nodiscard]] std::optional<SendResult> open(const Found& to) {
    fd_ = UniqueFd(::socket(to.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_.valid()) return again("no socket: " + errno_text(errno));
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to.at), to.size) == 0) return std::nullopt;
    if (errno != EINPROGRESS) return again("it cannot be reached: " + errno_text(errno));
    if (auto late = wait(POLLOUT, std::min(until_, boot_now() + way_.limits.connect))) return late;
    int error = 0;
    socklen_t size = sizeof error;
    (void)::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return again("it cannot be reached: " + errno_text(error));
    return std::nullopt;
  }

  [[nodiscard]] std::optional<SendResult> send(std::string_view octets) {
    while (!octets.empty()) {
      const ssize_t sent = ::send(fd_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        octets.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN || errno == EINTR) {
        if (auto late = wait(POLLOUT, until_)) return late;
      } else {
        return again("the connection broke: " + errno_text(errno));
      }
    }
    return std::nullopt;
  }

  // Empty: the other side has closed.
  [[nodiscard]] std::expected<ByteView, SendResult> receive() {
    while (true) {
      const ssize_t got = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
      if (got >= 0) return ByteView{buffer_}.first(static_cast<std::size_t>(got));
      if (errno != EAGAIN && errno != EINTR)
        return std::unexpected(again("the connection broke: " + errno_text(errno)));
      if (auto late = wait(POLLIN, until_)) return std::unexpected(*std::move(late));
    }
  }

 private:
  [[nodiscard]] std::optional<SendResult> wait(short events, Instant until) {
    const Duration left = until - boot_now();
    if (left <= Duration::zero()) return again("it took too long");
    std::array<pollfd, 2> fds = {{{fd_.get(), events, 0}, {way_.stop_fd, POLLIN, 0}}};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count() + 1;
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(ms));
    if (ready == 0) return again("it took too long");
    if (fds[1].revents != 0) return again("the daemon stops");
    return std::nullopt;
  }

  const WebhookWay& way_;
  Instant until_;
  UniqueFd fd_;
  std::array<std::uint8_t, 16 * 1024> buffer_{};
};

// The status of the first answer in `head` that is not 1xx; nullopt: more is needed. 0: no HTTP.
std::optional<int> status_of(std::string& head) {
  while (true) {
    const std::size_t end = head.find("\r\n\r\n");
    const std::string_view line = std::string_view{head}.substr(0, head.find("\r\n"));
    constexpr std::string_view kBegin = "HTTP/1.";
    const std::size_t known = std::min(head.size(), kBegin.size());
    if (std::string_view{head}.substr(0, known) != kBegin.substr(0, known)) return 0;
    if (end == std::string::npos) return std::nullopt;
    int status = 0;
    if (line.size() < 12 || line[8] != ' ' ||
        std::from_chars(line.data() + 9, line.data() + 12, status).ptr != line.data() + 12 || status < 100)
      return 0;
    if (status >= 200) return status;
    head.erase(0, end + 4);
  }
}

SendResult judge(int status) {
  if (status >= 200 && status < 300) return {Kind::Delivered, std::to_string(status)};
  if (status == 408 || status == 429 || status >= 500) return again(fmt::format("it answered {}", status));
  if (status >= 300 && status < 400)
    return {Kind::Refused, fmt::format("it answered {}: redirects are not followed, name the place itself", status)};
  return {Kind::Refused, status == 0 ? "it does not answer in HTTP/1.1" : fmt::format("it answered {}", status)};
}

SendResult exchange(Connection& connection, TlsChannel& tls, const std::string& request, const WebhookLimits& limits) {
  std::string head;
  ByteView wire;
  bool asked = false;
  while (true) {
    const Status fed = tls.feed(wire, head);
    if (auto failed = connection.send(tls.take_output())) return *std::move(failed);
    if (!fed) {
      const std::string distrust = tls.distrust();
      return again(distrust.empty() ? "TLS failed: " + fed.error().detail
                                    : "its certificate is not believed: " + distrust);
    }
    if (tls.is_open() && !asked) {
      asked = true;
      if (const Status written = tls.write(request); !written) return again("TLS failed: " + written.error().detail);
      if (auto failed = connection.send(tls.take_output())) return *std::move(failed);
    }
    if (const auto status = status_of(head)) {
      tls.close();
      (void)connection.send(tls.take_output());
      return judge(*status);
    }
    if (head.size() > limits.head) return {Kind::Refused, "the head of its answer is too large"};
    auto got = connection.receive();
    if (!got) return std::move(got.error());
    if (got->empty()) return again("it closed the connection without an answer");
    wire = *got;
  }
}

}  // namespace

SendResult post_webhook(const WebhookWay& way, const control::AlertSend& send) {
  const auto url = control::parse_webhook_url(send.url);
  if (!url) return {Kind::Refused, "the URL " + url.error().detail};
  auto addresses = look_up(*url, way);
  if (!addresses) return std::move(addresses.error());
  std::string request = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: qanat\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "x-qanat-notification-id: {}\r\n",
      url->target, url->authority, send.body.size(), send.id);
  if (send.secret) {
    const ByteView secret = send.secret->expose();
    request += "cf-webhook-auth: ";
    request.append(reinterpret_cast<const char*>(secret.data()), secret.size());
    request += "\r\n";
  }
  request += "Connection: close\r\n\r\n" + send.body;
  const Instant until = boot_now() + way.limits.all;
  SendResult out = again("it took too long");
  for (const Found& to : *addresses) {
    Connection connection(way, until);
    if (auto failed = connection.open(to)) {
      out = *std::move(failed);
      continue;  // another address may be reachable
    }
    TlsChannel tls(way.tls, url->host);
    out = exchange(connection, tls, request, way.limits);
    break;
  }
  wipe(request.data(), request.size());
  return out;
}

}  // namespace qanat::io
