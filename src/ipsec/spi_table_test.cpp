#include "ipsec/spi_table.hpp"

#include <set>

#include <gtest/gtest.h>

namespace qanat::ipsec {
namespace {

Instant at(std::int64_t seconds) {
  return Instant::from_ns(seconds * 1'000'000'000);
}

TEST(SpiTable, NeverBelow256AndNeverTwice) {
  SpiTable table(0);
  std::set<EspSpi> seen;
  for (int i = 0; i < 2000; ++i) {
    const auto spi = table.allocate(at(0));
    ASSERT_TRUE(spi);
    EXPECT_GE(*spi, kMinSpi);
    EXPECT_TRUE(seen.insert(*spi).second);
    EXPECT_EQ(table.find(*spi), spi_slot(*spi));
  }
  for (EspSpi spi = 0; spi < 256; ++spi) EXPECT_FALSE(table.find(spi));
}

TEST(SpiTable, CarriesItsShard) {
  SpiTable table(63, 31);
  const auto spi = table.allocate(at(0));
  ASSERT_TRUE(spi);
  EXPECT_EQ(spi_shard(*spi), 63U);
  EXPECT_EQ(spi_generation(*spi), 31U);
}

TEST(SpiTable, SharesAShardWithOthersByBuckets) {
  std::set<EspSpi> all;
  for (std::uint32_t mine = 0; mine < 3; ++mine) {
    SpiTable table(5);
    table.use_buckets(mine, 3);
    std::set<std::uint32_t> buckets;
    for (int i = 0; i < 100; ++i) {
      const auto spi = table.allocate(at(0));
      ASSERT_TRUE(spi);
      EXPECT_EQ(spi_bucket(*spi) % 3, mine);
      buckets.insert(spi_bucket(*spi));
      EXPECT_TRUE(all.insert(*spi).second);
    }
    EXPECT_EQ(buckets.size(), mine == 2 ? 10U : 11U) << "all of them take turns";
  }
}

TEST(SpiTable, SpreadsOverBucketsAndKeepsOneThatIsAskedFor) {
  SpiTable table(1);
  std::set<std::uint32_t> buckets;
  for (int i = 0; i < 32; ++i) buckets.insert(spi_bucket(*table.allocate(at(0))));
  EXPECT_EQ(buckets.size(), 32U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(spi_bucket(*table.allocate(at(0), 17)), 17U);
}

TEST(SpiTable, FreedSlotRestsAndComesBackWithAnotherGeneration) {
  SpiTable table(2, 31, 32);
  const EspSpi first = *table.allocate(at(0), 5);
  EXPECT_FALSE(table.allocate(at(0), 5));  // the bucket has one slot
  EXPECT_TRUE(table.release(at(10), first));
  EXPECT_FALSE(table.release(at(10), first));
  EXPECT_FALSE(table.find(first));
  EXPECT_FALSE(table.allocate(at(69), 5));
  const auto second = table.allocate(at(70), 5);
  ASSERT_TRUE(second);
  EXPECT_EQ(spi_slot(*second), spi_slot(first));
  EXPECT_EQ(spi_generation(*second), 0U);  // 31 + 1 wraps
  EXPECT_FALSE(table.find(first));
  EXPECT_TRUE(table.find(*second));
  EXPECT_EQ(table.size(), 1U);
}

TEST(SpiTable, SkipsTheReservedNumbersWhenGenerationsWrap) {
  SpiTable table(0, 0, 32);
  Instant now = at(0);
  for (int i = 0; i < 70; ++i) {
    const auto spi = table.allocate(now, 0);
    ASSERT_TRUE(spi);
    EXPECT_GE(*spi, kMinSpi);
    table.release(now, *spi);
    now = now + kSpiRest;
  }
}

TEST(SpiTable, FullTableSaysSo) {
  SpiTable table(0, 3, 64);
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(table.allocate(at(0)));
  EXPECT_FALSE(table.allocate(at(0)));
}

TEST(SpiTable, UnknownSpisAreNotReleased) {
  SpiTable table(0);
  EXPECT_FALSE(table.release(at(0), 0));
  EXPECT_FALSE(table.release(at(0), 0xffffffff));
  const EspSpi spi = *table.allocate(at(0));
  EXPECT_FALSE(table.release(at(0), spi ^ (1U << 31)));
}

}  // namespace
}  // namespace qanat::ipsec
