// ReplayWindow: which sequence numbers of an inbound SA were seen (RFC 4303 3.4.3), as a ring of 64-bit words
// (RFC 6479), and the high half of extended sequence numbers (RFC 4303 A2.2).
//
// check() costs nothing and changes nothing: it runs before the ICV is verified. commit() runs only after.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

namespace qanat::esp {

inline constexpr std::uint32_t kMinReplayWindow = 32;
inline constexpr std::uint32_t kMaxReplayWindow = 8192;

class ReplayWindow {
 public:
  // 0: everything passes (only without ESN). Other values are brought into 32..8192.
  explicit ReplayWindow(std::uint32_t window);

  [[nodiscard]] std::uint32_t size() const { return window_; }
  // The highest sequence number so far, 0 at first.
  [[nodiscard]] std::uint64_t top() const { return top_; }

  // The 64-bit number that the 32 bits on the wire stand for; nullopt when it would lie before the first packet or
  // after the last one of the SA.
  [[nodiscard]] std::optional<std::uint64_t> extend(std::uint32_t low) const;

  // False for number 0, one that was committed before, and one that is window() or more below the top.
  [[nodiscard]] bool check(std::uint64_t sequence) const {
    if (sequence > top_ || window_ == 0) return true;
    if (sequence == 0 || top_ - sequence >= window_) return false;
    return (words_[place(sequence)] & bit(sequence)) == 0;
  }

  // Marks a number that check() has passed. True when it is the new top.
  bool commit(std::uint64_t sequence) {
    const bool newest = sequence > top_;
    if (window_ == 0) {
      top_ = newest ? sequence : top_;
      return newest;
    }
    if (newest) {
      if (const std::uint64_t steps = sequence / 64 - top_ / 64; steps != 0) advance(steps);
      top_ = sequence;
    }
    words_[place(sequence)] |= bit(sequence);
    return newest;
  }

  // Asks the processor for the word of the top.
  void prefetch() const {
    if (window_ != 0) __builtin_prefetch(&words_[top_word_]);
  }

  // Of a new window: as if every number up to this one had been committed.
  void start_after(std::uint64_t sequence);

 private:
  [[nodiscard]] static constexpr std::uint64_t bit(std::uint64_t sequence) {
    return std::uint64_t{1} << (sequence % 64);
  }
  // Where the word of a number lies that is at most the top, and less than the window below it.
  [[nodiscard]] std::size_t place(std::uint64_t sequence) const {
    const std::uint64_t back = top_ / 64 - sequence / 64;
    return back <= top_word_ ? top_word_ - back : top_word_ + count_ - back;
  }
  void advance(std::uint64_t steps);

  std::uint64_t top_ = 0;
  // One word more than the window has: the word of the top is only partly below it. No power of two, which would
  // nearly double the usual window of 1,024: the ring knows where the word of the top is instead.
  std::unique_ptr<std::uint64_t[]> words_;
  std::uint16_t window_;
  std::uint16_t count_ = 0;     // of words
  std::uint16_t top_word_ = 0;  // where the word of the top is
};

}  // namespace qanat::esp
