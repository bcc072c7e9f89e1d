// Stopwatch: how long work takes, for whoever shows it (`qanat explain`). The shell passes one in; without one nothing
// is measured. Nothing may be decided by it: a seed replays exactly.
#pragma once

#include <cstdint>
#include <utility>

namespace qanat {

class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  [[nodiscard]] virtual std::uint64_t nanoseconds() const = 0;  // since some moment
};

// What `work` gives, and how many microseconds it took, rounded up; 0 without a stopwatch.
template <typename Work>
[[nodiscard]] auto measured(const Stopwatch* watch, const Work& work) -> std::pair<decltype(work()), std::uint32_t> {
  if (watch == nullptr) return {work(), 0};
  const std::uint64_t begun = watch->nanoseconds();
  auto out = work();
  const std::uint64_t took = watch->nanoseconds() - begun;
  return {std::move(out), static_cast<std::uint32_t>(took / 1000 + 1)};
}

}  // namespace qanat
