// Two data workers on threads of their own, over real sockets and a TUN of two queues, in a network namespace of their
// own: a hub between two sites, whose tunnels belong to different workers. The sites are packet paths of the test.
#include "daemon/data_workers.hpp"

#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>

#include "io/clock.hpp"
#include "io/netns_testing.hpp"
#include "io/steering.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::daemon {
namespace {

using namespace wan::testing;
using io::testing::in_fresh_netns;
using io::testing::shell;

constexpr std::uint32_t kWorkers = 2;
constexpr Duration kPatience = 30s;  // of a machine that does other things, too

io::UdpSocket open_udp(const char* address, std::uint16_t port, io::ReusePort reuse = io::ReusePort::No) {
  return io::UdpSocket::adopt(io::open_udp_socket({ip(address), port}, 0, reuse).value()).value();
}

// A site: its packet path, which the test feeds, and its socket of port 4500.
struct Site {
  Site(std::uint64_t seed, TunnelId id, const char* address_in, std::vector<std::string_view> routes)
      : tunnel(id), address(address_in), gateway(seed), socket(open_udp(address_in, io::kNatPort)) {
    gateway.set(plan(id, std::move(routes)));
    link.a = "127.0.0.1";
    link.b = address;
  }
  void send_all() {
    while (!gateway.sink.sent.empty()) {
      const SentEsp out = gateway.take_sent();
      EXPECT_EQ(socket.send(ip(address), out.path.peer, 0, io::Df::Clear, out.esp), io::SendOutcome::Sent);
    }
  }
  void receive() {
    for (const io::ReceivedDatagram& d : socket.receive())
      gateway.path.handle_esp(gateway.now, {{d.local, io::kNatPort}, d.remote, ipsec::Encapsulation::Udp}, d.tos,
                              {&d.data, 1}, gateway.sink);
  }
  TunnelId tunnel;
  const char* address;
  Link link;  // a: the hub
  Gateway gateway;
  io::UdpSocket socket;
};

class Hub {
 public:
  Hub() : log_({.format = io::LogFormat::Human, .level = io::LogLevel::Error}) {
    std::vector<DataSockets> sockets;
    for (std::uint32_t w = 0; w < kWorkers; ++w) {
      auto fd =
          io::attach_tun(io::open_tun_control().value(), "qnhub", w == 0 ? io::TunQueue::First : io::TunQueue::Further);
      DataSockets one{io::TunDevice::adopt(std::move(fd.value())).value(), {}, {}};
      one.udp.push_back(open_udp("127.0.0.1", io::kNatPort, io::ReusePort::Yes));
      sockets.push_back(std::move(one));
    }
    EXPECT_TRUE(io::attach_steering(control_.fd(), kWorkers));
    shell("ip link set qnhub up; ip addr add 10.1.0.5/32 dev qnhub; ip route add 10.2.0.0/15 dev qnhub");
    workers_.emplace(std::move(sockets), events_, log_);
    EXPECT_TRUE(workers_->start());
  }
  void post(ipsec::Command command) {
    workers_->post(std::move(command));
    workers_->flush();
  }
  // The next event of a type, as the control thread would hear it.
  template <typename Event>
  Event wait() {
    const Instant end = io::boot_now() + kPatience;
    while (io::boot_now() < end) {
      while (!heard_.empty()) {
        auto whole = std::move(heard_.front());
        heard_.pop_front();
        if (auto* found = std::get_if<Event>(&whole)) return std::move(*found);
      }
      pollfd p{events_.fd(), POLLIN, 0};
      (void)::poll(&p, 1, 1000);
      for (FromDataWorker& message : events_.take_all()) {
        if (auto* event = std::get_if<ipsec::Event>(&message)) {
          if (auto whole = workers_->merge(std::move(*event))) heard_.push_back(std::move(*whole));
        } else if (const auto* news = std::get_if<wan::TunnelNews>(&message)) {
          workers_->post(*news);
        }
      }
      workers_->flush();
    }
    ADD_FAILURE() << "an event that was awaited does not come";
    return {};
  }
  // A new Child SA between the hub and a site, which takes over from the last one.
  void connect(Site& site, std::uint64_t child) {
    post(ipsec::ReserveSpi{RequestId{1}, site.tunnel});
    const auto reserved = wait<ipsec::Done>();
    ASSERT_TRUE(reserved.status);
    const Keyed k{.spi_a = reserved.spi,
                  .spi_b = site.gateway.reserve(site.tunnel),
                  .seed_ab = 2 * child,
                  .seed_ba = 2 * child + 1};
    const ChildSaId id{child};
    ASSERT_TRUE(site.gateway.install_inbound(b_in(site.link, k, id, site.tunnel)));
    post(ipsec::InstallInbound{RequestId{2}, a_in(site.link, k, id, site.tunnel)});
    ASSERT_TRUE(wait<ipsec::Done>().status);
    post(ipsec::InstallOutbound{RequestId{3}, a_out(site.link, k, id, site.tunnel)});
    ASSERT_TRUE(wait<ipsec::Done>().status);
    ASSERT_TRUE(site.gateway.install_outbound(b_out(site.link, k, id, site.tunnel)));
    post(ipsec::SwitchOutbound{site.tunnel, id});
    site.gateway.post(ipsec::SwitchOutbound{site.tunnel, id});
  }
  ipsec::Counters counters() {
    post(ipsec::ReadCounters{RequestId{9}});
    return wait<ipsec::Counters>();
  }

