#include "esp/replay_window.hpp"

#include <algorithm>
#include <limits>

namespace qanat::esp {

ReplayWindow::ReplayWindow(std::uint32_t window)
    : window_(static_cast<std::uint16_t>(window == 0 ? 0 : std::clamp(window, kMinReplayWindow, kMaxReplayWindow))) {
  if (window_ == 0) return;
  count_ = static_cast<std::uint16_t>((window_ + 63U) / 64 + 1);
  words_ = std::make_unique<std::uint64_t[]>(count_);
}

std::optional<std::uint64_t> ReplayWindow::extend(std::uint32_t low) const {
  // RFC 4303 A2.2. Tl, Th: the halves of the top; the window spans (T - W, T].
  const auto tl = static_cast<std::uint32_t>(top_);
  const auto th = static_cast<std::uint32_t>(top_ >> 32);
  const std::uint32_t bottom = tl - window_ + 1;  // modulo 2^32
  std::uint32_t high = th;
  if (tl >= window_ - 1U) {
    // Case A: the window lies within one subspace. Below it: the number belongs to the next one.
    if (low < bottom) {
      if (th == std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
      high = th + 1;
    }
  } else if (low >= bottom) {
    // Case B: the window spans two subspaces, and the number is in the older one.
    if (th == 0) return std::nullopt;
    high = th - 1;
  }
  return (std::uint64_t{high} << 32) | low;
}

// Makes room for a top that is `steps` words higher.
void ReplayWindow::advance(std::uint64_t steps) {
  for (std::uint64_t i = std::min<std::uint64_t>(steps, count_); i != 0; --i) {
    top_word_ = static_cast<std::uint16_t>(top_word_ + 1U == count_ ? 0U : top_word_ + 1U);
    words_[top_word_] = 0;
  }
}

void ReplayWindow::start_after(std::uint64_t sequence) {
  top_ = sequence;
  if (window_ == 0) return;
  std::fill_n(words_.get(), count_, ~std::uint64_t{0});
  words_[top_word_] = bit(sequence) | (bit(sequence) - 1);  // those above may still come
}

}  // namespace qanat::esp
