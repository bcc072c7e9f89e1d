#include "wan/health.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

namespace qanat::wan {

namespace {

constexpr Duration kMinTimeout = 300ms;
constexpr Duration kMaxTimeout = 5s;  // at the high rate, no more probes are on their way than there are slots
constexpr Duration kExtraGap = 100ms;
constexpr Duration kBucket = 10s;
constexpr std::uint8_t kDownAfter = 3;
constexpr std::uint8_t kExtraProbes = 2;
constexpr std::uint8_t kLeavesDown = 3;
constexpr std::uint8_t kLeavesDegraded = 30;
constexpr std::uint32_t kLeastLost = 2;
constexpr std::uint32_t kLossDenominator = 1000;  // 0.1 %

struct CodeText {
  std::string_view code;
  std::string_view text;
};
constexpr std::array<CodeText, static_cast<std::size_t>(HealthCode::kCount)> kCodes = {{
#define QANAT_HEALTH_TEXT(enumerator, code, text) {code, text},
    QANAT_HEALTH_CODES(QANAT_HEALTH_TEXT)
#undef QANAT_HEALTH_TEXT
}};

Duration interval_of(model::ProbeRate rate) {
  switch (rate) {
    case model::ProbeRate::Low:
      return 10s;
    case model::ProbeRate::Mid:
      return 1s;
    case model::ProbeRate::High:
      return 200ms;
  }
  return 1s;
}

constexpr std::uint32_t bit(std::uint16_t sequence) {
  return std::uint32_t{1} << (sequence % 32);
}

bool too_many(const LossWindow::Totals& t) {
  return t.lost >= kLeastLost && t.lost * kLossDenominator >= t.samples;
}

std::int64_t bucket_of(Instant now) {
  return now.ns() / kBucket.count();
}

}  // namespace

std::string_view to_string(HealthState state) {
  switch (state) {
    case HealthState::NotMeasurable:
      return "not measurable";
    case HealthState::Healthy:
      return "healthy";
    case HealthState::Degraded:
      return "degraded";
    case HealthState::Down:
      return "down";
  }
  return "unknown";
}

std::string_view to_string(HealthCode code) {
  return kCodes[static_cast<std::size_t>(code)].code;
}
std::string_view text_of(HealthCode code) {
  return kCodes[static_cast<std::size_t>(code)].text;
}

std::string describe(const HealthChange& c) {
  std::string out = fmt::format("{} -> {}: {}", to_string(c.from), to_string(c.to), text_of(c.code));
  if (c.code == HealthCode::ProbesLost || c.code == HealthCode::Loss)
    out += fmt::format(" ({} of {} in the last 5 minutes)", c.lost, c.samples);
  if (c.code == HealthCode::AnswersAgain || c.code == HealthCode::Recovered)
    out += fmt::format(" ({} in a row)", c.good);
  return out;
}

void LossWindow::add(Instant now, bool good) {
  const std::int64_t at = bucket_of(now);
  if (at - head_ >= kBuckets) {
    buckets_ = {};
  } else {
    for (std::int64_t b = head_ + 1; b <= at; ++b) buckets_[static_cast<std::size_t>(b % kBuckets)] = {};
  }
  head_ = std::max(head_, at);
  Bucket& bucket = buckets_[static_cast<std::size_t>(head_ % kBuckets)];
  ++bucket.samples;
  if (!good) ++bucket.lost;
}

LossWindow::Totals LossWindow::totals(Instant now) const {
  Totals t;
  const std::int64_t oldest = std::max(bucket_of(now), head_) - kBuckets + 1;
  for (std::int64_t b = std::max<std::int64_t>(oldest, 0); b <= head_; ++b) {
    const Bucket& bucket = buckets_[static_cast<std::size_t>(b % kBuckets)];
    t.samples += bucket.samples;
    t.lost += bucket.lost;
  }
  return t;
}

void TunnelHealth::begin(Instant now, model::ProbeRate rate, Rng& rng) {
  measuring_ = true;
  answered_ = false;
  interval_ = interval_of(rate);
  strikes_ = extras_ = round_trips_ = round_trip_at_ = 0;
  next_sequence_ = static_cast<std::uint16_t>(rng.u32());
  pending_ = judged_ = good_ = 0;
  smoothed_ = {};
  jitter_ = 0;
  samples_ = std::make_unique<Samples>();
  if (!live_) return;
  change(now, HealthState::NotMeasurable, HealthCode::NoAnswerYet);
  schedule(now, rng);
}

void TunnelHealth::cannot_measure(Instant now, HealthCode why) {
  measuring_ = answered_ = false;
  why_not_ = why;
  forget_pending();
  if (live_) change(now, HealthState::NotMeasurable, why);
}

void TunnelHealth::set_rate(Instant now, model::ProbeRate rate, Rng& rng) {
  interval_ = interval_of(rate);
  if (probing()) schedule(now, rng);
}

void TunnelHealth::handle_liveness(Instant now, Liveness liveness, Rng& rng) {
  const bool live = liveness == Liveness::HasSa;
  if (live == live_) return;
  live_ = live;
  forget_pending();
  good_ = 0;
  if (!live) return change(now, HealthState::Down, HealthCode::NoSa);
  if (measuring_) schedule(now, rng);
  // A tunnel that was measured once has to show that it carries packets before it counts as well as the others.
  if (measuring_ && answered_) return change(now, HealthState::Down, HealthCode::AwaitsAnswers);
  change(now, HealthState::NotMeasurable, measuring_ ? HealthCode::NoAnswerYet : why_not_);
}

TunnelHealth::Answer TunnelHealth::handle_answer(Instant now, std::uint16_t sequence) {
  const auto age = static_cast<std::uint16_t>(next_sequence_ - sequence);
  if (!probing() || age == 0 || age > kSlots || ((pending_ | judged_) & bit(sequence)) == 0) return Answer::Unknown;
  const bool late = (judged_ & bit(sequence)) != 0;
  pending_ &= ~bit(sequence);
  judged_ &= ~bit(sequence);
  note_round_trip(now - samples_->sent[sequence % kSlots]);
  if (!answered_) {
    answered_ = true;
    judged_ |= pending_;
    pending_ = 0;
    if (!late) samples_->window.add(now, true);
    good_ = 1;
    change(now, HealthState::Healthy, HealthCode::FirstAnswer);
  } else if (late) {
    // The limit was too short by more than the smoothing would mend in time.
    smoothed_ = std::max(smoothed_, (now - samples_->sent[sequence % kSlots]) / 2);
  } else {
    judge(now, true);
  }
  return late ? Answer::Late : Answer::Good;
}

std::optional<TunnelHealth::Output> TunnelHealth::poll(Instant now) {
  while (true) {
    if (change_) {
      const HealthChange c = *change_;
      change_.reset();
      return c;
    }
    if (!probing()) return std::nullopt;
    if (const auto oldest = oldest_pending(); oldest && samples_->sent[*oldest % kSlots] + probe_timeout() <= now) {
      pending_ &= ~bit(*oldest);
      judged_ |= bit(*oldest);
      if (answered_) judge(now, false);
      continue;
    }
    if (extras_ > 0 && extra_at_ <= now) {
      --extras_;
      extra_at_ = now + kExtraGap;
      return SendProbe{send(now)};
    }
    if (next_at_ <= now) {
      // Keeps its beat; beats that were slept through are not made up for.
      next_at_ = next_at_ + interval_ * ((now - next_at_) / interval_ + 1);
      return SendProbe{send(now)};
    }
    return std::nullopt;
  }
}

std::optional<Instant> TunnelHealth::next_timeout() const {
  if (change_) return change_->at;
  if (!probing()) return std::nullopt;
  Instant next = next_at_;
  if (extras_ > 0) next = std::min(next, extra_at_);
  if (const auto oldest = oldest_pending()) next = std::min(next, samples_->sent[*oldest % kSlots] + probe_timeout());
  return next;
}

HealthStats TunnelHealth::stats(Instant now) const {
  const auto window = totals(now);
  HealthStats out{.samples = window.samples, .lost = window.lost, .p50 = {}, .p99 = {}, .jitter = {}, .smoothed = {}};
  if (round_trips_ == 0) return out;
  auto sorted = samples_->round_trip_us;
  const auto end = sorted.begin() + round_trips_;
  std::sort(sorted.begin(), end);
  const auto rank = [&](unsigned percent) {  // nearest rank
    return std::chrono::microseconds{sorted[(round_trips_ * percent + 99U) / 100U - 1U]};
  };
  out.p50 = rank(50);
  out.p99 = rank(99);
  out.jitter = Duration{std::llround(jitter_)};
  out.smoothed = smoothed_;
  return out;
}

Duration TunnelHealth::probe_timeout() const {
  return std::min(std::max(kMinTimeout, 3 * smoothed_), kMaxTimeout);
}

std::optional<std::uint16_t> TunnelHealth::oldest_pending() const {
  if (pending_ == 0) return std::nullopt;
  const std::uint32_t by_age = std::rotr(pending_, next_sequence_ % 32);  // bit 0: the oldest slot
  return static_cast<std::uint16_t>(next_sequence_ - kSlots + static_cast<std::uint32_t>(std::countr_zero(by_age)));
}

std::uint16_t TunnelHealth::send(Instant now) {
  const std::uint16_t sequence = next_sequence_++;
  // A slot that is still pending was never polled for: its verdict is as late as the caller is.
  if ((pending_ & bit(sequence)) != 0 && answered_) judge(now, false);
  pending_ |= bit(sequence);
  judged_ &= ~bit(sequence);
  samples_->sent[sequence % kSlots] = now;
  return sequence;
}

void TunnelHealth::schedule(Instant now, Rng& rng) {
  next_at_ = now + Duration{static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(interval_.count())))};
}

