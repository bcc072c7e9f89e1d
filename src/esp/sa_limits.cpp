#include "esp/sa_limits.hpp"

#include <algorithm>
#include <limits>

namespace qanat::esp {

namespace {

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

std::uint64_t or_none(std::uint64_t limit) {
  return limit == 0 ? kNone : limit;
}
// Asks for the next SA while an eighth is left.
std::uint64_t before(std::uint64_t hard) {
  return hard - hard / 8;
}

}  // namespace

SaMeter::SaMeter(const CipherSuite& suite, std::uint64_t max_sequence, const ipsec::SaLimits& limits)
    : max_sequence_(max_sequence),
      hard_packets_(or_none(limits.hard_packets)),
      hard_bytes_(or_none(limits.hard_bytes)),
      hard_blocks_(suite.encr == EncrId::ENCR_CHACHA20_POLY1305 ? kNone : kMaxAesBlocks),
      soft_packets_(or_none(limits.soft_packets)),
      soft_bytes_(or_none(limits.soft_bytes)),
      soft_blocks_(before(hard_blocks_)) {
  if (soft_packets_ == kNone) soft_packets_ = before(std::min(hard_packets_, max_sequence_));
  if (soft_bytes_ == kNone && hard_bytes_ != kNone) soft_bytes_ = before(hard_bytes_);
}

}  // namespace qanat::esp
