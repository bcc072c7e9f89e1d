// What is heard of the routes of a network namespace that the test makes.
#include "daemon/route_monitor.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>

#include "io/netns_testing.hpp"
#include "io/tun_device.hpp"

namespace qanat::daemon {
namespace {

using gateway::KernelRoute;
using io::testing::in_fresh_netns;
using io::testing::shell;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class RouteMonitorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
  }
};

// Two TUNs, of the default VRF and of another one, and an interface of somebody else's.
struct Host {
  Host() {
    for (const char* name : {"qnmon0", "qnmon1"})
      tuns.push_back(io::attach_tun(io::open_tun_control().value(), name).value());
    shell(
        "ip link set lo up; for i in qnmon0 qnmon1; do ip link set $i addrgenmode none; ip link set $i up; done;"
        "ip link add other type veth peer name far && ip link set far up && ip link set other up;"
        "ip addr add 192.0.2.1/24 dev other");
  }
  RouteMonitor monitor(std::size_t count = 2) {
    std::vector<RouteMonitor::Tun> watched = {{VrfId{}, ::if_nametoindex("qnmon0")},
                                              {VrfId{1}, ::if_nametoindex("qnmon1")}};
    watched.resize(count);
    return RouteMonitor::open(std::move(watched)).value();
  }
  std::vector<io::UniqueFd> tuns;
};

bool readable(int fd, int ms) {
  pollfd ready{fd, POLLIN, 0};
  return ::poll(&ready, 1, ms) == 1;
}

// Nothing when it was refused, as begin() would be called again.
std::optional<RouteMonitor::Found> read_found(RouteMonitor& monitor) {
  const Status begun = monitor.begin();
  EXPECT_TRUE(begun.has_value());
  while (readable(monitor.answers_fd(), 3000)) {
    if (auto routes = monitor.read()) {
      EXPECT_FALSE(monitor.reading());
      if (!*routes) return std::nullopt;
      return std::move(**routes);
    }
  }
  return std::nullopt;
}
std::optional<std::vector<KernelRoute>> read_all(RouteMonitor& monitor) {
  auto found = read_found(monitor);
  if (!found) return std::nullopt;
  return std::move(found->routes);
}
// Waits for news that concern us, and reads.
std::vector<KernelRoute> read_news(RouteMonitor& monitor) {
  EXPECT_TRUE(readable(monitor.news_fd(), 3000));
  EXPECT_TRUE(monitor.drain());
  return read_all(monitor).value();
}

KernelRoute route(std::string_view prefix, std::string_view gateway, std::uint32_t metric = 0,
                  std::uint32_t table = 254, VrfId vrf = {}) {
  return {.vrf = vrf,
          .prefix = *Prefix::parse(prefix),
          .gateway = *IpAddress::parse(gateway),
          .metric = metric,
          .weight = 1,
          .table = table};
}

TEST_F(RouteMonitorTest, FindsRoutesThroughOurTunsInEveryTable) {
  in_fresh_netns([] {
    Host host;
    auto monitor = host.monitor();
    EXPECT_THAT(read_all(monitor).value(), IsEmpty());
    shell(
        "ip route add 10.1.0.0/16 via 10.255.0.1 dev qnmon0 onlink;"
        "ip route add 10.2.0.0/16 via 10.255.0.3 dev qnmon0 onlink metric 7 table 99;"
        "ip route add 10.1.0.0/16 via 10.255.0.1 dev qnmon1 onlink table 100;"
        "ip -6 route add fd01::/16 via fd00:255::1 dev qnmon0 onlink;"
        "ip route add default via 10.255.0.1 dev qnmon0 onlink;"
        // None of these is one: no gateway, another interface, ours, no unicast.
        "ip route add 10.3.0.0/16 dev qnmon0; ip route add 10.4.0.0/16 via 192.0.2.9;"
        "ip route add 10.5.0.0/16 via 10.255.0.1 dev qnmon0 onlink proto 81; ip route add unreachable 10.6.0.0/16;"
        "ip route add unreachable 10.1.0.0/16 metric 4294967295 proto 82");
    EXPECT_THAT(read_news(monitor),
                UnorderedElementsAre(route("10.1.0.0/16", "10.255.0.1"), route("10.2.0.0/16", "10.255.0.3", 7, 99),
                                     route("10.1.0.0/16", "10.255.0.1", 0, 100, VrfId{1}),
                                     route("fd01::/16", "fd00:255::1", 1024), route("0.0.0.0/0", "10.255.0.1")));
    auto one = host.monitor(1);  // which the kernel filters
    EXPECT_THAT(read_all(one).value(), SizeIs(4));
  });
}

