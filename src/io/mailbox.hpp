// Mailbox<T>: typed messages from many threads to one, with an eventfd that the consumer's loop watches.
//
// Producers: post(). Consumer: take_all() when fd() is readable; it returns everything in the order of arrival. One
// wake-up may bring many messages, and a wake-up with none is possible: neither is an error.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "io/fd.hpp"

namespace qanat::io {

// The eventfd half, without the type: a flag that makes a descriptor readable until it is cleared.
class WakeUp {
 public:
  WakeUp();  // a process that cannot make an eventfd cannot go on: aborts
  void notify();
  void clear();
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
};

template <typename T>
class Mailbox {
 public:
  explicit Mailbox(std::size_t limit = std::numeric_limits<std::size_t>::max()) : limit_(limit) {}

  // False when the box is full: the message is lost, and the caller counts it.
  bool post(T message) {
    {
      const std::lock_guard lock(mutex_);
      if (messages_.size() >= limit_) return false;
      messages_.push_back(std::move(message));
      if (messages_.size() > 1) return true;  // whoever made it non-empty has rung already
    }
    wake_.notify();
    return true;
  }

  // All in one go, with one wake-up; `messages` is left empty. How many were lost because the box is full.
  std::size_t post_all(std::vector<T>& messages) {
    if (messages.empty()) return 0;
    std::size_t taken = 0;
    bool ring = false;
    {
      const std::lock_guard lock(mutex_);
      taken = std::min(messages.size(), limit_ - std::min(limit_, messages_.size()));
      ring = messages_.empty() && taken > 0;
      const auto end = messages.begin() + static_cast<std::ptrdiff_t>(taken);
      messages_.insert(messages_.end(), std::move_iterator(messages.begin()), std::move_iterator(end));
    }
    const std::size_t lost = messages.size() - taken;
    messages.clear();
    if (ring) wake_.notify();
    return lost;
  }

  [[nodiscard]] std::vector<T> take_all() {
    wake_.clear();
    const std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }

  [[nodiscard]] int fd() const { return wake_.fd(); }

 private:
  std::mutex mutex_;
  std::vector<T> messages_;
  std::size_t limit_;
  WakeUp wake_;
};

}  // namespace qanat::io
