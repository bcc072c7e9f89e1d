// The sink of a data worker over real sockets and a real TUN, in a network namespace of its own.
#include "daemon/worker_sink.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <nlohmann/json.hpp>

#include "esp/packet_test_support.hpp"
#include "io/netns_testing.hpp"

namespace qanat::daemon {
namespace {

using namespace esp::testing;
using io::testing::in_fresh_netns;
using io::testing::shell;

struct Arrived {
  std::uint8_t tos = 0;
  std::size_t run = 0;  // how many came in one piece
  Bytes data;
};

// A worker's sockets, a peer on the loopback, and what reaches it.
struct Bench {
  Bench() {
    shell("ip link set lo mtu 1500 up");
    auto tun = io::TunDevice::adopt(io::attach_tun(io::open_tun_control().value(), "qnsink").value()).value();
    shell("ip link set qnsink up; ip addr add 10.9.0.1/24 dev qnsink");
    for (const char* any : {"127.0.0.1", "::1"}) {
      peers.push_back(open(any));
      peers.back().use_segmentation();
    }
    DataSockets made{std::move(tun), {}, {}};
    for (const char* any : {"0.0.0.0", "::"}) {
      made.udp.push_back(open(any));
      made.udp.back().use_segmentation();
    }
    sockets.emplace(std::move(made));
    sink.emplace(*sockets);
  }
  static io::UdpSocket open(const char* address) {
    return io::UdpSocket::adopt(io::open_udp_socket({ip(address), 0}, 0, io::ReusePort::No).value()).value();
  }
  void send(std::size_t peer, std::size_t size, std::uint8_t tos = 0, wan::DfBit df = wan::DfBit::Set) {
    const Endpoint to = peers[peer].local();
    const MutableByteView room = sink->reserve(size + 16);  // more than it needs at last
    store_be32(room.data(), ++number);
    sink->commit({{to.address, 0}, to, ipsec::Encapsulation::Udp}, tos, df, size);
  }
  std::vector<Arrived> arrived(std::size_t peer) {
    std::vector<Arrived> out;
    pollfd p{peers[peer].fd(), POLLIN, 0};
    while (::poll(&p, 1, 50) == 1) {
      for (const io::ReceivedDatagram& d : peers[peer].receive()) {
        const std::size_t step = d.segment != 0 ? d.segment : d.data.size();
        for (std::size_t at = 0; at < d.data.size(); at += step) {
          out.push_back({d.tos, io::datagrams_in(d.data.size(), d.segment),
                         to_bytes(d.data.subspan(at, std::min(step, d.data.size() - at)))});
        }
      }
    }
    return out;
  }
  std::vector<io::UdpSocket> peers;
  std::optional<DataSockets> sockets;
  std::optional<WorkerSink> sink;
  std::uint32_t number = 0;
};

void expect_numbers(const std::vector<Arrived>& got, std::uint32_t first, std::uint32_t step = 1) {
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_EQ(load_be32(got[i].data.data()), first + static_cast<std::uint32_t>(i) * step);
}

TEST(WorkerSink, EqualNeighboursLeaveInOnePiece) {
  in_fresh_netns([] {
    Bench bench;
    for (const std::size_t peer : {std::size_t{0}, std::size_t{1}}) {
      bench.number = 0;
      for (int i = 0; i < 10; ++i) bench.send(peer, 1000);
      bench.send(peer, 400);  // shorter: the last of the run
      bench.send(peer, 1000);
      bench.send(peer, 1000, 0x02);  // another ECN
      bench.send(peer, 1000, 0x02);
      bench.send(peer, 1000, 0x02, wan::DfBit::Clear);
      bench.send(peer, 1001, 0x02, wan::DfBit::Clear);  // longer: another run
      bench.sink->flush();
      const auto got = bench.arrived(peer);
      EXPECT_EQ(got.size(), 16U);
      expect_numbers(got, 1);
      const std::size_t runs[] = {11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 1, 2, 2, 1, 1};
      for (std::size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].run, runs[i]) << i;
        EXPECT_EQ(got[i].tos, i < 12 ? 0 : 2) << i;
      }
    }
  });
}

TEST(WorkerSink, RunsAreAsLongAsTheKernelTakesThem) {
  in_fresh_netns([] {
    Bench bench;
    for (int i = 0; i < 150; ++i) bench.send(0, 100);
    bench.sink->flush();
    auto got = bench.arrived(0);
    EXPECT_EQ(got.size(), 150U);
    expect_numbers(got, 1);
    if (!got.empty()) {
      EXPECT_EQ(got.front().run, io::kMaxRunDatagrams);
      EXPECT_EQ(got.back().run, 22U);
    }
    bench.number = 0;
    for (int i = 0; i < 100; ++i) bench.send(0, 1400);
    bench.sink->flush();
    got = bench.arrived(0);
    EXPECT_EQ(got.size(), 100U);
    expect_numbers(got, 1);
    if (!got.empty()) {
      EXPECT_EQ(got.front().run, 46U);  // 64,400 octets
    }
  });
}

