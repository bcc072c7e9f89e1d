#include "esp/key_cache.hpp"

#include <gtest/gtest.h>

#include "esp/open.hpp"
#include "esp/packet_test_support.hpp"
#include "esp/seal.hpp"

namespace qanat::esp {
namespace {

using namespace esp::testing;

struct Pair {
  OutboundSa out;
  InboundSa in;
};
Pair make_pair(KeyCache& keys, const CipherSuite& suite, std::uint64_t seed) {
  const auto d = direction(suite, 0x1000, seed);
  return {*OutboundSa::create(d, keys), *InboundSa::create(d, keys)};
}

void expect_trip(Pair& pair, Rng& rng) {
  const Bytes inner = rng.bytes(40);
  Bytes datagram(pair.out.layout().sealed_size(inner.size()));
  ASSERT_TRUE(pair.out.seal(inner, kNextHeaderIpv4, datagram, rng));
  const auto opened = pair.in.open(datagram);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(equal(opened->payload, inner));
}

SaKey make_key(KeyCache& keys, std::uint64_t seed) {
  return *SaKey::create(keys, kGcm256, key_for(kGcm256, seed).expose());
}

TEST(KeyCache, ManySasOfAllSuitesPassThroughAFewSlots) {
  for (const std::size_t limit : {0U, 1U, 2U, 5U, 1000U}) {
    KeyCache keys(limit);
    std::vector<Pair> pairs;
    SeededRng rng(limit);
    for (std::uint64_t i = 0; i < 60; ++i) pairs.push_back(make_pair(keys, kSuites[i % std::size(kSuites)], i));
    EXPECT_EQ(keys.size(), 0U);
    for (int i = 0; i < 2000; ++i) {
      expect_trip(pairs[rng.below(pairs.size())], rng);
      ASSERT_LE(keys.size(), std::max<std::size_t>(limit, 1));
    }
    if (limit >= 120) {
      EXPECT_EQ(keys.misses(), 120U);
    } else {
      EXPECT_GT(keys.misses(), 2000U);
    }
  }
}

TEST(KeyCache, AnIdleSaHasNoExpandedKeyAndALeavingOneTakesItsAway) {
  KeyCache keys(8);
  SeededRng rng(1);
  {
    Pair a = make_pair(keys, kGcm256, 1);
    Pair b = make_pair(keys, kGcm256, 2);
    EXPECT_EQ(keys.size(), 0U);
    expect_trip(a, rng);
    EXPECT_EQ(keys.size(), 2U);
    {
      Pair moved = std::move(a);
      expect_trip(moved, rng);
      EXPECT_EQ(keys.misses(), 2U);
    }
    EXPECT_EQ(keys.size(), 0U);
    expect_trip(b, rng);
    EXPECT_EQ(keys.size(), 2U);
    Pair c = make_pair(keys, kGcm256, 3);
    expect_trip(c, rng);
    b = std::move(c);
    expect_trip(b, rng);
  }
  EXPECT_EQ(keys.size(), 0U);
}

TEST(KeyCache, ABusyKeyStaysAmongStrangers) {
  KeyCache keys(4);
  SaKey busy = make_key(keys, 0);
  std::vector<SaKey> strangers;
  for (std::uint64_t i = 1; i <= 100; ++i) strangers.push_back(make_key(keys, i));
  for (std::size_t i = 0; i < 1000; ++i) {
    (void)busy.expanded();
    (void)strangers[i % strangers.size()].expanded();
  }
  EXPECT_LE(keys.misses(), 1000U + 2U);
}

// An SA that is made where another one lay must not find that one's key.
TEST(KeyCache, ANewSaNeverFindsTheKeyOfOneThatIsGone) {
  KeyCache keys(1);
  SeededRng rng(5);
  auto fixed = make_pair(keys, kGcm256, 1);
  for (std::uint64_t seed = 2; seed < 200; ++seed) {
    auto passing = make_pair(keys, kGcm256, seed);
    const Bytes inner = rng.bytes(40);
    Bytes datagram(passing.out.layout().sealed_size(inner.size()));
    ASSERT_TRUE(passing.out.seal(inner, kNextHeaderIpv4, datagram, rng));
    EXPECT_EQ(fixed.in.open(datagram).error(), DropReason::AuthFailed);
  }
}

}  // namespace
}  // namespace qanat::esp
