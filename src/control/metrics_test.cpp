#include "control/metrics.hpp"

#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/control_testing.hpp"
#include "esp/drop_reason.hpp"
#include "ike/counters.hpp"

namespace qanat::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Snapshot measured() {
  Snapshot s = testing::full_snapshot();
  HealthStatus& health = s.tunnels[0].health;
  health.state = "degraded";
  health.loss = 0.25;
  health.p50_ms = 12.5;
  health.p99_ms = 80;
  health.jitter_ms = 3;
  s.tunnels[2].ike->verdict.code = "no_intermediate";
  s.tunnels[2].children[0].verdict.code = "no_intermediate";
  s.tunnels[2].posture = {1000, 2.5, 10, 1, "2026-01-01T00:00:00Z", "", true};
  HandshakeTimes init{"IKE_SA_INIT", 3, 0.512, std::vector<std::uint64_t>(kHandshakeBounds.size() + 1)};
  init.buckets[0] = 2;
  init.buckets.back() = 1;
  s.handshake_times = {init};
  s.handshakes = {{"hybrid", "mlkem768", 2}, {"classical", "none", 1}};
  return s;
}

TEST(Metrics, Samples) {
  const std::string text = metrics_text(measured());
  for (const char* line :
       {"qanat_tunnel_up{tunnel=\"berlin\"} 1\n",
        "qanat_tunnel_up{tunnel=\"paris\"} 0\n",
        "qanat_tunnel_wanted_up{tunnel=\"paris\"} 1\n",
        "qanat_tunnel_wanted_up{tunnel=\"oslo\"} 0\n",
        "qanat_tunnel_keys{tunnel=\"berlin\",keys=\"inherited\",key_exchanges=\"x25519+mlkem768\",code=\"\"} 1\n",
        "qanat_tunnel_keys{tunnel=\"oslo\",keys=\"classical\",key_exchanges=\"x25519\",code=\"no_intermediate\"} 1\n",
        "qanat_tunnel_keys{tunnel=\"paris\",keys=\"none\",key_exchanges=\"\",code=\"fragments_lost\"} 1\n",
        "qanat_tunnel_quantum_safe{tunnel=\"berlin\"} 1\n",
        "qanat_tunnel_quantum_safe{tunnel=\"oslo\"} 0\n",
        "qanat_tunnel_dropped_packets_total{tunnel=\"berlin\",reason=\"wrong_tunnel\"} 3\n",
        "qanat_tunnel_health{tunnel=\"berlin\"} 0.5\n",
        "qanat_tunnel_probe_loss_ratio{tunnel=\"berlin\"} 0.25\n",
        "qanat_tunnel_probe_round_trip_p50_seconds{tunnel=\"berlin\"} 0.0125\n",
        "qanat_tunnel_harvestable_bytes_total{tunnel=\"oslo\"} 1000\n",
        "qanat_tunnel_fell_to_classical{tunnel=\"oslo\"} 1\n",
        "qanat_tunnels{keys=\"classical\"} 1\n",
        "qanat_tunnels{keys=\"hybrid\"} 0\n",
        "qanat_handshakes_total{keys=\"hybrid\",kem=\"mlkem768\"} 2\n",
        "qanat_handshake_exchange_duration_seconds_bucket{exchange=\"IKE_SA_INIT\",le=\"0.001\"} 2\n",
        "qanat_handshake_exchange_duration_seconds_bucket{exchange=\"IKE_SA_INIT\",le=\"+Inf\"} 3\n",
        "qanat_handshake_exchange_duration_seconds_count{exchange=\"IKE_SA_INIT\"} 3\n",
        "qanat_dropped_packets_total{reason=\"no_route\"} 7\n",
        "qanat_dropped_packets_total{reason=\"replay\"} 0\n",
        "qanat_policy_packets_total{rule=\"no-telnet\",vrf=\"0\",action=\"drop\"} 12\n",
        "qanat_policy_bytes_total{rule=\"no-telnet\",vrf=\"0\",action=\"drop\"} 960\n",
        "qanat_ike_messages_total{reason=\"malformed\"} 2\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, Not(HasSubstr("qanat_tunnel_health{tunnel=\"oslo\"}"))) << "it is not measured";
  EXPECT_THAT(text, Not(HasSubstr("qanat_tunnel_quantum_safe{tunnel=\"paris\"}"))) << "it is down";
}

TEST(Metrics, EveryReasonIsThereFromTheStart) {
  const std::string text = metrics_text(Snapshot{});
  for (const auto& drop : esp::kDropTexts)
    EXPECT_THAT(text, HasSubstr("qanat_dropped_packets_total{reason=\"" + std::string{drop.name} + "\"} 0\n"));
  for (const auto& counter : ike::kCounterInfo)
    EXPECT_THAT(text, HasSubstr("qanat_ike_messages_total{reason=\"" + std::string{counter.name} + "\"} 0\n"));
}

TEST(Metrics, EveryMetricOfTheTableIsWrittenWithItsLabelsOnceAHead) {
  std::stringstream text{metrics_text(measured())};
  std::map<std::string, int> heads;
  std::string line;
  std::string family;
  while (std::getline(text, line)) {
    if (line.starts_with("# TYPE ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      ++heads[family];
    } else if (!line.starts_with("#")) {
      EXPECT_TRUE(line.starts_with(family)) << line << " stands under " << family;
    }
  }
  for (const MetricInfo& m : kMetrics) {
    EXPECT_EQ(heads[std::string{m.name}], 1) << m.name;
    EXPECT_TRUE(m.type != "counter" || m.name.ends_with("_total")) << m.name;
  }
}

TEST(Metrics, AnSaIsNeverALabel) {
  const std::string text = metrics_text(measured());
  for (const char* secret : {"0a0b0c0d", "c1a2b3c4", "168496141", "198.51.100.7", "spi="})
    EXPECT_THAT(text, Not(HasSubstr(secret)));
}

TEST(Metrics, NamesAreEscaped) {
  Snapshot s;
  s.crypto = "a\"b\\c\nd";
  EXPECT_THAT(metrics_text(s), HasSubstr("crypto=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

}  // namespace
}  // namespace qanat::control
