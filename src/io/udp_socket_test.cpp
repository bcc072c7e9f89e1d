#include "io/udp_socket.hpp"

#include <array>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "io/netns_testing.hpp"
#include "io/steering.hpp"

namespace qanat::io {
namespace {

using testing::in_fresh_netns;
using testing::shell;

UdpSocket open(const char* address, std::uint16_t port = 0, ReusePort reuse = ReusePort::No, std::size_t slot = 65536) {
  auto fd = open_udp_socket({*IpAddress::parse(address), port}, 0, reuse);
  EXPECT_TRUE(fd) << fd.error().detail;
  return std::move(UdpSocket::adopt(std::move(*fd), slot).value());
}

std::vector<ReceivedDatagram> receive(UdpSocket& socket, int timeout_ms = 2000) {
  pollfd p{socket.fd(), POLLIN, 0};
  if (::poll(&p, 1, timeout_ms) != 1) return {};
  const auto got = socket.receive();
  return {got.begin(), got.end()};
}

TEST(UdpSocket, TellsWhereADatagramCameFromAndWentTo) {
  for (const char* any : {"0.0.0.0", "::"}) {
    const bool v6 = *any == ':';
    UdpSocket server = open(any);
    UdpSocket client = open(any);
    const IpAddress here = *IpAddress::parse(v6 ? "::1" : "127.0.0.1");
    const Bytes data = to_bytes("hello");
    EXPECT_EQ(client.send({}, {here, server.local().port}, 0xb8, Df::Clear, data), SendOutcome::Sent);
    auto got = receive(server);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].local, here);
    EXPECT_EQ(got[0].remote, (Endpoint{here, client.local().port}));
    EXPECT_EQ(got[0].tos, 0xb8);
    EXPECT_TRUE(equal(got[0].data, data));
    // And back, from the address that it was sent to.
    got[0].data[0] = 'H';
    EXPECT_EQ(server.send(got[0].local, got[0].remote, 0, Df::Set, got[0].data), SendOutcome::Sent);
    got = receive(client);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].remote, (Endpoint{here, server.local().port}));
    EXPECT_EQ(got[0].tos, 0);
    EXPECT_EQ(got[0].data[0], 'H');
  }
}

TEST(UdpSocket, ChoosesTheSourceAddressItIsTold) {
  UdpSocket server = open("127.0.0.1");
  UdpSocket client = open("0.0.0.0");
  const IpAddress source = *IpAddress::parse("127.0.0.7");
  EXPECT_EQ(client.send(source, server.local(), 0, Df::Clear, to_bytes("x")), SendOutcome::Sent);
  const auto got = receive(server);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].remote.address, source);
}

TEST(UdpSocket, SendsAndReceivesBatchesWithMixedDf) {
  UdpSocket server = open("127.0.0.1");
  UdpSocket client = open("127.0.0.1");
  constexpr std::size_t kCount = 150;
  std::vector<Bytes> data;
  std::vector<OutgoingDatagram> out;
  for (std::size_t i = 0; i < kCount; ++i) data.push_back(Bytes{static_cast<std::uint8_t>(i), 7});
  for (std::size_t i = 0; i < kCount; ++i) {
    out.push_back({{}, server.local(), 0, i % 50 < 25 ? Df::Set : Df::Clear, data[i]});
  }
  out[10].remote.address = *IpAddress::parse("::1");  // no IPv6 leaves an IPv4 socket: dropped, the rest goes on
  std::vector<SendOutcome> outcomes(kCount, SendOutcome::Busy);
  EXPECT_EQ(client.send_batch(out, outcomes), kCount - 1);
  EXPECT_EQ(outcomes[9], SendOutcome::Sent);
  EXPECT_EQ(outcomes[10], SendOutcome::Refused);
  EXPECT_EQ(outcomes[kCount - 1], SendOutcome::Sent);
  std::vector<std::uint8_t> seen;
  while (seen.size() < kCount - 1) {
    const auto got = receive(server);
    ASSERT_FALSE(got.empty());
    EXPECT_LE(got.size(), kBatch);
    for (const auto& d : got) seen.push_back(d.data[0]);
  }
  EXPECT_EQ(seen.front(), 0);
  EXPECT_EQ(seen.back(), kCount - 1);
  EXPECT_EQ(server.counters().received, kCount - 1);
  EXPECT_EQ(client.counters().sent, kCount - 1);
  EXPECT_EQ(client.counters().send_refused, 1U);
  EXPECT_TRUE(server.receive().empty());
}

