// TunnelHealth: how one tunnel fares, judged by ICMP probes that somebody else builds and sends (wan/probe.hpp).
//
//   commands   begin(), cannot_measure(), set_rate()
//   inputs     handle_liveness(), handle_answer()
//   outputs    poll() until empty, after every call above and when next_timeout() has come: probes to send by their
//              sequence number, and changes of state with a stable code and the figures behind it
//   getters    state(), code(), stats(), next_timeout(): exact, in the past when there is something to poll
//
// rules.md "Health"; wan.md 1.4. One allocation, at most 1 KB. What the rules leave open is decided here:
// - Three failed verdicts in a row are Down, whichever probes they are of; a failure after a success sends the two
// more.
// - An answer after its verdict does not undo it, but tells how long the path is: a path slower than the limit must be
//   able to teach it. The limit ends at 5 s.
// - Until the first answer, probes are no samples, and a tunnel without an SA is Down without being probed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "model/wan.hpp"

namespace qanat::wan {

enum class HealthState : std::uint8_t { NotMeasurable, Healthy, Degraded, Down };
[[nodiscard]] std::string_view to_string(HealthState state);  // "not measurable", "healthy", "degraded", "down"

// What a state adds to the priorities of a tunnel's routes.
[[nodiscard]] constexpr std::uint32_t health_penalty(HealthState state) {
  if (state == HealthState::Down) return 1'000'000;
  return state == HealthState::Degraded ? 500'000 : 0;
}

// Why a tunnel is in its state. X(enumerator, code, text): codes are public, events and `qanat status` show them.
// clang-format off
#define QANAT_HEALTH_CODES(X)                                                                                        \
  X(NoSa, "no_sa", "the tunnel has no SA")                                                                           \
  X(AwaitsAnswers, "awaits_answers", "the tunnel has an SA again, and no probe has been answered through it yet")     \
  X(Disabled, "disabled", "health checks are off for this tunnel; judged by IKE liveness only")                      \
  X(NoAddress, "no_probe_address", "no address to probe: set interface, or health.target, of one family at both "    \
                                   "ends; judged by IKE liveness only")                                              \
  X(Unidirectional, "unidirectional", "unidirectional checks, whose answers come outside of the tunnel, need a raw "  \
                                      "ICMP socket, and there is none: set health.direction = \"bidirectional\"; "    \
                                      "judged by IKE liveness only")                                                 \
  X(OutsideSelectors, "outside_selectors", "the probe's addresses are outside the negotiated traffic selectors: "    \
                                           "widen them, or set health.target; judged by IKE liveness only")          \
  X(NoAnswerYet, "no_answer_yet", "the peer has not answered a probe yet: it must answer pings of its interface "    \
                                  "address; judged by IKE liveness only")                                            \
  X(FirstAnswer, "first_answer", "the peer answers probes")                                                          \
  X(ProbesLost, "probes_lost", "three probes in a row were lost")                                                    \
  X(Loss, "loss", "at least 0.1 % of the probes of the last 5 minutes were lost")                                    \
  X(AnswersAgain, "answers_again", "probes are answered again")                                                      \
  X(Recovered, "recovered", "probes are answered, and the last 5 minutes are clear of losses")
// clang-format on

enum class HealthCode : std::uint8_t {
#define QANAT_HEALTH_ENUM(enumerator, code, text) enumerator,
  QANAT_HEALTH_CODES(QANAT_HEALTH_ENUM)
#undef QANAT_HEALTH_ENUM
      kCount
};
[[nodiscard]] std::string_view to_string(HealthCode code);  // "probes_lost"
[[nodiscard]] std::string_view text_of(HealthCode code);

struct HealthChange {
  Instant at;
  HealthState from{};
  HealthState to{};
  HealthCode code{};
  std::uint32_t samples = 0;  // of the last 5 minutes
  std::uint32_t lost = 0;
  std::uint32_t good = 0;  // in a row, until now
  friend bool operator==(const HealthChange&, const HealthChange&) = default;
};
// "healthy -> down: three probes in a row were lost (3 of 301 in the last 5 minutes)"
[[nodiscard]] std::string describe(const HealthChange& change);

struct HealthStats {
  std::uint32_t samples = 0;  // verdicts of the last 5 minutes (up to 10 s more)
  std::uint32_t lost = 0;
  std::optional<Duration> p50;  // round trip of the last 100 answers, late ones too
  std::optional<Duration> p99;
  std::optional<Duration> jitter;  // RFC 3550 6.4.1, of round trips
  std::optional<Duration> smoothed;
  [[nodiscard]] double loss() const { return samples == 0 ? 0.0 : static_cast<double>(lost) / samples; }
};

// Verdicts of the last 5 minutes, in buckets of 10 s: what is older than 5:10 is gone, what is younger than 5:00
// counts.
class LossWindow {
 public:
  struct Totals {
    std::uint32_t samples = 0;
    std::uint32_t lost = 0;
  };
  void add(Instant now, bool good);
  [[nodiscard]] Totals totals(Instant now) const;

