// Each row of rules.md "What a reload does to live SAs", from configurations as they are written.
#include "config/diff.hpp"

#include "config/config_testing.hpp"

namespace qanat::config::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kInterface = "interface = \"10.255.0.0/31\"\n";

model::Config config_of(const std::string& text) {
  auto loaded = load_text(text);
  EXPECT_TRUE(loaded.has_value()) << text << "\n" << (loaded ? "" : render_problems(loaded.error()));
  return loaded ? std::move(loaded->config) : model::Config{};
}

// What a change of the tunnel berlin does: "effect: key key; effect: ...".
std::string effects(const std::string& before, const std::string& after) {
  std::string out;
  for (const Change& c : diff(config_of(before), config_of(after))) {
    out += out.empty() ? "" : "; ";
    out +=
        std::string{to_string(c.kind)} + (c.name.empty() ? "" : " " + c.name) + " " + std::string{to_string(c.effect)};
    for (const std::string& key : c.keys) out += (&key == c.keys.data() ? ": " : " ") + key;
  }
  return out;
}
std::string tunnel_effects(std::string_view before, std::string_view after) {
  return effects(with_tunnel(std::string{kInterface} + std::string{before}),
                 with_tunnel(std::string{kInterface} + std::string{after}));
}

TEST(Diff, NothingChangesNothing) {
  const auto config = config_of(with_tunnel("routes = [\"10.1.0.0/16\"]\npq = \"require\""));
  EXPECT_THAT(diff(config, config), IsEmpty());
}

struct Row {
  const char* before;
  const char* after;
  const char* effect;
};
class Rows : public ::testing::TestWithParam<Row> {};

TEST_P(Rows, HasItsEffect) {
  EXPECT_EQ(tunnel_effects(GetParam().before, GetParam().after), GetParam().effect);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Rows,
    ::testing::Values(
        // in place
        Row{"", "health = { rate = \"high\" }", "tunnel berlin in place: health"},
        Row{"", "mss = \"off\"", "tunnel berlin in place: mss"},
        Row{"", "dpd = { idle = 3 }\nclassical_penalty = 5", "tunnel berlin in place: classical_penalty dpd"},
        Row{"", "routes = [\"10.1.0.0/16\"]", "tunnel berlin in place: routes; route 10.1.0.0/16 via berlin added"},
        Row{"routes = [\"10.1.0.0/16\"]", "routes = [{ prefix = \"10.1.0.0/16\", weight = 4 }]",
            "route 10.1.0.0/16 via berlin in place: weight"},
        Row{"routes = [\"10.1.0.0/16\"]", "", "tunnel berlin in place: routes; route 10.1.0.0/16 via berlin removed"},
        // at once, by Child rekey
        Row{"", "child_lifetime = \"30m\"", "tunnel berlin child rekey: child_lifetime"},
        Row{"", "ike_lifetime = \"2h\"\nesp = [\"aes128gcm16\"]", "tunnel berlin child rekey: esp ike_lifetime"},
        Row{"", "replay_window = 64", "tunnel berlin child rekey: replay_window"},
        // a new IKE SA
        Row{"", "ike = [\"aes256gcm16-prfsha384-x25519-ke1_mlkem768\"]", "tunnel berlin new ike sa: ike"},
        Row{"", "local_id = \"fqdn:a.example.com\"", "tunnel berlin new ike sa: local_id"},
        Row{"", "remote_id = \"fqdn:b.example.com\"", "tunnel berlin new ike sa: remote_id"},
        Row{"", "peer_port = 4500", "tunnel berlin new ike sa: peer_port"},
        Row{"", "pq = \"off\"", "tunnel berlin new ike sa: pq"},
        // tightened
        Row{"", "pq = \"require\"", "tunnel berlin enforced: pq"},
        Row{"pq = \"off\"", "pq = \"require\"", "tunnel berlin new ike sa: pq; tunnel berlin enforced: pq"},
        Row{"", "pq_auth = \"require\"", "tunnel berlin enforced: pq_auth"},
        Row{"", "downgrade_prevention = \"require\"", "tunnel berlin enforced: downgrade_prevention"},
        Row{"", "selectors = [{ local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }]",
            "tunnel berlin enforced: selectors"},
        // loosened
        Row{"pq = \"require\"", "pq = \"prefer\"", "tunnel berlin in place: pq"},
        Row{"", "pq = \"pin\"", "tunnel berlin enforced: pq"},
        Row{"pq = \"require\"", "pq = \"pin\"", "tunnel berlin in place: pq"},
        Row{"pq = \"pin\"", "pq = \"prefer\"", "tunnel berlin in place: pq"},
        Row{"selectors = [{ local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }]", "",
            "tunnel berlin new ike sa: selectors"},
        // several at once
        Row{"", "mss = \"off\"\nchild_lifetime = \"30m\"\npeer_port = 4500",
            "tunnel berlin in place: mss; tunnel berlin child rekey: child_lifetime; tunnel berlin new ike sa: "
            "peer_port"}));

