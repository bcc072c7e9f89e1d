// The devices that need root: TUN and raw ESP, in a network namespace of their own.
#include <array>
#include <cstring>

#include <gtest/gtest.h>
#include <poll.h>

#include "io/esp_socket.hpp"
#include "io/netns_testing.hpp"
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
