// A snapshot with everything in it, for the tests of control/ and cli/.
#pragma once

#include "control/snapshot.hpp"

namespace qanat::control::testing {

inline TunnelStatus berlin() {
  TunnelStatus t;
  t.name = "berlin";
  t.wanted = "up";
  t.actual = "up";
  t.local = "203.0.113.1";
  t.peer = "198.51.100.7";
  t.pq = "prefer";
  t.routes = {"10.1.0.0/16", "2001:db8:1::/48"};
  IkeStatus ike;
  ike.spi_i = 0x0011223344556677U;
  ike.spi_r = 0xfedcba9876543210U;
  ike.role = "initiator";
  ike.local = "203.0.113.1:4500";
  ike.remote = "198.51.100.7:4500";
  ike.local_id = "203.0.113.1";
  ike.remote_id = "fqdn:berlin.example.com";
  ike.suite = "aes256gcm16-prfsha384";
  ike.key_exchanges = {"x25519", "mlkem768"};
  ike.verdict = {"hybrid", "mlkem768 in IKE_INTERMEDIATE"};
  ike.authentication = "PSK";
  ike.authentication_verdict = "quantum-safe (generated PSK, 256 bits)";
  ike.downgrade_excluded = true;
  ike.nat_remote = true;
  ike.fragmentation = true;
  ike.seconds_up = 3725;
  ike.seconds_to_rekey = 9000;
  ike.offered = "1: aes256gcm16 prfsha384 x25519 ke1_mlkem768";
  ike.handshake = {{"IKE_SA_INIT (x25519)", 248, 256, 1, 1, 0, 12.25},
                   {"IKE_INTERMEDIATE (mlkem768)", 1281, 1185, 2, 1, 1, 1030.5},
                   {"IKE_AUTH", 320, 288, 1, 1, 0, 11.0}};
  t.ike = ike;
  ChildStatus child;
  child.spi_in = 0x0a0b0c0dU;
  child.spi_out = 0xc1a2b3c4U;
  child.suite = "aes256gcm16";
  child.esn = true;
  child.encapsulation = "udp";
  child.local_ts = {"0.0.0.0/0"};
  child.remote_ts = {"0.0.0.0/0"};
  child.replay_window = 1024;
  child.inner_mtu = 1422;
  child.packets_in = 900;
  child.bytes_in = 1'200'000;
  child.packets_out = 1000;
  child.bytes_out = 18'446'744'073'709'551'615U;
  child.seconds_up = 125;
  child.seconds_to_rekey = 3000;
  child.verdict = {"inherited", "made under a hybrid IKE SA"};
  t.children = {child};
  t.packets_in = 5000;
  t.bytes_in = 1'234'567;
  t.packets_out = 6000;
  t.bytes_out = 999;
  t.drops = {{"wrong_tunnel", 3}, {"replayed", 0}};
  return t;
}

inline TunnelStatus paris() {
  TunnelStatus t;
  t.name = "paris";
  t.wanted = "up";
  t.actual = "connecting";
  t.reason = "the peer answers NO_PROPOSAL_CHOSEN: set ike = [\"aes256-sha256-modp2048\"] in [[tunnel]] paris";
  t.local = "203.0.113.1";
  t.peer = "192.0.2.80";
  t.pq = "require";
  t.failed_attempts = 3;
  t.last_failure = {{"IKE_SA_INIT (x25519)", 248, 256, 1, 1, 0, 12.25},
                    {"IKE_INTERMEDIATE (mlkem768)", 1281, 0, 2, 0, 11, 0}};
  t.failure_code = "fragments_lost";
  return t;
}

inline TunnelStatus oslo() {
  TunnelStatus t = berlin();
  t.name = "oslo";
  t.peer = "any";
  t.wanted = "on call";
  t.classical_penalty = 5;
  t.ike->key_exchanges = {"x25519"};
  t.ike->verdict = {"classical", "peer does not support IKE_INTERMEDIATE", "no_intermediate"};
  t.posture = {5'000'000'000, 3600, 20, 10, "2026-01-01T00:00:00Z", "2026-07-20T12:00:00Z", true};
  t.ike->authentication_verdict = "depends on the PSK's entropy";
  t.children[0].verdict = t.ike->verdict;
  t.drops.clear();
  return t;
}

inline Snapshot full_snapshot() {
  Snapshot s;
  s.version = "0.1.0";
  s.crypto = "OpenSSL 3.5.4, packets by ipsec-mb 1.3";
  s.seconds_up = 90061.5;
  s.tunnels = {berlin(), paris(), oslo()};
  s.drops = {{"no_route", 7}};
  s.data_workers = 2;
  s.handed_over = 11;
  s.ike_counters = {{"malformed", 2}};
  s.api = ApiStatus{"127.0.0.1:8443", 2, 30, 4, 1, 200, 5, 6, 7, "2027-03-01"};
  s.alerts =
      AlertStatus{.notifications = 9, .queued = 1, .delivered = 7, .failed_attempts = 3, .undelivered = 2, .lost = 1};
  s.routes = {{0, "10.1.0.0/16", "berlin", 100, 1, "any", 0, false},
              {0, "10.1.0.0/16", "oslo", 100, 1, "any", 5, false, "kernel"},
              {0, "10.2.0.0/16", "oslo", 100, 1, "require", 5, true}};
  s.policy = {{0, "no-telnet", "drop", 12, 960}, {0, "web", "allow", 0, 0}};
  EventRing ring;
  ring.add({1'790'000'000}, EventLevel::Info, "tunnel-up", {{"tunnel", "berlin"}, {"detail", "hybrid"}});
  ring.add({1'790'000'001}, EventLevel::Warning, "purge", {{"detail", "routes are being removed"}});
  s.events = ring.recent();
  return s;
}

}  // namespace qanat::control::testing
