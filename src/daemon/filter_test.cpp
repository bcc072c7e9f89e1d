// Packets through the protection: two network namespaces joined by a wire, an "outside" that sends with any source, and
// a gateway that must not take what belongs behind a tunnel. RFC 4301 5.2.
#include <csignal>
#include <functional>
#include <optional>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon/netd.hpp"
#include "daemon/netd_protection.hpp"
#include "io/esp_socket.hpp"
#include "io/netns_testing.hpp"
#include "io/tun_device.hpp"
#include "io/udp_socket.hpp"

namespace qanat::daemon {
namespace {

using io::testing::in_fresh_netns;
using io::testing::shell;

enum class Expect : std::uint8_t { Arrives, Drops };
int patience(Expect expected) {
  return expected == Expect::Arrives ? 3000 : 120;
}

// A child in a namespace of its own that holds one end of the wire "wan0" <-> "out0", and runs commands for us.
class Outside {
 public:
  Outside() {
    int ready[2];
    EXPECT_EQ(::pipe2(ready, 0), 0);
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ready[0]);
      const bool ok = ::unshare(CLONE_NEWNET) == 0 && ::write(ready[1], "x", 1) == 1;
      while (ok) ::pause();
      ::_exit(1);
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    shell("ip link add wan0 type veth peer name out0; ip link set out0 netns " + std::to_string(pid_));
    in("ip link set lo up; ip link set out0 up; ip addr add 192.0.2.1/24 dev out0; ip -6 addr add 2001:db8:1::1/64 dev "
       "out0 nodad");
  }
  ~Outside() {
    ::kill(pid_, SIGKILL);
    (void)::waitpid(pid_, nullptr, 0);
  }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

  std::string in(const std::string& command) const {
    return shell("nsenter -t " + std::to_string(pid_) + " -n sh -c '" + command + "'");
  }
  // Opens a UDP socket there with this source address, which need not be configured anywhere.
  void send_udp(const std::string& source, const std::string& to, std::uint16_t port, std::size_t size = 5) const {
    run([&] {
      const bool v6 = source.find(':') != std::string::npos;
      const int on = 1;
      const io::UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0));
      ::setsockopt(fd.get(), v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP}, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on,
                   sizeof on);
      auto socket = io::UdpSocket::adopt(io::UniqueFd(::dup(fd.get()))).value();
      return socket.send(*IpAddress::parse(source), {*IpAddress::parse(to), port}, 0, io::Df::Clear,
                         Bytes(size, 'x')) == io::SendOutcome::Sent;
    });
  }
  // Does a UDP datagram to port 7777 arrive there that `send` sends?
  bool hears(const char* at, Expect expected, const std::function<void()>& send) const {
    int ready[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      if (!enter()) ::_exit(2);
      auto socket =
          io::UdpSocket::adopt(io::open_udp_socket({*IpAddress::parse(at), 7777}, 0, io::ReusePort::No).value())
              .value();
      if (::write(ready[1], "x", 1) != 1) ::_exit(2);
      pollfd p{socket.fd(), POLLIN, 0};
      ::_exit(::poll(&p, 1, patience(expected)) == 1 ? 0 : 1);
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
    send();
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 0;
  }
  // One packet of another protocol, as octets after the IP header.
  void send_raw(const std::string& source, const std::string& to, int protocol, const Bytes& data) const {
    run([&] {
      const bool v6 = source.find(':') != std::string::npos;
      const int on = 1;
      const io::UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW, protocol));
      ::setsockopt(fd.get(), v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP}, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on,
                   sizeof on);
      sockaddr_storage from{};
      sockaddr_storage dest{};
      const auto fill = [&](sockaddr_storage& a, const std::string& text) {
        a.ss_family = v6 ? AF_INET6 : AF_INET;
        void* at = v6 ? static_cast<void*>(&reinterpret_cast<sockaddr_in6*>(&a)->sin6_addr)
                      : static_cast<void*>(&reinterpret_cast<sockaddr_in*>(&a)->sin_addr);
        ::inet_pton(a.ss_family, text.c_str(), at);
      };
      fill(from, source);
      fill(dest, to);
      const socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
      return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), size) == 0 &&
             ::sendto(fd.get(), data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&dest), size) ==
                 static_cast<ssize_t>(data.size());
    });
  }

 private:
  [[nodiscard]] bool enter() const {
    const std::string path = "/proc/" + std::to_string(pid_) + "/ns/net";
    const io::UniqueFd ns(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return ::setns(ns.get(), CLONE_NEWNET) == 0;
  }
  void run(const std::function<bool()>& body) const {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(enter() && body() ? 0 : 1);
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the outside could not send";
  }
  pid_t pid_ = -1;
};

class FilterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
  }
};

