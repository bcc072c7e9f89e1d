#include "crypto/rng.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace qanat::crypto {
namespace {

TEST(SystemRng, fills_any_size_and_never_repeats) {
  SystemRng rng;
  EXPECT_FALSE(rng.deterministic());
  EXPECT_TRUE(rng.bytes(0).empty());
  EXPECT_NE(rng.bytes(32), rng.bytes(32));
  const Bytes large = rng.bytes((std::size_t{2} << 20) + 5);
  for (std::size_t at = 0; at + 4096 <= large.size(); at += 4096) {
    EXPECT_FALSE(std::all_of(large.begin() + static_cast<std::ptrdiff_t>(at),
                             large.begin() + static_cast<std::ptrdiff_t>(at) + 32,
                             [](std::uint8_t b) { return b == 0; }));
  }
  EXPECT_FALSE(std::all_of(large.end() - 32, large.end(), [](std::uint8_t b) { return b == 0; }));
}

}  // namespace
}  // namespace qanat::crypto
