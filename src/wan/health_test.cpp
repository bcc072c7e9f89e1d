// rules.md "Health", sentence by sentence, in virtual time.
#include <algorithm>

#include "wan/health_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace testing;
using enum HealthState;

constexpr std::array kRates = {ProbeRate::Low, ProbeRate::Mid, ProbeRate::High};

Duration interval(ProbeRate rate) {
  return rate == ProbeRate::Low ? Duration{10s} : rate == ProbeRate::Mid ? Duration{1s} : Duration{200ms};
}

TEST(Health, ProbesAtTheRate) {
  for (const ProbeRate rate : kRates) {
    HealthWorld w;
    const Instant begin = w.now;
    w.start(rate);
    w.run(interval(rate) * 100);
    ASSERT_EQ(w.sent.size(), 100U);
    EXPECT_LT(w.sent.front() - begin, interval(rate));
    for (std::size_t i = 1; i < w.sent.size(); ++i) EXPECT_EQ(w.sent[i] - w.sent[i - 1], interval(rate));
    EXPECT_EQ(w.health.state(), Healthy);
    EXPECT_EQ(w.health.penalty(), 0U);
  }
}

TEST(Health, AProbeFailsAfter300MsOrThreeSmoothedRoundTrips) {
  for (const auto& [rtt, limit] : {std::pair<Duration, Duration>{20ms, 300ms}, {100ms, 300ms}, {200ms, 600ms}}) {
    HealthWorld w;
    w.rtt = rtt;
    w.start(ProbeRate::Mid);
    w.run(20s);
    EXPECT_EQ(w.health.probe_timeout(), limit);
    w.lose = [](std::uint16_t number) { return number == 20; };
    w.run_until(w.sent.back() + 1s);
    ASSERT_EQ(w.sent.size(), 21U);
    // A sample is dated when its verdict falls, not when the probe left.
    w.run_until(w.sent.back() + limit - 1ns);
    EXPECT_EQ(w.health.stats(w.now).lost, 0U);
    w.run(1ns);
    EXPECT_EQ(w.health.stats(w.now).lost, 1U);
  }
}

TEST(Health, TheFirstFailureSendsTwoMore100MsApart) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(20s);
  w.lose = [](std::uint16_t number) { return number == 20; };
  w.run_until(w.sent.back() + 2s);
  const Instant lost = w.sent[20];
  EXPECT_EQ(w.beats_since(lost), (std::vector<Duration>{0ms, 300ms, 400ms, 1s}));
  EXPECT_EQ(w.health.state(), Healthy) << "one loss is none";
}

TEST(Health, OnlyAllThreeLostAreDown) {
  // Which of the probe (20) and the two after it are lost.
  for (const unsigned lost : {1U, 3U, 5U, 7U}) {
    HealthWorld w;
    w.start(ProbeRate::Mid);
    w.run(20s);
    w.lose = [&](std::uint16_t number) { return number >= 20 && number < 23 && ((lost >> (number - 20)) & 1U) != 0; };
    w.run_until(w.sent.back() + 1700ms - 1ns);
    EXPECT_NE(w.health.state(), Down);
    w.run(1ns);
    EXPECT_EQ(w.health.state() == Down, lost == 7) << lost;
    EXPECT_EQ(w.health.state() == Healthy, lost == 1) << lost;
    if (lost == 7) {
      EXPECT_EQ(w.changes.back().code, HealthCode::ProbesLost);
      EXPECT_EQ(w.health.penalty(), 1'000'000U);
      EXPECT_EQ(describe(w.changes.back()),
                "degraded -> down: three probes in a row were lost (3 of 23 in the last 5 minutes)");
    }
  }
}

