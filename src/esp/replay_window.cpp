#include "esp/replay_window.hpp"

#include <algorithm>
#include <limits>

namespace qanat::esp {

ReplayWindow::ReplayWindow(std::uint32_t window)
    : window_(window == 0 ? 0 : std::clamp(window, kMinReplayWindow, kMaxReplayWindow)) {
  if (window_ != 0) {
    // One word more than the window needs: the word of the top is only partly below it. A power of two makes a mask.
    words_.resize(std::bit_ceil((window_ + 63) / 64 + 1));
    mask_ = words_.size() - 1;
  }
}

std::optional<std::uint64_t> ReplayWindow::extend(std::uint32_t low) const {
  // RFC 4303 A2.2. Tl, Th: the halves of the top; the window spans (T - W, T].
  const auto tl = static_cast<std::uint32_t>(top_);
  const auto th = static_cast<std::uint32_t>(top_ >> 32);
  const std::uint32_t bottom = tl - window_ + 1;  // modulo 2^32
  std::uint32_t high = th;
  if (tl >= window_ - 1) {
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

bool ReplayWindow::commit(std::uint64_t sequence) {
  if (window_ == 0) {
    const bool newest = sequence > top_;
    top_ = std::max(top_, sequence);
    return newest;
  }
  const bool newest = sequence > top_;
  if (newest) {
    const std::uint64_t from = top_ / 64;
    const std::uint64_t to = sequence / 64;
    const std::uint64_t steps = std::min<std::uint64_t>(to - from, words_.size());
    for (std::uint64_t i = 1; i <= steps; ++i) words_[(from + i) & mask_] = 0;
    top_ = sequence;
  }
  words_[(sequence / 64) & mask_] |= bit(sequence);
  return newest;
}

void ReplayWindow::start_after(std::uint64_t sequence) {
  top_ = sequence;
  if (window_ == 0) return;
  std::fill(words_.begin(), words_.end(), ~std::uint64_t{0});
  words_[(sequence / 64) & mask_] = bit(sequence) | (bit(sequence) - 1);  // those above may still come
}

}  // namespace qanat::esp
