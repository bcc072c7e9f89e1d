#include "ike/puzzle.hpp"

#include <gtest/gtest.h>

#include "crypto/prf.hpp"

namespace qanat::ike {
namespace {

constexpr PrfId kSha256 = PrfId::PRF_HMAC_SHA2_256;

Bytes hex(std::string_view text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(std::stoul(std::string{text.substr(i, 2)}, nullptr, 16)));
  return out;
}

constexpr std::string_view kSixteenBits = "0000c51500024870000287cf00034992";
const Bytes kCookie = hex("739ae7492d8a810cf5e8dc0f9626c9dda773c5a3");

// Worked out by another implementation of HMAC (Python's). The keys of RFC 8019's own examples for this cookie fit no
// reading of the text: neither as octets nor as digits, and under none of the HMACs.
TEST(Puzzle, CountsTrailingZeroBits) {
  EXPECT_EQ(solved_bits(kSha256, kCookie, hex(kSixteenBits)), 16U);
  EXPECT_EQ(solved_bits(PrfId::PRF_HMAC_SHA2_384, kCookie, hex("000000310000014e0000029200000444")), 8U);
}

TEST(Puzzle, ASolverTriesKeysInOrder) {
  PuzzleSolver solver{kSha256, 16, kCookie};
  EXPECT_FALSE(solver.advance(0x34992));
  EXPECT_TRUE(solver.advance(1));
  EXPECT_EQ(solver.solution(), hex(kSixteenBits));
}

TEST(Puzzle, TheWeakestKeyCounts) {
  EXPECT_LT(solved_bits(kSha256, kCookie, hex("0000c51500024870000287cf00034993")).value_or(99), 16U);
  EXPECT_LT(solved_bits(kSha256, kCookie, hex("0000c51600024870000287cf00034992")).value_or(99), 16U);
}

TEST(Puzzle, FourDifferentKeysOfOneSizeOrNoSolution) {
  EXPECT_FALSE(solved_bits(kSha256, kCookie, {}).has_value());
  EXPECT_FALSE(solved_bits(kSha256, kCookie, hex("061840")).has_value());  // three octets are not four keys
  EXPECT_FALSE(solved_bits(kSha256, kCookie, hex("0618400733240c8a2a0618")).has_value());
  EXPECT_FALSE(solved_bits(kSha256, kCookie,
                           hex("061840073324061840"
                               "0d94c8"))
                   .has_value());                                             // one of them twice
  EXPECT_FALSE(solved_bits(kSha256, kCookie, Bytes(4 * 33, 1)).has_value());  // longer than the PRF's key
}

TEST(Puzzle, ASolverFindsWhatAVerifierTakes) {
  for (const PrfId prf : {kSha256, PrfId::PRF_HMAC_SHA2_384, PrfId::PRF_HMAC_SHA2_512}) {
    PuzzleSolver solver{prf, 9, kCookie};
    EXPECT_FALSE(solver.advance(3));  // at least four tries are needed
    unsigned slices = 1;
    while (!solver.advance(100)) ++slices;
    EXPECT_GT(slices, 1U);
    EXPECT_EQ(solver.solution().size(), 16U);
    EXPECT_GE(solved_bits(prf, kCookie, solver.solution()).value_or(0), 9U);
  }
}

TEST(Puzzle, TheNotificationReadsAsItWasWritten) {
  const Puzzle puzzle{kSha256, 18};
  EXPECT_EQ(puzzle_data(puzzle), (Bytes{0, 5, 18}));
  EXPECT_EQ(parse_puzzle(puzzle_data(puzzle)), puzzle);
  EXPECT_FALSE(parse_puzzle(Bytes{0, 5}).has_value());
  EXPECT_FALSE(parse_puzzle(Bytes{0, 5, 18, 0}).has_value());
  EXPECT_FALSE(parse_puzzle(Bytes{0, 2, 18}).has_value());  // HMAC-SHA1: not ours
  EXPECT_FALSE(parse_puzzle(Bytes{0, 99, 18}).has_value());
}

}  // namespace
}  // namespace qanat::ike
