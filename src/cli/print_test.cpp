#include "cli/print.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_testing.hpp"

namespace qanat::cli {
namespace {

using control::TunnelStatus;
using control::testing::berlin;
using control::testing::full_snapshot;
using control::testing::oslo;
using control::testing::paris;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Print, StatusTable) {
  EXPECT_EQ(status_table(full_snapshot(), Colour::Never),
            "NAME    STATE                   KEYS                                               PEER          IN      "
            "OUT    UP\n"
            "berlin  up                      hybrid x25519+mlkem768                             198.51.100.7  1.2 MB  "
            "999 B  1h 2m\n"
            "paris   connecting (wanted up)  -                                                  192.0.2.80    0 B     "
            "0 B    -\n"
            "oslo    up (on call)            classical: peer does not support IKE_INTERMEDIATE  any           1.2 MB  "
            "999 B  1h 2m\n"
            "\n"
            "paris: the peer answers NO_PROPOSAL_CHOSEN: set ike = [\"aes256-sha256-modp2048\"] in [[tunnel]] paris\n"
            "\n"
            "qanatd 0.1.0, up 1d 1h, OpenSSL 3.5.4, packets by ipsec-mb 1.3\n"
            "2 data workers, 11 packets handed over\n"
            "API at 127.0.0.1:8443, TLS handshakes: 30 X25519MLKEM768 (hybrid), 4 X25519 (classical)\n");
}

TEST(Print, StatusTableWithoutTunnels) {
  EXPECT_THAT(status_table({}, Colour::Never), HasSubstr("No tunnel is configured: add a [[tunnel]]"));
}

TEST(Print, PageOfATunnelThatIsUp) {
  EXPECT_EQ(tunnel_page(berlin(), Colour::Never),
            "berlin: up\n"
            "\n"
            "  keys            hybrid x25519 + mlkem768 (mlkem768 in IKE_INTERMEDIATE)\n"
            "  authentication  PSK (quantum-safe (generated PSK, 256 bits))\n"
            "  downgrade       excluded: both sides signed both first messages\n"
            "  local           203.0.113.1:4500  203.0.113.1\n"
            "  remote          198.51.100.7:4500  fqdn:berlin.example.com\n"
            "  NAT             the peer is behind a NAT\n"
            "  IKE SA          aes256gcm16-prfsha384, initiator, up 1h 2m, rekey in 2h 30m\n"
            "  IKE SPIs        0011223344556677 fedcba9876543210\n"
            "  policy          pq = prefer\n"
            "  routes          10.1.0.0/16, 2001:db8:1::/48\n"
            "  in              1.2 MB in 5000 packets\n"
            "  out             999 B in 6000 packets\n"
            "\n"
            "Handshake\n"
            "  EXCHANGE                     REQUEST                RESPONSE  TIME       SENT AGAIN\n"
            "  IKE_SA_INIT (x25519)         248 B                  256 B     12.2 ms    -\n"
            "  IKE_INTERMEDIATE (mlkem768)  1281 B in 2 fragments  1185 B    1030.5 ms  once\n"
            "  IKE_AUTH                     320 B                  288 B     11.0 ms    -\n"
            "  together                     1849 B                 1729 B    1053.8 ms\n"
            "\n"
            "Child SA in 0a0b0c0d, out c1a2b3c4\n"
            "  keys           inherited (made under a hybrid IKE SA)\n"
            "  packets        aes256gcm16, in UDP, 64-bit sequence numbers\n"
            "  replay window  1024 packets\n"
            "  selectors      0.0.0.0/0 == 0.0.0.0/0\n"
            "  inner MTU      1422 B\n"
            "  in             1.2 MB in 900 packets\n"
            "  out            18.4 EB in 1000 packets\n"
            "  age            up 2m 5s, rekey in 50m 0s\n"
            "\n"
            "Dropped packets\n"
            "  wrong_tunnel  3\n");
}

TEST(Print, PageOfATunnelThatIsNotUpBeginsWithTheReason) {
  EXPECT_EQ(tunnel_page(paris(), Colour::Never),
            "paris: connecting (wanted up)\n"
            "  the peer answers NO_PROPOSAL_CHOSEN: set ike = [\"aes256-sha256-modp2048\"] in [[tunnel]] paris\n"
            "\n"
            "  local   203.0.113.1\n"
            "  peer    192.0.2.80\n"
            "  policy  pq = require\n"
            "  routes  none\n"
            "  in      0 B in 0 packets\n"
            "  out     0 B in 0 packets\n");
  TunnelStatus silent = paris();
  silent.reason.clear();
  EXPECT_THAT(tunnel_page(silent, Colour::Never), HasSubstr("no reason is known yet"));
}

TEST(Print, ClassicalKeysSayWhy) {
  EXPECT_THAT(tunnel_page(oslo(), Colour::Never),
              HasSubstr("keys            classical x25519 (peer does not support IKE_INTERMEDIATE)"));
  EXPECT_EQ(keys_text(oslo()), "classical: peer does not support IKE_INTERMEDIATE");
  EXPECT_EQ(keys_text(berlin()), "hybrid x25519+mlkem768");
  EXPECT_EQ(keys_text(paris()), "-");
}

TEST(Print, States) {
  TunnelStatus t;
  t.actual = t.wanted = "down";
  EXPECT_EQ(state_text(t), "down");
  t.wanted = "up";
  EXPECT_EQ(state_text(t), "down (wanted up)");
  t.wanted = "on call";
  t.actual = "waiting";
  EXPECT_EQ(state_text(t), "waiting (on call)");
}

TEST(Print, NothingOfAPeerReachesTheTerminalAsAControl) {
  TunnelStatus evil = berlin();
  const std::string bad = "\x1b]0;owned\x07\x9b";
  for (std::string* text : {&evil.name,
                            &evil.wanted,
                            &evil.actual,
                            &evil.reason,
                            &evil.peer,
                            &evil.pq,
                            &evil.ike->role,
                            &evil.ike->remote,
                            &evil.ike->remote_id,
                            &evil.ike->suite,
                            &evil.ike->verdict.keys,
                            &evil.ike->verdict.reason,
                            &evil.ike->authentication,
                            &evil.ike->authentication_verdict,
                            &evil.ike->key_exchanges[0],
                            &evil.ike->handshake[0].exchange,
                            &evil.children[0].suite,
                            &evil.children[0].encapsulation,
                            &evil.children[0].local_ts[0],
                            &evil.children[0].verdict.reason,
                            &evil.routes[0],
                            &evil.drops[0].first}) {
    *text = bad;
  }
  control::Snapshot snapshot = full_snapshot();
  snapshot.version = snapshot.crypto = bad;
  snapshot.tunnels = {evil};
  for (const std::string& text : {tunnel_page(evil, Colour::Never), status_table(snapshot, Colour::Never)}) {
    EXPECT_THAT(text, AllOf(HasSubstr("\\x1b]0;owned\\x07\\x9b"), Not(HasSubstr("\x1b")), Not(HasSubstr("\x07")),
                            Not(HasSubstr("\x9b"))));
  }
}

TEST(Print, ColoursFollowTheState) {
  EXPECT_THAT(status_table(full_snapshot(), Colour::Always),
              AllOf(HasSubstr("\x1b[32mup\x1b[0m"), HasSubstr("\x1b[33mconnecting")));
  EXPECT_THAT(tunnel_page(paris(), Colour::Always), HasSubstr("\x1b[31m  the peer answers"));
}

TEST(Print, CheckSummary) {
  model::Config config;
  EXPECT_EQ(check_summary("a.toml", config), "a.toml is fine: 0 tunnels\n");
  config.tunnels.resize(3);
  config.tunnels[0].pq = model::PqPolicy::Require;
  EXPECT_EQ(check_summary("a.toml", config), "a.toml is fine: 3 tunnels (1 with pq = require, 2 with pq = prefer)\n");
}

TEST(Print, RoutesNameTheirVrfWhenThereAreSeveral) {
  control::Snapshot snapshot = full_snapshot();
  EXPECT_THAT(routes_table(snapshot.routes, Colour::Never), Not(HasSubstr("VRF")));
  snapshot.routes.push_back({.vrf = 7, .prefix = "10.1.0.0/16", .tunnel = "oslo", .pq = "any", .account = "blue"});
  EXPECT_THAT(
      routes_table(snapshot.routes, Colour::Never),
      AllOf(HasSubstr("VRF      PREFIX"), HasSubstr("default  10.1.0.0/16"), HasSubstr("blue     10.1.0.0/16")));
}

}  // namespace
}  // namespace qanat::cli
