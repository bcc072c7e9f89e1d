// TunnelPlaces: in which shards a tunnel has IKE SAs, for a gateway that has several.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/strong_id.hpp"

namespace qanat::gateway {

class TunnelPlaces {
 public:
  // An IKE SA of the tunnel stands in `shard`. The other shards that have some, in ascending order.
  [[nodiscard]] std::vector<std::uint32_t> meet(TunnelId tunnel, std::uint32_t shard) {
    std::vector<std::uint32_t> out = others(tunnel, shard);
    places_[tunnel].shards |= bit(shard);
    return out;
  }
  [[nodiscard]] std::vector<std::uint32_t> others(TunnelId tunnel, std::uint32_t shard) const {
    std::vector<std::uint32_t> out;
    const auto found = places_.find(tunnel);
    if (found == places_.end()) return out;
    for (std::uint64_t rest = found->second.shards & ~bit(shard); rest != 0; rest &= rest - 1)
      out.push_back(static_cast<std::uint32_t>(std::countr_zero(rest)));
    return out;
  }
  [[nodiscard]] bool has(TunnelId tunnel, std::uint32_t shard) const {
    const auto found = places_.find(tunnel);
    return found != places_.end() && (found->second.shards & bit(shard)) != 0;
  }
  void leave(TunnelId tunnel, std::uint32_t shard) {
    const auto found = places_.find(tunnel);
    if (found == places_.end()) return;
    found->second.shards &= ~bit(shard);
    if (found->second.shards == 0 && !found->second.home_knows) places_.erase(found);
  }
  // True once: the tunnel's home is to hear that the peer has been met.
  [[nodiscard]] bool tell_home(TunnelId tunnel) { return !std::exchange(places_[tunnel].home_knows, true); }
  // The tunnel was removed: its home has forgotten what it was told.
  void forget(TunnelId tunnel) {
    const auto found = places_.find(tunnel);
    if (found == places_.end()) return;
    found->second.home_knows = false;
    if (found->second.shards == 0) places_.erase(found);
  }
  // Tunnels that have an IKE SA.
  [[nodiscard]] std::size_t size() const {
    std::size_t out = 0;
    for (const auto& [tunnel, place] : places_) out += place.shards != 0;
    return out;
  }

 private:
  static constexpr std::uint64_t bit(std::uint32_t shard) { return std::uint64_t{1} << shard; }
  struct Place {
    std::uint64_t shards = 0;  // a bit for each
    bool home_knows = false;
  };
  std::unordered_map<TunnelId, Place> places_;
};

}  // namespace qanat::gateway
