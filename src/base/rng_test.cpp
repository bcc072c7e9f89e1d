#include "base/rng.hpp"

#include <array>

#include <gtest/gtest.h>

namespace qanat {
namespace {

TEST(SeededRng, replays_its_seed) {
  SeededRng a{1};
  SeededRng b{1};
  SeededRng c{2};
  EXPECT_TRUE(a.deterministic());
  EXPECT_EQ(a.bytes(100), b.bytes(100));
  EXPECT_EQ(a.u64(), b.u64());
  EXPECT_NE(a.bytes(32), c.bytes(32));
}

TEST(Rng, below_stays_below_and_reaches_everything) {
  SeededRng rng{3};
  std::array<int, 7> hits{};
  for (int i = 0; i < 7000; ++i) ++hits.at(rng.below(7));
  for (const int n : hits) {
    EXPECT_GT(n, 800);
    EXPECT_LT(n, 1200);
  }
  EXPECT_EQ(rng.below(1), 0U);
}

}  // namespace
}  // namespace qanat
