#include "ipsec/spi_table.hpp"

#include <algorithm>

#include "base/result.hpp"

namespace qanat::ipsec {

SpiTable::SpiTable(std::uint32_t shard, std::uint32_t first_generation, std::uint32_t slots)
    : shard_(shard), first_generation_(first_generation % (1U << kSpiGenerationBits)), slots_(slots) {
  ensure(shard < (1U << kSpiShardBits), "SPI shard out of range");
  ensure(slots != 0 && slots % kSpiBuckets == 0 && slots <= (1U << kSpiSlotBits), "SPI slots out of range");
}

void SpiTable::use_buckets(std::uint32_t first, std::uint32_t step) {
  ensure(first < step && step <= kSpiBuckets, "SPI buckets out of range");
  first_bucket_ = next_bucket_ = first;
  bucket_step_ = step;
}

std::uint32_t SpiTable::after(std::uint32_t bucket) const {
  return bucket + bucket_step_ < kSpiBuckets ? bucket + bucket_step_ : first_bucket_;
}

std::optional<EspSpi> SpiTable::allocate(Instant now, std::optional<std::uint32_t> bucket) {
  std::uint32_t b = bucket ? *bucket % kSpiBuckets : next_bucket_;
  const std::uint32_t tries = bucket ? 1 : kSpiBuckets;
  for (std::uint32_t i = 0; i < tries; ++i, b = after(b)) {
    std::optional<std::uint32_t> slot;
    if (!resting_[b].empty() && resting_[b].front().until <= now) {
      slot = resting_[b].front().slot;
      resting_[b].pop_front();
    } else if (fresh_[b] < slots_ / kSpiBuckets) {
      slot = fresh_[b]++ * kSpiBuckets + b;
      if (*slot >= entries_.size()) {
        entries_.resize(std::max<std::size_t>(entries_.size(), *slot - b + kSpiBuckets),
                        Entry{.spi = 0, .generation = static_cast<std::uint8_t>(first_generation_)});
      }
    }
    if (slot) {
      if (!bucket) next_bucket_ = after(b);
      return take(*slot);
    }
  }
  return std::nullopt;
}

EspSpi SpiTable::take(std::uint32_t slot) {
  Entry& entry = entries_[slot];
  EspSpi spi = make_spi(entry.generation, shard_, slot);
  if (spi < kMinSpi) {
    // Shard 0, generation 0 and one of the first slots: that generation is skipped (RFC 4303 2.1).
    ++entry.generation;
    spi = make_spi(entry.generation, shard_, slot);
  }
  entry.spi = spi;
  ++used_;
  return spi;
}

bool SpiTable::release(Instant now, EspSpi spi) {
  const auto slot = find(spi);
  if (!slot) return false;
  Entry& entry = entries_[*slot];
  entry.spi = 0;
  entry.generation = static_cast<std::uint8_t>((entry.generation + 1U) % (1U << kSpiGenerationBits));
  resting_[spi_bucket(spi)].push_back({.slot = *slot, .until = now + kSpiRest});
  --used_;
  return true;
}

}  // namespace qanat::ipsec