void TunnelHealth::forget_pending() {
  pending_ = judged_ = 0;
  strikes_ = extras_ = 0;
}

void TunnelHealth::note_round_trip(Duration rtt) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(rtt).count();
  if (round_trips_ > 0) {
    const std::uint32_t last = samples_->round_trip_us[(round_trip_at_ + kRoundTrips - 1) % kRoundTrips];
    const double difference = std::abs(static_cast<double>(us) - last) * 1000.0;
    jitter_ += (difference - jitter_) / 16.0;
    smoothed_ += (rtt - smoothed_) / 8;  // RFC 6298 2
  } else {
    smoothed_ = rtt;
  }
  samples_->round_trip_us[round_trip_at_] = static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, UINT32_MAX));
  round_trip_at_ = static_cast<std::uint8_t>((round_trip_at_ + 1U) % kRoundTrips);
  round_trips_ = static_cast<std::uint8_t>(std::min<std::uint32_t>(round_trips_ + 1U, kRoundTrips));
}

void TunnelHealth::judge(Instant now, bool good) {
  samples_->window.add(now, good);
  if (good) {
    ++good_;
    strikes_ = 0;
    return after_good(now);
  }
  good_ = 0;
  strikes_ = static_cast<std::uint8_t>(std::min<std::uint32_t>(strikes_ + 1U, kDownAfter));
  after_loss(now);
}