// Datagrams of `size` octets one behind the other, each with its number, the last of `last` octets.
Bytes run_of(std::size_t count, std::size_t size, std::size_t last) {
  Bytes out((count - 1) * size + last, 7);
  for (std::size_t i = 0; i < count; ++i) out[i * size] = static_cast<std::uint8_t>(i);
  return out;
}

// What arrives, datagram by datagram, until `count` are there.
std::vector<Bytes> datagrams(UdpSocket& socket, std::size_t count) {
  std::vector<Bytes> out;
  while (out.size() < count) {
    const auto got = receive(socket);
    if (got.empty()) break;
    for (const ReceivedDatagram& d : got) {
      const std::size_t step = d.segment != 0 ? d.segment : std::max<std::size_t>(d.data.size(), 1);
      for (std::size_t at = 0; at < d.data.size(); at += step)
        out.push_back(to_bytes(d.data.subspan(at, std::min(step, d.data.size() - at))));
    }
  }
  return out;
}

TEST(UdpSocket, SendsARunInOnePieceAndTakesItInOnePiece) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    for (const char* here : {"127.0.0.1", "::1"}) {
      UdpSocket server = open(here);
      UdpSocket plain = open(here);
      UdpSocket client = open(here);
      server.use_segmentation();
      client.use_segmentation();
      EXPECT_TRUE(client.uses_segmentation());
      const Bytes run = run_of(40, 1400, 99);
      const Bytes small = run_of(64, 100, 100);
      const std::vector<OutgoingDatagram> out{{{}, server.local(), 0xb9, Df::Set, run, 1400},
                                              {{}, server.local(), 0, Df::Set, small, 100},
                                              {{}, server.local(), 0, Df::Set, ByteView{run}.first(10), 10},
                                              {{}, plain.local(), 0, Df::Set, small, 100}};
      EXPECT_EQ(client.send_batch(out), 40U + 64 + 1 + 64);
      EXPECT_EQ(client.counters().sent, 40U + 64 + 1 + 64);
      EXPECT_TRUE(client.uses_segmentation());
      const auto first = receive(server);
      EXPECT_FALSE(first.empty());
      if (first.empty()) continue;
      EXPECT_EQ(first[0].segment, 1400U);
      EXPECT_EQ(first[0].tos, 0xb9);
      EXPECT_TRUE(equal(first[0].data, run));
      EXPECT_EQ(server.counters().received, 105U);
      EXPECT_EQ(first.back().segment, 0U);
      // Who did not ask for it gets one by one.
      const auto got = datagrams(plain, 64);
      EXPECT_EQ(got.size(), 64U);
      for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].size(), 100U);
        EXPECT_EQ(got[i][0], i);
      }
      EXPECT_EQ(plain.counters().received, 64U);
    }
  });
}

// What the kernel does not take in one piece goes one by one: too long for the interface, or to be fragmented there.
TEST(UdpSocket, ARunThatDoesNotFitIsSentOneByOne) {
  in_fresh_netns([] {
    shell("ip link set lo mtu 1300 up");
    for (const char* here : {"127.0.0.1", "::1"}) {
      UdpSocket server = open(here);
      UdpSocket client = open(here);
      client.use_segmentation();
      EXPECT_TRUE(client.watch_path_errors());
      const Bytes run = run_of(5, 1400, 200);
      const Bytes fits = run_of(5, 1000, 1000);
      const std::vector<OutgoingDatagram> out{{{}, server.local(), 0, Df::Set, run, 1400},
                                              {{}, server.local(), 0, Df::Set, fits, 1000}};
      std::vector<SendOutcome> outcomes(2, SendOutcome::Busy);
      EXPECT_EQ(client.send_batch(out, outcomes), 6U);
      EXPECT_EQ(client.counters().send_too_big, 4U);
      EXPECT_EQ(outcomes[1], SendOutcome::Sent);
      std::size_t told = 0;
      while (const auto error = client.next_path_error()) {
        ++told;
        EXPECT_EQ(error->mtu, 1300U);
      }
      EXPECT_GT(told, 0U);
      EXPECT_EQ(datagrams(server, 6).size(), 6U);

      const OutgoingDatagram cut{{}, server.local(), 0, Df::Clear, run, 1400};
      EXPECT_EQ(client.send_batch(std::span(&cut, 1)), 5U);
      const auto got = datagrams(server, 5);
      EXPECT_EQ(got.size(), 5U);
      for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i][0], i);
      EXPECT_TRUE(client.uses_segmentation()) << "neither says that the interface cannot do it";
    }
  });
}

