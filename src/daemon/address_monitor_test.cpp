// What the kernel says of a network namespace that the test makes.
#include "daemon/address_monitor.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "io/netns_testing.hpp"

namespace qanat::daemon {
namespace {

using io::testing::in_fresh_netns;
using io::testing::shell;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}

bool readable(const AddressMonitor& monitor, int ms) {
  pollfd ready{monitor.fd(), POLLIN, 0};
  return ::poll(&ready, 1, ms) == 1;
}

// Without an address of its own, which would come at a time of the kernel's choosing.
void add_link(const std::string& name) {
  shell("ip link add " + name + " type veth peer name far-" + name);
  for (const std::string& end : {name, "far-" + name})
    shell("ip link set " + end + " addrgenmode none && ip link set " + end + " up");
}

TEST(AddressMonitor, TellsUsableAddressesFromTheRest) {
  in_fresh_netns([] {
    auto monitor = AddressMonitor::open(0);
    ASSERT_TRUE(monitor.has_value()) << monitor.error().detail;
    auto none = monitor->addresses();
    ASSERT_TRUE(none.has_value()) << none.error().detail;
    EXPECT_THAT(none->usable, IsEmpty());
    EXPECT_THAT(none->rest, IsEmpty());
    shell("ip link set lo up");
    add_link("one");
    shell("ip addr add 192.0.2.1/24 dev one && ip addr add 192.0.2.2/24 dev one");
    shell("ip addr add 10.9.0.1 peer 10.9.0.2 dev one");
    shell("ip addr add 169.254.7.7/16 dev one scope link");
    shell("ip -6 addr add 2001:db8::1/64 dev one nodad");
    shell("ip -6 addr add 2001:db8::2/64 dev one nodad preferred_lft 0");
    const auto there = monitor->addresses();
    ASSERT_TRUE(there.has_value()) << there.error().detail;
    EXPECT_THAT(there->usable,
                UnorderedElementsAre(ip("192.0.2.1"), ip("192.0.2.2"), ip("10.9.0.1"), ip("2001:db8::1")));
    EXPECT_THAT(there->rest, Contains(ip("127.0.0.1")));
    EXPECT_THAT(there->rest, Contains(ip("::1")));
    EXPECT_THAT(there->rest, Contains(ip("169.254.7.7")));
    EXPECT_THAT(there->rest, Contains(ip("2001:db8::2")));
    EXPECT_EQ(std::count(there->rest.begin(), there->rest.end(), ip("10.9.0.2")), 0) << "the other end's";
  });
}

TEST(AddressMonitor, SaysThatSomethingHasChangedUntilItIsDrained) {
  in_fresh_netns([] {
    auto monitor = AddressMonitor::open(0);
    ASSERT_TRUE(monitor.has_value()) << monitor.error().detail;
    EXPECT_FALSE(readable(*monitor, 0));
    add_link("one");
    monitor->drain();
    for (const char* change :
         {"ip addr add 192.0.2.1/24 dev one", "ip route add 198.51.100.0/24 via 192.0.2.254",
          "ip -6 addr add 2001:db8::1/64 dev one nodad", "ip -6 route add 2001:db8:9::/48 via 2001:db8::fe",
          "ip route del 198.51.100.0/24", "ip addr del 192.0.2.1/24 dev one"}) {
      shell(change);
      EXPECT_TRUE(readable(*monitor, 1000)) << change;
      monitor->drain();
    }
    EXPECT_FALSE(readable(*monitor, 0));
    // More than the socket's queue holds: the loss is news as well, and does not stay.
    shell(
        "for i in $(seq 250); do for j in $(seq 8); do echo addr add 10.$j.$i.1/32 dev one; done; done | ip -batch -");
    EXPECT_TRUE(readable(*monitor, 1000));
    monitor->drain();
    EXPECT_FALSE(readable(*monitor, 0));
    const auto all = monitor->addresses();
    ASSERT_TRUE(all.has_value()) << all.error().detail;
    EXPECT_EQ(all->usable.size(), 2001U) << "a dump of many messages";
  });
}

TEST(AddressMonitor, AsksTheHostsRoutingForTheSource) {
  in_fresh_netns([] {
    auto monitor = AddressMonitor::open(0x51);
    ASSERT_TRUE(monitor.has_value()) << monitor.error().detail;
    const auto source = [&](std::string_view to) {
      const auto out = monitor->source_for(ip(to));
      EXPECT_TRUE(out.has_value()) << out.error().detail;
      return out.value_or(std::nullopt);
    };
    EXPECT_EQ(source("198.51.100.7"), std::nullopt);
    EXPECT_EQ(source("2001:db8:9::7"), std::nullopt);
    shell("ip link set lo up");
    add_link("one");
    add_link("two");
    shell("ip addr add 192.0.2.1/24 dev one && ip addr add 203.0.113.1/24 dev two");
    shell("ip -6 addr add 2001:db8::1/64 dev one nodad && ip -6 route add default via 2001:db8::fe");
    EXPECT_EQ(source("198.51.100.7"), std::nullopt);
    shell("ip route add default via 192.0.2.254");
    EXPECT_EQ(source("198.51.100.7"), ip("192.0.2.1"));
    EXPECT_EQ(source("203.0.113.9"), ip("203.0.113.1"));
    EXPECT_EQ(source("2001:db8:9::7"), ip("2001:db8::1"));
    // Our packets carry a mark, and rules may send them elsewhere.
    shell("ip route add default via 203.0.113.254 table 77 && ip rule add fwmark 0x51 table 77");
    EXPECT_EQ(source("198.51.100.7"), ip("203.0.113.1"));
    shell("ip rule del fwmark 0x51 table 77 && ip route replace default via 203.0.113.254");
    EXPECT_EQ(source("198.51.100.7"), ip("203.0.113.1"));
  });
}

}  // namespace
}  // namespace qanat::daemon
