// Events as they happen: the text of server-sent events (WHATWG HTML 9.2), and where a reader wants to go on.
//
//   id: 1790000000.17                                        the daemon's start, and the event's number
//   data: {"number":17,"time":"...","level":"info","event":"tunnel-up","fields":{...}}
//
//   event: gap                                               events were forgotten before they could be sent
//   data: {"from":18,"to":40}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"

namespace qanat::control {

struct Event;

struct EventPlace {
  std::optional<WallTime> start;  // of which daemon; nullopt: of the one that is asked
  std::uint64_t number = 0;
};
// nullopt: no id of ours.
[[nodiscard]] std::optional<EventPlace> parse_event_id(std::string_view text);

// What handle() finds in a request for a stream; the shell opens it.
struct EventStreamWish {
  std::optional<EventPlace> after;          // nullopt: only what comes
  std::string tunnel;                       // empty: of all
  std::optional<std::string> account = {};  // whose alone; nullopt: everybody's
};
// The number behind which the reader goes on: of another daemon's, from the beginning.
[[nodiscard]] std::uint64_t begin_of(const EventStreamWish& wish, WallTime started, std::uint64_t last);

[[nodiscard]] std::string event_text(const Event& event, WallTime started);
[[nodiscard]] std::string gap_text(std::uint64_t from, std::uint64_t to);
inline constexpr std::string_view kEventStreamBegin = "retry: 2000\n\n";
inline constexpr std::string_view kEventStreamSilence = ":\n\n";

}  // namespace qanat::control