// The gateway's side of the wire, in the calling process's namespace.
struct Gateway {
  Gateway() {
    shell(
        "ip link set lo up; ip link set wan0 up; ip addr add 192.0.2.2/24 dev wan0; ip route add default via 192.0.2.1;"
        "ip -6 addr add 2001:db8:1::2/64 dev wan0 nodad; ip -6 route add default via 2001:db8:1::1;"
        "sysctl -qw net.ipv4.conf.all.rp_filter=0; sysctl -qw net.ipv4.conf.wan0.rp_filter=0");
    for (const std::uint16_t port : {std::uint16_t{4500}, std::uint16_t{9999}}) {
      for (const char* any : {"0.0.0.0", "::"}) {
        sockets.push_back(
            io::UdpSocket::adopt(io::open_udp_socket({*IpAddress::parse(any), port}, 0x5154, io::ReusePort::No).value())
                .value());
      }
    }
    for (const io::Family family : {io::Family::V4, io::Family::V6}) {
      esp.push_back(io::EspSocket::adopt(io::open_esp_socket(family, 0x5154).value()).value());
    }
    tun = io::TunDevice::adopt(io::attach_tun(io::open_tun_control().value(), "qntest0").value()).value();
  }
  // Does a UDP datagram or an ESP packet that `send` sends arrive? What is expected decides only how long to wait.
  bool receives(Expect expected, const std::function<void()>& send) {
    (void)take(0);
    send();
    return take(patience(expected));
  }
  // To port 7777 outside. Bound: SO_BINDTODEVICE, by which a process may try to go around the routes.
  enum class Socket : std::uint8_t { Plain, Bound, Marked };
  static void send(const char* to, Socket kind) {
    const Endpoint remote{*IpAddress::parse(to), 7777};
    const Endpoint any{*IpAddress::parse(remote.address.is_v4() ? "0.0.0.0" : "::"), 0};
    auto fd = io::open_udp_socket(any, kind == Socket::Marked ? 0x5154 : 0, io::ReusePort::No).value();
    if (kind == Socket::Bound) {
      EXPECT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, "wan0", 5), 0);
    }
    (void)io::UdpSocket::adopt(std::move(fd)).value().send({}, remote, 0, io::Df::Clear, to_bytes("PLAINTEXT"));
  }
  void protect(const std::vector<const char*>& prefixes, bool with_tun) {
    gateway::SetProtection p{"qntest0", 5200, 0x5154, 1380, {}};
    for (const char* text : prefixes) p.prefixes.push_back(*Prefix::parse(text));
    if (!with_tun) tun.reset();
    const Status set = apply_protection_once(p);
    EXPECT_TRUE(set) << set.error().where << ": " << set.error().detail;
  }

  std::vector<io::UdpSocket> sockets;
  std::vector<io::EspSocket> esp;
  std::optional<io::TunDevice> tun;

 private:
  bool take(int timeout_ms) {
    std::vector<pollfd> polls;
    for (const auto& s : sockets) polls.push_back({s.fd(), POLLIN, 0});
    for (const auto& s : esp) polls.push_back({s.fd(), POLLIN, 0});
    if (::poll(polls.data(), polls.size(), timeout_ms) <= 0) return false;
    std::size_t count = 0;
    for (auto& s : sockets) count += s.receive().size();
    for (auto& s : esp) count += s.receive().size();
    return count > 0;
  }
};

void expect_passes(Gateway& gateway, const Outside& outside, const char* source, Expect plain) {
  const bool v6 = std::string(source).find(':') != std::string::npos;
  const std::string us = v6 ? "2001:db8:1::2" : "192.0.2.2";
  const bool arrives = plain == Expect::Arrives;
  EXPECT_EQ(gateway.receives(plain, [&] { outside.send_udp(source, us, 9999); }), arrives)
      << "in the clear from " << source;
  EXPECT_TRUE(gateway.receives(Expect::Arrives, [&] { outside.send_udp(source, us, 4500); }))
      << "UDP 4500 from " << source;
  EXPECT_TRUE(gateway.receives(Expect::Arrives, [&] { outside.send_udp(source, us, 4500, 4000); }))
      << "a fragmented UDP 4500 from " << source;
  EXPECT_EQ(gateway.receives(plain, [&] { outside.send_udp(source, us, 9999, 4000); }), arrives)
      << "fragmented, in the clear from " << source;
  EXPECT_TRUE(gateway.receives(Expect::Arrives, [&] { outside.send_raw(source, us, IPPROTO_ESP, Bytes(64, 1)); }))
      << "ESP from " << source;
}

TEST_F(FilterTest, DropsProtectedSourcesAndNothingElse) {
  for (const bool with_tun : {true, false}) {
    in_fresh_netns([&] {
      const Outside outside;
      Gateway gateway;
      for (const char* source : {"192.0.2.1", "10.1.2.3", "2001:db8:1::1", "fd01::5"})
        expect_passes(gateway, outside, source, Expect::Arrives);
      gateway.protect({"10.1.0.0/16", "fd01::/16", "192.0.2.128/25"}, with_tun);
      for (const char* source : {"192.0.2.1", "10.2.0.1", "198.51.100.7", "2001:db8:1::1", "fd02::5"}) {
        expect_passes(gateway, outside, source, Expect::Arrives);
      }
      // The last covers a peer on the wire itself.
      for (const char* source : {"10.1.2.3", "10.1.255.255", "fd01::5", "192.0.2.200"}) {
        expect_passes(gateway, outside, source, Expect::Drops);
      }
    });
  }
}

