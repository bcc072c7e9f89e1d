// Health over bad paths: steady loss, relapses, long ways (rules.md "Health": no flapping).
#include <algorithm>

#include "wan/health_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;
using enum HealthState;

// Changes of state in an hour of steady random loss, 20 hours each: at most in any, and in the mean.
TEST(Health, NoFlapping) {
  struct Row {
    ProbeRate rate;
    std::uint32_t per_10000;
    std::size_t most;
    double mean;
    HealthState after;  // where most of them end
  };
  for (const Row& row : {Row{ProbeRate::Mid, 5, 4, 1, Healthy}, Row{ProbeRate::Mid, 50, 12, 8, Degraded},
                         Row{ProbeRate::Mid, 500, 8, 4, Degraded}, Row{ProbeRate::Mid, 2000, 40, 25, Down},
                         Row{ProbeRate::Mid, 5000, 12, 10, Down}, Row{ProbeRate::High, 5, 12, 6, Degraded},
                         Row{ProbeRate::High, 50, 8, 4, Degraded}, Row{ProbeRate::High, 500, 8, 4, Degraded},
                         Row{ProbeRate::High, 2000, 40, 25, Down}, Row{ProbeRate::High, 5000, 12, 10, Down}}) {
    std::size_t worst = 0;
    std::size_t sum = 0;
    std::size_t as_expected = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      HealthWorld w{100 + seed};
      w.start(row.rate);
      w.run(20s);
      w.changes.clear();
      w.loss_per_10000 = row.per_10000;
      w.run(3600s);
      worst = std::max(worst, w.changes.size());
      sum += w.changes.size();
      if (w.health.state() == row.after) ++as_expected;
    }
    const std::string where = std::string{model::to_string(row.rate)} + " " + std::to_string(row.per_10000);
    EXPECT_LE(worst, row.most) << where;
    EXPECT_LE(static_cast<double>(sum) / 20, row.mean) << where;
    EXPECT_GE(as_expected, 8U) << where;
    RecordProperty(where, std::to_string(worst) + " at most, " + std::to_string(sum) + " in 20 hours");
  }
}

// A path that falls down right after it has come back needs twice as many answers each time.
TEST(Health, ARelapseTakesLongerToMend) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  std::vector<std::uint32_t> needed;
  for (int i = 0; i < 6; ++i) {
    w.cut = true;
    ASSERT_TRUE(w.run_to(Down, 5s));
    w.cut = false;
    ASSERT_TRUE(w.run_to(Degraded, 60s));
    needed.push_back(w.changes.back().good);
  }
  EXPECT_EQ(needed, (std::vector<std::uint32_t>{3, 6, 12, 24, 30, 30}));
  w.run(310s);
  w.cut = true;
  ASSERT_TRUE(w.run_to(Down, 5s));
  w.cut = false;
  ASSERT_TRUE(w.run_to(Degraded, 60s));
  EXPECT_EQ(w.changes.back().good, 3U) << "after 5 minutes it begins anew";
}

TEST(Health, ARelapseIntoLossTakesLongerToMend) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  std::vector<std::int64_t> minutes;
  for (int i = 0; i < 6; ++i) {
    for (int lost = 0; lost < 2; ++lost) {
      const auto next = static_cast<std::uint16_t>(w.sent.size());
      w.lose = [=](std::uint16_t number) { return number == next; };
      w.run(3s);
    }
    ASSERT_EQ(w.health.state(), Degraded);
    const Instant degraded = w.now;
    ASSERT_TRUE(w.run_to(Healthy, 3600s));
    minutes.push_back(std::chrono::round<std::chrono::minutes>(w.now - degraded).count());
  }
  EXPECT_EQ(minutes, (std::vector<std::int64_t>{5, 10, 15, 25, 30, 30}));
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
