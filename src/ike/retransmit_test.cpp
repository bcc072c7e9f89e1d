#include "ike/retransmit.hpp"

#include <gtest/gtest.h>

namespace qanat::ike {
namespace {

TEST(Retransmit, BeginsAtOneSecondGrowsBySixTenthsAndStopsAtAMinute) {
  SeededRng rng{1};
  double expected = 1;
  for (unsigned sends = 1; sends < kMaxSends + 20; ++sends) {
    for (int i = 0; i < 200; ++i) {
      const double seconds = static_cast<double>(retransmit_delay(sends, rng).count()) / 1e9;
      EXPECT_GE(seconds, std::min(60.0, expected * 0.9) - 1e-6) << sends;
      EXPECT_LE(seconds, std::min(60.0, expected * 1.1) + 1e-6) << sends;
    }
    expected = std::min(expected * 1.6, 1000.0);
  }
}

TEST(Retransmit, IsJittered) {
  SeededRng rng{2};
  EXPECT_NE(retransmit_delay(1, rng), retransmit_delay(1, rng));
}

// RFC 7296 2.4: at least a dozen times over several minutes.
TEST(Retransmit, GivesUpAfterAboutFiveMinutes) {
  SeededRng rng{3};
  Duration sum{};
  for (unsigned sends = 1; sends <= kMaxSends; ++sends) sum += retransmit_delay(sends, rng);
  EXPECT_GE(sum, 240s);
  EXPECT_LE(sum, 360s);
}

}  // namespace
}  // namespace qanat::ike