TEST_F(FilterTest, DropsEverythingFromBeyondTheWireWithADefaultRoute) {
  for (const bool with_tun : {true, false}) {
    in_fresh_netns([&] {
      const Outside outside;
      Gateway gateway;
      gateway.protect({"0.0.0.0/0", "::/0"}, with_tun);
      for (const char* neighbour : {"192.0.2.1", "2001:db8:1::1"})
        expect_passes(gateway, outside, neighbour, Expect::Arrives);
      for (const char* source : {"10.1.2.3", "198.51.100.7", "fd01::5", "2001:db8:2::1"}) {
        expect_passes(gateway, outside, source, Expect::Drops);
      }
      // Our own address from outside is nobody's.
      EXPECT_FALSE(gateway.receives(Expect::Drops, [&] { outside.send_udp("192.0.2.2", "192.0.2.2", 9999); }));
    });
  }
}

TEST_F(FilterTest, KeepsNeighboursReachableUnderAWidePrefix) {
  in_fresh_netns([&] {
    const Outside outside;
    Gateway gateway;
    gateway.protect({"::/1", "8000::/1", "0.0.0.0/1", "128.0.0.0/1"}, true);
    shell("ip neigh flush dev wan0; ip -6 neigh flush dev wan0");
    outside.in("ip neigh flush dev out0; ip -6 neigh flush dev out0");
    // Both sides must find each other again: neighbour discovery passes the filter and the barriers. The wire's own
    // network is the longer prefix, as it is beside a default route.
    for (const char* source : {"192.0.2.1", "2001:db8:1::1"}) expect_passes(gateway, outside, source, Expect::Arrives);
    for (const char* source : {"198.51.100.7", "2001:db8:2::1"}) expect_passes(gateway, outside, source, Expect::Drops);
    EXPECT_TRUE(
        outside.hears("192.0.2.1", Expect::Arrives, [&] { gateway.send("192.0.2.1", Gateway::Socket::Marked); }));
    EXPECT_TRUE(outside.hears("2001:db8:1::1", Expect::Arrives,
                              [&] { gateway.send("2001:db8:1::1", Gateway::Socket::Marked); }));
    shell("ip -6 route get fe80::1 oif wan0");
  });
}

TEST_F(FilterTest, LetsNothingProtectedOutWhateverASocketIsBoundTo) {
  for (const bool with_tun : {true, false}) {
    in_fresh_netns([&] {
      const Outside outside;
      outside.in(
          "ip addr add 10.1.2.3/32 dev lo; ip addr add 10.2.2.3/32 dev lo; ip -6 addr add fd01::5/128 dev lo nodad;"
          "ip -6 addr add fd02::5/128 dev lo nodad");
      Gateway gateway;
      const auto gets_out = [&](const char* to, Gateway::Socket kind, Expect expected) {
        return outside.hears(to, expected, [&] { gateway.send(to, kind); });
      };
      using enum Gateway::Socket;
      // Without protection all arrive, so that the test can see something.
      for (const char* to : {"10.1.2.3", "fd01::5"}) {
        for (const auto kind : {Plain, Bound, Marked}) EXPECT_TRUE(gets_out(to, kind, Expect::Arrives)) << to;
      }
      gateway.protect({"10.1.0.0/16", "fd01::/16"}, with_tun);
      for (const char* to : {"10.1.2.3", "fd01::5"}) {
        EXPECT_FALSE(gets_out(to, Plain, Expect::Drops)) << to;
        EXPECT_FALSE(gets_out(to, Bound, Expect::Drops)) << to;
        EXPECT_TRUE(gets_out(to, Marked, Expect::Arrives)) << to;
      }
      for (const char* to : {"10.2.2.3", "fd02::5", "192.0.2.1", "2001:db8:1::1"}) {
        for (const auto kind : {Plain, Bound, Marked}) EXPECT_TRUE(gets_out(to, kind, Expect::Arrives)) << to;
      }
      gateway.protect({"0.0.0.0/0", "::/0"}, with_tun);
      for (const char* to : {"10.1.2.3", "fd01::5"}) {
        EXPECT_FALSE(gets_out(to, Plain, Expect::Drops)) << to;
        EXPECT_TRUE(gets_out(to, Marked, Expect::Arrives)) << to;
      }
      EXPECT_FALSE(gets_out("fd01::5", Bound, Expect::Drops));
      // Not IPv4 with Bound: see add_exit_rules in netd_nft.cpp.
      for (const char* to : {"192.0.2.1", "2001:db8:1::1"}) EXPECT_TRUE(gets_out(to, Plain, Expect::Arrives)) << to;
    });
  }
}

}  // namespace
}  // namespace qanat::daemon
