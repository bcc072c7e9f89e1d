#include "base/timer_table.hpp"

#include <gtest/gtest.h>

namespace qanat {
namespace {

enum class Name : std::uint8_t { Retransmit, Liveness, Rekey, kCount };

Instant at(std::int64_t seconds) {
  return Instant{} + std::chrono::seconds{seconds};
}

TEST(TimerTable, next_is_exact_and_expire_gives_each_timer_once_earliest_first) {
  TimerTable<Name> timers;
  EXPECT_FALSE(timers.next().has_value());
  EXPECT_FALSE(timers.expire(at(1000)).has_value());
  timers.set(Name::Rekey, at(5));
  timers.set(Name::Retransmit, at(9));
  timers.set(Name::Liveness, at(3));
  EXPECT_EQ(timers.next(), at(3));
  EXPECT_FALSE(timers.expire(at(3) - 1ns).has_value());
  EXPECT_EQ(timers.expire(at(3)), Name::Liveness);
  EXPECT_FALSE(timers.is_set(Name::Liveness));
  EXPECT_FALSE(timers.expire(at(3)).has_value());
  EXPECT_EQ(timers.expire(at(100)), Name::Rekey);
  EXPECT_EQ(timers.expire(at(100)), Name::Retransmit);
  EXPECT_FALSE(timers.expire(at(100)).has_value());
  EXPECT_FALSE(timers.next().has_value());
}

TEST(TimerTable, setting_moves_and_stopping_clears) {
  TimerTable<Name> timers;
  timers.set(Name::Rekey, at(5));
  timers.set(Name::Rekey, at(7));
  EXPECT_EQ(timers.at(Name::Rekey), at(7));
  EXPECT_FALSE(timers.expire(at(6)).has_value());
  timers.stop(Name::Rekey);
  timers.stop(Name::Rekey);
  EXPECT_FALSE(timers.next().has_value());
}

TEST(Instant, counts_in_nanoseconds) {
  EXPECT_EQ((Instant::from_ns(5) + 1us).ns(), 1005);
  EXPECT_EQ(at(2) - at(1), 1s);
  EXPECT_EQ(at(2) - 2s, Instant{});
  EXPECT_LT(at(1), at(2));
}

}  // namespace
}  // namespace qanat
