// What a listener on TCP grants to whom: limits, times, streams, the gate before a body.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/http_server.hpp"

namespace qanat::io {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class HttpLimitsTest : public ::testing::Test {
 protected:
  void start(HttpServer::Options options, HttpServer::Handler handler = {}) {
    if (!handler) {
      handler = [](const control::Request& request, const HttpServer::Peer&, const HttpServer::Reply& reply) {
        reply({200, {{"Content-Type", "text/plain"}}, request.method + " " + request.target + " " + request.body});
      };
    }
    auto listener = open_tcp_listener({*IpAddress::parse("127.0.0.1"), 0}, "test", 1024);
    ASSERT_TRUE(listener);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ASSERT_EQ(::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    auto server = HttpServer::start(std::move(*listener), std::move(handler), std::move(options));
    ASSERT_TRUE(server);
    server_ = std::move(*server);
  }
  [[nodiscard]] UniqueFd connect(std::uint32_t from = INADDR_LOOPBACK) const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(from);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval patience{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }
  static void send(const UniqueFd& fd, std::string_view text) {
    (void)::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
  }
  static std::string receive(const UniqueFd& fd, const std::string& stop = {}) {
    std::string out;
    char buffer[4096];
    while (stop.empty() || out.find(stop) == std::string::npos) {
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) break;
      out.append(buffer, static_cast<std::size_t>(n));
    }
    return out;
  }
  [[nodiscard]] std::string ask(const std::string& request, std::uint32_t from = INADDR_LOOPBACK) const {
    const UniqueFd fd = connect(from);
    send(fd, request);
    return receive(fd);
  }

