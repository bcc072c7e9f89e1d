// HttpServer with TLS, over sockets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "io/http_server.hpp"
#include "io/tls_testing.hpp"

namespace qanat::io {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

class TlsServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = open_tcp_listener({*IpAddress::parse("127.0.0.1"), 0}, "api");
    ASSERT_TRUE(listener);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ASSERT_EQ(::getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    HttpServer::Options options;
    options.tls = testing::make_context();
    options.limits.handshake = 300ms;
    auto server = HttpServer::start(
        std::move(*listener),
        [](const control::Request& request, const HttpServer::Peer& peer, const HttpServer::Reply& reply) {
          reply({200, {}, peer.tls_group + " " + std::to_string(request.body.size()) + std::string(200'000, '.')});
        },
        std::move(options));
    ASSERT_TRUE(server);
    server_ = std::move(*server);
  }
  [[nodiscard]] UniqueFd connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval patience{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  }
  static void send(const UniqueFd& fd, const std::string& octets) {
    for (std::size_t at = 0; at < octets.size();) {
      const ssize_t n = ::send(fd.get(), octets.data() + at, octets.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  // The plaintext until the server's end.
  std::string ask(testing::TlsClient& client, const std::string& request) const {
    const UniqueFd fd = connect();
    std::string out;
    char buffer[4096];
    bool asked = false;
    while (true) {
      if (!asked && client.handshake()) {
        client.write(request);
        asked = true;
      }
      send(fd, client.take_output());
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return out;
      client.feed({buffer, static_cast<std::size_t>(n)});
      if (asked) out += client.read();
    }
  }

  std::uint16_t port_ = 0;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(TlsServerTest, AnswersAndCountsTheGroups) {
  testing::TlsClient hybrid;
  const std::string answer =
      ask(hybrid, "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n" +
                      std::string(60'000, 'x'));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nX25519MLKEM768 60000" + std::string(200'000, '.')));
  EXPECT_NE(SSL_get_shutdown(hybrid.native()) & SSL_RECEIVED_SHUTDOWN, 0) << "the end is authentic";
  testing::TlsClient classical("X25519");
  EXPECT_THAT(ask(classical, "GET / HTTP/1.0\r\n\r\n"), ::testing::HasSubstr("\r\n\r\nX25519 0..."));
  testing::TlsClient old("X25519", TLS1_2_VERSION);
  EXPECT_EQ(ask(old, "GET / HTTP/1.0\r\n\r\n"), "");
  const HttpServer::Counters counters = server_->counters();
  EXPECT_EQ(counters.hybrid, 1U);
  EXPECT_EQ(counters.classical, 1U);
  EXPECT_EQ(counters.failed_tls, 1U);
}

TEST_F(TlsServerTest, PlainHttpAndSilenceEnd) {
  const UniqueFd plain = connect();
  send(plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  char buffer[512];
  ssize_t n = 0;
  std::string got;
  while ((n = ::recv(plain.get(), buffer, sizeof buffer, 0)) > 0) got.append(buffer, static_cast<std::size_t>(n));
  EXPECT_EQ(got.find("HTTP"), std::string::npos);
  const UniqueFd silent = connect();
  EXPECT_EQ(::recv(silent.get(), buffer, sizeof buffer, 0), 0);
  EXPECT_EQ(server_->counters().timed_out, 1U);
}

TEST_F(TlsServerTest, ANewCertificateCountsFromTheNextConnection) {
  const auto first = testing::make_context();
  testing::TlsClient before;
  ask(before, "GET / HTTP/1.0\r\n\r\n");
  server_->use_tls(first);
  testing::TlsClient after;
  EXPECT_THAT(ask(after, "GET / HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 200"));
  X509* const shown = SSL_get0_peer_certificate(after.native());
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(X509_cmp(shown, SSL_CTX_get0_certificate(first->native())), 0);
  EXPECT_NE(X509_cmp(SSL_get0_peer_certificate(before.native()), shown), 0);
}

}  // namespace
}  // namespace qanat::io