TEST_F(RouteMonitorTest, HearsWhatConcernsOurTunsAndNothingElse) {
  in_fresh_netns([] {
    Host host;
    auto monitor = host.monitor();
    EXPECT_THAT(read_all(monitor).value(), IsEmpty());
    (void)monitor.drain();
    shell("ip route add 10.4.0.0/16 via 192.0.2.9; ip route add 10.5.0.0/16 dev other proto 81");
    EXPECT_TRUE(readable(monitor.news_fd(), 1000));
    EXPECT_FALSE(monitor.drain());
    EXPECT_FALSE(readable(monitor.news_fd(), 0));

    shell("ip route add 10.1.0.0/16 via 10.255.0.1 dev qnmon0 onlink");
    EXPECT_THAT(read_news(monitor), ElementsAre(route("10.1.0.0/16", "10.255.0.1")));
    shell("ip route change 10.1.0.0/16 via 10.255.0.3 dev qnmon0 onlink");
    EXPECT_THAT(read_news(monitor), ElementsAre(route("10.1.0.0/16", "10.255.0.3")));
    // The news name only the interface that the route has now.
    shell("ip route change 10.1.0.0/16 via 192.0.2.9");
    EXPECT_THAT(read_news(monitor), IsEmpty());
    shell("ip -6 route add fd01::/16 via fd00:255::1 dev qnmon0 onlink metric 5");
    EXPECT_THAT(read_news(monitor), ElementsAre(route("fd01::/16", "fd00:255::1", 5)));
    shell("ip -6 route del fd01::/16");
    EXPECT_THAT(read_news(monitor), IsEmpty());
    EXPECT_FALSE(readable(monitor.news_fd(), 0));
  });
}

TEST_F(RouteMonitorTest, SeveralWaysHaveTheirWeights) {
  in_fresh_netns([] {
    Host host;
    auto monitor = host.monitor();
    shell(
        "ip route add 10.1.0.0/16 nexthop via 10.255.0.1 dev qnmon0 weight 3 onlink "
        "nexthop via 10.255.0.3 dev qnmon0 weight 1 onlink nexthop via 192.0.2.9 dev other;"
        "ip -6 route add fd01::/16 nexthop via fd00:255::1 dev qnmon0 weight 2 onlink "
        "nexthop via fd00:255::3 dev qnmon0 weight 5 onlink;"
        "ip route add 10.7.0.0/16 via inet6 fd00:255::1 dev qnmon0 onlink");
    const auto weighted = [](KernelRoute r, std::uint32_t weight) {
      r.weight = weight;
      return r;
    };
    EXPECT_THAT(read_news(monitor), UnorderedElementsAre(weighted(route("10.1.0.0/16", "10.255.0.1"), 3),
                                                         weighted(route("10.1.0.0/16", "10.255.0.3"), 1),
                                                         weighted(route("fd01::/16", "fd00:255::1", 1024), 2),
                                                         weighted(route("fd01::/16", "fd00:255::3", 1024), 5),
                                                         route("10.7.0.0/16", "fd00:255::1")));
    shell("ip route del 10.1.0.0/16; ip -6 route del fd01::/16 via fd00:255::1 dev qnmon0");
    EXPECT_THAT(read_news(monitor),
                UnorderedElementsAre(route("fd01::/16", "fd00:255::3", 1024), route("10.7.0.0/16", "fd00:255::1")));
  });
}

