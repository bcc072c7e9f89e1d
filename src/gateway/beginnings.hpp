// Beginnings: how many handshakes of ours are under way at once, and which tunnels wait for their turn.
//
// A gateway with thousands of tunnels that begins all of them in one moment fills its own and its peers' queues and
// loses messages, and each lost one costs a second. So they begin as the answers come in: one more at a time for every
// handshake that came through, half as many when one stays without an answer. One that has waited as long as the first
// retransmission takes is no longer counted, so peers that are dead do not hold up the others.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/strong_id.hpp"
#include "base/time.hpp"

namespace qanat::gateway {

class Beginnings {
 public:
  static constexpr std::size_t kFirst = 64;
  static constexpr std::size_t kLeast = 32;
  static constexpr std::size_t kMost = 1024;
  static constexpr Duration kPatience = 1s;

  // A tunnel wants to begin; it is named once however often it asks.
  void ask(TunnelId tunnel) {
    if (under_way_.contains(tunnel) || !waiting_.insert(tunnel).second) return;
    queue_.push_back(tunnel);
  }
  void forget(TunnelId tunnel) {
    waiting_.erase(tunnel);
    leave(tunnel);
  }
  // The next whose turn it is. It counts from now on.
  [[nodiscard]] std::optional<TunnelId> next(Instant now) {
    while (!queue_.empty() && under_way_.size() < at_once_) {
      const TunnelId tunnel = queue_.front();
      queue_.pop_front();
      if (waiting_.erase(tunnel) == 0) continue;  // forgotten meanwhile
      const Instant until = now + kPatience;
      under_way_[tunnel] = until;
      deadlines_.insert({until, tunnel});
      return tunnel;
    }
    return std::nullopt;
  }
  enum class End : std::uint8_t { Up, Failed };
  void end(TunnelId tunnel, End how) {
    if (leave(tunnel) && how == End::Up) at_once_ = std::min(at_once_ + 1, kMost);
  }
  void handle_timeout(Instant now) {
    if (deadlines_.empty() || deadlines_.begin()->first > now) return;
    at_once_ = std::max(at_once_ / 2, kLeast);
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) leave(deadlines_.begin()->second);
  }
  // Only while somebody waits: without that nothing depends on it.
  [[nodiscard]] std::optional<Instant> next_timeout() const {
    return queue_.empty() || deadlines_.empty() ? std::nullopt : std::optional{deadlines_.begin()->first};
  }
  [[nodiscard]] std::size_t at_once() const { return at_once_; }
  [[nodiscard]] std::size_t under_way() const { return under_way_.size(); }

 private:
  bool leave(TunnelId tunnel) {
    const auto found = under_way_.find(tunnel);
    if (found == under_way_.end()) return false;
    deadlines_.erase({found->second, tunnel});
    under_way_.erase(found);
    return true;
  }

  std::size_t at_once_ = kFirst;
  std::deque<TunnelId> queue_;
  std::set<TunnelId> waiting_;  // what of the queue still wants to begin
  std::map<TunnelId, Instant> under_way_;
  std::set<std::pair<Instant, TunnelId>> deadlines_;
};

}  // namespace qanat::gateway
