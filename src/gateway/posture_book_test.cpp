#include "gateway/posture_book.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::gateway {
namespace {

using Keys = PostureBook::Keys;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kWall = 1'790'000'000;

class Book : public ::testing::Test {
 protected:
  Book() { book_.set_wall(now_, {kWall}); }
  bool up(std::uint64_t child, Keys keys) { return book_.child_up(now_, "berlin", ChildSaId{child}, keys); }
  void gone(std::uint64_t child) { book_.child_gone(now_, ChildSaId{child}); }
  // Octets so far: of Child SAs that are there, and of the tunnel.
  void count(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& children, std::uint64_t tunnel) {
    ipsec::Counters counters;
    for (const auto& [id, bytes] : children) {
      ipsec::SaCounters c;
      c.child = ChildSaId{id};
      c.bytes_in = bytes / 2;
      c.bytes_out = bytes - bytes / 2;
      counters.sas.push_back(c);
    }
    ipsec::TunnelCounters t;
    t.tunnel = TunnelId{1};
    t.bytes_out = tunnel;
    counters.tunnels.push_back(t);
    book_.count(now_, counters, [this](TunnelId id) { return id == TunnelId{1} ? &name_ : nullptr; });
  }
  void pass(Duration time) { now_ = now_ + time; }
  const model::PostureRecord& record() { return *book_.find("berlin"); }