TEST_F(RouteMonitorTest, ATunThatIsTakenDownWithdrawsNothing) {
  in_fresh_netns([] {
    Host host;
    auto monitor = host.monitor();
    (void)monitor.drain();
    const std::string add = "ip route add 10.1.0.0/16 via 10.255.0.1 dev qnmon0 onlink;";
    shell(add + "ip -6 route add fd01::/16 via fd00:255::1 dev qnmon0 onlink");
    EXPECT_THAT(read_news(monitor), SizeIs(2));
    EXPECT_FALSE(monitor.paused());
    shell("ip link set qnmon0 down");
    EXPECT_TRUE(readable(monitor.news_fd(), 3000));
    (void)monitor.drain();
    EXPECT_TRUE(monitor.paused());
    shell("ip link set qnmon0 up");
    EXPECT_TRUE(readable(monitor.news_fd(), 3000));
    EXPECT_TRUE(monitor.drain());
    EXPECT_FALSE(monitor.paused());
    EXPECT_THAT(read_all(monitor).value(), IsEmpty()) << "the kernel has forgotten them";
    shell(add);
    EXPECT_THAT(read_news(monitor), SizeIs(1));
  });
}

// "10.1.0.0/24 eth1", "@192.0.2.1/32 eth1" of an address; sorted.
std::vector<std::string> networks(RouteMonitor& monitor) {
  std::vector<std::string> out;
  const RouteMonitor::Found found = read_found(monitor).value();
  for (const gateway::HostNetwork& n : found.networks) {
    out.push_back((n.kind == gateway::HostNetwork::Kind::Address ? "@" : "") + n.prefix.to_string() + " " +
                  n.interface);
  }
  std::ranges::sort(out);
  return out;
}

TEST_F(RouteMonitorTest, KnowsTheHostsOwnNetworksAndAddresses) {
  in_fresh_netns([] {
    Host host;
    auto monitor = host.monitor();
    EXPECT_THAT(networks(monitor), ElementsAre("192.0.2.0/24 other", "@192.0.2.1/32 other"));
    (void)monitor.drain();
    const auto change = [&](const char* command) {
      shell(command);
      EXPECT_TRUE(readable(monitor.news_fd(), 3000));
      EXPECT_TRUE(monitor.drain()) << command;
    };
    change("ip addr add 10.9.9.9/32 dev lo; ip -6 addr add fd07::1/64 dev other nodad");
    EXPECT_THAT(networks(monitor), ElementsAre("192.0.2.0/24 other", "@10.9.9.9/32 lo", "@192.0.2.1/32 other",
                                               "@fd07::1/128 other", "fd07::/64 other"));
    // Of IPv4 the kernel tells only that the interface went down.
    change("ip -6 addr flush dev other; ip link set other down");
    EXPECT_THAT(networks(monitor), ::testing::Not(::testing::Contains("192.0.2.0/24 other")));
    change("ip link set other up");
    EXPECT_THAT(networks(monitor), ::testing::Contains("192.0.2.0/24 other"));
    change("ip link set other down; ip link set other name lan; ip link set lan up");
    EXPECT_THAT(networks(monitor), ::testing::Contains("192.0.2.0/24 lan"));
    // Neither what somebody else routes there, nor what is no network of an interface.
    shell("ip route add 10.4.0.0/16 via 192.0.2.9; ip route add 10.5.0.0/16 dev lan table 99");
    EXPECT_THAT(networks(monitor), ::testing::Not(::testing::Contains(::testing::StartsWith("10."))));
    change("ip link del lan");
    EXPECT_THAT(networks(monitor), ElementsAre("@10.9.9.9/32 lo"));
  });
}

TEST_F(RouteMonitorTest, LosesNothingWhenThereAreMoreNewsThanItsQueueHolds) {
  in_fresh_netns([] {
    Host host;
    auto monitor = host.monitor();
    shell(
        "for i in $(seq 0 249); do for j in $(seq 40); do "
        "echo route add 10.$j.$i.0/24 via 10.255.0.1 dev qnmon0 onlink; done; done | ip -batch -");
    EXPECT_THAT(read_news(monitor), SizeIs(10'000));
    shell("ip route flush dev qnmon0");
    EXPECT_THAT(read_news(monitor), IsEmpty());
  });
}

}  // namespace
}  // namespace qanat::daemon