 private:
  io::UdpSocket control_ = open_udp("127.0.0.1", io::kNatPort, io::ReusePort::Yes);  // the first of the group
  io::Log log_;
  io::Mailbox<FromDataWorker> events_;
  std::deque<ipsec::Event> heard_;
  std::optional<DataWorkers> workers_;
};

std::uint32_t number_of(const Bytes& packet) {
  return load_be32(&packet[28]);
}

Bytes numbered(const char* from, const char* to, std::uint32_t number) {
  Bytes packet = udp({.source = ip(from), .destination = ip(to), .payload = 400});
  store_be32(&packet[28], number);
  store_be16(&packet[26], 0);  // no UDP checksum
  return packet;
}

TEST(DataWorkers, CarryBetweenTunnelsOfDifferentOwnersUnderNewKeys) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    Site one{11, TunnelId{1}, "127.0.0.2", {"10.1.0.0/16", "10.3.0.0/16"}};
    Site two{12, TunnelId{2}, "127.0.0.3", {"10.1.0.0/16", "10.2.0.0/16"}};
    Hub hub;
    for (const auto& p : {plan(TunnelId{1}, {"10.2.0.0/16"}), plan(TunnelId{2}, {"10.3.0.0/16"})}) {
      hub.post(ipsec::SetTunnel{p});
      hub.post(routes_of(p));
    }
    hub.connect(one, 1);
    hub.connect(two, 2);
    std::vector<io::UdpSocket> hosts;  // flows of the hub's host: some are read by the wrong worker
    for (int i = 0; i < 8; ++i) hosts.push_back(open_udp("10.1.0.5", 0));

    constexpr std::uint32_t kRounds = 120;
    constexpr std::uint32_t kBurst = 20;
    std::uint32_t sent = 0;
    std::vector<std::uint32_t> through;                             // from site to site, as they arrive
    std::map<std::uint16_t, std::vector<std::uint32_t>> from_host;  // by port
    const auto collect = [&] {
      for (Site* site : {&one, &two}) site->receive();
      while (!two.gateway.sink.delivered.empty()) {
        const Bytes packet = two.gateway.take_delivered();
        if (packet[12] == 10 && packet[13] == 2) {
          through.push_back(number_of(packet));
        } else {
          from_host[load_be16(&packet[20])].push_back(number_of(packet));
        }
      }
      one.gateway.sink.delivered.clear();
    };
    const auto arrived = [&] {
      std::size_t count = through.size();
      for (const auto& [port, numbers] : from_host) count += numbers.size();
      return count;
    };
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      if (round % 10 == 9) {
        hub.connect(one, 100 + round);
        hub.connect(two, 1000 + round);
        (void)hub.counters();
      }
      for (std::uint32_t i = 0; i < kBurst; ++i) {
        one.gateway.tun(numbered("10.2.0.9", "10.3.0.9", sent));
        Bytes payload(8);
        store_be32(payload.data(), sent);
        for (io::UdpSocket& host : hosts) {
          EXPECT_EQ(host.send({}, {ip("10.3.0.9"), 7}, 0, io::Df::Clear, payload), io::SendOutcome::Sent);
        }
        ++sent;
      }
      one.send_all();
      // As fast as it goes, but what was sent may not fill a socket's buffer.
      const Instant end = io::boot_now() + kPatience;
      while (arrived() + 500 < std::size_t{sent} * 9 && io::boot_now() < end) {
        std::this_thread::sleep_for(200us);
        collect();
      }
    }
    const Instant end = io::boot_now() + kPatience;
    while (arrived() < std::size_t{sent} * 9 && io::boot_now() < end) {
      std::this_thread::sleep_for(1ms);
      collect();
    }
    ASSERT_EQ(through.size(), sent) << "lost or doubled";
    for (std::uint32_t i = 0; i < sent; ++i) ASSERT_EQ(through[i], i) << "overtaken";
    EXPECT_EQ(from_host.size(), hosts.size());
    for (const auto& [port, numbers] : from_host) {
      ASSERT_EQ(numbers.size(), sent) << port;
      for (std::uint32_t i = 0; i < sent; ++i) ASSERT_EQ(numbers[i], i) << port;
    }
    const ipsec::Counters all = hub.counters();
    EXPECT_GE(all.handed_over, sent) << "what goes from site to site is handed over, at least";
    for (const auto& [name, count] : all.drops) {
      EXPECT_EQ(name, "no_route") << count;  // what the kernel announces of itself
    }
  });
}

TEST(HandoverBox, HasRoomForSoMuch) {
  HandoverBox box;
  EXPECT_TRUE(box.take().empty());
  const Bytes packet(60000);
  std::size_t posted = 0;
  for (;; ++posted) {
    wan::Handover batch;
    batch.add(wan::Handover::Esp{}, packet);
    if (!box.post(batch)) {
      EXPECT_EQ(batch.items().size(), 1U) << "it is the caller's still";
      break;
    }
  }
  EXPECT_EQ(posted, HandoverBox::kRoom / (packet.size() + sizeof(wan::Handover::Item)));
  EXPECT_EQ(box.take().size(), posted);
  wan::Handover batch;
  batch.add(wan::Handover::Esp{}, packet);
  EXPECT_TRUE(box.post(batch)) << "there is room again";
  EXPECT_EQ(box.take().size(), 1U);
  EXPECT_TRUE(box.take().empty());
}

}  // namespace
}  // namespace qanat::daemon
