#include "io/event_loop.hpp"

#include <csignal>
#include <thread>

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "io/clock.hpp"
#include "io/mailbox.hpp"

namespace qanat::io {
namespace {

TEST(Clock, CountsUpAndKnowsTheDate) {
  const Instant a = boot_now();
  const Instant b = boot_now();
  EXPECT_GE(b, a);
  EXPECT_GT(a.ns(), 0);
  EXPECT_GT(wall_now().seconds, 1'700'000'000);
}

TEST(EventLoop, FiresTheTimerThatWasSetLast) {
  auto loop = EventLoop::create().value();
  const Instant begin = boot_now();
  int fired = 0;
  loop->on_timer([&] {
    ++fired;
    loop->stop();
  });
  loop->set_timer(begin + 10s);
  loop->set_timer(begin + 30ms);
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(fired, 1);
  EXPECT_GE(boot_now() - begin, Duration{30ms});
  EXPECT_LT(boot_now() - begin, Duration{5s});
}

TEST(EventLoop, FiresAtOnceForThePastAndNeverWhenDisarmed) {
  auto loop = EventLoop::create().value();
  int fired = 0;
  loop->on_timer([&] { ++fired; });
  loop->set_timer(Instant::from_ns(0));
  ASSERT_TRUE(loop->run_once(1s));
  EXPECT_EQ(fired, 1);
  // The same instant again must arm again: it has been used up.
  loop->set_timer(Instant::from_ns(0));
  ASSERT_TRUE(loop->run_once(1s));
  EXPECT_EQ(fired, 2);
  loop->set_timer(boot_now() + 5ms);
  loop->set_timer(std::nullopt);
  ASSERT_TRUE(loop->run_once(30ms));
  EXPECT_EQ(fired, 2);
}

// The kernel still has the earlier instant; its expiry is nobody's affair.
TEST(EventLoop, ATimerPutOffFiresOnceAndNotBefore) {
  auto loop = EventLoop::create().value();
  int fired = 0;
  const Instant late = boot_now() + 80ms;
  loop->on_timer([&] {
    ++fired;
    EXPECT_GE(boot_now(), late);
    loop->stop();
  });
  loop->set_timer(boot_now() + 5ms);
  ASSERT_TRUE(loop->run_once(0ms));
  loop->set_timer(late);
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(fired, 1);
  ASSERT_TRUE(loop->run_once(30ms));
  EXPECT_EQ(fired, 1);
}

TEST(EventLoop, WithSlackNeighboursShareATurnAndThePastWaitsForNothing) {
  auto loop = EventLoop::create().value();
  int fired = 0;
  loop->on_timer([&] {
    ++fired;
    loop->stop();
  });
  loop->set_timer_slack(200ms);
  const Instant soon = boot_now() + 1ms;
  loop->set_timer(soon);
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(fired, 1);
  EXPECT_GE(boot_now(), soon);
  EXPECT_EQ((boot_now().ns() / 1'000'000) / 200 * 200 * 1'000'000 >= soon.ns(), true) << "a multiple of the slack";
  loop->set_timer(boot_now());
  ASSERT_TRUE(loop->run_once(0ms));
  EXPECT_EQ(fired, 2);
}

TEST(EventLoop, RunsCallbacksThatRemoveThemselvesAndEachOther) {
  auto loop = EventLoop::create().value();
  WakeUp a;
  WakeUp b;
  int calls = 0;
  const auto remove_both = [&] {
    ++calls;
    loop->remove(a.fd());
    loop->remove(b.fd());
  };
  ASSERT_TRUE(loop->add(a.fd(), remove_both));
  ASSERT_TRUE(loop->add(b.fd(), remove_both));
  a.notify();
  b.notify();
  ASSERT_TRUE(loop->run_once(1s));
  ASSERT_TRUE(loop->run_once(10ms));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(loop->add(-1, [] {}));
}

TEST(EventLoop, StopsFromAnotherThread) {
  auto loop = EventLoop::create().value();
  std::thread other([&] { loop->stop(); });
  EXPECT_TRUE(loop->run());
  other.join();
}

TEST(EventLoop, HandsSignalsToACallback) {
  // In a child: the signal mask is the process's.
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto loop = EventLoop::create().value();
    int seen = 0;
    bool ok = loop->on_signals({SIGTERM, SIGHUP},
                               [&](int signal) {
                                 seen = signal;
                                 loop->stop();
                               })
                  .has_value();
    ok = ok && ::kill(::getpid(), SIGHUP) == 0 && loop->run().has_value() && seen == SIGHUP;
    ::_exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(EventLoop, TellsWhenADescriptorIsWritable) {
  auto loop = EventLoop::create().value();
  WakeUp flag;  // an eventfd is writable, and not readable yet
  int calls = 0;
  ASSERT_TRUE(loop->add(flag.fd(), [&] { ++calls; }));
  ASSERT_TRUE(loop->run_once(5ms));
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(loop->set_write_interest(flag.fd(), EventLoop::WriteInterest::WhenWritable));
  ASSERT_TRUE(loop->run_once(1s));
  EXPECT_EQ(calls, 1);
  ASSERT_TRUE(loop->set_write_interest(flag.fd(), EventLoop::WriteInterest::None));
  ASSERT_TRUE(loop->run_once(5ms));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace qanat::io
