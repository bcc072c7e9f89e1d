// HandoverBox: what other data workers have for one, in the order in which each has posted. Bounded by octets, as a
// socket is: a worker that falls behind loses packets, which are counted, and no memory.
#pragma once

#include <atomic>
#include <variant>
#include <vector>

#include "io/datagram.hpp"
#include "io/mailbox.hpp"
#include "wan/handover.hpp"

namespace qanat::daemon {

class HandoverBox {
 public:
  static constexpr std::size_t kRoom = std::size_t{8} * 1024 * 1024;
  // A PathError that another worker's socket has heard: nobody knows whose tunnel it is about.
  using Message = std::variant<wan::Handover, io::PathError>;

  // False when there is no room: `batch` is still the caller's then. Any thread.
  bool post(wan::Handover& batch) { return put(batch.size(), batch); }
  bool post(io::PathError error) { return put(sizeof error, error); }

  // Everything that waits; costs nothing when nothing does. The owner's thread only.
  [[nodiscard]] std::vector<Message> take() {
    if (waiting_.load(std::memory_order_acquire) == 0) return {};
    std::vector<Message> messages = box_.take_all();
    std::size_t taken = 0;
    for (const Message& m : messages) {
      const auto* batch = std::get_if<wan::Handover>(&m);
      taken += batch != nullptr ? batch->size() : sizeof(io::PathError);
    }
    waiting_.fetch_sub(taken, std::memory_order_relaxed);
    return messages;
  }

  [[nodiscard]] int fd() const { return box_.fd(); }

 private:
  template <typename What>
  bool put(std::size_t size, What& what) {
    if (waiting_.fetch_add(size, std::memory_order_relaxed) + size > kRoom) {
      waiting_.fetch_sub(size, std::memory_order_relaxed);
      return false;
    }
    box_.post(Message{std::move(what)});
    return true;
  }

  std::atomic<std::size_t> waiting_{0};  // octets
  io::Mailbox<Message> box_;
};

}  // namespace qanat::daemon
