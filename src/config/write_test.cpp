// What is written is read as the same configuration.
#include "config/write.hpp"

#include <algorithm>
#include <tuple>

#include "config/config_testing.hpp"

namespace qanat::config::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::expected<LoadedConfig, std::vector<Problem>> load_written(const Written& written) {
  const auto read = [&](const std::string& path) -> Result<SecretBytes> {
    for (const WrittenFile& file : written.files) {
      if (file.name == path) return file.octets.clone();
    }
    return fail(ErrorKind::Resource, path, "is no file that was written");
  };
  return load(written.text, "written.toml", read);
}

model::Config sorted(model::Config config) {
  const auto key = [](const model::Route& r) { return std::tuple{r.tunnel, r.prefix}; };
  std::sort(config.routes.begin(), config.routes.end(),
            [&](const model::Route& a, const model::Route& b) { return key(a) < key(b); });
  return config;
}

void expect_round_trip(const std::string& text) {
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded) << render_problems(loaded.error());
  const Written written = write(loaded->config);
  const auto again = load_written(written);
  ASSERT_TRUE(again) << render_problems(again.error()) << written.text;
  EXPECT_EQ(sorted(again->config), sorted(loaded->config)) << written.text;
  EXPECT_THAT(written.text, Not(HasSubstr("qpsk1-")));
}

TEST(Write, TheDefaultsAreNotWritten) {
  const auto loaded = load_text(with_tunnel(""));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(write(loaded->config).text,
            "[gateway]\naddress = [\"203.0.113.1\", \"2001:db8::1\"]\n\n[[tunnel]]\nname = \"berlin\"\n"
            "peer = \"198.51.100.7\"\npsk_file = \"berlin.psk\"\n");
}

TEST(Write, EveryKeyOfTheGateway) {
  expect_round_trip(
      "[gateway]\naddress = \"2001:db8::1\"\ntun = \"wan0\"\nouter_mtu = 1400\nroute_table = 6000\nfwmark = 7\n"
      "control_socket = \"/run/q.sock\"\ncontrol_group = \"ops\"\nstate_dir = \"/var/q\"\nuser = \"vpn\"\n"
      "half_open_limit = 900\ncookie_threshold = 50\nprefix_limit = 9\nike_threads = 3\n"
      "data_workers = 2\npuzzle_difficulty = 12\npuzzle_limit = 20\n"
      "metrics = \"127.0.0.1:9469\"\nwebhooks = true\nwebhook_allow = [\"10.0.0.0/8\", \"fd00::/8\"]\n[log]\nlevel = "
      "\"debug\"\njson = true\n");
}

class Keys : public ::testing::TestWithParam<const char*> {};
TEST_P(Keys, OfTunnels) {
  expect_round_trip(with_tunnel(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(
    All, Keys,
    ::testing::Values(
        "peer_port = 4500\nlocal = \"203.0.113.9\"\nlocal_id = \"fqdn:a.example\"\nremote_id = \"keyid:0x00ff\"",
        "start = \"respond\"\npq = \"require\"\nike = [\"aes256gcm16-prfsha384-x25519-ke1_mlkem768\"]\n"
        "esp = [\"aes128gcm16\", \"aes256gcm16\"]",
        "downgrade_prevention = \"require\"\nike_lifetime = \"8h\"\nchild_lifetime = 600\nreauth = \"1d\"",
        "downgrade_prevention = \"off\"\nrekey_bytes = 1048576\nrekey_packets = 1000\nold_keys = 9\npfs = false",
        "childless = true\nmobike = false\nchild_on_demand = false\nike_fragment_size = 1300",
        "ppk_file = \"good.psk\"\nppk_id = \"a \\\"b\\\"\"\nppk = \"require\"",
        "ppk_file = \"good.psk\"\nppk_id = \"x\"\npq = \"pin\"",
        "interface = \"10.255.0.1/30\"\ninterface6 = \"fd00::/127\"\nroutes = [\"10.1.0.0/16\", \"2001:db8:1::/48\"]",
        "interface = \"10.255.0.0/31\"\nroutes = [\"10.1.0.0/16\", { prefix = \"10.2.0.0/16\", priority = 5, weight = "
        "7, pq = \"require\", description = \"a\\\\b \\u00e9\" }]\nclassical_penalty = 5",
        "routes = [\"10.1.0.0/16\"]\nselectors = \"routes\"\nsource_check = \"off\"\nencap = \"force\"",
        "selectors = [{ local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }]\nesn = \"off\"\nreplay_window = 0",
        "dscp = 46\ndf = \"clear\"\nmtu = 1300\nmss = \"off\"\ndpd = { idle = 5, timeout = 20 }\nreplay_window = 64",
        "df = \"set\"\nhealth = { type = \"reply\", direction = \"unidirectional\", rate = \"high\", target = "
        "\"198.51.100.7\" }",
        "health = \"off\""));

TEST(Write, VrfsRulesAndNat) {
  expect_round_trip(with_tunnel("vrf = \"blue\"\ninterface = \"10.255.0.0/31\"") +
                    "[[vrf]]\nname = \"blue\"\ntun = \"qanat1\"\nroute_table = 5210\n"
                    "[[route]]\nprefix = \"10.7.0.0/16\"\ntunnel = \"berlin\"\n"
                    "[[policy]]\nname = \"a\"\nfrom = \"10.0.0.0/8\"\nto = [\"10.1.0.0/16\", \"10.2.0.0/16\"]\n"
                    "protocol = \"tcp\"\nfrom_ports = 5\nto_ports = \"7-9\"\nfrom_tunnel = \"berlin\"\n"
                    "to_tunnel = \"@host\"\naction = \"log\"\n"
                    "[[policy]]\nname = \"b\"\nprotocol = \"icmp\"\nicmp_type = 8\naction = \"drop\"\nvrf = \"blue\"\n"
                    "[[nat]]\nsources = \"10.1.0.0/16\"\nout_interface = \"eth0\"\ntranslate = \"203.0.113.5\"\n"
                    "[[nat]]\nvrf = \"blue\"\n");
}

}  // namespace
}  // namespace qanat::config::testing
