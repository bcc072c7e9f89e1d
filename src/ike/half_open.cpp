#include "ike/half_open.hpp"

#include <algorithm>

namespace qanat::ike {

namespace {

constexpr unsigned kPrefixV4 = 24;
constexpr unsigned kPrefixV6 = 56;
constexpr Duration kPatienceUnderLoad = 5s;  // RFC 8019 4.1 has 2 s as the floor; this lets two retransmissions through
constexpr unsigned kMaxSteps = 4;

Prefix prefix_of(const IpAddress& source) {
  return Prefix::masked(source, source.is_v4() ? kPrefixV4 : kPrefixV6);
}

// How often `limit` must be doubled to pass `count`.
unsigned doublings(std::size_t count, std::size_t limit) {
  unsigned out = 0;
  for (std::size_t step = 2 * std::max<std::size_t>(1, limit); count >= step && out < kMaxSteps; step *= 2) ++out;
  return out;
}

}  // namespace

void HalfOpenTable::update(Standing& standing, bool half_open, bool verified) {
  if (standing.counted == half_open && (!half_open || standing.verified == verified)) return;
  const auto slot = prefixes_.try_emplace(prefix_of(standing.source)).first;
  Counts& counts = slot->second;
  if (standing.counted) {
    --total_;
    --(standing.verified ? counts.verified : counts.unverified);
    if (!standing.verified) --unverified_;
  }
  if (half_open) {
    ++total_;
    ++(verified ? counts.verified : counts.unverified);
    if (!verified) ++unverified_;
  }
  standing.counted = half_open;
  standing.verified = verified;
  if (counts.verified + counts.unverified == 0) prefixes_.erase(slot);
}

HalfOpenTable::Counts HalfOpenTable::of(const IpAddress& source) const {
  const auto found = prefixes_.find(prefix_of(source));
  return found == prefixes_.end() ? Counts{} : found->second;
}

// `cookie_threshold` may be 0, "always": that alone is no load.
std::size_t HalfOpenTable::load_threshold() const {
  return std::max<std::size_t>({1, config_.cookie_threshold, config_.half_open_limit / 10});
}

bool HalfOpenTable::wants_cookie(const IpAddress& source) const {
  return unverified_ >= config_.cookie_threshold || of(source).unverified >= config_.prefix_limit;
}

bool HalfOpenTable::is_full(const IpAddress& source, bool verified) const {
  return total_ >= config_.half_open_limit ||
         (verified && of(source).verified >= kVerifiedShare * config_.prefix_limit);
}

bool HalfOpenTable::is_under_load() const {
  return total_ >= load_threshold();
}

Duration HalfOpenTable::patience(const IpAddress& source) const {
  const Counts counts = of(source);
  const bool suspect = std::max(counts.unverified, counts.verified) >= config_.prefix_limit;
  return is_under_load() || suspect ? std::min(kPatienceUnderLoad, config_.half_open_patience)
                                    : config_.half_open_patience;
}

std::uint8_t HalfOpenTable::difficulty(const IpAddress& source) const {
  if (config_.puzzle_difficulty == 0) return 0;
  const Counts counts = of(source);
  const unsigned steps = std::max(doublings(total_, load_threshold()),
                                  doublings(counts.verified + counts.unverified, config_.prefix_limit));
  return static_cast<std::uint8_t>(config_.puzzle_difficulty + steps);
}

// All of them while the table is empty, none from half full: that half is for those who have worked for it.
unsigned HalfOpenTable::unsolved_per_mille() const {
  const std::size_t room = std::max<std::size_t>(1, config_.half_open_limit / 2);
  return total_ >= room ? 0U : static_cast<unsigned>(1000 * (room - total_) / room);
}

}  // namespace qanat::ike
