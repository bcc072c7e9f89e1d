#include "store/object_store.hpp"

#include "store/store_conformance.hpp"

namespace qanat::store {
namespace {

struct InMemory {
  std::unique_ptr<ObjectStore> make() { return std::make_unique<MemoryObjectStore>(); }
};
}  // namespace
namespace testing {
INSTANTIATE_TYPED_TEST_SUITE_P(Memory, StoreConformance, InMemory);
}
namespace {

// A store whose writer dies before transaction number `at`.
class Dying final : public ObjectStore {
 public:
  Dying(MemoryObjectStore& inner, int at) : inner_(inner), left_(at) {}
  Result<std::optional<Entry>> get(std::string_view key) override { return inner_.get(key); }
  Result<Listing> list(std::string_view prefix, const Range& range) override { return inner_.list(prefix, range); }
  Result<Outcome> txn(std::span<const Compare> compares, std::span<const Operation> operations) override {
    if (left_-- == 0) dead_ = true;
    if (dead_) return fail(ErrorKind::Resource, "store", "dead");
    return inner_.txn(compares, operations);
  }
  Result<Watched> watch(std::string_view prefix, std::uint64_t revision) override {
    return inner_.watch(prefix, revision);
  }
  Result<LeaseId> lease(std::chrono::seconds time, Instant now) override { return inner_.lease(time, now); }
  Status renew(LeaseId lease, Instant now) override { return inner_.renew(lease, now); }
  Status expire(Instant now) override { return inner_.expire(now); }

 private:
  MemoryObjectStore& inner_;
  int left_;
  bool dead_ = false;
};

// Whatever transaction is the last, a bulk change of 345 has happened wholly or not at all once recover() has run.
TEST(Bulk, IsAllOrNothingWhereverItBreaksOff) {
  bool before_the_end = true;
  for (int at = 0; before_the_end; ++at) {
    MemoryObjectStore store;
    ASSERT_TRUE(*commit(store, 0, testing::many_puts(300, "old")));
    const std::uint64_t old = *generation(store);
    Dying dying{store, at};
    const auto done = commit(dying, old, testing::many_puts(345, "new"));
    before_the_end = !done;
    ASSERT_LT(at, 100);

    ASSERT_TRUE(recover(store));
    const auto listing = store.list("o/");
    const std::string& first = listing->entries.at(0).value;
    EXPECT_EQ(listing->entries.size(), first == "new" ? 345U : 300U) << at;
    for (const Entry& entry : listing->entries) EXPECT_EQ(entry.value, first) << at << " " << entry.key;
    EXPECT_TRUE(store.list(kStagedPrefix)->entries.empty()) << at;
    EXPECT_TRUE(!done || first == "new");
    EXPECT_TRUE(*commit(store, *generation(store), testing::many_puts(1, "later")));
  }
}

}  // namespace
}  // namespace qanat::store
