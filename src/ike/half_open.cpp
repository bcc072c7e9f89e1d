#include "ike/half_open.hpp"

#include <algorithm>

namespace qanat::ike {

namespace {

constexpr unsigned kPrefixV4 = 24;
constexpr unsigned kPrefixV6 = 56;
constexpr Duration kPatienceUnderLoad = 5s;  // RFC 8019 4.1 has 2 s as the floor; this lets two retransmissions through
constexpr unsigned kMaxSteps = 4;

// How often `limit` must be doubled to pass `count`.
unsigned doublings(std::size_t count, std::size_t limit) {
  unsigned out = 0;
  for (std::size_t step = 2 * std::max<std::size_t>(1, limit); count >= step && out < kMaxSteps; step *= 2) ++out;
  return out;
}

HalfOpenCounts above(const HalfOpenCounts& own, const HalfOpenCounts& heard) {
  return {own.verified - std::min(own.verified, heard.verified),
          own.unverified - std::min(own.unverified, heard.unverified)};
}

}  // namespace

Prefix half_open_prefix(const IpAddress& source) {
  return Prefix::masked(source, source.is_v4() ? kPrefixV4 : kPrefixV6);
}

bool HalfOpenTable::update(Standing& standing, bool half_open, bool verified) {
  if (standing.counted == half_open && (!half_open || standing.verified == verified)) return false;
  const auto slot = prefixes_.try_emplace(half_open_prefix(standing.source)).first;
  const auto one = [](bool is_verified) {
    return is_verified ? HalfOpenCounts{.verified = 1} : HalfOpenCounts{.unverified = 1};
  };
  if (standing.counted) {
    own_ -= one(standing.verified);
    slot->second -= one(standing.verified);
  }
  if (half_open) {
    own_ += one(verified);
    slot->second += one(verified);
  }
  standing.counted = half_open;
  standing.verified = verified;
  if (slot->second.total() == 0) prefixes_.erase(slot);
  return true;
}

HalfOpenChanged HalfOpenTable::news_of(const IpAddress& source) const {
  return {half_open_prefix(source), of(source).own};
}

HalfOpenTable::Counts HalfOpenTable::of(const IpAddress& source) const {
  const Prefix prefix = half_open_prefix(source);
  const auto found = prefixes_.find(prefix);
  Counts out;
  if (found != prefixes_.end()) out.own = found->second;
  out.all = out.own;
  if (elsewhere_ && elsewhere_->prefix == prefix) {
    out.all += elsewhere_->prefix_others;
    out.unheard = above(out.own, elsewhere_->prefix_heard);
  }
  return out;
}

HalfOpenTable::Counts HalfOpenTable::of_all() const {
  Counts out{own_, own_, {}};
  if (elsewhere_) {
    out.all += elsewhere_->others;
    out.unheard = above(own_, elsewhere_->heard);
  }
  return out;
}

bool HalfOpenTable::is_share_used(std::size_t unheard, std::size_t limit) const {
  const std::size_t shards = config_.shards.count;
  return elsewhere_ && unheard >= std::max<std::size_t>(1, (limit + shards - 1) / shards);
}

// `cookie_threshold` may be 0, "always": that alone is no load.
std::size_t HalfOpenTable::load_threshold() const {
  return std::max<std::size_t>({1, config_.cookie_threshold, config_.half_open_limit / 10});
}

bool HalfOpenTable::wants_cookie(const IpAddress& source) const {
  const Counts all = of_all();
  const Counts there = of(source);
  return all.all.unverified >= config_.cookie_threshold || there.all.unverified >= config_.prefix_limit ||
         is_share_used(all.unheard.unverified, config_.cookie_threshold) ||
         is_share_used(there.unheard.unverified, config_.prefix_limit);
}

bool HalfOpenTable::is_full(const IpAddress& source, bool verified) const {
  const Counts all = of_all();
  if (all.all.total() >= config_.half_open_limit || is_share_used(all.unheard.total(), config_.half_open_limit))
    return true;
  const Counts there = of(source);
  const std::size_t limit = kVerifiedShare * config_.prefix_limit;
  return verified && (there.all.verified >= limit || is_share_used(there.unheard.verified, limit));
}

bool HalfOpenTable::is_under_load() const {
  return of_all().all.total() >= load_threshold();
}

Duration HalfOpenTable::patience(const IpAddress& source) const {
  const HalfOpenCounts there = of(source).all;
  const bool suspect = std::max(there.unverified, there.verified) >= config_.prefix_limit;
  return is_under_load() || suspect ? std::min(kPatienceUnderLoad, config_.half_open_patience)
                                    : config_.half_open_patience;
}

std::uint8_t HalfOpenTable::difficulty(const IpAddress& source) const {
  if (config_.puzzle_difficulty == 0) return 0;
  const unsigned steps = std::max(doublings(of_all().all.total(), load_threshold()),
                                  doublings(of(source).all.total(), config_.prefix_limit));
  return static_cast<std::uint8_t>(config_.puzzle_difficulty + steps);
}

// All of them while the table is empty, none from half full: that half is for those who have worked for it.
unsigned HalfOpenTable::unsolved_per_mille() const {
  const std::size_t room = std::max<std::size_t>(1, config_.half_open_limit / 2);
  const std::size_t taken = of_all().all.total();
  return taken >= room ? 0U : static_cast<unsigned>(1000 * (room - taken) / room);
}

}  // namespace qanat::ike
