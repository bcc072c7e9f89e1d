// What of the host's own the helper leaves alone, and what it hears of the kernel's routes, read back with ip and nft.
#include <gtest/gtest.h>
#include <poll.h>

#include "daemon/helper.hpp"
#include "daemon/netd.hpp"
#include "io/netd_client.hpp"
#include "io/netns_testing.hpp"

namespace qanat::daemon {
namespace {

using io::testing::in_fresh_netns;
using io::testing::shell;

constexpr std::uint32_t kTable = 5200;
constexpr std::uint32_t kMark = 0x5154;

gateway::SetProtection protect(const std::vector<const char*>& prefixes) {
  gateway::SetProtection p{"qntest0", kTable, kMark, 1380, {}};
  for (const char* text : prefixes) p.prefixes.push_back(*Prefix::parse(text));
  return p;
}

std::string way(const std::string& what) {
  return shell("ip route get " + what);
}
bool reachable(const std::string& what) {
  return std::system(("ip route get " + what + " >/dev/null 2>&1").c_str()) == 0;
}

class NetdNetworks : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "routes and rules need root";
  }
};

// A helper, and our end of it.
struct Helper {
  Helper() : client(std::move(start_helper({io::LogFormat::Human, io::LogLevel::Error}).value().socket)) {}
  Status ask(gateway::HostCommand command) {
    const RequestId id{next++};
    client.post(id, std::move(command));
    for (int i = 0; i < 300; ++i) {
      if (auto result = client.poll()) return result->status;
      pollfd p{client.fd(), POLLIN, 0};
      (void)::poll(&p, 1, 100);
    }
    return fail(ErrorKind::Internal, "test", "no answer");
  }
  io::NetdClient client;
  std::uint64_t next = 1;
};

// The host's own networks inside a wider prefix are reached, by their interfaces and as long as those are there.
TEST_F(NetdNetworks, TheHostsOwnNetworksAreReachedInsideAWiderPrefix) {
  in_fresh_netns([] {
    shell(
        "ip link set lo up; for i in wan lan; do ip link add $i type veth peer name far-$i; ip link set far-$i up; ip "
        "link set $i up; done;"
        "ip addr add 192.0.2.2/24 dev wan; ip route add default via 192.0.2.1;"
        "ip addr add 10.1.0.1/24 dev lan; ip addr add 10.2.0.1/24 dev lan; ip -6 addr add fd01::1/64 dev lan nodad");
    Helper helper;
    auto tun = helper.client.open_tun("qntest0", 1380);
    ASSERT_TRUE(tun);
    const auto protection = protect({"10.0.0.0/8", "10.2.0.0/24", "fc00::/7"});
    for (int again = 0; again < 2; ++again) {
      const Status set = helper.ask(protection);
      ASSERT_TRUE(set) << set.error().where << ": " << set.error().detail;
      EXPECT_NE(way("10.1.0.7").find("dev lan"), std::string::npos);
      EXPECT_NE(way("fd01::7").find("dev lan"), std::string::npos);
      EXPECT_NE(way("10.2.0.7").find("dev qntest0"), std::string::npos) << "a prefix of a tunnel's very own";
      EXPECT_NE(way("10.3.0.7").find("dev qntest0"), std::string::npos);
    }
    const std::string filter = shell("nft list table inet qanat");
    EXPECT_NE(filter.find("iifname \"lan\" ip saddr 10.1.0.0/24 accept"), std::string::npos) << filter;
    EXPECT_EQ(filter.find("10.2.0.0/24 accept"), std::string::npos);
    // It moves; it goes, and then nobody has it but the tunnel; and without the TUN the barrier.
    shell(
        "ip link add lan2 type veth peer name far-lan2; ip link set far-lan2 up; ip link set lan2 up; ip addr flush "
        "dev lan; ip addr add 10.1.0.1/24 dev lan2");
    ASSERT_TRUE(helper.ask(protection));
    EXPECT_NE(way("10.1.0.7").find("dev lan2"), std::string::npos);
    shell("ip link set lan2 down");
    EXPECT_NE(way("10.1.0.7").find("dev qntest0"), std::string::npos) << "at once: nobody had to tell us";
    tun->reset();
    EXPECT_FALSE(reachable("10.1.0.7"));
    shell("ip link set lan2 up");
    ASSERT_TRUE(apply_protection_once(protection));
    EXPECT_NE(way("10.1.0.7").find("dev lan2"), std::string::npos);
    // An operator's own route there is left alone.
    shell("ip route replace 10.1.0.0/24 dev lan table 5200 proto static");
    ASSERT_TRUE(apply_protection_once(protection));
    EXPECT_NE(way("10.1.0.7").find("dev lan "), std::string::npos);
    ASSERT_TRUE(purge_once({kTable, kMark}));
    EXPECT_EQ(shell("ip route show table 5200 proto 81"), "");
  });
}

// What the kernel's routes lead into a tunnel is in the filter's list as long as its barrier stands.
TEST_F(NetdNetworks, TheFilterKnowsWhatTheKernelsRoutesLeadIntoATunnel) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    Helper helper;
    auto tun = helper.client.open_tun("qntest0", 1380);
    ASSERT_TRUE(tun);
    auto account = helper.client.open_tun("qntest1", 1380);
    ASSERT_TRUE(account);
    auto protection = protect({"10.1.0.0/16"});
    protection.accounts.push_back({VrfId{1}, "qntest1", 5210, 1380, {*Prefix::parse("10.1.0.0/16")}, {"lan1"}});
    const auto listed = [](const char* set) {
      const std::string text = shell(std::string("nft list set inet qanat learnt_") + set);
      const auto at = text.find("elements");
      return at == std::string::npos ? std::string{} : text.substr(at, text.find('}', at) - at);
    };
    ASSERT_TRUE(helper.ask(protection));
    const gateway::ChangeBarriers change{{{254, *Prefix::parse("10.9.0.0/16")},
                                          {99, *Prefix::parse("10.9.1.0/24")},
                                          {254, *Prefix::parse("fd09::/16")},
                                          {254, *Prefix::parse("10.9.0.0/16"), VrfId{1}}},
                                         {}};
    ASSERT_TRUE(helper.ask(change));
    EXPECT_NE(listed("0_4").find("10.9.0.0/16"), std::string::npos) << "and what lies within it needs no place";
    EXPECT_NE(listed("0_6").find("fd09::/16"), std::string::npos);
    EXPECT_NE(listed("1_4").find("10.9.0.0/16"), std::string::npos);
    ASSERT_TRUE(helper.ask(protection));
    EXPECT_NE(listed("1_4").find("10.9.0.0/16"), std::string::npos) << "another configuration keeps them";
    ASSERT_TRUE(helper.ask(gateway::ChangeBarriers{{}, {change.add.front()}}));
    EXPECT_NE(listed("0_4").find("10.9.1.0/24"), std::string::npos);
    EXPECT_NE(listed("1_4").find("10.9.0.0/16"), std::string::npos);
    ASSERT_TRUE(helper.ask(gateway::ChangeBarriers{{}, change.add}));
    EXPECT_EQ(listed("0_4") + listed("0_6") + listed("1_4"), "");
  });
}

}  // namespace
}  // namespace qanat::daemon