// "So after a cut the switch comes within 1.8 s at mid, 1.0 s at high", whenever the cut is.
TEST(Health, ACutIsSeenInTime) {
  for (const auto& [rate, limit] :
       {std::pair<ProbeRate, Duration>{ProbeRate::Mid, 1800ms}, {ProbeRate::High, 1000ms}, {ProbeRate::Low, 10800ms}}) {
    Duration worst{};
    for (const Duration rtt : {1ms, 30ms, 99ms}) {
      for (int phase = 0; phase < 100; ++phase) {
        HealthWorld w{static_cast<std::uint64_t>(phase) + 1};
        w.rtt = rtt;
        w.start(rate);
        w.run(interval(rate) * 40);
        w.run(interval(rate) / 100 * phase);
        ASSERT_EQ(w.health.state(), Healthy);
        w.cut = true;
        const Instant cut = w.now;
        ASSERT_TRUE(w.run_to(Down, 30s));
        worst = std::max(worst, w.changes.back().at - cut);
      }
    }
    EXPECT_LE(worst, limit);
    EXPECT_GT(worst, limit - 300ms) << "the test no longer finds the worst moment";
    RecordProperty("worst_ms_" + std::string{model::to_string(rate)}, static_cast<int>(worst / 1ms));
  }
}

// The same on a path that loses some: a cut in the middle of a doubt is no later.
TEST(Health, ACutOfALossyPathIsSeenInTime) {
  for (const auto& [rate, limit] :
       {std::pair<ProbeRate, Duration>{ProbeRate::Mid, 1800ms}, {ProbeRate::High, 1000ms}}) {
    for (std::uint64_t seed = 1; seed <= 400; ++seed) {
      HealthWorld w{seed};
      w.loss_per_10000 = 1000;
      w.start(rate);
      w.run(interval(rate) * 30 + Duration{static_cast<std::int64_t>(w.rng.below(1'000'000'000))});
      w.cut = true;
      const Instant cut = w.now;
      ASSERT_TRUE(w.run_to(Down, 30s));
      EXPECT_LE(w.changes.back().at - cut, limit) << seed;
    }
  }
}

TEST(Health, DegradedByTwoLossesInFiveMinutes) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(20s);
  std::vector<std::uint16_t> lost = {static_cast<std::uint16_t>(w.sent.size())};
  w.lose = [&](std::uint16_t number) { return std::find(lost.begin(), lost.end(), number) != lost.end(); };
  w.run(200s);
  EXPECT_EQ(w.health.state(), Healthy);
  lost.push_back(static_cast<std::uint16_t>(w.sent.size()));
  w.run(2s);
  EXPECT_EQ(w.health.state(), Degraded);
  EXPECT_EQ(w.health.penalty(), 500'000U);
  EXPECT_EQ(w.health.code(), HealthCode::Loss);
  EXPECT_EQ(w.changes.back().lost, 2U);
}

TEST(Health, LossesMoreThanFiveMinutesApartAreNone) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(20s);
  for (int i = 0; i < 10; ++i) {
    const auto next = static_cast<std::uint16_t>(w.sent.size());
    w.lose = [=](std::uint16_t number) { return number == next; };
    w.run(312s);
  }
  EXPECT_EQ(w.health.state(), Healthy);
  EXPECT_EQ(w.codes(), (std::vector{HealthCode::NoAnswerYet, HealthCode::FirstAnswer}));
}

// At the high rate two losses among more than 2,000 samples are less than 0.1 %.
TEST(Health, LossWindowCountsFiveMinutes) {
  LossWindow w;
  Instant now = Instant::from_ns(0) + 10'000s;
  w.add(now, false);
  for (int i = 1; i <= 3000; ++i) {
    now = now + 100ms;
    w.add(now, true);
    EXPECT_EQ(w.totals(now).lost, 1U) << "not older than 5 minutes";
  }
  EXPECT_EQ(w.totals(now).samples, 3001U);
  now = now + 10s;
  EXPECT_EQ(w.totals(now).lost, 0U);
  EXPECT_EQ(w.totals(now).samples, 2901U) << "the oldest 10 s are gone";
  EXPECT_EQ(w.totals(now + 290s).samples, 1U);
  EXPECT_EQ(w.totals(now + 310s).samples, 0U);
  w.add(now + 1000s, false);
  EXPECT_EQ(w.totals(now + 1000s).samples, 1U);
  EXPECT_EQ(w.totals(now + 1000s).lost, 1U);
}

TEST(Health, RecoveryGoesByDegradedAndThe5MinuteRule) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  w.cut = true;
  ASSERT_TRUE(w.run_to(Down, 5s));
  w.run(20s);
  const Instant mended = w.now;
  w.cut = false;
  ASSERT_TRUE(w.run_to(Degraded, 10s));
  EXPECT_LE(w.now - mended, 3100ms);
  EXPECT_GE(w.now - mended, 2s);
  EXPECT_EQ(w.changes.back().good, 3U);
  w.run_until(mended + 299s);
  EXPECT_EQ(w.health.state(), Degraded);
  w.run_until(mended + 312s);
  EXPECT_EQ(w.health.state(), Healthy);
  EXPECT_EQ(w.codes(), (std::vector{HealthCode::NoAnswerYet, HealthCode::FirstAnswer, HealthCode::Loss,
                                    HealthCode::ProbesLost, HealthCode::AnswersAgain, HealthCode::Recovered}));
}

// At the low rate 30 good answers take longer than 5 minutes, and they have to be in a row.
TEST(Health, RecoveryNeeds30InARow) {
  HealthWorld w;
  w.start(ProbeRate::Low);
  w.run(100s);
  w.cut = true;
  ASSERT_TRUE(w.run_to(Down, 15s));
  w.cut = false;
  ASSERT_TRUE(w.run_to(Degraded, 60s));
  const Instant degraded = w.now;
  w.run_until(degraded + 200s);
  const auto next = static_cast<std::uint16_t>(w.sent.size());
  w.lose = [=](std::uint16_t number) { return number == next; };
  w.run_until(degraded + 400s);
  EXPECT_EQ(w.health.state(), Degraded);
  ASSERT_TRUE(w.run_to(Healthy, 200s));
  EXPECT_EQ(w.changes.back().good, 30U);
  // The two that a failure sends count, too.
  EXPECT_GE(w.now - degraded, 210s + 280s);
  EXPECT_LE(w.now - degraded, 210s + 300s);
}

// The three that ended Down are not among the 30.
TEST(Health, The30BeginWithDegraded) {
  HealthWorld w;
  w.start(ProbeRate::Low);
  w.run(100s);
  w.cut = true;
  ASSERT_TRUE(w.run_to(Down, 15s));
  w.cut = false;
  ASSERT_TRUE(w.run_to(Degraded, 60s));
  const Instant degraded = w.changes.back().at;
  ASSERT_TRUE(w.run_to(Healthy, 400s));
  EXPECT_EQ(w.changes.back().at - degraded, 300s);
}

TEST(Health, APeerThatNeverAnsweredIsNotMeasurable) {
  HealthWorld w;
  w.cut = true;
  w.start(ProbeRate::Mid);
  w.run(600s);
  EXPECT_EQ(w.health.state(), NotMeasurable);
  EXPECT_EQ(w.health.code(), HealthCode::NoAnswerYet);
  EXPECT_EQ(w.health.penalty(), 0U);
  EXPECT_EQ(w.sent.size(), 600U) << "it goes on asking, and asks no more than that";
  EXPECT_EQ(w.health.stats(w.now).samples, 0U);
  EXPECT_EQ(w.changes.size(), 1U);
  w.cut = false;
  w.run(2s);
  EXPECT_EQ(w.health.state(), Healthy);
  w.run(3s);
  EXPECT_EQ(w.health.stats(w.now).lost, 0U) << "what was lost before it could answer says nothing";

  HealthWorld soon;  // nor does what is on its way when the first answer comes
  soon.lose = [](std::uint16_t number) { return number == 0; };
  soon.start(ProbeRate::High);
  soon.run(10s);
  EXPECT_EQ(soon.health.state(), Healthy);
  EXPECT_EQ(soon.health.stats(soon.now).lost, 0U);
}

TEST(Health, WhatCannotBeMeasuredIsJudgedByLiveness) {
  for (const HealthCode why : {HealthCode::Disabled, HealthCode::NoAddress, HealthCode::OutsideSelectors}) {
    HealthWorld w;
    w.health.cannot_measure(w.now, why);
    w.drain();
    EXPECT_EQ(w.health.state(), Down);
    EXPECT_EQ(w.health.code(), HealthCode::NoSa);
    w.set_live(true);
    w.run(60s);
    EXPECT_EQ(w.health.state(), NotMeasurable);
    EXPECT_EQ(w.health.code(), why);
    EXPECT_EQ(w.health.penalty(), 0U);
    w.set_live(false);
    EXPECT_EQ(w.health.penalty(), 1'000'000U);
    w.set_live(true);
    EXPECT_EQ(w.health.state(), NotMeasurable);
    EXPECT_TRUE(w.sent.empty());
    EXPECT_FALSE(w.health.next_timeout());
  }
}

TEST(Health, ATunnelWithoutAnSaIsDownAndNotProbed) {
  HealthWorld w;
  w.health.begin(w.now, ProbeRate::Mid, w.rng);
  w.drain();
  w.run(60s);
  EXPECT_TRUE(w.sent.empty());
  EXPECT_EQ(w.health.state(), Down);
  w.set_live(true);
  w.run(60s);
  EXPECT_EQ(w.health.state(), Healthy);
  w.set_live(false);
  const std::size_t until_then = w.sent.size();
  w.run(60s);
  EXPECT_EQ(w.sent.size(), until_then);
  EXPECT_EQ(w.health.code(), HealthCode::NoSa);
  w.set_live(true);
  EXPECT_EQ(w.health.state(), Down);
  EXPECT_EQ(w.health.code(), HealthCode::AwaitsAnswers);
  ASSERT_TRUE(w.run_to(Degraded, 5s));
  EXPECT_EQ(w.changes.back().good, 3U) << "what was answered before says nothing";
  ASSERT_TRUE(w.run_to(Healthy, 40s)) << "nothing was lost: 30 good answers are enough";
}

// A probe that was on its way when the SA went has no verdict.
TEST(Health, LosingTheSaForgetsProbesOnTheirWay) {
  HealthWorld w;
  w.start(ProbeRate::High);
  w.run(60s);
  w.rtt = 250ms;
  w.run(1s);
  w.set_live(false);
  w.set_live(true);
  w.rtt = 20ms;
  w.run(10s);
  EXPECT_EQ(w.health.stats(w.now).lost, 0U);
}

TEST(Health, AnswersThatWereNotAskedFor) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(10s);
  w.cut = true;
  w.run_until(w.sent.back() + 1s);
  ASSERT_EQ(w.sent.back(), w.now);
  std::size_t good = 0;
  for (std::uint32_t s = 0; s < 65536; ++s) {
    if (w.health.handle_answer(w.now, static_cast<std::uint16_t>(s)) != TunnelHealth::Answer::Unknown) ++good;
  }
  EXPECT_EQ(good, 1U) << "only the one on its way; copies and inventions count for nothing";
}

TEST(Health, ACopyOfALateAnswerIsNone) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(10s);
  const auto probe = [&] {
    while (true) {
      w.now = std::max(w.now, *w.health.next_timeout());
      while (const auto out = w.health.poll(w.now)) {
        if (const auto* send = std::get_if<TunnelHealth::SendProbe>(&*out)) return send->sequence;
      }
    }
  };
  w.answers.clear();
  const std::uint16_t lost = probe();
  while (w.health.stats(w.now).lost == 0) (void)probe();
  EXPECT_EQ(w.health.handle_answer(w.now, lost), TunnelHealth::Answer::Late);
  EXPECT_EQ(w.health.handle_answer(w.now, lost), TunnelHealth::Answer::Unknown);
  EXPECT_EQ(w.health.stats(w.now).lost, 1U) << "its verdict stays";
}