void TunnelHealth::after_good(Instant now) {
  if (state_ == HealthState::Down && good_ >= kLeavesDown) {
    change(now, HealthState::Degraded, HealthCode::AnswersAgain);
    good_ = 0;
  } else if (state_ == HealthState::Degraded && good_ >= kLeavesDegraded && !too_many(totals(now))) {
    change(now, HealthState::Healthy, HealthCode::Recovered);
  }
}

void TunnelHealth::after_loss(Instant now) {
  if (state_ == HealthState::Down) return;
  const bool many = too_many(totals(now));
  if (strikes_ >= kDownAfter) return change(now, HealthState::Down, HealthCode::ProbesLost);
  if (strikes_ == 1) {
    extras_ = kExtraProbes;
    extra_at_ = now;
  }
  if (state_ == HealthState::Healthy && many) change(now, HealthState::Degraded, HealthCode::Loss);
}

void TunnelHealth::change(Instant now, HealthState to, HealthCode code) {
  if (state_ == to && code_ == code) return;
  const auto window = totals(now);
  change_ = HealthChange{.at = now,
                         .from = change_ ? change_->from : state_,
                         .to = to,
                         .code = code,
                         .samples = window.samples,
                         .lost = window.lost,
                         .good = good_};
  state_ = to;
  code_ = code;
}

}  // namespace qanat::wan
