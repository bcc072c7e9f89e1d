// What every ObjectStore must do, as typed tests: the memory store's and the file store's programs both run them.
// A maker has `std::unique_ptr<ObjectStore> make()`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/bulk.hpp"
#include "store/object_store.hpp"

namespace qanat::store::testing {

inline std::vector<std::string> keys_of(const Listing& listing) {
  std::vector<std::string> out;
  for (const Entry& entry : listing.entries) out.push_back(entry.key);
  return out;
}
inline Secret secret_of(std::string_view text) {
  return std::make_shared<const SecretBytes>(SecretBytes::copy_of(to_bytes(text)));
}
inline std::string text_of(const Secret& secret) {
  return secret ? std::string{secret->expose().begin(), secret->expose().end()} : std::string{"(none)"};
}

template <typename Maker>
class StoreConformance : public ::testing::Test {
 protected:
  Outcome must(const Result<Outcome>& outcome) {
    EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().detail);
    return outcome.value_or(Outcome{});
  }
  Outcome write(std::vector<Operation> operations) { return must(store_->txn({}, operations)); }
  std::optional<Entry> read(std::string_view key) {
    auto entry = store_->get(key);
    EXPECT_TRUE(entry);
    return entry ? *entry : std::nullopt;
  }
  Listing listed(std::string_view prefix, const Range& range = {}) {
    auto listing = store_->list(prefix, range);
    EXPECT_TRUE(listing);
    return listing.value_or(Listing{});
  }

  Maker maker_;
  std::unique_ptr<ObjectStore> store_ = maker_.make();
};
TYPED_TEST_SUITE_P(StoreConformance);

TYPED_TEST_P(StoreConformance, KeepsWhatIsPutAndForgetsWhatIsDeleted) {
  EXPECT_FALSE(this->read("a"));
  const Outcome first = this->write({Operation::put("a", "1"), Operation::put("b", "")});
  EXPECT_TRUE(first.applied);
  EXPECT_EQ(first.revision, 1U);
  ASSERT_TRUE(this->read("a"));
  EXPECT_EQ(this->read("a")->value, "1");
  EXPECT_EQ(this->read("a")->revision, 1U);
  ASSERT_TRUE(this->read("b"));
  EXPECT_EQ(this->read("b")->value, "");
  EXPECT_EQ(this->write({Operation::erase("a"), Operation::put("b", "2")}).revision, 2U);
  EXPECT_FALSE(this->read("a"));
  EXPECT_EQ(this->read("b")->revision, 2U);
  // Nothing changed, nothing counted.
  EXPECT_EQ(this->write({Operation::erase("a")}).revision, 2U);
}

TYPED_TEST_P(StoreConformance, ListsByPrefixInOrder) {
  this->write({Operation::put("t/b", "2"), Operation::put("t/a", "1"), Operation::put("t0", "x"),
               Operation::put("s/z", "x"), Operation::put("t/c", "3"), Operation::put("t~", "x")});
  EXPECT_THAT(keys_of(this->listed("t/")), ::testing::ElementsAre("t/a", "t/b", "t/c"));
  EXPECT_THAT(keys_of(this->listed("t/", {.after = "t/a", .most = 1})), ::testing::ElementsAre("t/b"));
  EXPECT_THAT(keys_of(this->listed("t/", {.after = "t/c"})), ::testing::IsEmpty());
  EXPECT_THAT(keys_of(this->listed("")), ::testing::ElementsAre("s/z", "t/a", "t/b", "t/c", "t0", "t~"));
  EXPECT_THAT(keys_of(this->listed("t~")), ::testing::ElementsAre("t~"));
  EXPECT_THAT(keys_of(this->listed("u")), ::testing::IsEmpty());
  EXPECT_EQ(this->listed("t/").revision, 1U);
}

TYPED_TEST_P(StoreConformance, ComparesBeforeItChangesAnything) {
  this->write({Operation::put("a", "1")});
  const std::vector<Operation> change{Operation::put("a", "2"), Operation::put("b", "2")};
  EXPECT_FALSE(this->must(this->store_->txn(std::vector<Compare>{{"a", 0}}, change)).applied);
  EXPECT_FALSE(this->must(this->store_->txn(std::vector<Compare>{{"a", 1}, {"b", 1}}, change)).applied);
  EXPECT_FALSE(this->read("b"));
  EXPECT_TRUE(this->must(this->store_->txn(std::vector<Compare>{{"a", 1}, {"b", 0}}, change)).applied);
  EXPECT_EQ(this->read("a")->value, "2");
}

TYPED_TEST_P(StoreConformance, RefusesWhatNoClusterTakes) {
  std::vector<Operation> many;
  for (int i = 0; i < 101; ++i) many.push_back(Operation::put("k" + std::to_string(i), ""));
  EXPECT_FALSE(this->store_->txn({}, many));
  many.pop_back();
  EXPECT_TRUE(this->store_->txn({}, many));
  EXPECT_FALSE(this->store_->txn({}, std::vector{Operation::put("a", "1"), Operation::put("a", "2")}));
  EXPECT_FALSE(this->store_->txn({}, std::vector{Operation::put("", "1")}));
  EXPECT_FALSE(this->store_->txn({}, std::vector{Operation::put("a b", "1")}));
  EXPECT_FALSE(this->store_->txn({}, std::vector{Operation::put(std::string(513, 'a'), "1")}));
  EXPECT_FALSE(this->store_->txn({}, std::vector{Operation::put("a", std::string(kMaxValue + 1, 'x'))}));
  EXPECT_FALSE(this->read("a"));
}

