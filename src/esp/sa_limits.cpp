#include "esp/sa_limits.hpp"

#include <algorithm>
#include <limits>

namespace qanat::esp {

namespace {

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

std::uint64_t or_none(std::uint64_t limit) {
  return limit == 0 ? kNone : limit;
}
// Where to ask for the next SA: as wished, else, or when that would be too late, while an eighth is left.
std::uint64_t soft_of(std::uint64_t wished, std::uint64_t hard) {
  if (wished != 0 && wished < hard) return wished;
  return hard - hard / 8;
}

}  // namespace

SaMeter::SaMeter(const CipherSuite& suite, std::uint64_t max_sequence, const ipsec::SaLimits& limits)
    : max_sequence_(max_sequence),
      hard_packets_(or_none(limits.hard_packets)),
      hard_bytes_(or_none(limits.hard_bytes)),
      hard_blocks_(suite.encr == EncrId::ENCR_CHACHA20_POLY1305 ? kNone : kMaxAesBlocks),
      soft_packets_(soft_of(limits.soft_packets, std::min(hard_packets_, max_sequence_))),
      soft_bytes_(soft_of(limits.soft_bytes, hard_bytes_)),
      soft_blocks_(soft_of(0, hard_blocks_)) {}

}  // namespace qanat::esp