// Without checksums no run leaves in one piece (EIO or EINVAL, by kernel): that is remembered, and nothing is lost.
TEST(UdpSocket, FallsBackForGoodWhereRunsAreRefused) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    UdpSocket server = open("127.0.0.1");
    UdpSocket client = open("127.0.0.1");
    client.use_segmentation();
    const int on = 1;
    EXPECT_EQ(::setsockopt(client.fd(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on), 0);
    const Bytes run = run_of(10, 500, 400);
    const OutgoingDatagram out{{}, server.local(), 0, Df::Set, run, 500};
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(client.send_batch(std::span(&out, 1)), 10U);
      EXPECT_EQ(datagrams(server, 10).size(), 10U);
      EXPECT_FALSE(client.uses_segmentation());
    }
    EXPECT_EQ(client.counters().send_refused, 0U);
  });
}

TEST(UdpSocket, CountsWhatIsTooLongAndGoesOn) {
  UdpSocket server = open("127.0.0.1", 0, ReusePort::No, 100);
  UdpSocket client = open("127.0.0.1");
  EXPECT_EQ(client.send({}, server.local(), 0, Df::Clear, Bytes(101)), SendOutcome::Sent);
  EXPECT_EQ(client.send({}, server.local(), 0, Df::Clear, Bytes(100)), SendOutcome::Sent);
  EXPECT_EQ(client.send({}, server.local(), 0, Df::Clear, Bytes{}), SendOutcome::Sent);
  const auto got = receive(server);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].data.size(), 100U);
  EXPECT_TRUE(got[1].data.empty());
  EXPECT_EQ(server.counters().receive_truncated, 1U);
  EXPECT_EQ(client.send({}, server.local(), 0, Df::Clear, Bytes(70'000)), SendOutcome::TooBig);
  EXPECT_EQ(client.counters().send_too_big, 1U);
}

TEST(UdpSocket, SetsAndClearsDontFragment) {
  in_fresh_netns([] {
    shell("ip link set lo mtu 1500 up");
    for (const char* here : {"127.0.0.1", "::1"}) {
      UdpSocket server = open(here);
      UdpSocket client = open(here);
      const Bytes large(3000, 1);
      EXPECT_EQ(client.send({}, server.local(), 0, Df::Set, large), SendOutcome::TooBig);
      EXPECT_EQ(client.send({}, server.local(), 0, Df::Clear, large), SendOutcome::Sent);
      EXPECT_EQ(client.send({}, server.local(), 0, Df::Set, large), SendOutcome::TooBig);
      const auto got = receive(server);
      EXPECT_EQ(got.size(), 1U);
      if (!got.empty()) {
        EXPECT_EQ(got[0].data.size(), 3000U);
      }
    }
  });
}

TEST(UdpSocket, TellsTheMtuOfOurInterface) {
  in_fresh_netns([] {
    shell("ip link set lo mtu 1400 up");
    for (const char* here : {"127.0.0.1", "::1"}) {
      UdpSocket server = open(here);
      UdpSocket client = open(here);
      EXPECT_TRUE(client.watch_path_errors());
      EXPECT_FALSE(client.next_path_error());
      const Bytes large(1450, 1);
      std::vector<OutgoingDatagram> out(3, {{}, server.local(), 0, Df::Set, large});
      out[2].data = ByteView{large}.first(100);
      EXPECT_EQ(client.send_batch(out), 1U);
      EXPECT_EQ(client.counters().send_too_big, 2U);
      std::size_t told = 0;
      while (const auto error = client.next_path_error()) {
        ++told;
        EXPECT_EQ(error->origin, PathError::Origin::Interface);
        EXPECT_EQ(error->mtu, 1400U);
        EXPECT_EQ(error->remote, *IpAddress::parse(here));
        EXPECT_TRUE(error->local.is_unspecified());
        EXPECT_FALSE(error->first_word);
      }
      EXPECT_GE(told, 2U);
      pollfd p{client.fd(), POLLIN, 0};
      EXPECT_EQ(::poll(&p, 1, 0), 0) << "the queue is empty, so nothing spins";
      EXPECT_EQ(receive(server).size(), 1U);
    }
  });
}

TEST(UdpSocket, AnIcmpErrorCostsNoDatagram) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    for (const char* here : {"127.0.0.1", "::1"}) {
      UdpSocket server = open(here);
      UdpSocket client = open(here);
      EXPECT_TRUE(client.watch_path_errors());
      const Endpoint nobody{server.local().address, 9};
      EXPECT_EQ(client.send({}, nobody, 0, Df::Set, to_bytes("x")), SendOutcome::Sent);
      EXPECT_EQ(client.send({}, server.local(), 0, Df::Set, to_bytes("y")), SendOutcome::Sent);
      EXPECT_EQ(receive(server).size(), 1U);
      EXPECT_EQ(client.send({}, nobody, 0, Df::Set, to_bytes("x")), SendOutcome::Sent);
      EXPECT_EQ(server.send({}, client.local(), 0, Df::Set, to_bytes("z")), SendOutcome::Sent);
      EXPECT_EQ(receive(client).size(), 1U);
      for (int i = 0; i < 2; ++i) {
        const auto error = client.next_path_error();
        EXPECT_TRUE(error && error->unreachable);
        if (!error) continue;
        EXPECT_EQ(error->local, client.local().address);
        EXPECT_EQ(error->remote, nobody.address);
      }
      EXPECT_FALSE(client.next_path_error());
      EXPECT_EQ(client.counters().icmp_ignored, 0U);
      EXPECT_EQ(client.counters().send_refused, 0U);
      pollfd p{client.fd(), POLLIN, 0};
      EXPECT_EQ(::poll(&p, 1, 0), 0);
    }
  });
}

