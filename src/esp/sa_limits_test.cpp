// SaMeter against one that compares every limit for every packet.
#include "esp/sa_limits.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace qanat::esp {
namespace {

constexpr CipherSuite kGcm{.encr = EncrId::ENCR_AES_GCM_16, .key_bits = 256};

struct Plain {
  ipsec::SaLimits limits;
  std::uint64_t max_sequence = 0;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  std::uint64_t blocks = 0;
  bool soft_told = false;
  bool hard_told = false;

  [[nodiscard]] static bool over(std::uint64_t limit, std::uint64_t value) { return limit != 0 && value >= limit; }
  [[nodiscard]] static bool soft_over(std::uint64_t soft, std::uint64_t hard, std::uint64_t value) {
    if (soft != 0 && (hard == 0 || soft < hard)) return value >= soft;
    return hard != 0 && value >= hard - hard / 8;
  }
  [[nodiscard]] std::optional<DropReason> blocked() const {
    if (packets >= max_sequence) return DropReason::SeqExhausted;
    if (over(limits.hard_packets, packets) || over(limits.hard_bytes, bytes) || blocks >= kMaxAesBlocks)
      return DropReason::HardLimit;
    return std::nullopt;
  }
  void count(std::size_t inner, std::size_t ciphertext) {
    ++packets;
    bytes += inner;
    blocks += ciphertext / 16 + 2;
  }
  [[nodiscard]] bool take_soft() {
    const std::uint64_t last = limits.hard_packets == 0 ? max_sequence : std::min(limits.hard_packets, max_sequence);
    if (soft_told ||
        !(soft_over(limits.soft_packets, last, packets) || soft_over(limits.soft_bytes, limits.hard_bytes, bytes) ||
          blocks >= kMaxAesBlocks - kMaxAesBlocks / 8))
      return false;
    return soft_told = true;
  }
  [[nodiscard]] bool take_hard() {
    if (hard_told || !blocked()) return false;
    return hard_told = true;
  }
};

TEST(SaMeter, AgreesWithOneThatComparesEverythingEveryTime) {
  SeededRng rng(12);
  const auto maybe = [&](std::uint64_t below) { return rng.below(2) == 0 ? 0 : 1 + rng.below(below); };
  int blocked = 0;
  for (int round = 0; round < 600; ++round) {
    const ipsec::SaLimits limits{.soft_packets = maybe(300),
                                 .hard_packets = maybe(400),
                                 .soft_bytes = maybe(200'000),
                                 .hard_bytes = maybe(300'000)};
    // Some rounds reach the end of the numbers, some the cipher's blocks, with packets that large.
    const auto numbers = rng.below(3) == 0 ? SequenceNumbers::Short : SequenceNumbers::Extended;
    const std::uint64_t max_sequence = numbers == SequenceNumbers::Short ? kMaxSequence : kMaxExtendedSequence;
    const std::uint64_t skip = rng.below(4) == 0 ? kMaxSequence - rng.below(300) : rng.below(50);
    const std::size_t largest = rng.below(8) == 0 ? std::size_t{1} << 34 : 1500;
    SaMeter meter(kGcm, numbers, limits);
    Plain plain{.limits = limits, .max_sequence = max_sequence};
    meter.skip_packets(skip);
    plain.packets = skip;
    for (int i = 0; i < 450; ++i) {
      ASSERT_EQ(meter.blocked(), plain.blocked()) << round << " " << i;
      if (plain.blocked()) {
        ++blocked;
        if (rng.below(4) == 0) break;
      } else {
        const std::size_t inner = rng.below(largest);
        meter.count(inner, (inner + 5) / 4 * 4);
        plain.count(inner, (inner + 5) / 4 * 4);
      }
      ASSERT_EQ(meter.packets(), plain.packets);
      ASSERT_EQ(meter.bytes(), plain.bytes);
      if (rng.below(10) == 0) continue;  // nobody asks this time
      ASSERT_EQ(meter.take_soft(), plain.take_soft()) << round << " " << i;
      ASSERT_EQ(meter.take_hard(), plain.take_hard()) << round << " " << i;
    }
  }
  EXPECT_GT(blocked, 200);
}

}  // namespace
}  // namespace qanat::esp
