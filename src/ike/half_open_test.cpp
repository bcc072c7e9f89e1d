#include "ike/half_open.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace qanat::ike {
namespace {

IpAddress address(const char* text) {
  return *IpAddress::parse(text);
}

class HalfOpen : public ::testing::Test {
 protected:
  HalfOpen() {
    config.half_open_limit = 1000;
    config.cookie_threshold = 100;
    config.prefix_limit = 10;
    config.puzzle_difficulty = 16;
  }
  void add(const IpAddress& source, unsigned count, bool verified = false) {
    for (unsigned i = 0; i < count; ++i) {
      standing.push_back({source, false, false});
      table.update(standing.back(), true, verified);
    }
  }
  EndpointConfig config;
  HalfOpenTable table{config};
  std::vector<HalfOpenTable::Standing> standing;
};

TEST_F(HalfOpen, CountsBySourcePrefix) {
  add(address("192.0.2.1"), 5);
  add(address("192.0.2.254"), 5);
  EXPECT_TRUE(table.wants_cookie(address("192.0.2.77")));
  EXPECT_FALSE(table.wants_cookie(address("192.0.3.77")));
  add(address("2001:db8:0:100::1"), 5);
  add(address("2001:db8:0:1ff::1"), 5);
  EXPECT_TRUE(table.wants_cookie(address("2001:db8:0:142::9")));
  EXPECT_FALSE(table.wants_cookie(address("2001:db8:0:200::9")));
  EXPECT_EQ(table.prefixes(), 2U);
  EXPECT_EQ(table.total(), 20U);
  EXPECT_EQ(table.unverified(), 20U);
}

TEST_F(HalfOpen, ForgetsWhatHasGone) {
  add(address("192.0.2.1"), 3);
  add(address("198.51.100.1"), 2, true);
  for (auto& s : standing) table.update(s, false, s.verified);
  for (auto& s : standing) table.update(s, false, s.verified);  // once more changes nothing
  EXPECT_EQ(table.total(), 0U);
  EXPECT_EQ(table.unverified(), 0U);
  EXPECT_EQ(table.prefixes(), 0U);
}

TEST_F(HalfOpen, OnlyPeersWithoutACookieCountForIt) {
  add(address("192.0.2.1"), 60, true);
  add(address("198.51.100.1"), 60, true);
  EXPECT_FALSE(table.wants_cookie(address("192.0.2.1")));
  EXPECT_FALSE(table.wants_cookie(address("203.0.113.1")));
}

TEST_F(HalfOpen, ARealPrefixHasEightTimesAsMuch) {
  add(address("192.0.2.1"), 79, true);
  EXPECT_FALSE(table.is_full(address("192.0.2.2"), true));
  add(address("192.0.2.3"), 1, true);
  EXPECT_TRUE(table.is_full(address("192.0.2.2"), true));
  EXPECT_FALSE(table.is_full(address("192.0.3.2"), true));
}

TEST_F(HalfOpen, PatienceShrinksUnderLoadAndForSuspects) {
  EXPECT_EQ(table.patience(address("192.0.2.1")), Duration{30s});
  add(address("192.0.2.1"), 10);
  EXPECT_EQ(table.patience(address("192.0.2.2")), Duration{5s});
  EXPECT_EQ(table.patience(address("192.0.3.2")), Duration{30s});
  for (std::uint32_t i = 0; i < 90; ++i) add(IpAddress::v4(0x0a000000 + (i << 8)), 1);
  EXPECT_TRUE(table.is_under_load());
  EXPECT_EQ(table.patience(address("192.0.3.2")), Duration{5s});
}

TEST_F(HalfOpen, CookiesAlwaysAreNoLoadByThemselves) {
  config.cookie_threshold = 0;
  EXPECT_TRUE(table.wants_cookie(address("192.0.2.1")));
  EXPECT_FALSE(table.is_under_load());
  EXPECT_EQ(table.patience(address("192.0.2.1")), Duration{30s});
}

TEST_F(HalfOpen, DifficultyRisesWithTheLoadAndWithThePrefix) {
  EXPECT_EQ(table.difficulty(address("192.0.2.1")), 16);
  add(address("192.0.2.1"), 20, true);  // twice its limit
  EXPECT_EQ(table.difficulty(address("192.0.2.9")), 17);
  EXPECT_EQ(table.difficulty(address("203.0.113.9")), 16);
  add(address("192.0.2.1"), 20, true);
  EXPECT_EQ(table.difficulty(address("192.0.2.9")), 18);
  for (std::uint32_t i = 0; i < 160; ++i) add(IpAddress::v4(0x0a000000 + (i << 8)), 1, true);
  EXPECT_EQ(table.difficulty(address("203.0.113.9")), 17);  // 200 of all, twice the threshold
  add(address("192.0.2.1"), 2000, true);
  EXPECT_EQ(table.difficulty(address("192.0.2.9")), 20);  // and no further
  config.puzzle_difficulty = 0;
  EXPECT_EQ(table.difficulty(address("192.0.2.9")), 0);
}

TEST_F(HalfOpen, UnsolvedPuzzlesAreServedWhileThereIsRoom) {
  EXPECT_EQ(table.unsolved_per_mille(), 1000U);
  for (std::uint32_t i = 0; i < 250; ++i) add(IpAddress::v4(0x0a000000 + (i << 8)), 1, true);
  EXPECT_EQ(table.unsolved_per_mille(), 500U);
  for (std::uint32_t i = 0; i < 250; ++i) add(IpAddress::v4(0x0b000000 + (i << 8)), 1, true);
  EXPECT_EQ(table.unsolved_per_mille(), 0U);
}

// ---- one shard of several --------------------------------------------------------------------------------------

class HalfOpenElsewhereTest : public HalfOpen {
 protected:
  HalfOpenElsewhereTest() { config.shards.count = 4; }
  // As the gateway does with a datagram from `source`.
  void hear(const IpAddress& source, HalfOpenCounts others, HalfOpenCounts prefix_others) {
    const auto own = table.news_of(source).here;
    table.hear({others, own, half_open_prefix(source), prefix_others, own});
  }
};

TEST_F(HalfOpenElsewhereTest, WhatTheOthersHaveCounts) {
  const IpAddress here = address("192.0.2.1");
  hear(here, {.verified = 0, .unverified = 99}, {});
  EXPECT_FALSE(table.wants_cookie(here));
  EXPECT_FALSE(table.is_under_load());
  hear(here, {.verified = 0, .unverified = 100}, {});
  EXPECT_TRUE(table.wants_cookie(here));
  EXPECT_TRUE(table.is_under_load());
  EXPECT_EQ(table.patience(here), Duration{5s});
  hear(here, {.verified = 999, .unverified = 0}, {});
  EXPECT_FALSE(table.is_full(here, true));
  EXPECT_EQ(table.unsolved_per_mille(), 0U);
  EXPECT_EQ(table.difficulty(here), 19);
  hear(here, {.verified = 1000, .unverified = 0}, {});
  EXPECT_TRUE(table.is_full(here, true));
  EXPECT_EQ(table.total(), 0U);
  hear(here, {}, {});
  EXPECT_FALSE(table.is_under_load());
}

TEST_F(HalfOpenElsewhereTest, APrefixCountsForItselfAlone) {
  const IpAddress here = address("192.0.2.1");
  add(here, 1);
  hear(here, {.verified = 80, .unverified = 9}, {.verified = 79, .unverified = 9});
  EXPECT_TRUE(table.wants_cookie(here));
  EXPECT_FALSE(table.wants_cookie(address("192.0.3.1")));
  EXPECT_FALSE(table.is_full(here, true));
  EXPECT_EQ(table.patience(here), Duration{5s});
  hear(here, {.verified = 80, .unverified = 9}, {.verified = 80, .unverified = 0});
  EXPECT_TRUE(table.is_full(here, true));
  EXPECT_FALSE(table.is_full(address("192.0.3.1"), true));
}

TEST_F(HalfOpenElsewhereTest, WhatTheGatewayHasNotHeardOfIsAShareAtMost) {
  const IpAddress here = address("192.0.2.1");
  table.hear({{}, {}, half_open_prefix(here), {}, {}});
  add(here, 2);
  EXPECT_FALSE(table.wants_cookie(here));
  add(here, 1);  // a quarter of 10
  EXPECT_TRUE(table.wants_cookie(here));
  table.hear({{}, {.verified = 0, .unverified = 3}, half_open_prefix(here), {}, {.verified = 0, .unverified = 3}});
  EXPECT_FALSE(table.wants_cookie(here));
  for (std::uint32_t i = 0; i < 24; ++i) add(IpAddress::v4(0x0a000000 + (i << 8)), 1);
  EXPECT_FALSE(table.wants_cookie(here));
  add(address("203.0.113.1"), 1);  // a quarter of 100
  EXPECT_TRUE(table.wants_cookie(here));
  EXPECT_FALSE(table.is_full(here, true));
  for (std::uint32_t i = 0; i < 225; ++i) add(IpAddress::v4(0x0b000000 + (i << 8)), 1, true);
  EXPECT_TRUE(table.is_full(here, true));
  // What has ended here and was not heard of does no harm.
  table.hear({{}, {.verified = 900, .unverified = 900}, half_open_prefix(here), {}, {}});
  EXPECT_FALSE(table.is_full(here, true));
}

}  // namespace
}  // namespace qanat::ike
