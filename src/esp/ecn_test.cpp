#include "esp/ecn.hpp"

#include <gtest/gtest.h>

namespace qanat::esp {
namespace {

constexpr auto N = Ecn::NotEct;
constexpr auto E0 = Ecn::Ect0;
constexpr auto E1 = Ecn::Ect1;
constexpr auto C = Ecn::Ce;

TEST(Ecn, DecapsulationIsFigure4OfRfc6040) {
  struct Row {
    Ecn inner;
    std::optional<Ecn> outer_not, outer_0, outer_1, outer_ce;
  };
  const Row rows[] = {
      {N, N, N, N, std::nullopt},
      {E0, E0, E0, E1, C},
      {E1, E1, E1, E1, C},
      {C, C, C, C, C},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(decapsulated_ecn(row.inner, N), row.outer_not);
    EXPECT_EQ(decapsulated_ecn(row.inner, E0), row.outer_0);
    EXPECT_EQ(decapsulated_ecn(row.inner, E1), row.outer_1);
    EXPECT_EQ(decapsulated_ecn(row.inner, C), row.outer_ce);
  }
}

TEST(Ecn, EncapsulationCopiesEcnAndCopiesOrFixesDscp) {
  for (unsigned tos = 0; tos < 256; ++tos) {
    const auto t = static_cast<std::uint8_t>(tos);
    EXPECT_EQ(encapsulated_tos(t, std::nullopt), t);
    EXPECT_EQ(encapsulated_tos(t, std::uint8_t{46}), (46U << 2) | (tos & 3U));
    EXPECT_EQ(encapsulated_tos(t, std::uint8_t{0}), tos & 3U);
  }
}

static_assert(ecn_of(0xff) == Ecn::Ce && ecn_of(0xfe) == Ecn::Ect0 && ecn_of(0xfd) == Ecn::Ect1);

}  // namespace
}  // namespace qanat::esp
