#include "io/mailbox.hpp"

#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <poll.h>

namespace qanat::io {
namespace {

bool readable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}

TEST(Mailbox, WakesOnceAndKeepsTheOrder) {
  Mailbox<int> box;
  EXPECT_FALSE(readable(box.fd(), 0));
  box.post(1);
  box.post(2);
  EXPECT_TRUE(readable(box.fd(), 0));
  EXPECT_EQ(box.take_all(), (std::vector{1, 2}));
  EXPECT_FALSE(readable(box.fd(), 0));
  EXPECT_TRUE(box.take_all().empty());
}

TEST(Mailbox, RefusesWhatIsOverItsLimit) {
  Mailbox<std::unique_ptr<int>> box(2);
  EXPECT_TRUE(box.post(std::make_unique<int>(1)));
  EXPECT_TRUE(box.post(nullptr));
  EXPECT_FALSE(box.post(nullptr));
  EXPECT_EQ(box.take_all().size(), 2U);
  EXPECT_TRUE(box.post(nullptr));
}

TEST(Mailbox, TakesManyWithOneWakeUp) {
  Mailbox<int> box(3);
  std::vector<int> none;
  EXPECT_EQ(box.post_all(none), 0U);
  EXPECT_FALSE(readable(box.fd(), 0));
  std::vector<int> two{1, 2};
  EXPECT_EQ(box.post_all(two), 0U);
  EXPECT_TRUE(two.empty());
  EXPECT_TRUE(readable(box.fd(), 0));
  std::vector<int> more{3, 4, 5};
  EXPECT_EQ(box.post_all(more), 2U) << "what is over the limit";
  EXPECT_EQ(box.take_all(), (std::vector{1, 2, 3}));
  EXPECT_FALSE(readable(box.fd(), 0));
}

TEST(Mailbox, LosesNothingBetweenThreads) {
  constexpr int kProducers = 4;
  constexpr int kEach = 20'000;
  Mailbox<std::pair<int, int>> box;
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&box, p] {
      for (int i = 0; i < kEach; ++i) box.post({p, i});
    });
  }
  std::vector<int> next(kProducers, 0);
  int received = 0;
  while (received < kProducers * kEach) {
    ASSERT_TRUE(readable(box.fd(), 10'000)) << "a wake-up was lost after " << received;
    for (const auto& [producer, number] : box.take_all()) {
      ASSERT_EQ(number, next[static_cast<std::size_t>(producer)]++);
      ++received;
    }
  }
  for (std::thread& t : producers) t.join();
  EXPECT_TRUE(box.take_all().empty());
}

}  // namespace
}  // namespace qanat::io
