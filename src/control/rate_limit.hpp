// RateLimit: how often somebody may ask, by a key (an address, a token's name). A bucket that fills at a steady rate up
// to a burst; each request takes one. Pure: time is an argument, and memory is bounded.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/time.hpp"

namespace qanat::control {

class RateLimit {
 public:
  struct Rate {
    double per_second = 1;
    double burst = 1;  // what a full bucket holds; at least 1
  };
  // Of more than `most_keys` the one that has asked longest ago is forgotten: its bucket is as good as full.
  explicit RateLimit(Rate rate, std::size_t most_keys = 10'000);

  // Takes one. Otherwise: how long until there is one.
  [[nodiscard]] std::optional<Duration> take(const std::string& key, Instant now);
  // The same without taking.
  [[nodiscard]] std::optional<Duration> look(const std::string& key, Instant now) const;
  [[nodiscard]] std::size_t size() const { return at_.size(); }

 private:
  struct Bucket {
    std::string key;
    Instant full_at;  // when it will be full again: all that there is to remember
  };
  [[nodiscard]] std::optional<Duration> missing(Instant full_at, Instant now) const;

  Duration interval_;  // for one to come back
  Duration burst_;     // for a whole bucket
  std::size_t most_;
  std::list<Bucket> buckets_;  // the last to have asked first
  std::unordered_map<std::string, std::list<Bucket>::iterator> at_;
};

}  // namespace qanat::control