// More than the slab and more than the list of runs hold, to two peers in turn: all of it arrives, in order.
TEST(WorkerSink, SendsWhenItIsFull) {
  in_fresh_netns([] {
    Bench bench;
    for (int i = 0; i < 500; ++i) bench.send(static_cast<std::size_t>(i % 2), 1300);
    bench.sink->flush();
    for (const std::size_t peer : {std::size_t{0}, std::size_t{1}}) {
      const auto got = bench.arrived(peer);
      EXPECT_EQ(got.size(), 250U);
      expect_numbers(got, static_cast<std::uint32_t>(peer) + 1, 2);
    }
    for (const io::UdpSocket& s : bench.sockets->udp) EXPECT_EQ(s.counters().sent, 250U);
  });
}

TEST(WorkerSink, CountsWhatIsTooLong) {
  in_fresh_netns([] {
    Bench bench;
    for (int i = 0; i < 5; ++i) bench.send(0, 1480);
    bench.send(0, 1000);  // fits, and is in the same run
    bench.sink->flush();
    EXPECT_EQ(bench.sink->take_too_big(), 5U);
    EXPECT_EQ(bench.sink->take_too_big(), 0U);
    EXPECT_EQ(bench.arrived(0).size(), 1U);
    EXPECT_TRUE(bench.sockets->udp[0].uses_segmentation());
  });
}

TEST(WorkerSink, DatagramsForTheHostAreMergedAndArriveApart) {
  in_fresh_netns([] {
    Bench bench;
    auto receiver =
        io::UdpSocket::adopt(io::open_udp_socket({ip("10.9.0.1"), 5000}, 0, io::ReusePort::No).value()).value();
    const std::uint64_t before = bench.sockets->tun.counters().sent;
    std::vector<Bytes> packets;
    for (std::uint8_t i = 0; i < 20; ++i) {
      PacketSpec spec{.source = ip("10.9.0.2"), .destination = ip("10.9.0.1")};
      spec.dont_fragment = true;
      spec.fill = i;
      packets.push_back(udp(spec));
    }
    for (Bytes& packet : packets) bench.sink->deliver({}, packet, *esp::parse_inner(packet));
    bench.sink->flush();
    EXPECT_EQ(bench.sockets->tun.counters().sent - before, bench.sockets->tun.takes_udp() ? 1U : 20U);
    std::size_t seen = 0;
    pollfd p{receiver.fd(), POLLIN, 0};
    while (seen < 20 && ::poll(&p, 1, 1000) == 1) {
      for (const io::ReceivedDatagram& d : receiver.receive()) {
        EXPECT_EQ(d.data.size(), 64U);
        EXPECT_EQ(d.data[0], seen++);
      }
    }
    EXPECT_EQ(seen, 20U);
  });
}

// Two accounts with the same addresses: each packet leaves by the TUN of its own, also when they come in turn.
TEST(WorkerSink, EveryVrfHasItsTun) {
  in_fresh_netns([] {
    std::optional<DataSockets> sockets;
    const auto open_tun = [](const std::string& name) {
      auto tun = io::TunDevice::adopt(io::attach_tun(io::open_tun_control().value(), name).value()).value();
      shell("ip link set " + name + " addrgenmode none; ip link set " + name + " up");
      return tun;
    };
    sockets.emplace(DataSockets{open_tun("qnsink0"), {}, {}});
    for (const std::uint32_t vrf : {1U, 7U})
      sockets->accounts.push_back({VrfId{vrf}, open_tun("qnsink" + std::to_string(vrf))});
    WorkerSink sink{*sockets};
    std::vector<Bytes> packets;
    for (std::uint8_t i = 0; i < 12; ++i) {
      PacketSpec spec{.source = ip("10.9.0.2"), .destination = ip("10.9.0.1")};
      spec.fill = i;
      packets.push_back(udp(spec));
    }
    const std::array<VrfId, 4> vrfs = {VrfId{}, VrfId{1}, VrfId{7}, VrfId{2}};  // nobody's: dropped
    for (std::size_t i = 0; i < packets.size(); ++i)
      sink.deliver(vrfs[i % 4], packets[i], *esp::parse_inner(packets[i]));
    sink.flush();
    const auto octets = [](const std::string& name) {
      const auto links = nlohmann::json::parse(shell("ip -j -s link show " + name));
      return links.at(0).at("stats64").at("rx").at("bytes").get<std::size_t>();
    };
    EXPECT_GT(octets("qnsink0"), 0U);
    EXPECT_EQ(octets("qnsink1"), octets("qnsink0"));
    EXPECT_EQ(octets("qnsink7"), octets("qnsink0"));
    const std::size_t before = octets("qnsink7");
    sink.write_tun(VrfId{7}, packets[0]);
    sink.write_tun(VrfId{9}, packets[0]);
    EXPECT_EQ(octets("qnsink7") - before, packets[0].size());
  });
}

}  // namespace
}  // namespace qanat::daemon
