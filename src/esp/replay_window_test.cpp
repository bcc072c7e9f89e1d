#include "esp/replay_window.hpp"

#include <set>

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace qanat::esp {
namespace {

bool pass(ReplayWindow& w, std::uint64_t sequence) {
  if (!w.check(sequence)) return false;
  w.commit(sequence);
  return true;
}

class Windows : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, Windows,
                         ::testing::Values(32U, 64U, 65U, 127U, 128U, 1000U, 1024U, 2048U, 4096U, 8192U));

// The patterns of WireGuard's counter test, for a window that starts at 1 and ends W-1 below its top.
TEST_P(Windows, EdgePatterns) {
  const std::uint64_t w = GetParam();
  {
    ReplayWindow r(GetParam());
    EXPECT_FALSE(pass(r, 0));
    EXPECT_TRUE(pass(r, 1));
    EXPECT_FALSE(pass(r, 1));
    EXPECT_TRUE(pass(r, 9));
    EXPECT_TRUE(pass(r, 8));
    EXPECT_TRUE(pass(r, 7));
    EXPECT_FALSE(pass(r, 7));
    EXPECT_TRUE(pass(r, w));
    EXPECT_TRUE(pass(r, w - 1));
    EXPECT_FALSE(pass(r, w - 1));
    EXPECT_TRUE(pass(r, w - 2));
    EXPECT_TRUE(pass(r, 2));
    EXPECT_FALSE(pass(r, 2));
    EXPECT_TRUE(pass(r, w + 16));
    EXPECT_FALSE(pass(r, 3));
    EXPECT_FALSE(pass(r, w + 16));
    EXPECT_TRUE(pass(r, w * 4));
    EXPECT_TRUE(pass(r, w * 4 - (w - 1)));
    EXPECT_FALSE(pass(r, 10));
    EXPECT_FALSE(pass(r, w * 4 - w));
    EXPECT_FALSE(pass(r, w * 4 - (w + 1)));
    EXPECT_TRUE(pass(r, w * 4 - (w - 2)));
    EXPECT_FALSE(pass(r, w * 4 + 1 - w));
    EXPECT_FALSE(pass(r, 0));
    EXPECT_TRUE(pass(r, ~std::uint64_t{0} - 1));
    EXPECT_TRUE(pass(r, ~std::uint64_t{0}));
    EXPECT_FALSE(pass(r, ~std::uint64_t{0}));
    EXPECT_FALSE(pass(r, ~std::uint64_t{0} - 1));
    EXPECT_TRUE(pass(r, ~std::uint64_t{0} - 2));
  }
  {
    ReplayWindow up(GetParam());
    for (std::uint64_t i = 1; i <= w; ++i) EXPECT_TRUE(pass(up, i)) << i;
    EXPECT_FALSE(pass(up, 0));
    for (std::uint64_t i = 1; i <= w; ++i) EXPECT_FALSE(pass(up, i)) << i;
  }
  {
    ReplayWindow down(GetParam());
    for (std::uint64_t i = w; i >= 1; --i) EXPECT_TRUE(pass(down, i)) << i;
    for (std::uint64_t i = w; i >= 1; --i) EXPECT_FALSE(pass(down, i)) << i;
  }
  {
    // One step too far: the lowest falls out before it comes.
    ReplayWindow down(GetParam());
    EXPECT_TRUE(pass(down, w + 1));
    EXPECT_FALSE(pass(down, 1));
    for (std::uint64_t i = w; i >= 2; --i) EXPECT_TRUE(pass(down, i)) << i;
  }
}

TEST_P(Windows, ReorderingByTheWindow) {
  const std::uint64_t w = GetParam();
  for (const std::uint64_t top : {w + 5, 10 * w, 10 * w + 63, 100 * w + 1}) {
    ReplayWindow r(GetParam());
    EXPECT_TRUE(pass(r, top));
    EXPECT_TRUE(pass(r, top - (w - 1)));
    EXPECT_FALSE(r.check(top - w));
    EXPECT_FALSE(r.check(top - w - 1));
  }
}

TEST_P(Windows, AgreesWithASetOfNumbers) {
  const std::uint64_t w = GetParam();
  SeededRng rng(w);
  ReplayWindow r(GetParam());
  std::set<std::uint64_t> seen;
  std::uint64_t top = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t around = rng.below(10) == 0 ? rng.below(4 * w) : 5;
    const std::uint64_t sequence = 1 + (top > 2 * w ? top - 2 * w : 0) + rng.below(2 * w + around);
    const bool expected = !seen.contains(sequence) && (sequence > top || top - sequence < w);
    ASSERT_EQ(r.check(sequence), expected) << sequence << " top " << top;
    if (expected) {
      EXPECT_EQ(r.commit(sequence), sequence > top);
      seen.insert(sequence);
      top = std::max(top, sequence);
      while (!seen.empty() && *seen.begin() + w <= top) seen.erase(seen.begin());
    }
  }
}

