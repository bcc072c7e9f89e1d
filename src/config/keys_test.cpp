// Every key: a good value arrives in the model; a bad one is refused with line, key and what is allowed.
#include <fmt/format.h>

#include "config/config_testing.hpp"

namespace qanat::config::testing {
namespace {

using model::Tunnel;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using namespace std::chrono_literals;

Tunnel tunnel_of(std::string_view more) {
  const auto loaded = load_text(with_tunnel(more));
  EXPECT_TRUE(loaded.has_value()) << more << "\n" << (loaded ? "" : render_problems(loaded.error()));
  return loaded && !loaded->config.tunnels.empty() ? loaded->config.tunnels[0] : Tunnel{};
}

model::Gateway gateway_of(std::string_view more) {
  const auto loaded = load_text("[gateway]\naddress = \"203.0.113.1\"\n" + std::string{more});
  EXPECT_TRUE(loaded.has_value()) << more << "\n" << (loaded ? "" : render_problems(loaded.error()));
  return loaded ? loaded->config.gateway : model::Gateway{};
}

TEST(Keys, ShortestConfigurationHasTheDefaults) {
  const auto loaded = load_text(
      "[gateway]\naddress = \"203.0.113.1\"\n[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\npsk_file = "
      "\"good.psk\"\n");
  ASSERT_TRUE(loaded.has_value());
  EXPECT_THAT(loaded->warnings, IsEmpty());
  ASSERT_EQ(loaded->config.tunnels.size(), 1U);
  Tunnel expected;
  expected.name = "berlin";
  expected.peer = *IpAddress::parse("198.51.100.7");
  expected.psk = loaded->config.tunnels[0].psk;
  EXPECT_EQ(loaded->config.tunnels[0], expected);
  EXPECT_TRUE(expected.psk.is_generated()) << "the newline at the end of the file is no part of the key";
  model::Gateway gateway;
  gateway.address4 = *IpAddress::parse("203.0.113.1");
  EXPECT_EQ(loaded->config.gateway, gateway);
}

TEST(Keys, Gateway) {
  EXPECT_EQ(gateway_of("tun = \"wan.0\"").tun_name, "wan.0");
  EXPECT_EQ(gateway_of("outer_mtu = 9000").outer_mtu, 9000);
  EXPECT_EQ(gateway_of("route_table = 510").route_table, 510U);
  EXPECT_EQ(gateway_of("fwmark = 0x10").fwmark, 16U);
  EXPECT_EQ(gateway_of("control_socket = \"/tmp/q.sock\"").control_socket, "/tmp/q.sock");
  EXPECT_EQ(gateway_of("control_group = \"netops\"").control_group, "netops");
  EXPECT_EQ(gateway_of("state_dir = \"/var/q\"").state_dir, "/var/q");
  EXPECT_EQ(gateway_of("user = \"_qanat\"").user, "_qanat");
  EXPECT_EQ(gateway_of("half_open_limit = 10\ncookie_threshold = 0").half_open_limit, 10U);
  EXPECT_EQ(gateway_of("cookie_threshold = 7").cookie_threshold, 7U);
  EXPECT_EQ(gateway_of("prefix_limit = 3").prefix_limit, 3U);
  EXPECT_EQ(gateway_of("ike_threads = 4").ike_threads, 4U);
  EXPECT_EQ(gateway_of("ike_threads = 0").ike_threads, 0U);
  EXPECT_EQ(gateway_of("data_workers = 16").data_workers, 16U);
  EXPECT_EQ(gateway_of("puzzle_difficulty = 8").puzzle_difficulty, 8);
  EXPECT_EQ(gateway_of("puzzle_difficulty = 0").puzzle_difficulty, 0);
  EXPECT_EQ(gateway_of("puzzle_limit = 26").puzzle_limit, 26);
  EXPECT_EQ(gateway_of("puzzle_limit = 0").puzzle_limit, 0);
  EXPECT_EQ(gateway_of("[log]\nlevel = \"debug\"").log_level, "debug");
  EXPECT_TRUE(gateway_of("[log]\njson = true").log_json);
  const auto both = load_text(kGateway);
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->config.gateway.address4, *IpAddress::parse("203.0.113.1"));
  EXPECT_EQ(both->config.gateway.address6, *IpAddress::parse("2001:db8::1"));
}

TEST(Keys, Tunnel) {
  EXPECT_EQ(tunnel_of("peer_port = 4500").peer_port, 4500);
  EXPECT_EQ(tunnel_of("local = \"192.0.2.1\"").local, *IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(tunnel_of("local_id = \"fqdn:a.example.com\"").local_id, *wire::Identity::parse("fqdn:a.example.com"));
  EXPECT_EQ(tunnel_of("remote_id = \"keyid:b\"").remote_id, *wire::Identity::parse("keyid:b"));
  EXPECT_EQ(tunnel_of("pq = \"require\"").pq, model::PqPolicy::Require);
  EXPECT_EQ(tunnel_of("pq = \"off\"").pq, model::PqPolicy::Off);
  EXPECT_EQ(tunnel_of("ike = [\"aes256gcm16-prfsha384-x25519-ke1_mlkem768\"]").ike_proposals.size(), 1U);
  EXPECT_EQ(tunnel_of("esp = [\"aes256gcm16\", \"aes256-sha256\"]").esp_proposals.size(), 2U);
  EXPECT_EQ(tunnel_of("routes = [\"0.0.0.0/0\", \"::/0\", \"203.0.113.0/24\"]").routes.size(), 3U);
  EXPECT_EQ(tunnel_of("selectors = \"any\"").selectors, model::SelectorMode::Any);
  EXPECT_EQ(tunnel_of("routes = [\"10.0.0.0/8\"]\nselectors = \"routes\"").selectors, model::SelectorMode::Routes);
  const Tunnel listed = tunnel_of("selectors = [{ local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }]");
  EXPECT_EQ(listed.selectors, model::SelectorMode::List);
  ASSERT_EQ(listed.selector_list.size(), 1U);
  EXPECT_EQ(listed.selector_list[0].remote, *Prefix::parse("10.1.0.0/16"));
  EXPECT_EQ(tunnel_of("selectors = [{ local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }, "
                      "{ local = \"10.2.0.0/16\", remote = \"10.3.0.0/16\" }]")
                .selector_list.size(),
            2U);
  EXPECT_EQ(tunnel_of("source_check = \"off\"").source_check, model::SourceCheck::Off);
  EXPECT_EQ(tunnel_of("encap = \"force\"").encap, model::EncapMode::Force);
  EXPECT_EQ(tunnel_of("esn = \"off\"").esn, model::EsnMode::Off);
  EXPECT_EQ(tunnel_of("replay_window = 8192").replay_window, 8192U);
  EXPECT_EQ(tunnel_of("dscp = \"copy\"").dscp, std::nullopt);
  EXPECT_EQ(tunnel_of("dscp = 46").dscp, 46);
  EXPECT_EQ(tunnel_of("df = \"clear\"").df, model::DfMode::Clear);
  EXPECT_EQ(tunnel_of("mtu = 1300").mtu, 1300);
  EXPECT_FALSE(tunnel_of("mss = \"off\"").clamp_mss);
  EXPECT_EQ(tunnel_of("start = \"respond\"").start, model::StartMode::Respond);
  EXPECT_EQ(tunnel_of("ike_lifetime = \"8h\"").ike_lifetime, 8h);
  EXPECT_EQ(tunnel_of("child_lifetime = 90").child_lifetime, 90s);
  EXPECT_EQ(tunnel_of("reauth = \"1d\"").reauth, 24h);
  EXPECT_EQ(tunnel_of("reauth = 0").reauth, 0s);
  EXPECT_EQ(tunnel_of("rekey_bytes = 1073741824").rekey_bytes, 1U << 30);
  EXPECT_EQ(tunnel_of("rekey_packets = 1000000").rekey_packets, 1'000'000U);
  EXPECT_EQ(tunnel_of("old_keys = 9").old_keys, 9s);
  EXPECT_FALSE(tunnel_of("pfs = false").pfs);
  EXPECT_TRUE(tunnel_of("childless = true").childless);
  EXPECT_FALSE(tunnel_of("mobike = false").mobike);
  EXPECT_FALSE(tunnel_of("child_on_demand = false").more_children);
  EXPECT_EQ(tunnel_of("downgrade_prevention = \"require\"").downgrade, model::DowngradePolicy::Require);
  const Tunnel with_ppk = tunnel_of("ppk_file = \"good.psk\"\nppk_id = \"k1\"");
  EXPECT_EQ(with_ppk.ppk_policy, model::PpkPolicy::Prefer);
  EXPECT_EQ(with_ppk.ppk_id, "k1");
  EXPECT_FALSE(with_ppk.ppk.empty());
  EXPECT_EQ(tunnel_of("ppk = \"require\"\nppk_file = \"good.psk\"\nppk_id = \"k1\"").ppk_policy,
            model::PpkPolicy::Require);
  EXPECT_EQ(tunnel_of("child_lifetime = \"1d\"").child_lifetime, 24h);
  EXPECT_EQ(tunnel_of("dpd = { idle = 3 }").dpd_idle, 3s);
  EXPECT_EQ(tunnel_of("dpd = { timeout = \"1m\" }").dpd_timeout, 60s);
  EXPECT_EQ(tunnel_of("dpd = { idle = 3 }").dpd_timeout, 30s);
  EXPECT_EQ(tunnel_of("dpd = { idle = 60 }").dpd_timeout, 180s) << "time for questions";
  EXPECT_EQ(tunnel_of("dpd = { idle = 1, timeout = 3 }").dpd_timeout, 3s);
  EXPECT_EQ(tunnel_of("ike_fragment_size = 65000").ike_fragment_size, 65000);
}

TEST(Keys, InterfacePairs) {
  const Tunnel first = tunnel_of("interface = \"10.255.0.0/31\"\ninterface6 = \"fd00::/127\"");
  EXPECT_EQ(first.interface4, *IpAddress::parse("10.255.0.0"));
  EXPECT_EQ(first.peer_interface4, *IpAddress::parse("10.255.0.1"));
  EXPECT_EQ(first.interface4_length, 31U);
  EXPECT_EQ(first.peer_interface6, *IpAddress::parse("fd00::1"));
  EXPECT_EQ(first.interface6_length, 127U);
  const Tunnel second = tunnel_of("interface = \"169.254.10.6/30\"\ninterface6 = \"fd00::5/126\"");
  EXPECT_EQ(second.peer_interface4, *IpAddress::parse("169.254.10.5"));
  EXPECT_EQ(second.interface4_length, 30U);
  EXPECT_EQ(second.peer_interface6, *IpAddress::parse("fd00::6"));
}

TEST(Keys, AnyPeerOnlyResponds) {
  const auto loaded = load_text(kGateway + second_tunnel("peer = \"any\"\nremote_id = \"fqdn:paris.example.com\""));
  ASSERT_TRUE(loaded.has_value()) << render_problems(loaded.error());
  EXPECT_EQ(loaded->config.tunnels[0].start, model::StartMode::Respond);
  EXPECT_EQ(loaded->config.tunnels[0].peer, std::nullopt);
}

TEST(Keys, ReplayWindowZeroForcesEsnOff) {
  const auto loaded = load_text(with_tunnel("esn = \"auto\"\nreplay_window = 0"));
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->config.tunnels[0].replay_window, 0U);
  EXPECT_EQ(loaded->config.tunnels[0].esn, model::EsnMode::Off);
  EXPECT_THAT(render_problems(loaded->warnings),
              StartsWith("qanat.toml:8:17: warning: [[tunnel]] berlin: replay_window = 0"));
}

struct BadLine {
  const char* line;
  const char* shown;  // how key and value come back
};

void expect_refused(const std::string& text, std::string_view place, std::string_view title, const BadLine& bad) {
  SCOPED_TRACE(bad.line);
  EXPECT_TRUE(fails(text)) << text;
  EXPECT_THAT(said(text), AllOf(HasSubstr(std::string{place}), HasSubstr("error: " + std::string{title} + ": "),
                                HasSubstr(bad.shown)));
}
void expect_gateway_refuses(std::initializer_list<BadLine> lines) {
  for (const BadLine& bad : lines) {
    expect_refused("[gateway]\naddress = \"203.0.113.1\"\n" + std::string{bad.line} + "\n",
                   "qanat.toml:3:", "[gateway]", bad);
  }
}
void expect_log_refuses(std::initializer_list<BadLine> lines) {
  for (const BadLine& bad : lines)
    expect_refused(kGateway + "[log]\n" + bad.line + "\n", "qanat.toml:4:", "[log]", bad);
}
void expect_tunnel_refuses(std::initializer_list<BadLine> lines) {
  for (const BadLine& bad : lines) expect_refused(with_tunnel(bad.line), "qanat.toml:7:", "[[tunnel]] berlin", bad);
}

TEST(BadKeys, Gateway) {
  expect_gateway_refuses({
      {"tun = \"\"", "tun = \"\""},
      {"tun = \"a/b\"", "tun = \"a/b\""},
      {"tun = \"sixteen-letters-\"", "1 to 15 letters"},
      {"tun = 1", "tun = 1: must be"},
      {"outer_mtu = 500", "outer_mtu = 500"},
      {"outer_mtu = []", "outer_mtu = an array"},
      {"route_table = 254", "route_table = 254: must be a whole number from 256 to"},
      {"route_table = -1", "route_table = -1"},
      {"route_table = 4294967296", "route_table = 4294967296"},
      {"fwmark = 0", "fwmark = 0"},
      {"fwmark = true", "fwmark = true"},
      {"control_socket = \"q.sock\"", "control_socket = \"q.sock\": must be an absolute path"},
      {"control_socket = 5", "control_socket = 5"},
      {"control_group = \"net ops\"", "control_group = \"net ops\""},
      {"control_group = {}", "control_group = a table"},
      {"state_dir = \"\"", "state_dir = \"\""},
      {"state_dir = 1979-05-27", "state_dir = a date or time"},
      {"user = \"\"", "user = \"\""},
      {"user = \"Joe\"", "user = \"Joe\""},
      {"user = 0", "user = 0"},
      {"half_open_limit = 0", "half_open_limit = 0"},
      {"half_open_limit = \"many\"", "half_open_limit = \"many\""},
      {"cookie_threshold = -1", "cookie_threshold = -1"},
      {"cookie_threshold = false", "cookie_threshold = false"},
      {"prefix_limit = 0", "prefix_limit = 0"},
      {"prefix_limit = \"few\"", "prefix_limit = \"few\""},
      {"ike_threads = 65", "ike_threads = 65"},
      {"ike_threads = \"all\"", "ike_threads = \"all\""},
      {"data_workers = 0", "data_workers = 0"},
      {"data_workers = 17", "data_workers = 17: must be a whole number from 1 to 16"},
      {"data_workers = \"all\"", "data_workers = \"all\""},
      {"puzzle_difficulty = 7", "puzzle_difficulty = 7: must be 0, for no puzzles, or from 8 to 22"},
      {"puzzle_difficulty = 23", "puzzle_difficulty = 23"},
      {"puzzle_difficulty = true", "puzzle_difficulty = true"},
      {"puzzle_limit = 7", "puzzle_limit = 7: must be 0, for no puzzles solved, or from 8 to 26"},
      {"puzzle_limit = 27", "puzzle_limit = 27"},
  });
}

TEST(BadKeys, Log) {
  expect_log_refuses({
      {"level = \"dbug\"", "did you mean \"debug\"?"},
      {"level = 3", "level = 3: must be \"debug\" or"},
      {"json = \"yes\"", "json = \"yes\": must be true or false"},
  });
}

TEST(BadKeys, Addresses) {
  expect_tunnel_refuses({
      {"peer_port = 0", "peer_port = 0"},
      {"peer_port = \"x\"", "peer_port = \"x\""},
      {"local = \"gw\"", "local = \"gw\": is neither"},
      {"local = 1", "local = 1"},
      {"local = \"2001:db8::1\"",
       "local = \"2001:db8::1\" and peer = \"198.51.100.7\" are of different address families"},
      {"local_id = \"\"", "local_id = \"\""},
      {"local_id = 7", "local_id = 7"},
      {"remote_id = \"fqdn:a b\"", "remote_id = \"fqdn:a b\""},
      {"remote_id = []", "remote_id = an array"},
      {"psk = 12345", ""},
  });
}
TEST(BadKeys, Policy) {
  expect_tunnel_refuses({
      {"pq = \"prefered\"", "did you mean \"prefer\"?"},
      {"pq = true", "pq = true: must be \"require\" or \"prefer\" or \"off\""},
      {"ike = \"aes256gcm16\"", "ike = \"aes256gcm16\": must be an array"},
      {"ike = []", "ike = []"},
      {"ike = [\"rot13\"]", "ike = \"rot13\""},
      {"ike = [1]", "ike: the entry 1 must be text"},
      {"esp = 4", "esp = 4"},
      {"esp = [\"\"]", "esp = \"\""},
      {"esp = [\"aes256gcm16\", \"aes256gcm16\"]", "is listed twice"},
      {"ike = [\"aes256gcm16-prfsha384-x25519-ke1_mlkem768\"]\npq = \"off\"", "has ML-KEM, and pq is"},
      {"ike = [\"aes256gcm16-prfsha384-x25519\"]\npq = \"require\"", "has no ML-KEM"},
  });
}
TEST(BadKeys, Inside) {
  expect_tunnel_refuses({
      {"interface = \"10.255.0.0\"", "interface = \"10.255.0.0\": must be our IPv4 address and /31 or /30"},
      {"interface = \"10.255.0.0/24\"", "interface = \"10.255.0.0/24\""},
      {"interface = \"10.255.0.0/30\"", "is the network address of 10.255.0.0/30"},
      {"interface = \"10.255.0.3/30\"", "is the last address of 10.255.0.0/30"},
      {"interface = \"fd00::/127\"", "must be our IPv4"},
      {"interface = 3", "interface = 3"},
      {"interface = \"203.0.113.0/31\"", "holds the gateway's own address"},
      {"interface = \"/31\"", "interface = \"/31\""},
      {"interface = \"0.0.0.0/31\"", "interface = \"0.0.0.0/31\""},
      {"interface = \"0.0.0.1/31\"", "leaves no address"},
      {"interface6 = \"10.0.0.0/31\"", "must be our IPv6"},
      {"interface6 = false", "interface6 = false"},
      {"interface6 = \"fd00::/64\"", "interface6 = \"fd00::/64\""},
      {"routes = \"10.0.0.0/8\"", "write routes = [\"10.0.0.0/8\"]"},
      {"routes = [\"10.0.0.1/8\"]", "the network is 10.0.0.0/8"},
      {"routes = [\"berlin\"]", "routes = \"berlin\""},
      {"routes = [7]", "routes: the entry 7"},
      {"routes = [\"224.0.0.0/4\"]", "multicast"},
      {"routes = [\"10.0.0.0/8\", \"10.0.0.0/8\"]", "is listed twice"},
      {"selectors = [{ local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }, { local = \"10.4.0.0/16\", remote = "
       "\"10.3.0.0/16\" }]",
       "the list lets 10.2.0.0/16 reach 10.3.0.0/16 as well"},
      {"selectors = \"all\"", "selectors = \"all\": must be \"any\", \"routes\""},
      {"selectors = \"routes\"", "the tunnel has no routes"},
      {"selectors = []", "selectors has 0 pairs"},
      {"selectors = [1]", "selectors: the entry 1"},
      {"selectors = [{ local = \"10.0.0.0/8\" }]", "selectors: remote is missing"},
      {"selectors = [{ local = \"10.0.0.0/8\", remote = \"::/0\" }]", "different address families"},
      {"selectors = [{ local = 1, remote = \"x\" }]", "selectors: local = 1"},
      {"selectors = 1", "selectors = 1"},
  });
}
TEST(BadKeys, Packets) {
  expect_tunnel_refuses({
      {"source_check = \"loose\"", "source_check = \"loose\""},
      {"source_check = true", "source_check = true"},
      {"encap = \"udp\"", "encap = \"udp\""},
      {"encap = 1", "encap = 1"},
      {"esn = \"on\"", "esn = \"on\": must be \"auto\" or \"off\""},
      {"esn = 0", "esn = 0"},
      {"replay_window = 31", "replay_window = 31: must be 0, or a whole number from 32 to 8192"},
      {"replay_window = 8193", "replay_window = 8193"},
      {"replay_window = \"64\"", "numbers stand without quotes"},
      {"dscp = 64", "dscp = 64: must be \"copy\", or"},
      {"dscp = -1", "dscp = -1"},
      {"dscp = \"ef\"", "dscp = \"ef\""},
      {"df = \"no\"", "df = \"no\""},
      {"df = 1", "df = 1"},
      {"mtu = 575", "mtu = 575"},
      {"mtu = 9001", "mtu = 9001"},
      {"mtu = \"auto\"", "mtu = \"auto\""},
      {"mtu = 1279\nroutes = [\"2001:db8:1::/48\"]", "must be at least 1280"},
      {"mss = \"clmp\"", "did you mean \"clamp\"?"},
      {"mss = 1400", "mss = 1400"},
      {"start = \"auto\"", "start = \"auto\""},
      {"start = 1", "start = 1"},
  });
}
TEST(BadKeys, Times) {
  expect_tunnel_refuses({
      {"ike_lifetime = 59", "ike_lifetime = 59: must be a time from 1m to 7d"},
      {"ike_lifetime = \"forever\"", "ike_lifetime = \"forever\""},
      {"ike_lifetime = \"8d\"", "ike_lifetime = \"8d\""},
      {"ike_lifetime = \"-4h\"", "ike_lifetime = \"-4h\""},
      {"ike_lifetime = \"4\"", "ike_lifetime = \"4\""},
      {"child_lifetime = 29", "child_lifetime = 29"},
      {"reauth = 59", "reauth: must be 0 or at least 60 s"},
      {"reauth = \"31d\"", "reauth = \"31d\""},
      {"rekey_bytes = 1000", "rekey_bytes = 1000"},
      {"rekey_packets = -1", "rekey_packets = -1"},
      {"old_keys = 0", "old_keys = 0"},
      {"pfs = \"yes\"", "pfs = \"yes\""},
      {"childless = 1", "childless = 1"},
      {"mobike = \"on\"", "mobike = \"on\""},
      {"child_on_demand = 0", "child_on_demand = 0"},
      {"downgrade_prevention = \"on\"", "downgrade_prevention = \"on\""},
      {"ppk = \"require\"", "ppk: ppk_file is missing"},
      {"ppk = \"yes\"", "ppk = \"yes\""},
      {"ppk_file = \"good.psk\"", "ppk_id is missing"},
      {"ppk_file = \"gone.ppk\"\nppk_id = \"k\"", "ppk_file = \"gone.ppk\""},
      {"ppk_id = \"\"\nppk_file = \"good.psk\"", "ppk_id = \"\""},
      {"child_lifetime = true", "child_lifetime = true"},
      {"child_lifetime = \"99999999999999999999h\"", "child_lifetime"},
      {"dpd = 10", "dpd = 10: must be a table of seconds"},
      {"dpd = { idle = 0 }", "dpd: idle = 0"},
      {"dpd = { timeout = \"x\" }", "dpd: timeout = \"x\""},
      {"dpd = { timeout = 5 }", "dpd: timeout = 5: must be 12 s or more with idle = 10, or one lost packet ends"},
      {"dpd = { idle = 60, timeout = 60 }", "dpd: timeout = 60: must be 62 s or more with idle = 60"},
      {"ike_fragment_size = 575", "ike_fragment_size = 575"},
      {"ike_fragment_size = 65001", "ike_fragment_size = 65001"},
      {"ike_fragment_size = \"big\"", "ike_fragment_size = \"big\""},
  });
}

TEST(Keys, BadName) {
  for (const char* name : {"\"\"", "\"berlin!\"", "\"-a\"", "\"a b\"", "\"a/b\"", "7", "\"\\u001b[31m\""}) {
    const std::string text =
        kGateway + "[[tunnel]]\nname = " + name + "\npeer = \"198.51.100.7\"\npsk_file = \"good.psk\"\n";
    EXPECT_TRUE(fails(text)) << name;
    EXPECT_THAT(said(text), AllOf(HasSubstr("qanat.toml:4:8: error: [[tunnel]]"), HasSubstr("name = "))) << name;
    EXPECT_EQ(said(text).find('\x1b'), std::string::npos);
  }
}

TEST(Keys, BadPeer) {
  const std::pair<const char*, const char*> cases[] = {
      {"\"berlin.example.com\"", "names are not looked up"}, {"\"198.51.100.7:4500\"", "peer_port = 4500"},
      {"\"198.51.100.7/32\"", "write the address alone"},    {"\"0.0.0.0\"", "peer = \"any\""},
      {"\"224.0.0.1\"", "is a multicast address"},           {"[\"198.51.100.7\"]", "peer = an array"},
      {"\"203.0.113.1\"", "is this gateway's own address"}};
  for (const auto& [peer, message] : cases) {
    const std::string text = kGateway + "[[tunnel]]\nname = \"berlin\"\npsk_file = \"good.psk\"\npeer = " + peer + "\n";
    EXPECT_TRUE(fails(text)) << peer;
    EXPECT_THAT(said(text),
                AllOf(HasSubstr("qanat.toml:6:"), HasSubstr("error: [[tunnel]] berlin: peer"), HasSubstr(message)))
        << peer;
  }
}

TEST(Keys, BadAddress) {
  const std::pair<const char*, const char*> cases[] = {
      {"\"gw.example.com\"", "names are not looked up"},
      {"[\"203.0.113.1\", \"203.0.113.2\"]", "there is an IPv4 address already, 203.0.113.1"},
      {"[]", "must hold an address"},
      {"7", "address = 7"},
      {"[7]", "the entry 7"},
      {"\"::\"", "stands for no address"}};
  for (const auto& [address, message] : cases) {
    const std::string text = fmt::format("[gateway]\naddress = {}\n", address);
    EXPECT_TRUE(fails(text)) << address;
    EXPECT_THAT(said(text),
                AllOf(HasSubstr("qanat.toml:2:"), HasSubstr("error: [gateway]: address"), HasSubstr(message)));
  }
}

}  // namespace
}  // namespace qanat::config::testing
