// SpiTable: which inbound ESP SPIs of one shard are handed out (layout: ipsec/spi.hpp).
//
// Several tables may share the SPIs of a shard, each with buckets of its own.
//
// A slot is found by an array access. A freed slot rests 60 s, and comes back with the next generation, so that a late
// packet of the old SA meets nobody. A rekey asks for the bucket of the SA that it replaces: the same worker keeps it.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "ipsec/spi.hpp"

namespace qanat::ipsec {

inline constexpr Duration kSpiRest = 60s;

class SpiTable {
 public:
  // shard < 64. `first_generation`: of slots used for the first time; another one at every start keeps packets of the
  // last run's SAs from meeting new ones. `slots`: a multiple of 32, at most 2^21.
  explicit SpiTable(std::uint32_t shard, std::uint32_t first_generation = 0, std::uint32_t slots = 1U << kSpiSlotBits);
  // Without a bucket, only SPIs of the buckets first, first + step, first + 2 * step, ... are handed out.
  void use_buckets(std::uint32_t first, std::uint32_t step);

  // nullopt when no slot (of that bucket) is free and rested. Without a bucket the table's own take turns.
  [[nodiscard]] std::optional<EspSpi> allocate(Instant now, std::optional<std::uint32_t> bucket = std::nullopt);
  // False, and nothing changes, for an SPI that is not handed out.
  bool release(Instant now, EspSpi spi);

  // The slot of an SPI that is handed out.
  [[nodiscard]] std::optional<std::uint32_t> find(EspSpi spi) const {
    const std::uint32_t slot = spi_slot(spi);
    if (slot >= entries_.size() || entries_[slot].spi != spi || spi == 0) return std::nullopt;
    return slot;
  }
  [[nodiscard]] std::size_t size() const { return used_; }

 private:
  struct Entry {
    EspSpi spi = 0;  // 0: not handed out
    std::uint8_t generation = 0;
  };
  struct Resting {
    std::uint32_t slot = 0;
    Instant until;
  };
  [[nodiscard]] EspSpi take(std::uint32_t slot);
  [[nodiscard]] std::uint32_t after(std::uint32_t bucket) const;

  std::uint32_t shard_;
  std::uint32_t first_generation_;
  std::uint32_t slots_;
  std::uint32_t first_bucket_ = 0;
  std::uint32_t bucket_step_ = 1;
  std::uint32_t next_bucket_ = 0;
  std::size_t used_ = 0;
  std::vector<Entry> entries_;                            // grows in steps of all buckets
  std::array<std::uint32_t, kSpiBuckets> fresh_{};        // of each bucket: slots used at least once
  std::array<std::deque<Resting>, kSpiBuckets> resting_;  // of each bucket: the longest rested first
};

}  // namespace qanat::ipsec
