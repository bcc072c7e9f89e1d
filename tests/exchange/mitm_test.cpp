// The man in the middle: every rewrite in every scene, judged by one function (reliability.md 5.5).
#include "exchange/mitm.hpp"

#include <cstdio>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace qanat::exchange::mitm {
namespace {

struct Family {
  const char* name;
  std::vector<Rewrite> (*rules)();
};
constexpr Family kFamilies[] = {
    {"OfInit", rewrites_of_init},
    {"OfOctets", rewrites_of_octets},
    {"ForgedAnswers", forged_answers},
    {"OfSealed", rewrites_of_sealed},
    {"Replays", replays},
    {"WithKeys", rewrites_with_keys},
};

class Rewrites : public ::testing::TestWithParam<Family> {};

TEST_P(Rewrites, NeverMakeASilentDowngrade) {
  std::map<Verdict::Outcome, unsigned> seen;
  unsigned rewrites = 0;
  unsigned alone = 0;
  for (const Rewrite& rewrite : GetParam().rules()) {
    unsigned bitten = 0;
    for (const Scene& scene : scenes()) {
      const Verdict v = play(rewrite, scene);
      EXPECT_EQ(v.fault, "") << rewrite.name << " (" << scene.name() << ")";
      ++seen[v.outcome];
      if (v.alone) ++alone;
      if (v.outcome != Verdict::Outcome::Void) ++bitten;
    }
    EXPECT_GE(bitten, 4U) << rewrite.name << " changes nothing";
    ++rewrites;
  }
  using Outcome = Verdict::Outcome;
  fmt::print("{}: {} rewrites, {} cells: {} refused ({} of them after the responder was connected, alone), ",
             GetParam().name, rewrites, seen[Outcome::Nothing] + seen[Outcome::Golden] + seen[Outcome::Shown],
             seen[Outcome::Nothing], alone);
  fmt::print("{} the golden tunnel, {} shown as not excluded; {} without effect\n", seen[Outcome::Golden],
             seen[Outcome::Shown], seen[Outcome::Void]);
  std::fflush(stdout);
}
INSTANTIATE_TEST_SUITE_P(Family, Rewrites, ::testing::ValuesIn(kFamilies),
                         [](const auto& p) { return std::string{p.param.name}; });

TEST(RewritesTable, IsLargeAndHasNothingTwice) {
  std::set<std::string> names;
  std::size_t all = 0;
  for (const Family& f : kFamilies) {
    for (const Rewrite& r : f.rules()) {
      EXPECT_TRUE(names.insert(r.name).second) << r.name << " stands there twice";
      ++all;
    }
  }
  EXPECT_GE(all, 200U);
  fmt::print("{} rewrites x 2 roles x 4 policies, and 2 of them beside a peer without full transcripts: {} scenes\n",
             all, scenes().size());
  std::fflush(stdout);
}

}  // namespace
}  // namespace qanat::exchange::mitm