  std::uint16_t port_ = 0;
  std::unique_ptr<HttpServer> server_;
};

constexpr const char* kGet = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

TEST_F(HttpLimitsTest, HandlersSeeHeadersInLowerCaseAndTheAddress) {
  start({}, [](const control::Request& request, const HttpServer::Peer& peer, const HttpServer::Reply& reply) {
    std::string text = peer.address->to_string() + peer.tls_group;
    for (const auto& [name, value] : request.headers) text += "|" + name + "=" + value;
    reply({200, {}, text});
  });
  EXPECT_THAT(ask("GET / HTTP/1.1\r\nHost: h\r\nX-Magic-New-HC-Target:  true \r\nConnection: close\r\n\r\n"),
              HasSubstr("\r\n\r\n127.0.0.1|host=h|x-magic-new-hc-target=true|connection=close"));
}

TEST_F(HttpLimitsTest, HeadIsGetWithoutItsBody) {
  start({});
  const std::string head = ask("HEAD /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
}

TEST_F(HttpLimitsTest, RequestsMayComeBeforeTheirTurnAndInPieces) {
  start({});
  const UniqueFd fd = connect();
  std::string all;
  for (int i = 0; i < 100; ++i)
    all += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  all += kGet;
  for (std::size_t at = 0; at < all.size(); at += 333) send(fd, std::string_view{all}.substr(at, 333));
  const std::string answers = receive(fd);
  EXPECT_THAT(answers, HasSubstr("POST /0 abc"));
  EXPECT_THAT(answers, HasSubstr("POST /99 abc"));
  EXPECT_THAT(answers, EndsWith("GET /x "));
  EXPECT_EQ(server_->counters().requests, 101U);
}

TEST_F(HttpLimitsTest, WhoeverWaitsForAnAnswerMayCloseItsHalf) {
  start({}, [](const control::Request&, const HttpServer::Peer&, HttpServer::Reply reply) {
    std::thread([reply = std::move(reply)] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      reply({200, {}, "late"});
    }).detach();
  });
  const UniqueFd fd = connect();
  send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ::shutdown(fd.get(), SHUT_WR);
  EXPECT_THAT(receive(fd), EndsWith("late"));
}

TEST_F(HttpLimitsTest, TheGateSpeaksBeforeABodyIsRead) {
  HttpServer::Options options;
  options.gate = [](control::Request& request, const HttpServer::Peer&) -> std::optional<control::Reply> {
    for (const auto& [name, value] : request.headers) {
      if (name == "authorization") {
        request.principal.name = value;
        return std::nullopt;
      }
    }
    return control::error_reply(401, "unauthorized", "no token");
  };
  start(std::move(options),
        [](const control::Request& request, const HttpServer::Peer&, const HttpServer::Reply& reply) {
          reply({200, {}, request.principal.name + " " + request.body});
        });
  const UniqueFd fd = connect();
  send(fd, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\nExpect: 100-continue\r\n\r\n");
  const std::string refused = receive(fd, "no token");
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(refused, Not(HasSubstr("100 Continue")));
  EXPECT_THAT(refused, HasSubstr("Connection: close"));

  const UniqueFd other = connect();
  send(other, "POST /x HTTP/1.1\r\nHost: h\r\nAuthorization: me\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(receive(other, "\r\n\r\n"), StartsWith("HTTP/1.1 100 Continue\r\n\r\n"));
  send(other, "abc");
  EXPECT_THAT(receive(other, "abc"), HasSubstr("me abc"));
}

TEST_F(HttpLimitsTest, WhoeverIsSlowIsClosed) {
  HttpServer::Options options;
  options.limits.idle = 100ms;
  options.limits.receive = 200ms;
  start(std::move(options));
  EXPECT_EQ(receive(connect()), "") << "says nothing";
  const UniqueFd dripping = connect();
  for (int i = 0; i < 40; ++i) {
    send(dripping, i == 0 ? "GET / HTTP/1.1\r\nA: " : "x");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(receive(dripping), "") << "each octet is in time, the request is not";
  EXPECT_EQ(server_->counters().timed_out, 1U);
  EXPECT_THAT(ask(kGet), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpLimitsTest, OneAddressOnlyTakesItsOwnRoom) {
  HttpServer::Options options;
  options.limits.connections = 20;
  options.limits.per_address = 10;
  options.limits.make_room = true;
  start(std::move(options));
  const std::uint32_t other = INADDR_LOOPBACK + 1;
  const UniqueFd kept = connect(other);
  send(kept, "GET /first HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(receive(kept, "/first "), StartsWith("HTTP/1.1 200"));
  std::vector<UniqueFd> held;
  for (int i = 0; i < 300; ++i) {
    held.push_back(connect());
    send(held.back(), "GET / HT");
  }
  EXPECT_THAT(ask(kGet), StartsWith("HTTP/1.1 200")) << "the newest is heard, of the same address too";
  EXPECT_THAT(ask(kGet, other), StartsWith("HTTP/1.1 200"));
  send(kept, "GET /second HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(receive(kept, "/second "), StartsWith("HTTP/1.1 200")) << "and nobody else was closed";
  const HttpServer::Counters counters = server_->counters();
  EXPECT_LE(counters.open, 11U);
  EXPECT_GE(counters.made_room, 290U);
}

TEST_F(HttpLimitsTest, ManyAddressesCloseTheOldestOfTheLargest) {
  HttpServer::Options options;
  options.limits.connections = 20;
  options.limits.per_address = 10;
  options.limits.make_room = true;
  start(std::move(options));
  std::vector<UniqueFd> held;
  for (std::uint32_t i = 0; i < 200; ++i) held.push_back(connect(INADDR_LOOPBACK + 1 + i / 4));
  for (int i = 0; i < 20; ++i) EXPECT_THAT(ask(kGet), StartsWith("HTTP/1.1 200"));
  EXPECT_LE(server_->counters().open, 20U);
}

// --- streams

class Tap : public control::BodyStream {
 public:
  explicit Tap(std::atomic<bool>& gone) : gone_(gone) {}
  ~Tap() override { gone_ = true; }
  Piece pull(std::size_t at_most) override {
    const std::lock_guard lock(mutex_);
    ++pulls;
    Piece out;
    out.octets = text_.substr(at_, at_most);
    at_ += out.octets.size();  // not erased: moving megabytes for every piece took ThreadSanitizer seconds
    out.end = at_ == text_.size() && ended_;
    return out;
  }
  void on_more(std::function<void()> wake) override { wake_ = std::move(wake); }
  void say(const std::string& text, bool end = false) {
    {
      const std::lock_guard lock(mutex_);
      text_ += text;
      ended_ = end;
    }
    wake_();
  }
  std::atomic<int> pulls{0};

 private:
  std::mutex mutex_;
  std::string text_;
  std::size_t at_ = 0;
  bool ended_ = false;
  std::function<void()> wake_;
  std::atomic<bool>& gone_;
};

class HttpStreamTest : public HttpLimitsTest {
 protected:
  void start_taps(HttpServer::Options options = {}) {
    start(std::move(options), [this](const control::Request&, const HttpServer::Peer&, const HttpServer::Reply& reply) {
      auto tap = std::make_shared<Tap>(gone_);
      control::Reply r{200, {{"Content-Type", "text/plain"}}, {}, tap};
      {
        const std::lock_guard lock(mutex_);
        tap_ = tap;
      }
      reply(std::move(r));
    });
  }
  std::shared_ptr<Tap> tap() {
    while (true) {
      {
        const std::lock_guard lock(mutex_);
        if (auto at = tap_.lock(); at && at->pulls > 0) return at;
      }
      std::this_thread::yield();
    }
  }
  void wait_gone() {
    for (int i = 0; i < 1000 && !gone_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(gone_);
  }
  std::mutex mutex_;
  std::weak_ptr<Tap> tap_;
  std::atomic<bool> gone_{false};
};

TEST_F(HttpStreamTest, PiecesGoOutAsTheyAreMade) {
  start_taps();
  const UniqueFd fd = connect();
  send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(receive(fd, "\r\n\r\n"), HasSubstr("Transfer-Encoding: chunked"));
  tap()->say("hello");
  EXPECT_EQ(receive(fd, "hello\r\n"), "5\r\nhello\r\n");
  tap()->say(std::string(40'000, 'x'));
  EXPECT_THAT(receive(fd, "1c40\r\n" + std::string(7232, 'x')), StartsWith("4000\r\n"));
  tap()->say("end", true);
  EXPECT_THAT(receive(fd, "0\r\n\r\n"), EndsWith("3\r\nend\r\n0\r\n\r\n"));
  wait_gone();
  // And the connection goes on.
  send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(receive(fd, "\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpStreamTest, ItGoesWithItsReader) {
  start_taps();
  {
    const UniqueFd fd = connect();
    send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    receive(fd, "\r\n\r\n");
    (void)tap();
  }
  wait_gone();
}

TEST_F(HttpStreamTest, AReaderThatStopsReadingHoldsOneBuffer) {
  HttpServer::Options options;
  options.limits.send = 300ms;
  start_taps(std::move(options));
  const UniqueFd fd = connect();
  const int small = 4096;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  send(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  receive(fd, "\r\n\r\n");
  const auto held = tap();
  const std::string much(std::size_t{16} << 20, 'x');
  held->say(much);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(held->pulls, 600) << "of the thousand pieces that there are, those that the kernel's buffers take";
  for (int i = 0; i < 500 && server_->counters().open > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server_->counters().open, 0U) << "closed when nothing moves any more";
}

TEST_F(HttpStreamTest, ThereAreOnlySoMany) {
  HttpServer::Options options;
  options.limits.streams = 2;
  start_taps(std::move(options));
  const UniqueFd one = connect();
  const UniqueFd two = connect();
  for (const UniqueFd* fd : {&one, &two}) {
    send(*fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_THAT(receive(*fd, "\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_THAT(ask(kGet), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(ask("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST_F(HttpStreamTest, OldClientsReadUntilTheEnd) {
  start_taps();
  const UniqueFd fd = connect();
  send(fd, "GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(receive(fd, "\r\n\r\n"), HasSubstr("Connection: close"));
  tap()->say("all", true);
  EXPECT_EQ(receive(fd), "all");
}

}  // namespace
}  // namespace qanat::io
