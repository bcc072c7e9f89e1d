// Health over bad paths: steady loss, relapses, long ways (rules.md "Health": no flapping).
#include <algorithm>

#include "wan/health_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;
using enum HealthState;

// An hour of steady random loss, 20 hours each. A path that loses packets does not count as healthy for a moment only:
// that takes 30 good answers and a clear window, so a better path keeps its traffic (rules.md "Health": no flapping).
TEST(Health, NoFlapping) {
  struct Row {
    ProbeRate rate;
    std::uint32_t per_10000;
    std::size_t most;   // times healthy in an hour, in any
    HealthState after;  // where most of them end
  };
  for (const Row& row :
       {Row{ProbeRate::Mid, 5, 4, Healthy}, Row{ProbeRate::Mid, 50, 9, Degraded}, Row{ProbeRate::Mid, 500, 0, Degraded},
        Row{ProbeRate::Mid, 2000, 0, Degraded}, Row{ProbeRate::Mid, 5000, 0, Down}, Row{ProbeRate::High, 5, 7, Healthy},
        Row{ProbeRate::High, 50, 1, Degraded}, Row{ProbeRate::High, 500, 0, Degraded},
        Row{ProbeRate::High, 2000, 0, Degraded}, Row{ProbeRate::High, 5000, 0, Down}}) {
    std::size_t worst = 0;
    std::size_t as_expected = 0;
    const std::string where = std::string{model::to_string(row.rate)} + " " + std::to_string(row.per_10000);
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      HealthWorld w{100 + seed};
      w.start(row.rate);
      w.run(20s);
      w.changes.clear();
      w.loss_per_10000 = row.per_10000;
      w.run(3600s);
      std::size_t healthy = 0;
      for (const HealthChange& c : w.changes) {
        if (c.to != Healthy) continue;
        ++healthy;
        EXPECT_GE(c.good, 30U) << where;
      }
      worst = std::max(worst, healthy);
      if (w.health.state() == row.after) ++as_expected;
    }
    EXPECT_LE(worst, row.most) << where;
    EXPECT_GE(as_expected, 6U) << where;  // one failure in two minutes is near the rule's edge
    RecordProperty(where, std::to_string(worst) + " times healthy at most");
  }
}

// However often it has been down: three good answers end it, and no more (rules.md "Health").
TEST(Health, EveryRecoveryTakesThreeAnswers) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  for (int i = 0; i < 6; ++i) {
    w.cut = true;
    ASSERT_TRUE(w.run_to(Down, 5s));
    w.cut = false;
    ASSERT_TRUE(w.run_to(Degraded, 60s));
    EXPECT_EQ(w.changes.back().good, 3U);
  }
}

TEST(Health, EveryRelapseIntoLossMendsWhenFiveMinutesAreClear) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  for (int i = 0; i < 4; ++i) {
    for (int lost = 0; lost < 2; ++lost) {
      const auto next = static_cast<std::uint16_t>(w.sent.size());
      w.lose = [=](std::uint16_t number) { return number == next; };
      w.run(3s);
    }
    ASSERT_EQ(w.health.state(), Degraded);
    const Instant degraded = w.now;
    ASSERT_TRUE(w.run_to(Healthy, 3600s));
    EXPECT_EQ(std::chrono::round<std::chrono::minutes>(w.now - degraded), 5min);
  }
}

// A satellite: longer than 300 ms from the first answer on.
TEST(Health, ALongPathIsLearntFromLateAnswers) {
  for (const ProbeRate rate : {ProbeRate::Mid, ProbeRate::High}) {
    HealthWorld w;
    w.rtt = 620ms;
    w.start(rate);
    w.run(600s);
    EXPECT_EQ(w.health.state(), Healthy);
    EXPECT_EQ(w.health.stats(w.now).lost, 0U);
    EXPECT_EQ(w.health.probe_timeout(), 1860ms);
  }
}

TEST(Health, APathThatBecomesLongerIsNotDown) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  w.rtt = 450ms;
  w.run(120s);
  EXPECT_EQ(std::count(w.changes.begin(), w.changes.end(), w.changes.back()), 1);
  for (const HealthChange& c : w.changes) EXPECT_NE(c.to, Down);
  EXPECT_LE(w.health.stats(w.now).lost, 2U);
  EXPECT_GE(w.health.probe_timeout(), 1300ms);
}

}  // namespace
}  // namespace qanat::wan
