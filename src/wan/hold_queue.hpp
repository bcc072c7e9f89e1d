// HoldQueue: packets that wait a short, equal time for something that has a key: an outbound SA of their tunnel, or
// the key of their SPI. Bounded per key and in octets over all keys.
#pragma once

#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/time.hpp"

namespace qanat::wan {

// Item: movable, with size() in octets.
template <typename Key, typename Item>
class HoldQueue {
 public:
  HoldQueue(std::size_t per_key, std::size_t octets, Duration time)
      : per_key_(per_key), max_octets_(octets), time_(time) {}

  // True when there is room for `octets` more under this key; asked before a packet is copied.
  [[nodiscard]] bool has_room(const Key& key, std::size_t octets) const {
    if (octets_ + octets > max_octets_) return false;
    const auto found = held_.find(key);
    return found == held_.end() ? per_key_ != 0 : found->second.size() < per_key_;
  }
  void push(Instant now, const Key& key, Item item) {
    octets_ += item.size();
    const Entry& entry = held_[key].emplace_back(Entry{.serial = next_serial_++, .item = std::move(item)});
    order_.push_back({.until = now + time_, .key = key, .serial = entry.serial});
  }

  [[nodiscard]] bool holds(const Key& key) const { return held_.contains(key); }
  [[nodiscard]] std::size_t count(const Key& key) const {
    const auto found = held_.find(key);
    return found == held_.end() ? 0 : found->second.size();
  }
  // Everything under a key, in the order that it came.
  [[nodiscard]] std::deque<Item> take(const Key& key) {
    return take(key, [](const Item&) { return true; });
  }
  // Of a key, in the order that it came, what `wanted(Item&)` says; the rest waits on with its old deadline. `wanted`
  // must not touch the queue.
  template <typename Wanted>
  [[nodiscard]] std::deque<Item> take(const Key& key, const Wanted& wanted) {
    std::deque<Item> out;
    const auto found = held_.find(key);
    if (found == held_.end()) return out;
    std::deque<Entry> kept;
    for (Entry& entry : found->second) {
      if (wanted(entry.item)) {
        octets_ -= entry.item.size();
        out.push_back(std::move(entry.item));
      } else {
        kept.push_back(std::move(entry));
      }
    }
    if (kept.empty()) {
      held_.erase(found);
    } else {
      found->second = std::move(kept);
    }
    forget_taken();
    return out;
  }

  // When the oldest has waited long enough.
  [[nodiscard]] std::optional<Instant> next() const {
    return order_.empty() ? std::nullopt : std::optional{order_.front().until};
  }
  // Removes one that has.
  [[nodiscard]] std::optional<std::pair<Key, Item>> expire(Instant now) {
    if (order_.empty() || order_.front().until > now) return std::nullopt;
    const Key key = order_.front().key;
    auto found = held_.find(key);
    std::pair<Key, Item> out{key, std::move(found->second.front().item)};
    octets_ -= out.second.size();
    found->second.pop_front();
    if (found->second.empty()) held_.erase(found);
    order_.pop_front();
    forget_taken();
    return out;
  }

 private:
  struct Entry {
    std::uint64_t serial = 0;
    Item item;
  };
  struct Turn {
    Instant until;
    Key key;
    std::uint64_t serial = 0;
  };
  // After this, the front of order_ is a packet that is still held; behind it stay at most those of the same second.
  void forget_taken() {
    while (!order_.empty()) {
      const auto found = held_.find(order_.front().key);
      if (found != held_.end() && found->second.front().serial == order_.front().serial) return;
      order_.pop_front();
    }
  }

  std::size_t per_key_;
  std::size_t max_octets_;
  Duration time_;
  std::size_t octets_ = 0;
  std::uint64_t next_serial_ = 0;
  std::unordered_map<Key, std::deque<Entry>> held_;
  std::deque<Turn> order_;  // the oldest first; may name packets that were taken
};

}  // namespace qanat::wan
