// EventRing: the last events of the log, for GET /v1/events. Bounded; entries are shared with snapshots, so that giving
// them to a reader copies pointers. Command: add(). Getters: recent().
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "control/event_codes.hpp"

namespace qanat::control {

struct Event {
  std::uint64_t number = 0;  // 1, 2, 3, ... since the daemon's start
  WallTime at;
  EventLevel level{};
  std::string name;  // of event_codes.hpp
  std::vector<std::pair<std::string, std::string>> fields;
  std::string account = {};  // whose it is: a VRF's name; empty: the gateway's
  friend bool operator==(const Event&, const Event&) = default;
};
using Events = std::vector<std::shared_ptr<const Event>>;  // the oldest first

// The value of the field "tunnel"; empty when the event is of none.
[[nodiscard]] inline std::string_view tunnel_of(const Event& event) {
  for (const auto& [key, value] : event.fields) {
    if (key == "tunnel") return value;
  }
  return {};
}

class EventRing {
 public:
  static constexpr std::size_t kLimit = 1000;
  explicit EventRing(std::size_t limit = kLimit) : limit_(limit) {}

  void add(WallTime at, EventLevel level, std::string name, std::vector<std::pair<std::string, std::string>> fields,
           std::string account = {}) {
    if (events_.size() == limit_) events_.pop_front();
    events_.push_back(std::make_shared<const Event>(
        Event{++last_, at, level, std::move(name), std::move(fields), std::move(account)}));
  }
  [[nodiscard]] Events recent() const { return {events_.begin(), events_.end()}; }
  [[nodiscard]] std::uint64_t last() const { return last_; }                        // 0: there was none yet
  [[nodiscard]] std::uint64_t first() const { return last_ + 1 - events_.size(); }  // that is still known
  // null: not yet, or no longer.
  [[nodiscard]] std::shared_ptr<const Event> at(std::uint64_t number) const {
    return number < first() || number > last_ ? nullptr : events_[static_cast<std::size_t>(number - first())];
  }

 private:
  std::size_t limit_;
  std::deque<std::shared_ptr<const Event>> events_;
  std::uint64_t last_ = 0;
};

}  // namespace qanat::control
