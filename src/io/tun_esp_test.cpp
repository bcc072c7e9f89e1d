// The devices that need root: TUN and raw ESP, in a network namespace of their own.
#include <array>
#include <cstring>
#include <map>
#include <set>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.hpp"
#include "esp/merger.hpp"
#include "esp/segmenter.hpp"
#include "io/esp_socket.hpp"
#include "io/message_batch.hpp"
#include "io/netns_testing.hpp"
#include "io/steering.hpp"
#include "io/tun_device.hpp"
#include "io/udp_socket.hpp"

namespace qanat::io {
namespace {

using testing::in_fresh_netns;
using testing::shell;

bool readable(int fd, int timeout_ms = 2000) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}

std::uint16_t checksum(ByteView header) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < header.size(); i += 2) sum += load_be16(&header[i]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

// An IPv4 UDP packet without a UDP checksum.
Bytes udp_packet(const IpAddress& from, const IpAddress& to, std::uint16_t port, const Bytes& data) {
  ByteWriter out;
  out.u16(0x4500);
  out.u16(static_cast<std::uint16_t>(28 + data.size()));
  out.u32(0);
  out.u16(0x4011);
  out.u16(0);
  out.bytes(from.bytes());
  out.bytes(to.bytes());
  out.u16(9);
  out.u16(port);
  out.u16(static_cast<std::uint16_t>(8 + data.size()));
  out.u16(0);
  out.bytes(data);
  Bytes packet = std::move(out).take();
  store_be16(&packet[10], checksum(ByteView{packet}.first(20)));
  return packet;
}

TunDevice open_tun(const std::string& name) {
  auto fd = attach_tun(open_tun_control().value(), name);
  EXPECT_TRUE(fd) << fd.error().detail;
  return std::move(TunDevice::adopt(std::move(*fd)).value());
}

int listen_on(const char* address) {
  const SocketAddress at = to_socket_address({*IpAddress::parse(address), 80});
  const int fd = ::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at.storage), at.size), 0) << errno_text(errno);
  EXPECT_EQ(::listen(fd, 1), 0);
  return fd;
}

// Carries what each of two devices reads to the other.
struct Carrier {
  TunDevice& a;
  TunDevice& b;
  std::size_t largest_read = 0;
  std::size_t largest_write = 0;

  bool carry() {
    const bool moved = carry(a, b);
    return carry(b, a) || moved;
  }
  bool carry(TunDevice& from, TunDevice& to) {
    const auto packets = from.receive();
    std::vector<Bytes> segments;
    for (const auto& [packet, offload] : packets) {
      largest_read = std::max(largest_read, packet.size());
      const auto p = esp::parse_inner(packet);
      EXPECT_TRUE(p);
      if (!p) continue;
      if (offload.kind == esp::Offload::Kind::None) {
        if (offload.needs_checksum) {
          EXPECT_TRUE(esp::complete_checksum(packet, offload));
        }
        segments.push_back(to_bytes(packet));
        continue;
      }
      auto cutter = esp::Segmenter::create(packet, *p, offload);
      EXPECT_TRUE(cutter);
      while (cutter && !cutter->done()) {
        Bytes segment(cutter->next_size());
        cutter->next(segment);
        segments.push_back(std::move(segment));
      }
    }
    esp::Merger merger(to.takes_udp());
    for (Bytes& segment : segments) merger.add(segment, *esp::parse_inner(segment));
    merger.drain([&](const esp::Offload& offload, std::span<const ByteView> pieces) {
      std::size_t size = 0;
      for (const ByteView piece : pieces) size += piece.size();
      largest_write = std::max(largest_write, size);
      EXPECT_EQ(to.send(offload, pieces), SendOutcome::Sent);
    });
    return !segments.empty();
  }
};

int connect_to(const char* address, Carrier& carrier) {
  const SocketAddress to = to_socket_address({*IpAddress::parse(address), 80});
  const int fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  (void)::connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size);
  for (int i = 0; i < 200; ++i) {
    carrier.carry();
    pollfd p{fd, POLLOUT, 0};
    if (::poll(&p, 1, 10) == 1) break;
  }
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  EXPECT_EQ(error, 0);
  return fd;
}

