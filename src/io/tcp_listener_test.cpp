// HTTP over TCP, as [gateway] metrics has it.
#include <array>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/http_server.hpp"

namespace qanat::io {
namespace {

using ::testing::HasSubstr;

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

std::string ask(std::uint16_t port, const std::string& request) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::write(fd.get(), request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string out;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(fd.get(), buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(got));
  return out;
}

TEST(TcpListener, SpeaksHttp) {
  const Endpoint any_port{IpAddress::parse("127.0.0.1").value(), 0};
  auto listener = open_tcp_listener(any_port);
  ASSERT_TRUE(listener) << listener.error().detail;
  const std::uint16_t port = port_of(listener->get());
  auto server = HttpServer::start(std::move(*listener), [](const control::Request& request, const HttpServer::Peer&,
                                                           const HttpServer::Reply& reply) {
    reply({200, {{"Content-Type", "text/plain"}}, "you asked for " + request.target});
  });
  ASSERT_TRUE(server);
  const std::string answer = ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("you asked for /metrics"));
  EXPECT_THAT(ask(port, "no HTTP\r\n\r\n"), HasSubstr("400"));
}

TEST(TcpListener, AnAddressThatIsTakenOrNotOursIsAnError) {
  auto first = open_tcp_listener({IpAddress::parse("127.0.0.1").value(), 0});
  ASSERT_TRUE(first);
  const auto second = open_tcp_listener({IpAddress::parse("127.0.0.1").value(), port_of(first->get())});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().where, HasSubstr("metrics at 127.0.0.1:"));
  EXPECT_FALSE(open_tcp_listener({IpAddress::parse("192.0.2.1").value(), 9470}));
}

}  // namespace
}  // namespace qanat::io
