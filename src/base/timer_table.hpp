// TimerTable: one slot a named timer, as quinn has it. A connection has few timers, so a scan beats a heap, and
// next() is exact: a shell that sleeps until next() neither spins nor oversleeps.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include "base/time.hpp"

namespace qanat {

// Name: an enum class whose last enumerator is kCount.
template <typename Name>
class TimerTable {
 public:
  void set(Name name, Instant at) { slots_[index(name)] = at; }
  void stop(Name name) { slots_[index(name)].reset(); }
  [[nodiscard]] bool is_set(Name name) const { return slots_[index(name)].has_value(); }
  [[nodiscard]] std::optional<Instant> at(Name name) const { return slots_[index(name)]; }

  [[nodiscard]] std::optional<Instant> next() const {
    std::optional<Instant> earliest;
    for (const auto& slot : slots_) {
      if (slot && (!earliest || *slot < *earliest)) earliest = slot;
    }
    return earliest;
  }

  // Clears and returns one timer that is due, the earliest first; nullopt when none is.
  [[nodiscard]] std::optional<Name> expire(Instant now) {
    std::optional<std::size_t> due;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i] && *slots_[i] <= now && (!due || *slots_[i] < *slots_[*due])) due = i;
    }
    if (!due) return std::nullopt;
    slots_[*due].reset();
    return static_cast<Name>(*due);
  }

 private:
  static constexpr std::size_t index(Name name) { return static_cast<std::size_t>(name); }
  std::array<std::optional<Instant>, static_cast<std::size_t>(Name::kCount)> slots_{};
};

}  // namespace qanat
