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
// How much weight `used` may still take on before it reaches `limit`.
std::uint64_t room(std::uint64_t limit, std::uint64_t used, std::uint64_t weight_of_one) {
  const std::uint64_t rest = limit > used ? limit - used : 0;
  return rest > kNone / weight_of_one ? kNone : rest * weight_of_one;
}

}  // namespace

SaMeter::SaMeter(const CipherSuite& suite, SequenceNumbers numbers, const ipsec::SaLimits& limits)
    : bounds_(std::make_unique<Bounds>(Bounds{
          .limits = limits, .numbers = numbers, .bounded_cipher = suite.encr != EncrId::ENCR_CHACHA20_POLY1305})) {
  refill();
}

SaMeter::Limits SaMeter::Bounds::hard() const {
  return {.packets = or_none(limits.hard_packets),
          .bytes = or_none(limits.hard_bytes),
          .blocks = bounded_cipher ? kMaxAesBlocks : kNone};
}

SaMeter::Limits SaMeter::Bounds::soft() const {
  const Limits last = hard();
  return {.packets = soft_of(limits.soft_packets, std::min(last.packets, max_sequence())),
          .bytes = soft_of(limits.soft_bytes, last.bytes),
          .blocks = soft_of(0, last.blocks)};
}

std::optional<DropReason> SaMeter::blocked_now() const {
  if (packets_ >= bounds_->max_sequence()) return DropReason::SeqExhausted;
  if (reached(bounds_->hard())) return DropReason::HardLimit;
  return std::nullopt;
}

bool SaMeter::take_soft_now() {
  refill();
  if (bounds_->soft_told || !reached(bounds_->soft())) return false;
  bounds_->soft_told = true;
  refill();
  return true;
}

bool SaMeter::take_hard_now() {
  if (bounds_->hard_told || !blocked_now()) return false;
  bounds_->hard_told = true;
  return true;
}

// The least room below the limits that are still to be told of.
void SaMeter::refill() {
  const Bounds& b = *bounds_;
  const auto below = [&](const Limits& limits) {
    return std::min({room(limits.packets, packets_, kPacketWeight), room(limits.bytes, bytes_, 1),
                     room(limits.blocks, blocks_, 16)});
  };
  left_ = std::min(below(b.hard()), room(b.max_sequence(), packets_, kPacketWeight));
  if (!b.soft_told) left_ = std::min(left_, below(b.soft()));
}

}  // namespace qanat::esp
