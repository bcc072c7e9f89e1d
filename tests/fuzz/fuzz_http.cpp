// Any octets on a connection of the HTTP listener, in pieces of any size: the session that the daemon has, over a
// socket pair, with the daemon's gate and the API's dispatcher behind it. What is answered is HTTP, a handler sees only
// what the gate has let in and the limits allow, and a connection that has ended leaves nothing.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <sys/socket.h>
#include <unistd.h>

#include "control/access.hpp"
#include "control/static_files.hpp"
#include "io/http_session.hpp"

namespace {

using namespace qanat;

constexpr std::string_view kToken = "qanat_0123456789abcdef_right";

// Three pieces, one of which is not there at once.
class Pieces : public control::BodyStream {
 public:
  Piece pull(std::size_t at_most) override {
    ++pulled_;
    if (pulled_ == 2) {
      wake_();
      return {};
    }
    return {std::string(std::min<std::size_t>(at_most, 300), 'x'), pulled_ == 4};
  }
  void on_more(std::function<void()> wake) override { wake_ = std::move(wake); }

 private:
  int pulled_ = 0;
  std::function<void()> wake_;
};

struct Front {
  std::shared_ptr<io::HttpServer::Impl> server = std::make_shared<io::HttpServer::Impl>();
  control::Access access{{{1e9, 1e9}, {1e9, 1e9}, {1e9, 1e9}}};
  control::Snapshot snapshot;
  bool admitted = false;

  Front() {
    server->options.limits.body = 4096;
    control::Principal who;
    who.local = false;
    server->options.gate = [this, who](control::Request& request, const io::HttpServer::Peer& peer) {
      auto refused = access.admit(request, *peer.address, Instant{}, [&who](std::string_view bearer) {
        return bearer == kToken ? std::optional(who) : std::nullopt;
      });
      admitted = !refused;
      return refused;
    };
    server->handler = [this](const control::Request& request, const io::HttpServer::Peer&,
                             const io::HttpServer::Reply& reply) { answer(request, reply); };
  }

  void answer(const control::Request& request, const io::HttpServer::Reply& reply) {
    ensure(admitted, "nobody is heard whom the gate has not let in");
    admitted = false;
    ensure(request.body.size() <= 4096, "a body is within its limit");
    ensure(!request.method.empty() && request.method != "HEAD", "a method");
    ensure(request.target.find_first_of("\r\n ") == std::string::npos, "a target is one word");
    for (const auto& [name, value] : request.headers) {
      ensure(std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }), "names are lower");
      ensure(value.find_first_of("\r\n") == std::string::npos, "a value is one line");
      ensure(name != "authorization", "a token goes no further than the gate");
    }
    if (control::is_page_target(request.target)) return reply(control::static_reply({}, request));
    auto outcome = control::handle(request, snapshot);
    if (auto* ready = std::get_if<control::Reply>(&outcome)) return reply(std::move(*ready));
    if (std::holds_alternative<control::EventStreamWish>(outcome))
      return reply({200, {{"Content-Type", "text/event-stream"}}, {}, std::make_shared<Pieces>()});
    reply(control::error_reply(409, "up_failed", "nothing is up here"));
  }

  void turn() {
    server->io.restart();
    server->io.poll();
  }
};

std::string read_all(int fd) {
  std::string out;
  std::array<char, 16 * 1024> piece{};
  for (;;) {
    const auto size = ::recv(fd, piece.data(), piece.size(), MSG_DONTWAIT);
    if (size <= 0) return out;
    out.append(piece.data(), static_cast<std::size_t>(size));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static Front front;
  std::array<int, 2> ends{};
  ensure(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "a socket pair");
  {
    io::HttpProtocol::socket socket{front.server->io, io::HttpProtocol(AF_UNIX, 0), ends[0]};
    io::HttpServer::Peer peer;
    peer.address = IpAddress::v4(0x7f000001);
    std::make_shared<io::HttpSession>(*front.server, std::move(socket), std::move(peer))->start();
  }
  std::string heard;
  const std::size_t cut = data[0] == 0 ? size : data[0];
  for (std::size_t at = 1; at < size; at += cut) {
    if (::send(ends[1], data + at, std::min(cut, size - at), MSG_NOSIGNAL) < 0) break;
    front.turn();
    heard += read_all(ends[1]);
  }
  ::shutdown(ends[1], SHUT_WR);
  front.turn();
  heard += read_all(ends[1]);
  ::close(ends[1]);
  front.turn();
  ensure(heard.empty() || heard.starts_with("HTTP/1.1 ") || heard.starts_with("HTTP/1.0 "), "what is said is HTTP");
  ensure(front.server->sessions.empty() && front.server->per_address.empty() && front.server->streams == 0 &&
             front.server->counters.open == 0,
         "a connection that has ended leaves nothing");
  return 0;
}
