// TimerTable: one slot a named timer, as quinn has it. A connection has few timers, so a scan beats a heap, and
// next() is exact: a shell that sleeps until next() neither spins nor oversleeps.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "base/time.hpp"

namespace qanat {

// Name: an enum class whose last enumerator is kCount.
template <typename Name>
class TimerTable {
 public:
  TimerTable() { slots_.fill(kNever); }
  void set(Name name, Instant at) { slots_[index(name)] = at; }
  void stop(Name name) { slots_[index(name)] = kNever; }
  [[nodiscard]] bool is_set(Name name) const { return slots_[index(name)] != kNever; }
  [[nodiscard]] std::optional<Instant> at(Name name) const {
    return is_set(name) ? std::optional{slots_[index(name)]} : std::nullopt;
  }

  [[nodiscard]] std::optional<Instant> next() const {
    const Instant earliest = *std::min_element(slots_.begin(), slots_.end());
    return earliest == kNever ? std::nullopt : std::optional{earliest};
  }

  // Clears and returns one timer that is due, the earliest first; nullopt when none is.
  [[nodiscard]] std::optional<Name> expire(Instant now) {
    const auto due = std::min_element(slots_.begin(), slots_.end());
    if (*due == kNever || *due > now) return std::nullopt;
    *due = kNever;
    return static_cast<Name>(due - slots_.begin());
  }

 private:
  static constexpr std::size_t index(Name name) { return static_cast<std::size_t>(name); }
  // Half the size of as many optionals; there is one table in each of many thousand IKE SAs.
  static constexpr Instant kNever = Instant::from_ns(std::numeric_limits<std::int64_t>::max());
  std::array<Instant, static_cast<std::size_t>(Name::kCount)> slots_;
};

}  // namespace qanat
