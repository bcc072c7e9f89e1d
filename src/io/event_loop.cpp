#include "io/event_loop.hpp"

#include <algorithm>
#include <array>
#include <csignal>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "io/clock.hpp"

namespace qanat::io {

namespace {

constexpr const char* kWhere = "event loop";

epoll_event make_event(int fd, std::uint32_t generation, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = (std::uint64_t{generation} << 32) | static_cast<std::uint32_t>(fd);
  return event;
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  std::unique_ptr<EventLoop> loop(new EventLoop);
  loop->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_.valid()) return system_failure(kWhere, "epoll_create1");
  loop->timer_ = UniqueFd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!loop->timer_.valid()) return system_failure(kWhere, "timerfd_create");
  loop->wake_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->wake_.valid()) return system_failure(kWhere, "eventfd");

  EventLoop* self = loop.get();
  QANAT_TRY(loop->add(loop->timer_.get(), [self] { self->on_expiry(); }));
  QANAT_TRY(loop->add(loop->wake_.get(), [self] {
    std::uint64_t count = 0;
    if (::read(self->wake_.get(), &count, sizeof count) == sizeof count) self->stopping_ = true;
  }));
  return loop;
}

Status EventLoop::add(int fd, Callback callback) {
  const std::uint32_t generation = next_generation_++;
  epoll_event event = make_event(fd, generation, EPOLLIN);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return system_failure(kWhere, "epoll_ctl(ADD)");
  watches_[fd] = std::make_shared<Watch>(Watch{std::move(callback), generation});
  return {};
}

void EventLoop::remove(int fd) {
  if (watches_.erase(fd) > 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);  // fails only when it is closed already
  }
}

Status EventLoop::set_write_interest(int fd, WriteInterest interest) {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return fail(ErrorKind::Internal, kWhere, "the descriptor is not watched");
  const std::uint32_t events = interest == WriteInterest::WhenWritable ? EPOLLIN | EPOLLOUT : EPOLLIN;
  epoll_event event = make_event(fd, found->second->generation, events);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return system_failure(kWhere, "epoll_ctl(MOD)");
  return {};
}

// A deadline that was put off or disarmed leaves the earlier one with the kernel: one idle turn later costs less than a
// system call in every turn that puts it off.
Status EventLoop::arm() {
  if (!due_ || (armed_ && *armed_ <= *due_)) return {};
  std::int64_t ns = std::max<std::int64_t>(due_->ns(), 1);  // all zero would disarm
  if (const std::int64_t slack = slack_.count(); slack > 0) ns = (ns + slack - 1) / slack * slack;  // its next multiple
  const Instant at = Instant::from_ns(ns);
  if (armed_ && *armed_ <= at) return {};
  itimerspec spec{};
  spec.it_value.tv_sec = ns / 1'000'000'000;
  spec.it_value.tv_nsec = ns % 1'000'000'000;
  if (::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0) {
    return system_failure(kWhere, "timerfd_settime");
  }
  armed_ = at;
  return {};
}

void EventLoop::on_expiry() {
  std::uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) != sizeof expirations) return;  // re-armed since
  armed_.reset();
  fire_if_due();
}

bool EventLoop::is_due() const {
  return due_ && *due_ <= boot_now();
}

void EventLoop::fire_if_due() {
  if (!is_due()) return;
  due_.reset();
  if (timer_callback_) timer_callback_();
}

Status EventLoop::on_signals(std::initializer_list<int> signals, std::function<void(int)> callback) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return system_failure(kWhere, "pthread_sigmask", error);
  }
  signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return system_failure(kWhere, "signalfd");
  return add(signals_.get(), [fd = signals_.get(), callback = std::move(callback)] {
    signalfd_siginfo info{};
    while (::read(fd, &info, sizeof info) == sizeof info) callback(static_cast<int>(info.ssi_signo));
  });
}

Status EventLoop::run() {
  while (!stopping_) {
    QANAT_TRY(turn(-1));
  }
  stopping_ = false;
  return {};
}

Status EventLoop::run_once(Duration timeout) {
  return turn(static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
}

Status EventLoop::turn(int timeout_ms) {
  // What is due already needs no timer: it comes after what is ready.
  const bool due = is_due();
  if (due) {
    timeout_ms = 0;
  } else {
    QANAT_TRY(arm());
  }
  std::array<epoll_event, 16> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  if (count < 0) {
    if (errno == EINTR) return {};
    return system_failure(kWhere, "epoll_wait");
  }
  for (int i = 0; i < count; ++i) {
    const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
    // An earlier callback of this turn may have removed the descriptor, or put another one in its place.
    const auto found = watches_.find(static_cast<int>(tag & 0xffffffffU));
    if (found == watches_.end() || found->second->generation != static_cast<std::uint32_t>(tag >> 32)) continue;
    const std::shared_ptr<Watch> watch = found->second;  // lives through its own removal
    has_error_ = (events[static_cast<std::size_t>(i)].events & EPOLLERR) != 0;
    watch->callback();
  }
  if (due) fire_if_due();
  return {};
}

void EventLoop::stop() {
  const std::uint64_t one = 1;
  while (::write(wake_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void ignore_broken_pipes() {
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace qanat::io
