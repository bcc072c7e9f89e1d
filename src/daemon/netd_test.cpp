// The helper and what it makes of the kernel, in network namespaces of their own, read back with ip and nft.
#include "daemon/netd.hpp"

#include <algorithm>
#include <csignal>
#include <sstream>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "daemon/helper.hpp"
#include "daemon/netd_nft.hpp"
#include "daemon/netd_protection.hpp"
#include "io/clock.hpp"
#include "io/netd_client.hpp"
#include "io/netns_testing.hpp"
#include "io/tun_device.hpp"

namespace qanat::daemon {
namespace {

using io::testing::in_fresh_netns;
using io::testing::shell;
using Json = nlohmann::json;

constexpr std::uint32_t kTable = 5200;
constexpr std::uint32_t kMark = 0x5154;

gateway::SetProtection protect(const std::vector<const char*>& prefixes) {
  gateway::SetProtection p{"qntest0", kTable, kMark, 1380, {}};
  for (const char* text : prefixes) p.prefixes.push_back(*Prefix::parse(text));
  return p;
}

const io::LogOptions kQuiet{io::LogFormat::Human, io::LogLevel::Error};

Status ask(io::NetdClient& client, gateway::HostCommand command) {
  static std::uint64_t next = 1;
  const RequestId id{next++};
  client.post(id, std::move(command));
  for (int i = 0; i < 300; ++i) {
    if (auto result = client.poll()) {
      EXPECT_EQ(result->request, id);
      return result->status;
    }
    pollfd p{client.fd(), POLLIN, 0};
    (void)::poll(&p, 1, 100);
  }
  return fail(ErrorKind::Internal, "test", "no answer");
}

// "unreachable 10.1.0.0/16", "10.1.0.0/16 dev qntest0", sorted, of one table and family.
std::vector<std::string> routes(bool v6, std::uint32_t table) {
  std::vector<std::string> out;
  const std::string text = shell(std::string("ip -j ") + (v6 ? "-6" : "-4") + " route show table all proto 81");
  for (const Json& r : Json::parse(text.empty() ? "[]" : text)) {
    if (std::to_string(table) != r.value("table", "main")) continue;
    const std::string type = r.value("type", "unicast");
    out.push_back(type == "unicast" ? r.at("dst").get<std::string>() + " dev " + r.at("dev").get<std::string>()
                                    : type + " " + r.at("dst").get<std::string>());
    if (type == "unreachable") {
      EXPECT_EQ(r.at("metric").get<std::uint32_t>(), 4294967295U);
    }
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::string> rules(bool v6) {
  std::vector<std::string> out;
  std::string line;
  std::istringstream text(shell(std::string("ip ") + (v6 ? "-6" : "-4") + " rule"));
  while (std::getline(text, line)) {
    if (line.starts_with("520")) {
      std::ranges::replace(line, '\t', ' ');
      while (line.ends_with(' ')) line.pop_back();
      if (const auto at = line.find(" proto"); at != std::string::npos) line.erase(at);
      out.push_back(line);
    }
  }
  return out;
}

bool reachable(const std::string& what) {
  return std::system(("ip route get " + what + " >/dev/null 2>&1").c_str()) == 0;
}
std::string way(const std::string& what) {
  return shell("ip route get " + what);
}

using Texts = std::vector<std::string>;

TEST(ProtectionPlan, PutsADefaultIntoTheNextTable) {
  const ProtectionPlan plan = plan_protection(protect({"10.1.0.0/16", "10.1.0.0/16", "0.0.0.0/0", "8000::/1"}));
  ASSERT_EQ(plan.barriers.size(), 4U);                       // one each, and the bypass
  EXPECT_EQ(plan.barriers[0].kind, HostRoute::Kind::Throw);  // before the barrier that would hide it
  EXPECT_EQ(plan.barriers[0].prefix, *Prefix::parse("fe80::/10"));
  ASSERT_EQ(plan.tuns.size(), 1U);
  ASSERT_EQ(plan.tuns.front().routes.size(), 3U);
  for (const auto* list : {&plan.barriers, &plan.tuns.front().routes}) {
    for (const HostRoute& r : *list) EXPECT_EQ(r.table, r.prefix.length() == 0 ? kTable + 1 : kTable);
  }
  ASSERT_EQ(plan.rules.size(), 5U);  // four for IPv4, one for IPv6
  EXPECT_TRUE(plan.rules[1].without_default);
  EXPECT_EQ(plan.rules[2].table, kTable + 1);
  EXPECT_EQ(plan.rules[3].table, 0U);
  EXPECT_TRUE(plan.rules[4].v6);
}

TEST(Filter, HoldsEachAddressOnceAndAsksTheRoutingTableOnlyForADefault) {
  const std::string json = filter_json(protect({"10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/9", "11.0.0.0/8", "fd00::/8"}));
  const Json commands = Json::parse(json).at("nftables");
  std::size_t elements = 0;
  for (const Json& c : commands) {
    if (c.contains("add") && c.at("add").contains("set"))
      elements += c.at("add").at("set").value("elem", Json::array()).size();
  }
  EXPECT_EQ(elements, 3U);
  constexpr const char* kAsks = "\"comment\":\"source behind a tunnel\"";
  EXPECT_EQ(json.find(kAsks), std::string::npos);
  EXPECT_NE(filter_json(protect({"0.0.0.0/0"})).find(kAsks), std::string::npos);
}

class Netd : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "routes and rules need root";
  }
};

TEST_F(Netd, OpensSocketsAndTheTun) {
  in_fresh_netns([] {
    shell("ip link set lo up");
    auto helper = start_helper(kQuiet).value();
    io::NetdClient client(std::move(helper.socket));
    const IpAddress here = *IpAddress::parse("127.0.0.1");
    auto a = client.open_udp({here, 4500}, kMark, io::ReusePort::Yes);
    auto b = client.open_udp({here, 4500}, kMark, io::ReusePort::Yes);
    auto c = client.open_udp({*IpAddress::parse("::"), 500}, kMark, io::ReusePort::No);
    auto d = client.open_esp(io::Family::V4, kMark);
    auto e = client.open_esp(io::Family::V6, kMark);
    for (const auto* fd : {&a, &b, &c, &d, &e}) {
      EXPECT_TRUE(*fd) << (*fd ? "" : fd->error().where + ": " + fd->error().detail);
      std::uint32_t mark = 0;
      socklen_t size = sizeof mark;
      if (*fd) {
        EXPECT_EQ(::getsockopt((*fd)->get(), SOL_SOCKET, SO_MARK, &mark, &size), 0);
      }
      EXPECT_EQ(mark, kMark);
    }
    const auto dns = client.open_udp({here, 53}, kMark, io::ReusePort::No);
    EXPECT_FALSE(dns);
    const auto elsewhere = client.open_udp({*IpAddress::parse("192.0.2.1"), 500}, kMark, io::ReusePort::No);
    ASSERT_FALSE(elsewhere);
    EXPECT_NE(elsewhere.error().detail.find("bind"), std::string::npos) << elsewhere.error().detail;

    auto tun = client.open_tun("qntest0", 1380);
    ASSERT_TRUE(tun) << tun.error().where << ": " << tun.error().detail;
    const Json link = Json::parse(shell("ip -j link show qntest0")).at(0);
    EXPECT_EQ(link.at("mtu"), 1380);
    EXPECT_EQ(link.at("txqlen"), 10000);
    EXPECT_NE(link.at("flags").dump().find("\"UP\""), std::string::npos);
    EXPECT_EQ(shell("cat /proc/sys/net/ipv4/conf/qntest0/rp_filter"), "0\n");
    EXPECT_EQ(shell("ip -6 addr show dev qntest0"), "");  // nothing of the kernel's own goes into the tunnel
    EXPECT_FALSE(client.open_tun("qntest0", 1380));
    EXPECT_FALSE(client.open_tun("lo", 1380));
    shell("ip link add qnveth0 type veth peer name qnveth1");
    EXPECT_FALSE(client.open_tun("qnveth0", 1380));
    auto protection = protect({"10.1.0.0/16"});
    protection.tun = "qnveth0";
    EXPECT_FALSE(ask(client, protection));  // our helper's rights are not for other interfaces
  });
}

TEST_F(Netd, RunsWithThreeCapabilitiesAndOnlyEndsWithItsSocket) {
  in_fresh_netns([] {
    auto helper = start_helper(kQuiet).value();
    const std::string status_file = "/proc/" + std::to_string(helper.pid) + "/status";
    io::NetdClient client(std::move(helper.socket));
    EXPECT_TRUE(client.open_esp(io::Family::V4, kMark));  // it is up
    const std::string status = shell("cat " + status_file);
    EXPECT_EQ(status.find("Uid:\t0"), std::string::npos) << status;
    EXPECT_NE(status.find("CapEff:\t0000000000003400"), std::string::npos) << status;
    EXPECT_NE(status.find("CapBnd:\t0000000000003400"), std::string::npos);
    EXPECT_NE(status.find("CapAmb:\t0000000000001000"), std::string::npos);
    EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) EXPECT_EQ(::kill(helper.pid, signal), 0);
    EXPECT_TRUE(client.open_esp(io::Family::V4, kMark));
    client = io::NetdClient(io::UniqueFd{});
    int exit_status = -1;
    EXPECT_EQ(::waitpid(helper.pid, &exit_status, 0), helper.pid);
    EXPECT_TRUE(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 0);
  });
}

TEST_F(Netd, MakesKeepsChangesAndPurgesTheProtection) {
  in_fresh_netns([] {
    shell(
        "ip link set lo up; ip link add wan0 type veth peer name wan1; ip link set wan1 up; ip link set wan0 up; ip "
        "addr add 192.0.2.2/24 dev wan0;"
        "ip route add default via 192.0.2.1; ip -6 addr add 2001:db8:1::2/64 dev wan0 nodad;"
        "ip -6 route add default via 2001:db8:1::1");
    auto helper = start_helper(kQuiet).value();
    io::NetdClient client(std::move(helper.socket));

    // No TUN yet: an error, and yet nothing gets out.
    const Status without_tun = ask(client, protect({"10.1.0.0/16"}));
    ASSERT_FALSE(without_tun);
    EXPECT_NE(without_tun.error().detail.find("stay unreachable"), std::string::npos);
    EXPECT_FALSE(reachable("10.1.2.3"));

    auto tun = client.open_tun("qntest0", 1380);
    ASSERT_TRUE(tun) << tun.error().detail;
    for (int again = 0; again < 2; ++again) {
      const Status set = ask(client, protect({"10.1.0.0/16", "10.1.2.0/24", "fd01::/16"}));
      ASSERT_TRUE(set) << set.error().where << ": " << set.error().detail;
      EXPECT_EQ(routes(false, kTable), (Texts{"10.1.0.0/16 dev qntest0", "10.1.2.0/24 dev qntest0",
                                              "unreachable 10.1.0.0/16", "unreachable 10.1.2.0/24"}));
      EXPECT_EQ(routes(true, kTable), (Texts{"fd01::/16 dev qntest0", "unreachable fd01::/16"}));
      EXPECT_EQ(rules(false), (Texts{"5200: not from all fwmark 0x5154 lookup 5200"}));
      EXPECT_EQ(rules(true), rules(false));
    }
    const std::string filter = shell("nft list table inet qanat");
    EXPECT_NE(filter.find("10.1.0.0/16"), std::string::npos) << filter;
    EXPECT_EQ(filter.find("10.1.2.0/24"), std::string::npos) << filter;
    EXPECT_NE(filter.find("fd01::/16"), std::string::npos);
    EXPECT_NE(filter.find("hook prerouting priority raw"), std::string::npos);
    EXPECT_NE(way("10.1.2.3").find("dev qntest0"), std::string::npos);
    EXPECT_NE(way("10.1.2.3 mark 0x5154").find("dev wan0"), std::string::npos);
    EXPECT_NE(way("10.2.2.3").find("dev wan0"), std::string::npos);

    // Another config: a default for both families, and one prefix less.
    ASSERT_TRUE(ask(client, protect({"10.1.2.0/24", "0.0.0.0/0", "::/0"})));
    EXPECT_EQ(routes(false, kTable), (Texts{"10.1.2.0/24 dev qntest0", "unreachable 10.1.2.0/24"}));
    EXPECT_EQ(routes(true, kTable), Texts{});
    EXPECT_EQ(routes(false, kTable + 1), (Texts{"default dev qntest0", "unreachable default"}));
    EXPECT_EQ(routes(true, kTable + 1), (Texts{"default dev qntest0", "unreachable default"}));
    EXPECT_EQ(
        rules(false),
        (Texts{"5200: not from all fwmark 0x5154 lookup 5200", "5201: from all lookup main suppress_prefixlength 0",
               "5202: not from all fwmark 0x5154 lookup 5201", "5203: not from all fwmark 0x5154 unreachable"}));
    EXPECT_EQ(rules(true), rules(false));
    EXPECT_NE(way("198.51.100.7").find("dev qntest0"), std::string::npos);
    EXPECT_NE(way("192.0.2.77").find("dev wan0"), std::string::npos);  // the connected network stays
    EXPECT_NE(way("198.51.100.7 mark 0x5154").find("dev wan0"), std::string::npos);
    EXPECT_NE(way("2001:db8:2::1").find("dev qntest0"), std::string::npos);
    EXPECT_NE(way("2001:db8:2::1 mark 0x5154").find("dev wan0"), std::string::npos);

    // The process dies: the TUN and its routes go, the barriers hold, also without the helper.
    tun->reset();
    client = io::NetdClient(io::UniqueFd{});
    reap_helper(helper.pid, 5);
    EXPECT_EQ(routes(false, kTable + 1), Texts{"unreachable default"});
    for (const char* to : {"10.1.2.3", "198.51.100.7", "2001:db8:2::1"}) {
      EXPECT_FALSE(reachable(to)) << to;
      EXPECT_TRUE(reachable(std::string(to) + " mark 0x5154")) << to;
    }
    EXPECT_TRUE(reachable("192.0.2.77"));

    // A socket bound to the outer interface gets no other way out either (of IPv4 the filter takes care).
    EXPECT_FALSE(reachable("2001:db8:2::1 oif wan0"));
    EXPECT_TRUE(reachable("2001:db8:1::77 oif wan0"));

    ASSERT_TRUE(purge_once({kTable, kMark}));
    EXPECT_EQ(rules(false), Texts{});
    EXPECT_EQ(rules(true), Texts{});
    for (const bool v6 : {false, true}) {
      EXPECT_EQ(routes(v6, kTable), Texts{});
      EXPECT_EQ(routes(v6, kTable + 1), Texts{});
    }
    EXPECT_EQ(shell("nft list tables"), "");
    EXPECT_TRUE(reachable("10.1.2.3"));
    ASSERT_TRUE(purge_once({kTable, kMark}));  // nothing there is no error
  });
}

gateway::SetProtection with_accounts() {
  auto p = protect({"10.1.0.0/16"});
  p.accounts.push_back(
      {VrfId{1}, "qntest1", 5210, 1380, {*Prefix::parse("10.1.0.0/16"), *Prefix::parse("0.0.0.0/0")}, {"lan1"}});
  p.accounts.push_back({VrfId{2}, "qntest2", 5220, 1300, {*Prefix::parse("10.1.0.0/16")}, {}});
  return p;
}

// The ways of packets of two accounts and of everybody else's, with the same destination.
TEST_F(Netd, KeepsAccountsApart) {
  in_fresh_netns([] {
    shell(
        "ip link set lo up; for i in wan lan1; do ip link add $i type veth peer name far-$i; ip link set far-$i up;"
        "ip link set $i up; done; ip addr add 192.0.2.2/24 dev wan; ip addr add 10.8.0.1/24 dev lan1;"
        "ip route add default via 192.0.2.1; sysctl -qw net.ipv4.ip_forward=1");
    auto helper = start_helper(kQuiet).value();
    io::NetdClient client(std::move(helper.socket));
    std::vector<io::UniqueFd> tuns;
    for (const char* name : {"qntest0", "qntest1", "qntest2"}) {
      auto tun = client.open_tun(name, 1380);
      ASSERT_TRUE(tun) << tun.error().detail;
      tuns.push_back(std::move(*tun));
    }
    for (int again = 0; again < 2; ++again) {
      const Status set = ask(client, with_accounts());
      ASSERT_TRUE(set) << set.error().where << ": " << set.error().detail;
      const ProtectionPlan plan = plan_protection(with_accounts());
      auto kernel = RouteSocket::open().value();
      EXPECT_EQ(kernel.our_rules()->size(), plan.rules.size()) << "each once";
    }
    EXPECT_EQ(routes(false, 5210), (Texts{"10.1.0.0/16 dev qntest1", "unreachable 10.1.0.0/16"}));
    EXPECT_EQ(routes(false, 5211), (Texts{"default dev qntest1", "unreachable default"}));
    EXPECT_EQ(routes(false, 5220), (Texts{"10.1.0.0/16 dev qntest2", "unreachable 10.1.0.0/16"}));
    const auto goes = [](const std::string& how, const std::string& device) {
      EXPECT_NE(way(how).find("dev " + device + " "), std::string::npos) << how << ": " << way(how);
    };
    // By interface, by mark, and by a socket that is bound to the TUN.
    for (const char* whose : {"from 10.8.0.7 iif lan1", "from 10.9.0.7 iif qntest1", "mark 0x5155", "oif qntest1"})
      goes(std::string("10.1.2.3 ") + whose, "qntest1");
    for (const char* whose : {"from 10.9.0.7 iif qntest2", "mark 0x5156", "oif qntest2"})
      goes(std::string("10.1.2.3 ") + whose, "qntest2");
    goes("10.1.2.3", "qntest0");
    goes("10.1.2.3 from 192.0.2.1 iif wan", "qntest0");
    // Beyond its prefixes: what is connected, then the account's default route, and without one the host's.
    goes("10.8.0.7 from 10.9.0.7 iif qntest1", "lan1");
    goes("198.51.100.7 from 10.9.0.7 iif qntest1", "qntest1");
    goes("198.51.100.7 from 10.9.0.7 iif qntest2", "wan");
    goes("198.51.100.7", "wan");

    // An account's TUN goes: its prefixes are unreachable, and nothing of the others is a way for them.
    tuns[2].reset();
    EXPECT_FALSE(reachable("10.1.2.3 mark 0x5156"));
    goes("10.1.2.3 mark 0x5155", "qntest1");
    shell("ip route flush table 5220; ip route del default");
    EXPECT_FALSE(reachable("10.1.2.3 mark 0x5156")) << "not by the table of another one";

    // Without accounts nothing of them is left.
    ASSERT_TRUE(ask(client, protect({"10.1.0.0/16"})));
    EXPECT_EQ(RouteSocket::open().value().our_rules()->size(), 2U);
    EXPECT_EQ(routes(false, 5210), Texts{});
    EXPECT_EQ(shell("nft list table inet qanat").find("account"), std::string::npos);
    EXPECT_EQ(shell("ip -6 route show table 5220"), "");
  });
}

// Beside routes of somebody else's: they hold when those go with the TUN, and spoil no barrier of the configuration's.
TEST_F(Netd, BarriersStayWhenTheTunGoes) {
  in_fresh_netns([] {
    shell(
        "ip link set lo up; ip link add wan type veth peer name far; ip link set far up; ip link set wan up;"
        "ip addr add 192.0.2.2/24 dev wan; ip route add default via 192.0.2.1");
    auto helper = start_helper(kQuiet).value();
    io::NetdClient client(std::move(helper.socket));
    auto tun = client.open_tun("qntest0", 1380);
    ASSERT_TRUE(tun);
    auto protection = protect({"10.1.0.0/16", "fd01::/16"});
    ASSERT_TRUE(ask(client, protection));
    shell("ip route add 10.9.0.0/16 via 10.255.0.1 dev qntest0 onlink; ip route add 10.9.1.0/24 via 192.0.2.1");
    const Prefix nine = *Prefix::parse("10.9.0.0/16");
    const gateway::ChangeBarriers change{{{254, nine},
                                          {kTable, *Prefix::parse("10.1.0.0/16")},
                                          {kTable, *Prefix::parse("fd01::/16")},
                                          {254, *Prefix::parse("fd09::/16")}},
                                         {}};
    for (int again = 0; again < 2; ++again) {
      const Status set = ask(client, change);
      ASSERT_TRUE(set) << set.error().where << ": " << set.error().detail;
      ASSERT_TRUE(ask(client, protection)) << "which does not take them away";
    }
    EXPECT_NE(way("10.9.2.3").find("dev qntest0"), std::string::npos);
    auto kernel = RouteSocket::open().value();
    EXPECT_EQ(kernel.our_routes(kBarrierProtocol)->size(), 2U) << "where there is one already it stays";
    tun->reset();
    EXPECT_FALSE(reachable("10.9.2.3"));
    EXPECT_FALSE(reachable("fd09::1"));
    EXPECT_NE(way("10.9.1.3").find("dev wan"), std::string::npos) << "what is routed elsewhere is not touched";
    ASSERT_TRUE(ask(client, gateway::ChangeBarriers{{}, change.add}));
    EXPECT_EQ(kernel.our_routes(kBarrierProtocol)->size(), 0U);
    EXPECT_EQ(routes(false, kTable), Texts{"unreachable 10.1.0.0/16"});
    EXPECT_EQ(routes(true, kTable), Texts{"unreachable fd01::/16"});
    EXPECT_NE(way("10.9.2.3").find("dev wan"), std::string::npos);
    ASSERT_TRUE(ask(client, change));
    ASSERT_TRUE(purge_once({kTable, kMark}));
    EXPECT_EQ(kernel.our_routes(kBarrierProtocol)->size(), 0U);
  });
}

TEST_F(Netd, TranslatesSourcesInATableOfItsOwn) {
  in_fresh_netns([] {
    auto helper = start_helper(kQuiet).value();
    io::NetdClient client(std::move(helper.socket));
    ASSERT_TRUE(apply_protection_once(protect({"10.1.0.0/16"})));
    const std::string filter = shell("nft list table inet qanat");
    const auto rules = [](const std::string& containing) {
      std::vector<std::string> out;
      std::string line;
      std::istringstream text(shell("nft list table inet qanat_nat"));
      while (std::getline(text, line)) {
        if (line.find(containing) == std::string::npos) continue;
        if (const auto at = line.find(" comment"); at != std::string::npos) line.erase(at);
        out.push_back(line.substr(line.find_first_not_of('\t')));
      }
      return out;
    };
    gateway::SetNat nat;
    nat.rules.push_back({{"qntest0"}, {}, "wan", std::nullopt});
    nat.rules.push_back({{"qntest1", "lan1"},
                         {*Prefix::parse("10.0.0.0/8"), *Prefix::parse("10.1.0.0/16"), *Prefix::parse("fd00::/8")},
                         "",
                         std::nullopt});
    nat.rules.push_back({{"qntest1"}, {}, "", *IpAddress::parse("192.0.2.9")});
    nat.rules.push_back({{"qntest1"}, {*Prefix::parse("::/0")}, "", *IpAddress::parse("2001:db8::9")});
    for (int again = 0; again < 2; ++again) {
      const Status set = ask(client, nat);
      ASSERT_TRUE(set) << set.error().detail;
      const std::string of_blue = "iifname { \"lan1\", \"qntest1\" } oifname != { \"lo\", \"lan1\", \"qntest1\" } ";
      const std::string of_tun = "iifname \"qntest1\" oifname != { \"lo\", \"qntest1\" } ";
      const std::string count = "counter packets 0 bytes 0 ";
      EXPECT_EQ(rules("masquerade"), (Texts{"iifname \"qntest0\" oifname \"wan\" " + count + "masquerade",
                                            of_blue + "ip saddr 10.0.0.0/8 " + count + "masquerade",
                                            of_blue + "ip6 saddr fd00::/8 " + count + "masquerade"}));
      EXPECT_EQ(rules("snat"), (Texts{of_tun + "meta nfproto ipv4 " + count + "snat ip to 192.0.2.9",
                                      of_tun + "meta nfproto ipv6 " + count + "snat ip6 to 2001:db8::9"}));
      EXPECT_EQ(rules("ct state invalid").size(), 5U);
      EXPECT_EQ(rules("ct state invalid").back(), of_tun + "meta nfproto ipv6 ct state invalid " + count + "drop");
    }
    EXPECT_EQ(shell("nft list table inet qanat"), filter) << "each is replaced without the other";
    nat.rules.resize(1);
    ASSERT_TRUE(ask(client, nat));
    EXPECT_EQ(rules("masquerade").size(), 1U);
    ASSERT_TRUE(ask(client, gateway::SetNat{}));
    EXPECT_EQ(shell("nft list tables"), "table inet qanat\n") << "without a rule there is no table";
    ASSERT_TRUE(ask(client, nat));
    ASSERT_TRUE(ask(client, gateway::PurgeProtection{kTable, kMark}));
    EXPECT_EQ(shell("nft list tables"), "");
  });
}

TEST_F(Netd, ProtectsBeforeTheNetworkIsUpAndForgetsAnOlderTable) {
  in_fresh_netns([] {
    auto older = protect({"10.1.0.0/16", "0.0.0.0/0"});
    older.route_table = 7000;
    older.fwmark = 0x77;
    ASSERT_TRUE(apply_protection_once(older));
    EXPECT_EQ(routes(false, 7001), Texts{"unreachable default"});
    const Status set = apply_protection_once(protect({"10.3.0.0/16", "8000::/1"}));
    ASSERT_TRUE(set) << set.error().where << ": " << set.error().detail;
    EXPECT_EQ(routes(false, 7000), Texts{});
    EXPECT_EQ(routes(false, 7001), Texts{});
    EXPECT_EQ(routes(false, kTable), Texts{"unreachable 10.3.0.0/16"});
    EXPECT_EQ(routes(true, kTable), (Texts{"throw fe80::/10", "unreachable 8000::/1"}));
    EXPECT_EQ(rules(false), Texts{"5200: not from all fwmark 0x5154 lookup 5200"});
    auto wrong = protect({});
    wrong.route_table = 254;
    EXPECT_FALSE(apply_protection_once(wrong));
    ASSERT_TRUE(apply_protection_once(protect({})));
    EXPECT_EQ(routes(false, kTable), Texts{});
  });
}

TEST_F(Netd, CopesWithManyPrefixes) {
  in_fresh_netns([] {
    auto helper = start_helper(kQuiet).value();
    io::NetdClient client(std::move(helper.socket));
    auto tun = client.open_tun("qntest0", 1380);
    ASSERT_TRUE(tun);
    auto many = protect({});
    constexpr std::uint32_t kCount = 20'000;
    for (std::uint32_t i = 0; i < kCount; ++i)
      many.prefixes.push_back(Prefix::masked(IpAddress::v4(0x0a000000U + (i << 8)), 24));
    const Instant begin = io::boot_now();
    const Status set = ask(client, many);
    ASSERT_TRUE(set) << set.error().detail;
    RecordProperty("milliseconds", static_cast<int>((io::boot_now() - begin) / 1ms));
    auto kernel = RouteSocket::open().value();
    EXPECT_EQ(kernel.our_routes()->size(), 2 * kCount);
    many.prefixes.resize(10);
    ASSERT_TRUE(ask(client, many));
    EXPECT_EQ(kernel.our_routes()->size(), 20U);
  });
}

}  // namespace
}  // namespace qanat::daemon