  std::string name_ = "berlin";
  Instant now_ = Instant::from_ns(1'000'000'000);
  PostureBook book_;
};

TEST_F(Book, BytesAndSecondsGoToTheKeysThatCarriedThem) {
  EXPECT_FALSE(up(1, Keys::Classical));
  pass(1s);
  count({{1, 1000}}, 1000);
  pass(1s);
  EXPECT_FALSE(up(2, Keys::Hybrid));
  gone(1);
  pass(1s);
  count({{2, 500}}, 1800);  // 300 more under the first before it went
  EXPECT_EQ(record().classical_bytes, 1300U);
  EXPECT_EQ(record().safe_bytes, 500U);
  EXPECT_DOUBLE_EQ(record().classical_seconds, 2);
  EXPECT_DOUBLE_EQ(record().safe_seconds, 1);
  pass(1s);
  count({{2, 700}}, 2000);
  EXPECT_EQ(record().classical_bytes, 1300U);
  EXPECT_EQ(record().safe_bytes, 700U);
  EXPECT_EQ(record().first_hybrid_at->seconds, kWall + 2);
  EXPECT_EQ(record().last_classical_at->seconds, kWall + 2);
}

TEST_F(Book, WhatASafeChildSaCarriedBeforeItWentIsNotHarvestable) {
  up(1, Keys::Hybrid);
  pass(1s);
  gone(1);
  up(2, Keys::Safe);
  count({{2, 10}}, 400);
  EXPECT_EQ(record().classical_bytes, 0U);
  EXPECT_EQ(record().safe_bytes, 400U);
}

TEST_F(Book, DoubtIsBookedAsClassical) {
  up(1, Keys::Hybrid);
  up(2, Keys::Classical);
  gone(1);
  gone(2);
  count({}, 900);
  EXPECT_EQ(record().classical_bytes, 900U);
  pass(10s);
  count({}, 900);
  EXPECT_DOUBLE_EQ(record().classical_seconds, 0) << "nothing is up";
}

TEST_F(Book, CountersThatBeganAnewAreNoUnderflow) {
  up(1, Keys::Classical);
  count({{1, 1000}}, 1000);
  count({{1, 10}}, 10);  // the packet path made the tunnel anew
  EXPECT_EQ(record().classical_bytes, 1010U);
}

TEST_F(Book, AFallIsToldOnce) {
  EXPECT_FALSE(up(1, Keys::Classical)) << "it never was hybrid";
  EXPECT_FALSE(up(2, Keys::Hybrid));
  EXPECT_TRUE(up(3, Keys::Classical));
  EXPECT_TRUE(book_.has_fallen("berlin"));
  EXPECT_FALSE(up(4, Keys::Classical)) << "its rekey";
  EXPECT_FALSE(up(5, Keys::Hybrid));
  EXPECT_FALSE(book_.has_fallen("berlin"));
  EXPECT_TRUE(up(6, Keys::Classical));
}

TEST_F(Book, ItIsRememberedOverARestart) {
  model::PostureRecord old;
  old.tunnel = "berlin";
  old.classical_bytes = 7;
  old.first_hybrid_at = WallTime{1};
  book_.restore({old});
  EXPECT_TRUE(up(1, Keys::Classical)) << "it was hybrid before the restart";
  count({{1, 3}}, 3);
  EXPECT_EQ(record().classical_bytes, 10U);
  EXPECT_EQ(record().first_hybrid_at->seconds, 1);
}

TEST_F(Book, WritesWhatChangedOnceInAWhile) {
  EXPECT_THAT(book_.take_changed(now_), IsEmpty());
  up(1, Keys::Hybrid);
  EXPECT_THAT(book_.take_changed(now_), SizeIs(1));
  count({{1, 10}}, 10);
  EXPECT_THAT(book_.take_changed(now_), IsEmpty()) << "too soon";
  EXPECT_THAT(book_.take_changed(now_, PostureBook::Write::Now), SizeIs(1));
  gone(1);
  (void)book_.take_changed(now_, PostureBook::Write::Now);
  pass(PostureBook::kWriteEvery);
  EXPECT_THAT(book_.take_changed(now_), IsEmpty()) << "nothing is new";
}

TEST_F(Book, ThatAPeerWasHybridIsKnownAtTheNextStart) {
  EXPECT_FALSE(book_.was_hybrid("berlin"));
  up(1, Keys::Classical);
  EXPECT_FALSE(book_.was_hybrid("berlin"));
  up(2, Keys::Safe);
  EXPECT_FALSE(book_.was_hybrid("berlin")) << "a PPK alone pins nothing";
  up(3, Keys::Hybrid);
  EXPECT_TRUE(book_.was_hybrid("berlin"));
  PostureBook next;
  next.restore(book_.take_changed(now_, PostureBook::Write::Now));
  EXPECT_TRUE(next.was_hybrid("berlin"));
  EXPECT_FALSE(next.was_hybrid("paris"));
}

TEST_F(Book, ThatAPeerIsHybridIsWrittenAtOnceAndOnlyOnce) {
  up(1, Keys::Classical);
  EXPECT_THAT(book_.take_changed(now_), SizeIs(1));
  pass(10ms);
  up(2, Keys::Hybrid);
  EXPECT_TRUE(book_.is_urgent());
  EXPECT_THAT(book_.take_changed(now_), SizeIs(1));
  EXPECT_FALSE(book_.is_urgent());
  pass(10ms);
  up(3, Keys::Hybrid);
  EXPECT_FALSE(book_.is_urgent());
  EXPECT_THAT(book_.take_changed(now_), IsEmpty());
}

TEST_F(Book, WhatIsForgottenStaysForgottenUntilThePeerIsHybridAgain) {
  EXPECT_FALSE(book_.forget("berlin")) << "there is nothing to forget";
  up(1, Keys::Hybrid);
  const std::uint64_t kept = 1234;
  count({{1, kept}}, kept);
  (void)book_.take_changed(now_, PostureBook::Write::Now);
  EXPECT_TRUE(book_.forget("berlin"));
  EXPECT_FALSE(book_.was_hybrid("berlin"));
  EXPECT_FALSE(book_.forget("berlin"));
  EXPECT_TRUE(book_.is_urgent());
  const auto written = book_.take_changed(now_);
  ASSERT_THAT(written, SizeIs(1));
  EXPECT_FALSE(written.front().first_hybrid_at.has_value());
  EXPECT_EQ(written.front().safe_bytes, kept) << "what was recorded stays recorded";
  PostureBook next;
  next.restore(written);
  EXPECT_FALSE(next.was_hybrid("berlin"));
  EXPECT_FALSE(up(2, Keys::Classical)) << "no fall: it is meant to be so";
  up(3, Keys::Hybrid);
  EXPECT_TRUE(book_.was_hybrid("berlin"));
}

// No loophole: whoever destroys the ledger does not open the way for a downgrade.
TEST_F(Book, WithoutReadableRecordsEveryPeerMayHaveBeenHybrid) {
  book_.trust_nothing();
  EXPECT_TRUE(book_.was_hybrid("berlin"));
  up(1, Keys::Classical);
  EXPECT_TRUE(book_.was_hybrid("berlin"));
  EXPECT_TRUE(book_.forget("berlin"));
  EXPECT_FALSE(book_.was_hybrid("berlin"));
  EXPECT_TRUE(book_.was_hybrid("paris"));
}

}  // namespace
}  // namespace qanat::gateway