TEST(Diff, RoutesAsSelectorsAreSelectors) {
  EXPECT_EQ(tunnel_effects("routes = [\"10.1.0.0/16\"]\nselectors = \"routes\"",
                           "routes = [\"10.1.0.0/16\", \"10.3.0.0/16\"]\nselectors = \"routes\""),
            "tunnel berlin in place: routes; tunnel berlin new ike sa: selectors; route 10.3.0.0/16 via berlin added");
  EXPECT_EQ(tunnel_effects("routes = [\"10.1.0.0/16\"]\nselectors = \"routes\"",
                           "routes = [\"10.1.2.0/24\"]\nselectors = \"routes\""),
            "tunnel berlin in place: routes; tunnel berlin enforced: selectors; route 10.1.2.0/24 via berlin added; "
            "route 10.1.0.0/16 via berlin removed");
}

TEST(Diff, TunnelsComeAndGo) {
  const std::string paris = second_tunnel("peer = \"198.51.100.8\"");
  EXPECT_EQ(effects(with_tunnel(""), with_tunnel("") + paris), "tunnel paris added");
  EXPECT_EQ(effects(with_tunnel("") + paris, with_tunnel("")), "tunnel paris removed");
  EXPECT_EQ(effects(with_tunnel("") + paris, kGateway + paris + with_tunnel("").substr(kGateway.size())), "")
      << "the order of tunnels means nothing";
  const std::string blue = "[[vrf]]\nname = \"blue\"\ntun = \"qanat1\"\nroute_table = 5210\n";
  EXPECT_EQ(effects(with_tunnel("") + blue, with_tunnel("vrf = \"blue\"") + blue),
            "tunnel berlin removed: vrf; tunnel berlin added: vrf");
  EXPECT_EQ(effects(with_tunnel(""), with_tunnel("") + blue), "vrf blue restart: name");
}

TEST(Diff, KeysOfThePeer) {
  auto before = config_of(with_tunnel(""));
  auto after = before;
  after.tunnels[0].psk = model::PresharedKey{SecretBytes::copy_of(to_bytes(std::string_view{"another one"}))};
  EXPECT_THAT(diff(before, after), ElementsAre(Change{Change::Kind::Tunnel, "berlin", {"psk"}, Effect::NewIkeSa}));
  before.tunnels[0].credentials.trust_anchors = {{1}, {2}};
  after = before;
  after.tunnels[0].credentials.trust_anchors = {{1}, {2}, {3}};
  EXPECT_THAT(diff(before, after), ElementsAre(Change{Change::Kind::Tunnel, "berlin", {"ca_files"}, Effect::InPlace}));
  EXPECT_THAT(diff(after, before), ElementsAre(Change{Change::Kind::Tunnel, "berlin", {"ca_files"}, Effect::Enforced}));
  after = before;
  after.tunnels[0].credentials.crls = {{9}};
  EXPECT_THAT(diff(before, after),
              ElementsAre(Change{Change::Kind::Tunnel, "berlin", {"crl_files"}, Effect::Enforced}));
  after = before;
  after.tunnels[0].credentials.private_key = std::make_shared<const SecretBytes>(SecretBytes{32});
  EXPECT_THAT(diff(before, after), ElementsAre(Change{Change::Kind::Tunnel, "berlin", {"key_file"}, Effect::NewIkeSa}));
}

TEST(Diff, WhatNeedsARestartStays) {
  const auto before = config_of(kGateway + "outer_mtu = 1400\n");
  const auto after = config_of(kGateway + "outer_mtu = 1300\nfwmark = 7\n[log]\nlevel = \"debug\"\n");
  EXPECT_EQ(
      effects(kGateway + "outer_mtu = 1400\n", kGateway + "outer_mtu = 1300\nfwmark = 7\n[log]\nlevel = \"debug\"\n"),
      "gateway in place: outer_mtu; gateway restart: fwmark log.level");
  const auto merged = without_restart(before, after);
  EXPECT_EQ(merged.gateway.fwmark, before.gateway.fwmark);
  EXPECT_EQ(merged.gateway.outer_mtu, 1300);
}

TEST(Diff, PolicyAndNat) {
  const std::string a = "[[policy]]\nname = \"a\"\naction = \"drop\"\n";
  const std::string b = "[[policy]]\nname = \"b\"\naction = \"allow\"\n";
  EXPECT_EQ(effects(with_tunnel(a + b), with_tunnel(b + a)), "policy in place: order");
  EXPECT_EQ(effects(with_tunnel(a), with_tunnel(a + b)), "policy b added");
  EXPECT_EQ(effects(with_tunnel(a), with_tunnel("[[policy]]\nname = \"a\"\nto = \"10.0.0.0/8\"\naction = \"allow\"\n")),
            "policy a in place: to action");
  EXPECT_EQ(effects(with_tunnel(""), with_tunnel("[[nat]]\n")), "nat in place");
}

}  // namespace
}  // namespace qanat::config::testing