TEST(Health, FiguresOfRoundTrips) {
  HealthWorld w;
  EXPECT_FALSE(w.health.stats(w.now).p50);
  w.start(ProbeRate::Mid);
  w.rtt = 10ms;
  w.run_until(w.now + 1s);
  // 98 answers of 10 ms, then 30 and 50 ms.
  while (w.sent.size() < 98) w.run(1s);
  w.rtt = 30ms;
  w.run(1s);
  w.rtt = 50ms;
  w.run(1s);
  const HealthStats s = w.health.stats(w.now);
  EXPECT_EQ(s.samples, 100U);
  EXPECT_EQ(s.p50, Duration{10ms});
  EXPECT_EQ(s.p99, Duration{30ms});
  // RFC 3550 6.4.1: J += (|D| - J) / 16, twice with 20 ms.
  EXPECT_NEAR(std::chrono::duration<double>(*s.jitter).count(), 0.00125 + (0.020 - 0.00125) / 16, 1e-6);
  // RFC 6298 2: 7/8 of the old and 1/8 of the new.
  EXPECT_NEAR(std::chrono::duration<double>(*s.smoothed).count(), (0.010 + 0.0025) * 7 / 8 + 0.00625, 1e-6);
  EXPECT_EQ(s.loss(), 0.0);
}

