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

const Bytes kCookie = hex("739ae7492d8a810cf5e8dc0f9626c9dda773c5a3");

TEST(Puzzle, TheExamplesOfTheRfc) {
  // RFC 8019 4.4, examples 1 (18 bits, three-octet keys) and 2 (22 bits, four-octet keys).
  EXPECT_EQ(solved_bits(kSha256, kCookie,
                        hex("061840"
                            "073324"
                            "0c8a2a"
                            "0d94c8")),
            18U);
  const auto bits = solved_bits(kSha256, kCookie,
                                hex("005d9e57"
                                    "010d8959"
                                    "0110778d"
                                    "01187e37"));
  ASSERT_TRUE(bits.has_value());
  EXPECT_GE(*bits, 22U);
}

TEST(Puzzle, TheWeakestKeyCounts) {
  EXPECT_LT(solved_bits(kSha256, kCookie,
                        hex("061840"
                            "073324"
                            "0c8a2a"
                            "0d94c9"))
                .value_or(99),
            18U);
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
