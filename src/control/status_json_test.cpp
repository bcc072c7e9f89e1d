#include "control/status_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "control/control_testing.hpp"

namespace qanat::control {
namespace {

using testing::full_snapshot;
using ::testing::HasSubstr;

TEST(StatusJson, ComesBackAsItWas) {
  const std::string first = to_json(full_snapshot());
  const auto back = snapshot_from_json(first);
  ASSERT_TRUE(back.has_value()) << back.error().detail;
  EXPECT_EQ(to_json(*back), first);
  ASSERT_EQ(back->tunnels.size(), 3U);
  EXPECT_EQ(back->tunnels[0].ike->spi_r, 0xfedcba9876543210U);
  EXPECT_EQ(back->tunnels[0].children[0].spi_out, 0xc1a2b3c4U);
  EXPECT_EQ(back->tunnels[0].children[0].bytes_out, 18'446'744'073'709'551'615U);
  EXPECT_EQ(back->tunnels[0].drops, full_snapshot().tunnels[0].drops) << "counters keep their order";
  EXPECT_FALSE(back->tunnels[1].ike.has_value());
  EXPECT_EQ(back->tunnels[2].ike->verdict.reason, "peer does not support IKE_INTERMEDIATE");
}

TEST(StatusJson, OneTunnelComesBack) {
  const std::string first = to_json(testing::berlin());
  const auto back = tunnel_from_json(first);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_json(*back), first);
  EXPECT_EQ(back->ike->handshake.size(), 3U);
  EXPECT_EQ(back->ike->handshake[1].milliseconds, 1030.5);
}

// The names are the API's: whoever changes one breaks somebody's script.
TEST(StatusJson, FieldNamesAreStable) {
  const std::string json = to_json(full_snapshot());
  for (const char* name : {"version",
                           "crypto",
                           "seconds_up",
                           "tunnels",
                           "drops",
                           "data_workers",
                           "handed_over",
                           "ike_counters",
                           "name",
                           "wanted",
                           "actual",
                           "reason",
                           "local",
                           "peer",
                           "pq",
                           "routes",
                           "ike",
                           "children",
                           "packets_in",
                           "bytes_in",
                           "packets_out",
                           "bytes_out",
                           "spi_i",
                           "spi_r",
                           "role",
                           "remote",
                           "local_id",
                           "remote_id",
                           "suite",
                           "key_exchanges",
                           "verdict",
                           "keys",
                           "authentication",
                           "authentication_verdict",
                           "nat_local",
                           "nat_remote",
                           "fragmentation",
                           "seconds_to_rekey",
                           "handshake",
                           "exchange",
                           "request_bytes",
                           "response_bytes",
                           "request_fragments",
                           "response_fragments",
                           "retransmissions",
                           "milliseconds",
                           "spi_in",
                           "spi_out",
                           "esn",
                           "encapsulation",
                           "local_ts",
                           "remote_ts",
                           "replay_window",
                           "inner_mtu"}) {
    EXPECT_THAT(json, HasSubstr('"' + std::string{name} + "\":")) << name;
  }
  EXPECT_THAT(json, HasSubstr("\"spi_in\": \"0x0a0b0c0d\""));
  EXPECT_THAT(json, HasSubstr("\"spi_i\": \"0x0011223344556677\""));
  EXPECT_THAT(json, HasSubstr("\"ike\": null"));
}

TEST(StatusJson, ReaderTakesWhatAnotherVersionWrote) {
  const auto some = snapshot_from_json(R"({"version":"9","new_field":{"a":[1]},"tunnels":[{"name":"a","ike":null}]})");
  ASSERT_TRUE(some.has_value());
  EXPECT_EQ(some->tunnels[0].name, "a");
  EXPECT_TRUE(snapshot_from_json("{}").has_value());
}

TEST(StatusJson, ReaderRefusesWhatIsNoSnapshot) {
  for (const char* text : {"", "[]", "7", "null", "{", "<html>", R"({"tunnels":7})", R"({"tunnels":[7]})",
                           R"({"version":[]})", R"({"drops":{"a":"b"}})", R"({"drops":"x"})"}) {
    EXPECT_FALSE(snapshot_from_json(text).has_value()) << text;
  }
  const std::string good = to_json(full_snapshot());
  SeededRng rng{5};
  for (int i = 0; i < 2000; ++i) {
    std::string text = good;
    text[rng.below(text.size())] = static_cast<char>(rng.below(256));
    text.resize(rng.below(4) == 0 ? rng.below(text.size()) : text.size());
    if (const auto read = snapshot_from_json(text)) {
      EXPECT_FALSE(to_json(*read).empty());
    }
  }
}

TEST(StatusJson, OctetsThatAreNoUtf8DoNotThrow) {
  Snapshot snapshot;
  snapshot.version = "a\xff\xfe";
  EXPECT_THAT(to_json(snapshot), HasSubstr("a\xef\xbf\xbd"));
}

TEST(StatusJson, SmallReplies) {
  const auto error = error_from_json(to_json(ApiError{"not_found", "there is none"}));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "not_found");
  EXPECT_EQ(error->message, "there is none");
  EXPECT_FALSE(error_from_json("{}").has_value());
  EXPECT_FALSE(error_from_json("nonsense").has_value());
  EXPECT_FALSE(error_from_json("[1]").has_value());
  const auto outcome = outcome_from_json(to_json(Outcome{"up", "berlin", "is up"}));
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->tunnel, "berlin");
  EXPECT_EQ(outcome->message, "is up");
  const auto version = version_from_json(to_json(Version{"1.2.3", "OpenSSL"}));
  ASSERT_TRUE(version.has_value());
  EXPECT_EQ(version->version, "1.2.3");
}

}  // namespace
}  // namespace qanat::control