TEST(Health, ASleepOfTheHostIsNoCut) {
  HealthWorld w;
  w.start(ProbeRate::High);
  w.run(60s);
  const std::size_t before = w.sent.size();
  w.answers.clear();
  w.now = w.now + 3600s;
  w.run(1s);
  EXPECT_LE(w.sent.size() - before, 5U + 1U + 2U) << "what was slept through is not made up for";
  EXPECT_EQ(w.health.state(), Healthy);
}

TEST(Health, ARateChangesInPlace) {
  HealthWorld w;
  w.start(ProbeRate::Low);
  w.run(60s);
  w.health.set_rate(w.now, ProbeRate::High, w.rng);
  w.drain();
  const std::size_t before = w.sent.size();
  w.run(10s);
  EXPECT_EQ(w.sent.size() - before, 50U);
  EXPECT_EQ(w.health.state(), Healthy);
  EXPECT_EQ(w.changes.size(), 2U);
}

TEST(Health, AnotherTargetBeginsAnew) {
  HealthWorld w;
  w.start(ProbeRate::Mid);
  w.run(60s);
  w.cut = true;
  ASSERT_TRUE(w.run_to(Down, 5s));
  w.health.begin(w.now, ProbeRate::Mid, w.rng);
  w.drain();
  EXPECT_EQ(w.health.state(), NotMeasurable);
  EXPECT_EQ(w.health.stats(w.now).samples, 0U);
  EXPECT_EQ(w.changes.back().from, Down);
}

