#include "ike/shard_map.hpp"

#include <array>

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "ike/endpoint.hpp"

namespace qanat::ike {
namespace {

constexpr std::uint64_t kKey = 0x0123'4567'89ab'cdef;

TEST(ShardMap, SpreadsNewPeersWhateverTheirSpisLookLike) {
  const ShardMap map{4, kKey};
  std::array<int, 4> counts{};
  // As of peers that are gateways of one shard themselves, and as somebody would write them who counts.
  for (std::uint64_t i = 1; i <= 4000; ++i) ++counts.at(map.of_new(i * kMaxShards));
  for (const int n : counts) EXPECT_NEAR(n, 1000, 150);
  EXPECT_EQ(map.of_new(77), map.of_new(77));
  int same = 0;
  for (std::uint64_t i = 1; i <= 1000; ++i) same += map.of_new(i) == ShardMap{4, kKey + 1}.of_new(i);
  EXPECT_NEAR(same, 250, 80) << "without the key nobody knows";
}

TEST(ShardMap, AnSpiThatNamesNoShardIsTheFirsts) {
  const ShardMap map{3, kKey};
  EXPECT_EQ(map.of_ours(0xff00'0000'0000'0002), 2U);
  EXPECT_EQ(map.of_ours(0xff00'0000'0000'0003), 0U);
  EXPECT_EQ(map.of_ours(0xff00'0000'0000'003f), 0U);
  EXPECT_EQ(ShardMap{}.of_new(12345), 0U);
}

TEST(ShardMap, IdsOfTheHighestShardFitIntoANumberOfJson) {
  const std::uint64_t last = (std::uint64_t{kMaxShards} << kShardShift) + (std::uint64_t{1} << 40);
  EXPECT_LT(last, std::uint64_t{1} << 53);
  EXPECT_EQ(ShardMap::in_id(last), kMaxShards);
}

// A request of ours that comes back must come to whom knows it for its own.
TEST(ShardMap, OurOwnRequestsComeToWhomBeganThem) {
  SeededRng rng{5};
  for (std::uint32_t shard = 0; shard < 5; ++shard) {
    EndpointConfig config;
    config.shard = shard;
    config.shards = {5, kKey};
    IkeEndpoint endpoint{config, rng};
    for (std::uint32_t id = 1; id <= 20; ++id) {
      auto t = std::make_shared<TunnelConfig>();
      t->id = TunnelId{id};
      t->local = IpAddress::v4(0xc0000201);
      t->peer = IpAddress::v4(0xc0000301 + id);
      t->local_id = wire::Identity::of_address(t->local);
      t->remote_id = wire::Identity::of_address(*t->peer);
      t->psk = model::PresharedKey{SecretBytes::copy_of(Bytes(32, 1))};
      t->ike = {*ipsec::parse_ike_proposal("aes256gcm16-prfsha384-x25519")};
      endpoint.set_tunnel(t);
      ASSERT_TRUE(endpoint.initiate(Instant::from_ns(1), t->id).has_value());
    }
    for (const SaInfo& sa : endpoint.sas()) {
      EXPECT_EQ(ShardMap::in_spi(sa.spi_i), shard);
      EXPECT_EQ(config.shards.of_new(sa.spi_i), shard);
      EXPECT_EQ(ShardMap::in_id(sa.id.value()), shard);
    }
    EXPECT_EQ(endpoint.sas().size(), 20U);
  }
}

}  // namespace
}  // namespace qanat::ike