TEST(ReplayWindow, CheckChangesNothing) {
  ReplayWindow r(64);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(r.check(1000));
  EXPECT_EQ(r.top(), 0U);
}

TEST(ReplayWindow, ZeroLetsEverythingPass) {
  ReplayWindow r(0);
  EXPECT_TRUE(pass(r, 0));
  EXPECT_TRUE(pass(r, 7));
  EXPECT_TRUE(pass(r, 7));
  EXPECT_TRUE(pass(r, 1));
}

TEST(ReplayWindow, SizesAreKeptWithinTheirBounds) {
  EXPECT_EQ(ReplayWindow(1).size(), 32U);
  EXPECT_EQ(ReplayWindow(100000).size(), 8192U);
}

TEST(ReplayWindow, HighHalfAcrossTheWrap) {
  for (const std::uint32_t w : {32U, 64U, 1024U, 4096U, 8192U}) {
    for (const std::uint64_t wrap : {std::uint64_t{1} << 32, std::uint64_t{7} << 32}) {
      ReplayWindow r(w);
      r.commit(wrap - 1);  // ..ffffffff
      EXPECT_EQ(r.extend(0), wrap);
      EXPECT_EQ(r.extend(1), wrap + 1);
      EXPECT_EQ(r.extend(0xffffffffU), wrap - 1);
      EXPECT_EQ(r.extend(static_cast<std::uint32_t>(wrap - w)), wrap - w);
      EXPECT_EQ(r.extend(static_cast<std::uint32_t>(wrap - w - 1)), wrap * 2 - w - 1 - wrap + (std::uint64_t{1} << 32));
      // Past the wrap, late packets of the old subspace keep their half.
      r.commit(wrap + 3);
      EXPECT_EQ(r.extend(0xffffffffU), wrap - 1);
      EXPECT_EQ(r.extend(static_cast<std::uint32_t>(wrap + 4 - w)), wrap + 4 - w);
      EXPECT_EQ(r.extend(static_cast<std::uint32_t>(wrap + 3 - w)), wrap + (std::uint64_t{1} << 32) - w + 3);
      EXPECT_EQ(r.extend(2), wrap + 2);
      EXPECT_EQ(r.extend(4), wrap + 4);
    }
  }
}

TEST(ReplayWindow, HighHalfAtBothEndsOfTheSpace) {
  ReplayWindow start(64);
  EXPECT_EQ(start.extend(1), 1U);
  EXPECT_EQ(start.extend(0x80000000U), 0x80000000U);
  EXPECT_FALSE(start.extend(0xffffffffU));  // would be before the first packet
  ReplayWindow end(64);
  end.commit(~std::uint64_t{0} - 5);
  EXPECT_EQ(end.extend(0xffffffffU), ~std::uint64_t{0});
  EXPECT_FALSE(end.extend(0));  // would be after the last one
}

}  // namespace
}  // namespace qanat::esp