// next_timeout() is exact: nothing before it, something at it, and never a spin.
TEST(Health, TheTimerIsExact) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    HealthWorld w{seed};
    w.loss_per_10000 = static_cast<std::uint32_t>(seed * 450);
    w.start(ProbeRate::High);
    for (int i = 0; i < 2000; ++i) {
      const auto next = w.health.next_timeout();
      ASSERT_TRUE(next);
      ASSERT_GT(*next, w.now);
      ASSERT_FALSE(w.health.poll(*next - 1ns));
      w.rtt = Duration{static_cast<std::int64_t>(w.rng.below(800'000'000))};
      w.run_until(*next);
    }
  }
}

TEST(Health, CodesAreStable) {
  EXPECT_EQ(to_string(HealthCode::ProbesLost), "probes_lost");
  EXPECT_EQ(to_string(HealthCode::NoAnswerYet), "no_answer_yet");
  EXPECT_EQ(to_string(HealthCode::OutsideSelectors), "outside_selectors");
  EXPECT_EQ(to_string(NotMeasurable), "not measurable");
  EXPECT_EQ(describe({.at = {}, .from = Down, .to = Degraded, .code = HealthCode::AnswersAgain, .good = 3}),
            "down -> degraded: probes are answered again (3 in a row)");
}

}  // namespace
}  // namespace qanat::wan
