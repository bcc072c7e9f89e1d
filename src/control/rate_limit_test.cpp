#include "control/rate_limit.hpp"

#include <gtest/gtest.h>

namespace qanat::control {
namespace {

const Instant kStart = Instant::from_ns(1'000'000'000'000);

TEST(RateLimit, ABurstThenTheRate) {
  RateLimit limit({.per_second = 10, .burst = 5});
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limit.take("a", kStart)) << i;
  EXPECT_EQ(limit.take("a", kStart), Duration{100ms});
  EXPECT_EQ(limit.take("a", kStart + 40ms), Duration{60ms}) << "a refusal costs nothing";
  EXPECT_FALSE(limit.take("a", kStart + 100ms));
  EXPECT_TRUE(limit.take("a", kStart + 100ms));
  int taken = 0;
  for (Instant now = kStart + 1s; now < kStart + 11s; now = now + 1ms) taken += limit.take("a", now) ? 0 : 1;
  EXPECT_NEAR(taken, 104, 1) << "what had been saved up, and ten a second";
}

TEST(RateLimit, KeysDoNotShare) {
  RateLimit limit({.per_second = 1, .burst = 1});
  EXPECT_FALSE(limit.take("a", kStart));
  EXPECT_TRUE(limit.take("a", kStart));
  EXPECT_FALSE(limit.take("b", kStart));
  EXPECT_FALSE(limit.look("c", kStart));
  EXPECT_TRUE(limit.look("b", kStart));
  EXPECT_FALSE(limit.look("b", kStart + 1s));
  EXPECT_EQ(limit.size(), 2U) << "looking makes no bucket";
}

TEST(RateLimit, MemoryIsBounded) {
  RateLimit limit({.per_second = 1, .burst = 1}, 100);
  EXPECT_FALSE(limit.take("busy", kStart));
  for (int i = 0; i < 100'000; ++i) {
    EXPECT_FALSE(limit.take("address " + std::to_string(i), kStart));
    EXPECT_TRUE(limit.take("busy", kStart)) << "who asks all the time is not forgotten";
  }
  EXPECT_EQ(limit.size(), 100U);
}

}  // namespace
}  // namespace qanat::control
