// EventFeed: the last events of the log for whoever asks, and streams that get each one as it happens. Written by the
// control thread, read by those of HTTP.
//
// A stream holds no events of its own, only the number that it has come to: a slow reader costs nothing, and is told
// of the events that were forgotten meanwhile.
#pragma once

#include <memory>

#include "control/api.hpp"
#include "control/event_ring.hpp"

namespace qanat::daemon {

class EventFeed {
 public:
  explicit EventFeed(WallTime started);

  // `account`: whose it is; empty: the gateway's.
  void add(WallTime at, control::EventLevel level, std::string name,
           std::vector<std::pair<std::string, std::string>> fields, const std::string& account = {});
  [[nodiscard]] control::Events recent() const;
  // Those of one account, which have numbers of their own: how many others there are, nobody learns from them.
  [[nodiscard]] control::Events recent(const std::string& account) const;
  [[nodiscard]] control::Reply open(const control::EventStreamWish& wish);

 private:
  struct State;
  class Stream;
  std::shared_ptr<State> state_;  // streams outlive the feed
};

}  // namespace qanat::daemon