TEST(TunDevice, CarriesPacketsBothWaysInBatches) {
  in_fresh_netns([] {
    TunDevice tun = open_tun("qntest0");
    EXPECT_EQ(tun.name(), "qntest0");
    shell("ip link set lo up; ip link set qntest0 up; ip addr add 10.9.0.1/24 dev qntest0");
    const IpAddress ours = *IpAddress::parse("10.9.0.1");
    const IpAddress theirs = *IpAddress::parse("10.9.0.2");
    auto socket = UdpSocket::adopt(open_udp_socket({ours, 0}, 0, ReusePort::No).value()).value();

    for (int i = 0; i < 100; ++i) socket.send({}, {theirs, 7}, 0, Df::Clear, Bytes(50, static_cast<std::uint8_t>(i)));
    std::size_t mine = 0;
    while (mine < 100 && readable(tun.fd())) {
      for (const auto& [packet, offload] : tun.receive()) {
        if (packet[0] >> 4 != 4) continue;  // the kernel's own IPv6 chatter
        EXPECT_EQ(packet.size(), 78U);
        EXPECT_TRUE(equal(packet.subspan(16, 4), theirs.bytes()));
        EXPECT_EQ(packet[28], mine++);
      }
    }
    EXPECT_EQ(mine, 100U);

    EXPECT_EQ(tun.send(udp_packet(theirs, ours, socket.local().port, to_bytes("inside"))), SendOutcome::Sent);
    EXPECT_TRUE(readable(socket.fd()));
    const auto got = socket.receive();
    EXPECT_EQ(got.size(), 1U);
    if (!got.empty()) {
      EXPECT_TRUE(equal(got[0].data, to_bytes("inside")));
    }

    EXPECT_EQ(tun.send(Bytes{}), SendOutcome::Refused);          // no packet at all
    EXPECT_EQ(tun.send(Bytes(20, 0xee)), SendOutcome::Refused);  // no IP version
    shell("ip link set qntest0 down");
    EXPECT_EQ(tun.send(udp_packet(theirs, ours, 1, {})), SendOutcome::Refused);
    EXPECT_TRUE(tun.receive().empty());
    EXPECT_GT(tun.counters().send_refused, 1U);
  });
}