 private:
  static constexpr std::int64_t kBuckets = 31;
  struct Bucket {
    std::uint16_t samples = 0;
    std::uint16_t lost = 0;
  };
  std::array<Bucket, kBuckets> buckets_{};
  std::int64_t head_ = 0;  // the newest bucket, in 10 s
};

class TunnelHealth {
 public:
  struct SendProbe {
    std::uint16_t sequence = 0;
    friend bool operator==(const SendProbe&, const SendProbe&) = default;
  };
  using Output = std::variant<SendProbe, HealthChange>;
  enum class Liveness : std::uint8_t { NoSa, HasSa };
  enum class Answer : std::uint8_t {
    Good,
    Late,     // its verdict had fallen
    Unknown,  // never sent, answered before, or too old
  };

  TunnelHealth() = default;  // without an SA, and without probes until begin()

  // Measures from the beginning: what was seen before was of another target. The first probe goes out at a random
  // moment of the first interval, so that a thousand tunnels do not probe in one instant.
  void begin(Instant now, model::ProbeRate rate, Rng& rng);
  // Disabled, NoAddress, Unidirectional or OutsideSelectors.
  void cannot_measure(Instant now, HealthCode why);
  void set_rate(Instant now, model::ProbeRate rate, Rng& rng);
  void handle_liveness(Instant now, Liveness liveness, Rng& rng);
  Answer handle_answer(Instant now, std::uint16_t sequence);
  [[nodiscard]] std::optional<Output> poll(Instant now);

  [[nodiscard]] std::optional<Instant> next_timeout() const;
  [[nodiscard]] HealthState state() const { return state_; }
  [[nodiscard]] HealthCode code() const { return code_; }
  [[nodiscard]] std::uint32_t penalty() const { return health_penalty(state_); }
  [[nodiscard]] HealthStats stats(Instant now) const;
  [[nodiscard]] Duration probe_timeout() const;

 private:
  static constexpr std::uint32_t kSlots = 32;  // probes that are followed, by sequence number
  static constexpr std::uint32_t kRoundTrips = 100;

  [[nodiscard]] bool probing() const { return measuring_ && live_; }
  [[nodiscard]] std::optional<std::uint16_t> oldest_pending() const;
  [[nodiscard]] std::uint16_t send(Instant now);
  void schedule(Instant now, Rng& rng);
  void forget_pending();
  void note_round_trip(Duration rtt);
  void judge(Instant now, bool good);
  void after_good(Instant now);
  void after_loss(Instant now);
  void change(Instant now, HealthState to, HealthCode code);

  HealthState state_ = HealthState::Down;
  HealthCode code_ = HealthCode::NoSa;
  HealthCode why_not_ = HealthCode::Disabled;  // when not measuring
  bool measuring_ = false;
  bool live_ = false;
  bool answered_ = false;  // ever, since begin()
  std::uint8_t strikes_ = 0;
  std::uint8_t extras_ = 0;       // probes still to be sent because of a failure
  std::uint8_t round_trips_ = 0;  // filled
  std::uint8_t round_trip_at_ = 0;
  std::uint16_t next_sequence_ = 0;
  std::uint32_t pending_ = 0;  // a bit for each slot: no verdict yet,
  std::uint32_t judged_ = 0;   // or lost, and an answer would be late
  std::uint32_t good_ = 0;     // in a row
  Duration interval_ = 1s;
  Duration smoothed_{};
  double jitter_ = 0;  // ns
  Instant next_at_;
  Instant extra_at_;
  std::optional<HealthChange> change_;
  // Most of it, and for a tunnel that was ever measured only.
  struct Samples {
    LossWindow window;
    std::array<Instant, kSlots> sent{};
    std::array<std::uint32_t, kRoundTrips> round_trip_us{};  // a ring
  };
  [[nodiscard]] LossWindow::Totals totals(Instant now) const {
    return samples_ ? samples_->window.totals(now) : LossWindow::Totals{};
  }
  std::unique_ptr<Samples> samples_;  // since the first begin()
};
static_assert(sizeof(TunnelHealth) <= 256);

}  // namespace qanat::wan
