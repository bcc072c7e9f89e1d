// HalfOpenBook: what all IKE shards of a gateway have in the making, so that its limits hold for the gateway
// (ike/half_open.hpp). Every IKE datagram passes the gateway, so each shard hears with it what the others have.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ike/half_open.hpp"

namespace qanat::gateway {

class HalfOpenBook {
 public:
  explicit HalfOpenBook(std::size_t shards) : by_shard_(shards) {}

  void note(std::uint32_t shard, const ike::HalfOpenChanged& news) {
    Places& places = prefixes_[news.prefix];
    auto place = std::ranges::find(places, shard, &Place::first);
    if (place == places.end()) place = places.insert(places.end(), {shard, {}});
    for (ike::HalfOpenCounts* sum : {&all_, &by_shard_[shard]}) {
      *sum -= place->second;
      *sum += news.here;
    }
    place->second = news.here;
    if (news.here.total() == 0) places.erase(place);
    if (places.empty()) prefixes_.erase(news.prefix);
  }

  // What `shard` is told with a datagram from there; nullopt: it is the only one.
  [[nodiscard]] std::optional<ike::HalfOpenElsewhere> elsewhere(std::uint32_t shard, const IpAddress& source) const {
    if (by_shard_.size() < 2) return std::nullopt;
    ike::HalfOpenElsewhere out;
    out.heard = by_shard_[shard];
    out.others = all_;
    out.others -= out.heard;
    out.prefix = ike::half_open_prefix(source);
    const auto found = prefixes_.find(out.prefix);
    if (found == prefixes_.end()) return out;
    for (const auto& [there, counts] : found->second) (there == shard ? out.prefix_heard : out.prefix_others) += counts;
    return out;
  }

  [[nodiscard]] const ike::HalfOpenCounts& all() const { return all_; }
  [[nodiscard]] std::size_t prefixes() const { return prefixes_.size(); }

 private:
  using Place = std::pair<std::uint32_t, ike::HalfOpenCounts>;  // shard -> what it has
  using Places = std::vector<Place>;
  ike::HalfOpenCounts all_;
  std::vector<ike::HalfOpenCounts> by_shard_;
  std::map<Prefix, Places> prefixes_;  // those that have any
};

}  // namespace qanat::gateway
