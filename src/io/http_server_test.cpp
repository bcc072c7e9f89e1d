#include "io/http_server.hpp"

#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace qanat::io {
namespace {

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/qanat-http-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern), nullptr);
    dir_ = pattern;
    path_ = dir_ + "/sock";
  }
  void TearDown() override {
    server_.reset();
    ::unlink(path_.c_str());
    ::rmdir(dir_.c_str());
  }

  void start(HttpServer::Handler handler) {
    auto listener = open_control_socket(path_, "");
    ASSERT_TRUE(listener) << listener.error().detail;
    auto server = HttpServer::start(std::move(*listener), std::move(handler));
    ASSERT_TRUE(server);
    server_ = std::move(*server);
  }
  void start_echo() {
    start([](control::Request request, const HttpServer::Peer& peer, HttpServer::Reply reply) {
      control::Reply r;
      r.headers = {{"Content-Type", "text/plain"}};
      r.body = request.method + " " + request.target + " " + std::to_string(peer.uid) + " " + request.body;
      reply(std::move(r));
    });
  }

  UniqueFd connect() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval patience{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }
  static void send(const UniqueFd& fd, const std::string& text) {
    std::size_t at = 0;
    while (at < text.size()) {
      const ssize_t n = ::send(fd.get(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  // Until the end of the connection, or until `stop` was seen.
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
  std::string ask(const std::string& request) {
    const UniqueFd fd = connect();
    send(fd, request);
    return receive(fd);
  }

  std::string dir_;
  std::string path_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersRequestsOnOneConnection) {
  start_echo();
  const UniqueFd fd = connect();
  send(fd, "GET /v1/status?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string first = receive(fd, "/v1/status?x=1 ");
  EXPECT_EQ(first.find("HTTP/1.1 200 OK\r\n"), 0U) << first;
  EXPECT_NE(first.find("GET /v1/status?x=1 " + std::to_string(::getuid())), std::string::npos) << first;
  EXPECT_NE(first.find("Content-Length: "), std::string::npos);
  send(fd, "POST /a HTTP/1.1\r\nHost: l\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
  const std::string second = receive(fd);
  EXPECT_NE(second.find("POST /a " + std::to_string(::getuid()) + " abc"), std::string::npos) << second;
  EXPECT_EQ(ask("HEAD / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n").find("HEAD /"), std::string::npos);
}

TEST_F(HttpServerTest, TakesReplyFromAnotherThreadAndOnlyOnce) {
  std::mutex mutex;
  std::vector<std::thread> threads;
  start([&](control::Request, const HttpServer::Peer&, HttpServer::Reply reply) {
    const std::lock_guard lock(mutex);
    threads.emplace_back([reply] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      reply({201, {}, "first"});
      reply({500, {}, "second"});
    });
  });
  const std::string got = ask("GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(got.find("HTTP/1.1 201"), 0U) << got;
  EXPECT_NE(got.find("first"), std::string::npos);
  EXPECT_EQ(got.find("second"), std::string::npos);
  server_.reset();
  for (std::thread& t : threads) t.join();
}

TEST_F(HttpServerTest, AReplyAfterTheEndIsHarmless) {
  HttpServer::Reply late;
  std::atomic<bool> asked = false;
  start([&](control::Request, const HttpServer::Peer&, HttpServer::Reply reply) {
    late = std::move(reply);
    asked = true;
  });
  const UniqueFd fd = connect();
  send(fd, "GET / HTTP/1.1\r\nHost: l\r\n\r\n");
  while (!asked) std::this_thread::yield();
  server_.reset();
  late({200, {}, "nobody listens"});
  EXPECT_EQ(receive(fd), "");
}

TEST_F(HttpServerTest, RefusesBadRequestsAndLives) {
  start_echo();
  EXPECT_EQ(ask("rubbish\r\n\r\n").find("HTTP/1.1 400"), 0U);
  EXPECT_EQ(ask("GET / HTTP/9.9\r\n\r\n").find("HTTP/1.1 400"), 0U);
  EXPECT_EQ(ask(std::string("\0\xff\x16\x03\x01", 5) + "\r\n\r\n").find("HTTP/1.1 400"), 0U);
  EXPECT_EQ(ask("POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n").find("HTTP/1.1 400"), 0U);
  EXPECT_EQ(ask("POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n" + std::string(65537, 'x')).find("HTTP/1.1 413"), 0U);
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nA: " + std::string(9000, 'x') + "\r\n\r\n").find("HTTP/1.1 431"), 0U);
  EXPECT_EQ(ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n").find("HTTP/1.1 4"), 0U);
  const std::string largest =
      ask("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 65536\r\n\r\n" + std::string(65536, 'x'));
  EXPECT_EQ(largest.find("HTTP/1.1 200"), 0U);
  {
    const UniqueFd half = connect();
    send(half, "GET / HT");
  }  // and gone
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n").find("HTTP/1.1 200"), 0U);
}

TEST_F(HttpServerTest, HoldsMoreConnectionsThanItServesAtOnce) {
  start_echo();
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 64; ++i) {
    idle.push_back(connect());
    send(idle.back(), "GET / HTTP/1.1\r\nHost: l\r\n\r\n");
    EXPECT_NE(receive(idle.back(), "GET / "), "");
  }
  const UniqueFd waiting = connect();
  send(waiting, "GET /waited HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n");
  idle.pop_back();
  EXPECT_NE(receive(waiting).find("GET /waited"), std::string::npos);
}

TEST_F(HttpServerTest, ReplacesAStaleSocketAndNothingElse) {
  {
    const auto gone = open_control_socket(path_, "");
    ASSERT_TRUE(gone);
  }
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);  // the file stays behind
  EXPECT_EQ(info.st_mode & 0777, 0660U);
  start_echo();
  const auto second = open_control_socket(path_, "");
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().detail.find("another qanatd"), std::string::npos);
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").find("HTTP/1.1 200"), 0U);

  EXPECT_FALSE(open_control_socket("relative", ""));
  EXPECT_FALSE(open_control_socket("/" + std::string(200, 'x'), ""));
  EXPECT_TRUE(open_control_socket(dir_ + "/new/sock", "")) << "its folder is made";
  ::unlink((dir_ + "/new/sock").c_str());
  ::rmdir((dir_ + "/new").c_str());
  EXPECT_FALSE(open_control_socket(dir_ + "/no/such/sock", "")) << "but not a path of folders";
  EXPECT_FALSE(open_control_socket(dir_, ""));  // a directory is left alone
}

}  // namespace
}  // namespace qanat::io
