#include "crypto/key_pool.hpp"

#include <set>

#include <gtest/gtest.h>

#include "crypto/rng.hpp"

namespace qanat::crypto {
namespace {

constexpr KeId kX25519 = KeId::CURVE25519;
constexpr KeId kMlKem = KeId::ML_KEM_768;

TEST(KeyPool, makes_ahead_what_was_missing_and_no_more) {
  SystemRng rng;
  KeyPool pool{rng};
  EXPECT_TRUE(pool.is_full()) << "nobody has asked yet";
  EXPECT_FALSE(pool.make_one());
  ASSERT_TRUE(pool.create(kMlKem).has_value());
  EXPECT_FALSE(pool.is_full());
  while (pool.make_one()) {
  }
  EXPECT_TRUE(pool.is_full());
  EXPECT_GT(pool.ready(kMlKem), 0U);
  EXPECT_EQ(pool.ready(kX25519), 0U);
}

TEST(KeyPool, grows_with_what_is_missing_up_to_its_limit) {
  SystemRng rng;
  KeyPool pool{rng};
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.create(kX25519).has_value());
  while (pool.make_one()) {
  }
  EXPECT_EQ(pool.ready(kX25519), KeyPool::kMost);
}

TEST(KeyPool, every_pair_is_used_once_and_works_in_both_roles) {
  SystemRng rng;
  KeyPool pool{rng};
  std::set<Bytes> seen;
  for (int i = 0; i < 20; ++i) {
    for (const KeId id : {kX25519, kMlKem}) {
      auto ours = pool.create(id);
      ASSERT_TRUE(ours.has_value());
      EXPECT_TRUE(seen.insert(to_bytes((*ours)->public_value())).second);
      auto reply = pool.respond(id, (*ours)->public_value());
      ASSERT_TRUE(reply.has_value());
      EXPECT_TRUE(seen.insert(reply->public_value).second);
      const auto secret = (*ours)->finish(reply->public_value);
      ASSERT_TRUE(secret.has_value());
      EXPECT_EQ(*secret, reply->secret);
    }
    pool.make_one();
  }
}

TEST(KeyPool, a_value_of_the_wrong_length_costs_no_pair_and_a_bad_one_is_refused) {
  SystemRng rng;
  KeyPool pool{rng};
  ASSERT_TRUE(pool.create(kX25519).has_value());
  while (pool.make_one()) {
  }
  const std::size_t before = pool.ready(kX25519);
  EXPECT_FALSE(pool.respond(kX25519, Bytes(31)).has_value());
  EXPECT_EQ(pool.ready(kX25519), before);
  const auto low_order = pool.respond(kX25519, Bytes(32));
  ASSERT_FALSE(low_order.has_value());
  EXPECT_EQ(low_order.error().kind, ErrorKind::PeerMisbehaved);
  EXPECT_EQ(pool.ready(kX25519), before - 1) << "a pair that met a peer's value is not used again";
}

TEST(KeyPool, other_methods_and_deterministic_worlds_have_none) {
  SystemRng rng;
  KeyPool pool{rng};
  ASSERT_TRUE(pool.create(KeId::ECP_256).has_value());
  EXPECT_TRUE(pool.is_full());
  SeededRng seeded{1};
  KeyPool none{seeded};
  const auto first = none.create(kX25519);
  EXPECT_TRUE(none.is_full());
  SeededRng again{1};
  EXPECT_TRUE(equal((*first)->public_value(), (*KeyExchange::create(kX25519, again))->public_value()));
}

}  // namespace
}  // namespace qanat::crypto