// A host's own TCP and UDP over two TUNs whose packets we carry from one to the other: what one hands over as
// super-packets is cut, merged and written to the other, which must not notice.
TEST(TunDevice, CarriesSuperPacketsOfTcpAndUdpBothWays) {
  in_fresh_netns([] {
    TunDevice here = open_tun("qnhere");
    shell(
        "ip link set qnhere mtu 1400 up; ip addr add 10.9.0.1/24 dev qnhere; ip -6 addr add fd09::1/64 dev qnhere "
        "nodad");
    std::string pid = shell("unshare -n sleep 60 >/dev/null 2>&1 & echo $!");
    pid.pop_back();
    shell("for i in $(seq 100); do [ $(readlink /proc/" + pid +
          "/ns/net) != $(readlink /proc/self/ns/net) ] && break; sleep 0.02; done");
    const int ours = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    const int theirs = ::open(("/proc/" + pid + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(::setns(theirs, CLONE_NEWNET), 0);
    TunDevice there = open_tun("qnthere");
    shell(
        "ip link set qnthere mtu 1400 up; ip addr add 10.9.0.2/24 dev qnthere; "
        "ip -6 addr add fd09::2/64 dev qnthere nodad");
    const int listener4 = listen_on("10.9.0.2");
    const int listener6 = listen_on("fd09::2");
    auto udp_there =
        UdpSocket::adopt(open_udp_socket({*IpAddress::parse("10.9.0.2"), 7}, 0, ReusePort::No).value()).value();
    EXPECT_EQ(::setns(ours, CLONE_NEWNET), 0);
    ::close(ours);
    ::close(theirs);

    Carrier carrier{here, there};
    for (const int listener : {listener4, listener6}) {
      const int client = connect_to(listener == listener4 ? "10.9.0.2" : "fd09::2", carrier);
      for (int i = 0; i < 100 && !readable(listener, 10); ++i) carrier.carry();
      const int server = ::accept(listener, nullptr, nullptr);
      EXPECT_GE(server, 0);
      ::fcntl(server, F_SETFL, O_NONBLOCK);
      SeededRng rng(1);
      const Bytes data = rng.bytes(3'000'000);
      Bytes got;
      std::size_t sent = 0;
      std::array<std::uint8_t, 65536> chunk{};
      for (int idle = 0; got.size() < data.size() && idle < 2000;) {
        const ssize_t n = ::send(client, &data[sent], data.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += static_cast<std::size_t>(n);
        const bool moved = carrier.carry();
        const ssize_t r = ::recv(server, chunk.data(), chunk.size(), MSG_DONTWAIT);
        if (r > 0) got.insert(got.end(), chunk.begin(), chunk.begin() + r);
        idle = n > 0 || moved || r > 0 ? 0 : idle + 1;
        if (idle != 0) readable(there.fd(), 1);
      }
      EXPECT_EQ(got, data);
      ::close(client);
      ::close(server);
    }
    EXPECT_GT(carrier.largest_read, 20'000U) << "the host handed over no super-packets";
    EXPECT_GT(carrier.largest_write, 20'000U) << "none was made of them again";

    // A run of datagrams (UDP_SEGMENT) of a local program.
    auto udp_here =
        UdpSocket::adopt(open_udp_socket({*IpAddress::parse("10.9.0.1"), 0}, 0, ReusePort::No).value()).value();
    udp_here.use_segmentation();
    udp_there.use_segmentation();
    Bytes run(30 * 1000 + 10, 3);
    const OutgoingDatagram out{{}, udp_there.local(), 0, Df::Set, run, 1000};
    EXPECT_EQ(udp_here.send_batch(std::span(&out, 1)), 31U);
    std::size_t octets = 0;
    for (int i = 0; i < 200 && udp_there.counters().received < 31; ++i) {
      carrier.carry();
      if (!readable(udp_there.fd(), 10)) continue;
      for (const ReceivedDatagram& d : udp_there.receive()) octets += d.data.size();
    }
    EXPECT_EQ(udp_there.counters().received, 31U);
    EXPECT_EQ(octets, run.size());
    EXPECT_EQ(here.counters().send_refused + there.counters().send_refused, 0U);
    shell("kill " + pid);
  });
}

TEST(TunDevice, IsRefusedWhenSomebodyHasIt) {
  in_fresh_netns([] {
    const TunDevice first = open_tun("qntest1");
    const auto second = attach_tun(open_tun_control().value(), "qntest1");
    EXPECT_FALSE(second);
    if (!second) {
      EXPECT_NE(second.error().detail.find("another process"), std::string::npos);
    }
    EXPECT_FALSE(attach_tun(open_tun_control().value(), "a-name-that-is-too-long"));
    EXPECT_FALSE(attach_tun(open_tun_control().value(), ""));
  });
}

TEST(TunDevice, HasSeveralQueuesOfOneProcess) {
  in_fresh_netns([] {
    auto first = attach_tun(open_tun_control().value(), "qntest1", TunQueue::First);
    ASSERT_TRUE(first) << first.error().detail;
    auto further = attach_tun(open_tun_control().value(), "qntest1", TunQueue::Further);
    ASSERT_TRUE(further) << further.error().detail;
    for (const TunQueue queue : {TunQueue::First, TunQueue::Only}) {
      EXPECT_FALSE(attach_tun(open_tun_control().value(), "qntest1", queue)) << "somebody has it";
    }
    std::vector<TunDevice> queues;
    queues.push_back(TunDevice::adopt(std::move(*first)).value());
    queues.push_back(TunDevice::adopt(std::move(*further)).value());
    shell("ip link set lo up; ip link set qntest1 up; ip addr add 10.77.0.1/24 dev qntest1");
    // Many flows: each is read from one queue, and both have some.
    std::vector<UdpSocket> clients;
    for (int i = 0; i < 32; ++i) {
      clients.push_back(
          UdpSocket::adopt(open_udp_socket({*IpAddress::parse("10.77.0.1"), 0}, 0, ReusePort::No).value()).value());
    }
    for (int round = 0; round < 4; ++round) {
      for (UdpSocket& c : clients)
        EXPECT_EQ(c.send({}, {*IpAddress::parse("10.77.0.9"), 7}, 0, Df::Clear, Bytes{1, 2, 3}), SendOutcome::Sent);
    }
    std::map<std::uint16_t, std::set<std::size_t>> queues_of;  // by source port
    std::size_t seen = 0;
    for (std::size_t q = 0; q < queues.size(); ++q) {
      std::size_t own = 0;
      while (readable(queues[q].fd(), 200)) {
        for (const esp::OffloadPacket& p : queues[q].receive()) {
          if (p.packet[0] >> 4 != 4 || p.packet[9] != 17) continue;  // the kernel's own IPv6 announcements
          queues_of[load_be16(&p.packet[20])].insert(q);
          ++own;
        }
      }
      EXPECT_GT(own, 0U) << "queue " << q;
      seen += own;
    }
    EXPECT_EQ(seen, 128U);
    EXPECT_EQ(queues_of.size(), 32U);
    for (const auto& [port, in] : queues_of) EXPECT_EQ(in.size(), 1U) << "port " << port;
  });
}

TEST(EspSocket, OfSeveralWorkersEachHearsItsBuckets) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    for (const Family family : {Family::V4, Family::V6}) {
      constexpr unsigned kWorkers = 3;
      const IpAddress here = *IpAddress::parse(family == Family::V4 ? "127.0.0.1" : "::1");
      std::vector<EspSocket> workers;
      for (unsigned w = 0; w < kWorkers; ++w) {
        workers.push_back(EspSocket::adopt(open_esp_socket(family, 0).value()).value());
        ASSERT_TRUE(attach_esp_filter(workers.back(), w, kWorkers));
      }
      std::array<std::vector<std::uint32_t>, kWorkers> expected;
      for (std::uint32_t spi = 0x10000; spi < 0x10000 + 40; ++spi) {
        Bytes packet(16);
        store_be32(packet.data(), spi);
        EXPECT_EQ(workers[0].send({here, {here, 0}, 0, Df::Clear, packet}), SendOutcome::Sent);
        expected[(spi & 31) % kWorkers].push_back(spi);
      }
      EXPECT_EQ(workers[0].send({here, {here, 0}, 0, Df::Clear, Bytes{9, 9, 9}}), SendOutcome::Sent);
      for (unsigned w = 0; w < kWorkers; ++w) {
        std::vector<std::uint32_t> got;
        std::size_t too_short = 0;
        while (readable(workers[w].fd(), 200)) {
          for (const ReceivedDatagram& d : workers[w].receive()) {
            if (d.data.size() < 4) {
              ++too_short;
            } else {
              got.push_back(load_be32(d.data.data()));
            }
          }
        }
        EXPECT_EQ(got, expected[w]) << "worker " << w;
        EXPECT_EQ(too_short, w == 0 ? 1U : 0U);
      }
    }
  });
}

TEST(EspSocket, SendsAndReceivesWithoutTheIpHeader) {
  in_fresh_netns([] {
    shell("ip link set lo up; ip addr add 127.0.0.9/8 dev lo");
    for (const Family family : {Family::V4, Family::V6}) {
      auto a = EspSocket::adopt(open_esp_socket(family, 0x51).value()).value();
      EXPECT_EQ(a.family(), family);
      const IpAddress here = *IpAddress::parse(family == Family::V4 ? "127.0.0.1" : "::1");
      const IpAddress source = *IpAddress::parse(family == Family::V4 ? "127.0.0.9" : "::1");
      std::vector<Bytes> data;
      std::vector<OutgoingDatagram> out;
      for (std::uint8_t i = 0; i < 100; ++i) data.push_back(Bytes{1, 2, 3, i, 0, 0, 0, 1, 9, 9});
      for (const Bytes& d : data) out.push_back({source, {here, 4500}, 0x28, Df::Set, d});
      std::vector<SendOutcome> outcomes(out.size(), SendOutcome::Busy);
      EXPECT_EQ(a.send_batch(out, outcomes), out.size());
      EXPECT_EQ(outcomes.back(), SendOutcome::Sent);
      std::size_t seen = 0;
      while (seen < data.size() && readable(a.fd())) {
        for (const ReceivedDatagram& d : a.receive()) {
          EXPECT_TRUE(equal(d.data, data[seen++]));
          EXPECT_EQ(d.local, here);
          EXPECT_EQ(d.remote, (Endpoint{source, 0}));
          EXPECT_EQ(d.tos, 0x28);
        }
      }
      EXPECT_EQ(seen, data.size());
    }
  });
}

// A router with a narrow link behind it says so; the quoted packet begins with the SPI.
TEST(IcmpSocket, HearsEchoRepliesOnlyAndSendsFromTheGivenAddress) {
  testing::in_fresh_netns([] {
    testing::shell("ip link set lo up && ip addr add 10.9.0.1/32 dev lo && ip addr add 10.9.0.2/32 dev lo");
    auto socket = EspSocket::adopt(open_icmp_socket(Family::V4, 0).value(), 2048).value();
    const IpAddress one = *IpAddress::parse("10.9.0.1");
    const IpAddress two = *IpAddress::parse("10.9.0.2");
    // Type, code, checksum, identifier, sequence.
    const Bytes request{8, 0, 0xe7, 0xfd, 0x10, 0x01, 0x00, 0x01};
    const Bytes reply{0, 0, 0xef, 0xfd, 0x10, 0x01, 0x00, 0x01};
    EXPECT_EQ(socket.send({one, {two, 0}, 0, Df::Clear, reply}), SendOutcome::Sent);
    EXPECT_EQ(socket.send({one, {two, 0}, 0, Df::Clear, request}), SendOutcome::Sent);
    std::vector<std::pair<IpAddress, IpAddress>> heard;
    for (int i = 0; i < 100 && heard.size() < 2; ++i) {
      for (const ReceivedDatagram& d : socket.receive()) {
        EXPECT_EQ(d.data[0], 0) << "an echo reply";
        heard.emplace_back(d.remote.address, d.local);
      }
      ::usleep(1000);
    }
    // The reply itself, and the kernel's answer to the request.
    ASSERT_EQ(heard.size(), 2U);
    EXPECT_EQ(heard[0], std::pair(one, two));
    EXPECT_EQ(heard[1], std::pair(two, one));
  });
}

TEST(EspSocket, HearsThatAPathIsNarrow) {
  in_fresh_netns([] {
    // The router's namespace lives as long as a process that sleeps in it.
    std::string pid = shell("unshare -n sleep 30 >/dev/null 2>&1 & echo $!");
    pid.pop_back();
    const std::string there = "nsenter -n -t " + pid + " ";
    shell("for i in $(seq 100); do [ $(readlink /proc/" + pid +
          "/ns/net) != $(readlink /proc/self/ns/net) ] && break; sleep 0.02; done; "
          "ip link set lo up; ip link add wan type veth peer name wan netns " +
          pid +
          "; ip link set wan up; "
          "ip addr add 10.8.0.1/24 dev wan; ip -6 addr add fd08::1/64 dev wan nodad; "
          "ip route add default via 10.8.0.2; ip -6 route add default via fd08::2");
    shell(there +
          "sh -ec 'ip link set wan up; ip addr add 10.8.0.2/24 dev wan; ip addr add fd08::2/64 dev wan nodad; "
          "ip link add far mtu 1300 type veth peer name end; ip link set far up; ip link set end up; "
          "ip addr add 10.7.0.2/24 dev far; ip addr add fd07::2/64 dev far nodad; "
          "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'");
    for (const Family family : {Family::V4, Family::V6}) {
      auto socket = EspSocket::adopt(open_esp_socket(family, 0).value()).value();
      EXPECT_TRUE(socket.watch_path_errors());
      const IpAddress ours = *IpAddress::parse(family == Family::V4 ? "10.8.0.1" : "fd08::1");
      const IpAddress theirs = *IpAddress::parse(family == Family::V4 ? "10.7.0.1" : "fd07::1");
      Bytes esp(1400, 7);
      store_be32(esp.data(), 0xc0ffee01U);
      EXPECT_EQ(socket.send({ours, {theirs, 0}, 0, Df::Set, esp}), SendOutcome::Sent);
      EXPECT_TRUE(readable(socket.fd(), 3000));
      EXPECT_TRUE(socket.receive().empty());
      const auto error = socket.next_path_error();
      EXPECT_TRUE(error);
      if (!error) continue;
      EXPECT_EQ(error->origin, PathError::Origin::Icmp);
      EXPECT_EQ(error->mtu, 1300U);
      EXPECT_EQ(error->local, ours);
      EXPECT_EQ(error->remote, theirs);
      EXPECT_EQ(error->first_word, 0xc0ffee01U);
      EXPECT_FALSE(socket.next_path_error());
      EXPECT_FALSE(readable(socket.fd(), 0));
      // What may be cut is cut, by the router or by our own kernel.
      EXPECT_EQ(socket.send({ours, {theirs, 0}, 0, Df::Clear, esp}), SendOutcome::Sent);
      EXPECT_FALSE(readable(socket.fd(), 300));
    }
    shell("kill " + pid);
  });
}

}  // namespace
}  // namespace qanat::io