TYPED_TEST_P(StoreConformance, SecretsAndOddOctetsComeBackAsTheyWere) {
  const std::string odd{"\0\n\xff\"", 4};
  this->write({Operation::put("odd", odd), Operation::put_secret("s", secret_of(odd)),
               Operation::put_secret("empty", secret_of(""))});
  EXPECT_EQ(this->read("odd")->value, odd);
  EXPECT_EQ(this->read("s")->value, "");
  EXPECT_EQ(text_of(this->read("s")->secret), odd);
  EXPECT_EQ(text_of(this->listed("empty").entries.at(0).secret), "");
  this->write({Operation::put("s", "now a text")});
  EXPECT_EQ(this->read("s")->value, "now a text");
  EXPECT_FALSE(this->read("s")->secret);
}

TYPED_TEST_P(StoreConformance, WatchTellsTheLastChangeOfEachKey) {
  this->write({Operation::put("t/a", "1"), Operation::put("u", "1")});
  this->write({Operation::put("t/b", "1")});
  this->write({Operation::erase("t/a"), Operation::put("t/c", "1")});
  const auto all = this->store_->watch("t/", 0);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->revision, 3U);
  ASSERT_EQ(all->changes.size(), 3U);
  EXPECT_EQ(all->changes[0].entry.key, "t/b");
  EXPECT_EQ(all->changes[1].entry.key, "t/a");
  EXPECT_EQ(all->changes[1].kind, Operation::Kind::Delete);
  EXPECT_EQ(all->changes[1].entry.revision, 3U);
  EXPECT_EQ(all->changes[2].entry.value, "1");
  EXPECT_TRUE(this->store_->watch("t/", 3)->changes.empty());
  EXPECT_EQ(this->store_->watch("t/", 2)->changes.size(), 2U);
  EXPECT_TRUE(this->store_->watch("t/", 4)->too_old);  // another store's revision
}

TYPED_TEST_P(StoreConformance, WatchSaysWhenItNoLongerKnows) {
  for (std::size_t i = 0; i < kMaxChangesKept / kMaxOperations + 1; ++i) {
    std::vector<Operation> part;
    for (std::size_t k = 0; k < kMaxOperations; ++k) part.push_back(Operation::put("k" + std::to_string(k), "x"));
    this->write(part);
  }
  EXPECT_TRUE(this->store_->watch("k", 0)->too_old);
  EXPECT_FALSE(this->store_->watch("k", 2)->too_old);
  EXPECT_EQ(this->store_->watch("k", 2)->changes.size(), 100U);
}

TYPED_TEST_P(StoreConformance, WhatHangsOnALeaseGoesWithIt) {
  const Instant begin = Instant::from_ns(5);
  const auto lease = this->store_->lease(10s, begin);
  ASSERT_TRUE(lease);
  Operation held = Operation::put("held", "1");
  held.lease = *lease;
  this->write({held, Operation::put("kept", "1")});
  EXPECT_TRUE(this->store_->expire(begin + 9s));
  EXPECT_TRUE(this->read("held"));
  EXPECT_TRUE(this->store_->renew(*lease, begin + 9s));
  EXPECT_TRUE(this->store_->expire(begin + 18s));
  EXPECT_TRUE(this->read("held"));
  EXPECT_TRUE(this->store_->expire(begin + 19s));
  EXPECT_FALSE(this->read("held"));
  EXPECT_TRUE(this->read("kept"));
  EXPECT_FALSE(this->store_->renew(*lease, begin + 19s));
  EXPECT_FALSE(this->store_->txn({}, std::vector{held}));
  const auto seen = this->store_->watch("held", 1);
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->changes.size(), 1U);
  EXPECT_EQ(seen->changes[0].kind, Operation::Kind::Delete);
}

inline std::vector<Operation> many_puts(int count, const std::string& value) {
  std::vector<Operation> out;
  for (int i = 0; i < count; ++i) out.push_back(Operation::put("o/" + std::to_string(i), value));
  return out;
}

TYPED_TEST_P(StoreConformance, ABulkChangeIsOneChange) {
  for (const int count : {1, 99, 100, 345}) {
    const auto before = generation(*this->store_);
    ASSERT_TRUE(before);
    auto operations = many_puts(count, "v" + std::to_string(count));
    operations.push_back(Operation::put_secret("secret", secret_of("s")));
    operations.push_back(Operation::erase("gone"));
    const auto done = commit(*this->store_, *before, operations);
    ASSERT_TRUE(done) << done.error().detail;
    ASSERT_TRUE(*done);
    EXPECT_EQ(**done, *generation(*this->store_));
    EXPECT_EQ(this->listed("o/").entries.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(this->read("o/0")->value, "v" + std::to_string(count));
    EXPECT_EQ(text_of(this->read("secret")->secret), "s");
    EXPECT_TRUE(this->listed(kStagedPrefix).entries.empty());
    // By an old generation: nothing.
    const auto late = commit(*this->store_, *before, many_puts(count, "late"));
    ASSERT_TRUE(late);
    EXPECT_FALSE(*late);
    EXPECT_EQ(this->read("o/0")->value, "v" + std::to_string(count));
    EXPECT_TRUE(this->listed(kStagedPrefix).entries.empty());
  }
}

REGISTER_TYPED_TEST_SUITE_P(StoreConformance, KeepsWhatIsPutAndForgetsWhatIsDeleted, ListsByPrefixInOrder,
                            ComparesBeforeItChangesAnything, RefusesWhatNoClusterTakes,
                            SecretsAndOddOctetsComeBackAsTheyWere, WatchTellsTheLastChangeOfEachKey,
                            WatchSaysWhenItNoLongerKnows, WhatHangsOnALeaseGoesWithIt, ABulkChangeIsOneChange);

}  // namespace qanat::store::testing
