#include "control/rate_limit.hpp"

#include <algorithm>

namespace qanat::control {

RateLimit::RateLimit(Rate rate, std::size_t most_keys)
    : interval_(static_cast<std::int64_t>(1e9 / rate.per_second)),
      burst_(static_cast<std::int64_t>(1e9 / rate.per_second * std::max(rate.burst, 1.0))),
      most_(std::max<std::size_t>(most_keys, 1)) {}

std::optional<Duration> RateLimit::missing(Instant full_at, Instant now) const {
  const Duration owed = std::max(full_at - now, Duration{0});
  const Duration over = owed + interval_ - burst_;
  if (over <= Duration{0}) return std::nullopt;
  return over;
}

std::optional<Duration> RateLimit::look(const std::string& key, Instant now) const {
  const auto found = at_.find(key);
  return found == at_.end() ? std::nullopt : missing(found->second->full_at, now);
}

std::optional<Duration> RateLimit::take(const std::string& key, Instant now) {
  auto found = at_.find(key);
  if (found == at_.end()) {
    if (at_.size() >= most_) {
      at_.erase(buckets_.back().key);
      buckets_.pop_back();
    }
    buckets_.push_front({key, now});
    found = at_.emplace(key, buckets_.begin()).first;
  } else {
    buckets_.splice(buckets_.begin(), buckets_, found->second);
  }
  Bucket& bucket = *found->second;
  if (const auto wait = missing(bucket.full_at, now)) return wait;
  bucket.full_at = std::max(bucket.full_at, now) + interval_;
  return std::nullopt;
}

}  // namespace qanat::control
