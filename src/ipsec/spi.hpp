// The ESP SPIs that this node hands out: generation:5 | shard:6 | slot:21 (ARCHITECTURE.md "Shards and threads").
//
// The slot finds the SA by an array access, bucket = slot & 31 finds the worker. Values below 256 are never made
// (RFC 4303 2.1 reserves 1..255, 0 is the non-ESP marker). A freed slot rests 60 s, and comes back with another
// generation, so that a late packet of the old SA finds nothing.
#pragma once

#include <cstdint>

namespace qanat::ipsec {

using EspSpi = std::uint32_t;

inline constexpr unsigned kSpiSlotBits = 21;
inline constexpr unsigned kSpiShardBits = 6;
inline constexpr unsigned kSpiGenerationBits = 5;
inline constexpr std::uint32_t kSpiBuckets = 32;
inline constexpr std::uint32_t kMinSpi = 256;

[[nodiscard]] constexpr EspSpi make_spi(std::uint32_t generation, std::uint32_t shard, std::uint32_t slot) {
  return (generation << (kSpiShardBits + kSpiSlotBits)) | (shard << kSpiSlotBits) | slot;
}
[[nodiscard]] constexpr std::uint32_t spi_slot(EspSpi spi) {
  return spi & ((1U << kSpiSlotBits) - 1);
}
[[nodiscard]] constexpr std::uint32_t spi_shard(EspSpi spi) {
  return (spi >> kSpiSlotBits) & ((1U << kSpiShardBits) - 1);
}
[[nodiscard]] constexpr std::uint32_t spi_generation(EspSpi spi) {
  return spi >> (kSpiShardBits + kSpiSlotBits);
}
[[nodiscard]] constexpr std::uint32_t spi_bucket(EspSpi spi) {
  return spi & (kSpiBuckets - 1);
}

}  // namespace qanat::ipsec
