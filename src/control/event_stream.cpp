#include "control/event_stream.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "control/event_ring.hpp"
#include "control/status_json.hpp"

namespace qanat::control {

namespace {

template <typename Number>
std::optional<Number> number(std::string_view text) {
  Number out = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (fault != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return out;
}

}  // namespace

std::optional<EventPlace> parse_event_id(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    const auto alone = number<std::uint64_t>(text);
    if (!alone) return std::nullopt;
    return EventPlace{std::nullopt, *alone};
  }
  const auto start = number<std::int64_t>(text.substr(0, dot));
  const auto at = number<std::uint64_t>(text.substr(dot + 1));
  if (!start || !at) return std::nullopt;
  return EventPlace{WallTime{*start}, *at};
}

std::uint64_t begin_of(const EventStreamWish& wish, WallTime started, std::uint64_t last) {
  if (!wish.after) return last;
  if (wish.after->start && *wish.after->start != started) return 0;
  return wish.after->number > last ? 0 : wish.after->number;
}

std::string event_text(const Event& event, WallTime started) {
  return fmt::format("id: {}.{}\ndata: {}\n\n", started.seconds, event.number, to_json(event));
}

std::string gap_text(std::uint64_t from, std::uint64_t to) {
  return fmt::format("event: gap\ndata: {{\"from\":{},\"to\":{}}}\n\n", from, to);
}

}  // namespace qanat::control