TEST(UdpSocket, CountsAnUnreachablePeer) {
  in_fresh_netns([] {
    UdpSocket client = open("0.0.0.0");
    EXPECT_EQ(client.send({}, {*IpAddress::parse("192.0.2.1"), 500}, 0, Df::Clear, to_bytes("x")),
              SendOutcome::Refused);
    EXPECT_EQ(client.counters().send_refused, 1U);
  });
}

TEST(UdpSocket, SaysWhichSocketCouldNotBeOpened) {
  UdpSocket first = open("127.0.0.1");
  const auto second = open_udp_socket(first.local(), 0, ReusePort::No);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().where.find("127.0.0.1"), std::string::npos);
  EXPECT_NE(second.error().detail.find("another IKE daemon"), std::string::npos);
}

TEST(Steering, GivesIkeToTheControlSocketAndEachSpiToItsWorker) {
  for (const char* here : {"127.0.0.1", "::1"}) {
    for (const unsigned workers : {1U, 3U}) {
      UdpSocket control = open(here, 0, ReusePort::Yes);
      std::vector<UdpSocket> data;
      for (unsigned w = 0; w < workers; ++w) data.push_back(open(here, control.local().port, ReusePort::Yes));
      ASSERT_TRUE(attach_steering(control.fd(), workers));

      const auto send = [&](const Bytes& payload) {
        UdpSocket client = open(here);  // another port each time: without the program the hash would spread them
        ASSERT_EQ(client.send({}, control.local(), 0, Df::Clear, payload), SendOutcome::Sent);
      };
      const std::vector<Bytes> for_control{{0xff}, {}, {1, 2, 3}, {0, 0, 0, 0}, {0, 0, 0, 0, 1, 2, 3, 4}};
      for (const Bytes& payload : for_control) send(payload);
      std::size_t got = 0;
      while (got < for_control.size()) {
        const auto batch = receive(control);
        ASSERT_FALSE(batch.empty()) << "with " << workers << " workers";
        got += batch.size();
      }
      for (std::uint32_t spi = 256; spi < 256 + 64; ++spi) {
        Bytes payload(8);
        store_be32(payload.data(), spi * 0x01000001U);
        send(payload);
        const std::uint32_t bucket = (spi * 0x01000001U) & 31;
        EXPECT_EQ(receive(data[bucket % workers]).size(), 1U) << "bucket " << bucket;
      }
      EXPECT_TRUE(control.receive().empty());
      EXPECT_EQ(control.counters().received, for_control.size());
    }
  }
}

}  // namespace
}  // namespace qanat::io
