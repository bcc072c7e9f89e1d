#include "gateway/beginnings.hpp"

#include <gtest/gtest.h>

namespace qanat::gateway {
namespace {

const Instant kStart = Instant::from_ns(5'000'000'000);

std::size_t begin_all(Beginnings& b, Instant now) {
  std::size_t begun = 0;
  while (b.next(now)) ++begun;
  return begun;
}

TEST(Beginnings, a_few_begin_at_once_in_the_order_in_which_they_asked) {
  Beginnings b;
  for (std::uint32_t i = 1; i <= 3; ++i) b.ask(TunnelId{i});
  b.ask(TunnelId{2});
  for (std::uint32_t i = 1; i <= 3; ++i) EXPECT_EQ(b.next(kStart), TunnelId{i});
  EXPECT_EQ(b.next(kStart), std::nullopt);
  EXPECT_EQ(b.next_timeout(), std::nullopt) << "nobody waits";
}

TEST(Beginnings, many_begin_as_the_answers_come_in_and_faster_all_the_time) {
  Beginnings b;
  for (std::uint32_t i = 1; i <= 2000; ++i) b.ask(TunnelId{i});
  EXPECT_EQ(begin_all(b, kStart), Beginnings::kFirst);
  for (std::uint32_t i = 1; i <= Beginnings::kFirst; ++i) b.end(TunnelId{i}, Beginnings::End::Up);
  EXPECT_EQ(begin_all(b, kStart), 2 * Beginnings::kFirst);
  b.end(TunnelId{100}, Beginnings::End::Failed);
  EXPECT_EQ(begin_all(b, kStart), 1U) << "a refusal makes room, and no more than that";
  b.end(TunnelId{100}, Beginnings::End::Up);
  EXPECT_EQ(begin_all(b, kStart), 0U) << "it is not under way any more";
}

TEST(Beginnings, silence_makes_them_fewer_and_holds_up_nobody) {
  Beginnings b;
  for (std::uint32_t i = 1; i <= 2000; ++i) b.ask(TunnelId{i});
  EXPECT_EQ(begin_all(b, kStart), 64U);
  EXPECT_EQ(b.next_timeout(), kStart + Beginnings::kPatience);
  b.handle_timeout(kStart + Beginnings::kPatience - 1ns);
  EXPECT_EQ(begin_all(b, kStart), 0U);
  b.handle_timeout(kStart + Beginnings::kPatience);
  EXPECT_EQ(begin_all(b, kStart + 1s), 32U);
  b.handle_timeout(kStart + 2s);
  EXPECT_EQ(begin_all(b, kStart + 2s), Beginnings::kLeast);
  EXPECT_EQ(b.under_way(), Beginnings::kLeast);
}

TEST(Beginnings, what_was_forgotten_does_not_begin_and_may_ask_again) {
  Beginnings b;
  b.ask(TunnelId{1});
  b.ask(TunnelId{2});
  b.forget(TunnelId{1});
  EXPECT_EQ(b.next(kStart), TunnelId{2});
  b.forget(TunnelId{2});
  EXPECT_EQ(b.under_way(), 0U);
  b.ask(TunnelId{2});
  EXPECT_EQ(b.next(kStart), TunnelId{2});
}

TEST(Beginnings, one_that_is_under_way_is_not_begun_twice) {
  Beginnings b;
  b.ask(TunnelId{1});
  EXPECT_EQ(b.next(kStart), TunnelId{1});
  b.ask(TunnelId{1});
  EXPECT_EQ(b.next(kStart), std::nullopt);
}

}  // namespace
}  // namespace qanat::gateway
