// EventLoop: one thread's descriptors, one timer and the process's signals. epoll, a timerfd on CLOCK_BOOTTIME (so that
// a deadline that passed during suspend fires at wake-up) and a signalfd; level-triggered, so a callback may read one
// batch and leave the rest for the next turn.
//
// Everything but stop() belongs to the thread that runs the loop. A callback may add, remove (itself too) and stop.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/time.hpp"
#include "io/fd.hpp"

namespace qanat::io {

class EventLoop {
 public:
  using Callback = std::function<void()>;

  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls `callback` while `fd` is readable (or hung up, or writable when that was asked for). The descriptor stays
  // the caller's: remove() it before it is closed.
  [[nodiscard]] Status add(int fd, Callback callback);
  void remove(int fd);
  enum class WriteInterest : std::uint8_t { None, WhenWritable };
  [[nodiscard]] Status set_write_interest(int fd, WriteInterest interest);

  // One timer: `callback` runs once when the instant set last has come; nullopt disarms. An instant that has passed
  // fires in the next turn. Setting costs no system call: the kernel is told when a turn begins, and only of an instant
  // before the one that it knows.
  void on_timer(Callback callback) { timer_callback_ = std::move(callback); }
  void set_timer(std::optional<Instant> at) { due_ = at; }
  // From now on a timer may be late by that much, so that many that are due one after the other share a turn.
  void set_timer_slack(Duration slack) { slack_ = slack; }

  // For a callback: whether its descriptor has an error to tell (EPOLLERR), as of when this turn began.
  [[nodiscard]] bool has_error() const { return has_error_; }

  // Blocks these signals in the calling thread (call it before other threads start: they inherit the mask) and
  // hands each to `callback`.
  [[nodiscard]] Status on_signals(std::initializer_list<int> signals, std::function<void(int)> callback);

  // Until stop(). An error is one of epoll itself.
  [[nodiscard]] Status run();
  // One turn: waits at most `timeout` for the first event, then runs all that are ready. For tests and shutdown.
  [[nodiscard]] Status run_once(Duration timeout);
  void stop();  // from any thread, or from a callback

 private:
  EventLoop() = default;
  struct Watch {
    Callback callback;
    std::uint32_t generation = 0;
  };
  [[nodiscard]] Status turn(int timeout_ms);
  [[nodiscard]] Status arm();
  [[nodiscard]] bool is_due() const;
  void on_expiry();
  void fire_if_due();

  UniqueFd epoll_;
  UniqueFd timer_;
  UniqueFd wake_;
  UniqueFd signals_;
  Callback timer_callback_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::uint32_t next_generation_ = 1;
  std::optional<Instant> due_;    // what the loop's owner wants
  std::optional<Instant> armed_;  // what the kernel knows, never after it
  Duration slack_{0};
  bool has_error_ = false;
  bool stopping_ = false;
};

// A reader that goes away (stderr, a control client) must not end the process: SIGPIPE is ignored from here on.
void ignore_broken_pipes();

}  // namespace qanat::io
