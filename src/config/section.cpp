#include "config/section.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"

namespace qanat::config {

namespace {

constexpr std::size_t kLongestGuess = 64;  // nobody mistypes a longer key, and the edit distance is quadratic

std::string nearest_word(std::string_view word, std::span<const std::string_view> candidates) {
  return word.size() > kLongestGuess ? std::string{} : std::string{nearest(word, candidates)};
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0 || number > 1'000'000'000) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit == "s") return std::chrono::seconds{number};
  if (unit == "m") return std::chrono::seconds{number * 60};
  if (unit == "h") return std::chrono::seconds{number * 3600};
  if (unit == "d") return std::chrono::seconds{number * 86400};
  return std::nullopt;
}

std::string duration_text(std::chrono::seconds time) {
  const std::int64_t s = time.count();
  if (s != 0 && s % 86400 == 0) return fmt::format("{}d", s / 86400);
  if (s != 0 && s % 3600 == 0) return fmt::format("{}h", s / 3600);
  if (s != 0 && s % 60 == 0) return fmt::format("{}m", s / 60);
  return fmt::format("{}s", s);
}

}  // namespace

const Entry* Section::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  const auto it =
      std::find_if(table_.entries.begin(), table_.entries.end(), [&](const Entry& e) { return e.key == key; });
  return it == table_.entries.end() ? nullptr : &*it;
}

Position Section::place(std::string_view key) const {
  const auto it =
      std::find_if(table_.entries.begin(), table_.entries.end(), [&](const Entry& e) { return e.key == key; });
  return it == table_.entries.end() ? at_ : it->at;
}

void Section::refuse(std::string_view key, const Value& value, std::string_view must, const std::string& hint) {
  problems_.error(value.at, fmt::format("{}: {} = {}: must be {}", title_, key, shown(value), must), hint);
}

void Section::refuse_text(std::string_view key, const Placed<std::string>& text, std::string_view why,
                          const std::string& hint) {
  problems_.error(text.at, fmt::format("{}: {} = {}: {}", title_, key, quoted(text.value), why), hint);
}

std::optional<Placed<std::string>> Section::text(std::string_view key, std::string_view allowed) {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(&entry->value.data))
    return Placed<std::string>{*text, entry->value.at};
  refuse(key, entry->value, allowed);
  return std::nullopt;
}

std::optional<Placed<bool>> Section::boolean(std::string_view key) {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  if (const bool* truth = std::get_if<bool>(&entry->value.data)) return Placed<bool>{*truth, entry->value.at};
  refuse(key, entry->value, "true or false, without quotes");
  return std::nullopt;
}

std::optional<Placed<std::int64_t>> Section::integer(std::string_view key, std::int64_t min, std::int64_t max,
                                                     Zero zero) {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  const auto* number = std::get_if<std::int64_t>(&entry->value.data);
  if (number && ((*number >= min && *number <= max) || (zero == Zero::Also && *number == 0))) {
    return Placed<std::int64_t>{*number, entry->value.at};
  }
  const bool is_text = std::holds_alternative<std::string>(entry->value.data);
  refuse(key, entry->value, fmt::format("{}a whole number from {} to {}", zero == Zero::Also ? "0, or " : "", min, max),
         is_text ? "numbers stand without quotes" : "");
  return std::nullopt;
}

std::optional<Placed<std::chrono::seconds>> Section::duration(std::string_view key, std::chrono::seconds min,
                                                              std::chrono::seconds max) {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  std::optional<std::chrono::seconds> time;
  if (const auto* number = std::get_if<std::int64_t>(&entry->value.data)) time = std::chrono::seconds{*number};
  if (const auto* text = std::get_if<std::string>(&entry->value.data)) time = parse_duration(*text);
  if (time && *time >= min && *time <= max) return Placed<std::chrono::seconds>{*time, entry->value.at};
  refuse(key, entry->value,
         fmt::format("a time from {} to {}: a number of seconds, or text like \"90s\", \"30m\", \"4h\"",
                     duration_text(min), duration_text(max)));
  return std::nullopt;
}

std::optional<std::vector<Placed<std::string>>> Section::texts(std::string_view key, std::string_view allowed) {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  const auto* array = std::get_if<Array>(&entry->value.data);
  if (!array) {
    const auto* text = std::get_if<std::string>(&entry->value.data);
    refuse(key, entry->value, allowed, text ? fmt::format("write {} = [{}]", key, quoted(*text)) : "");
    return std::nullopt;
  }
  std::vector<Placed<std::string>> out;
  for (const Value& item : array->items) {
    if (const auto* text = std::get_if<std::string>(&item.data)) {
      out.push_back({*text, item.at});
    } else {
      problems_.error(item.at,
                      fmt::format("{}: {}: the entry {} must be text in double quotes", title_, key, shown(item)));
    }
  }
  return out;
}

std::vector<Placed<std::string>> Section::text_or_texts(std::string_view key, std::string_view allowed) {
  const Entry* entry = find(key);
  const auto* one = entry ? std::get_if<std::string>(&entry->value.data) : nullptr;
  if (one) return {{*one, entry->value.at}};
  return texts(key, allowed).value_or(std::vector<Placed<std::string>>{});
}

std::optional<Placed<std::size_t>> Section::word(std::string_view key, std::span<const std::string_view> names) {
  const Entry* entry = find(key);
  if (!entry) return std::nullopt;
  const auto* text = std::get_if<std::string>(&entry->value.data);
  if (text) {
    const auto it = std::find(names.begin(), names.end(), *text);
    if (it != names.end()) return Placed<std::size_t>{static_cast<std::size_t>(it - names.begin()), entry->value.at};
  }
  const std::string guess = text ? nearest_word(*text, names) : std::string{};
  refuse(key, entry->value, fmt::format("\"{}\"", fmt::join(names, "\" or \"")),
         guess.empty() ? "" : fmt::format("did you mean \"{}\"?", guess));
  return std::nullopt;
}

void Section::finish() {
  for (const Entry& entry : table_.entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    const std::string guess = nearest_word(entry.key, known_);
    if (guess.empty()) {
      problems_.error(entry.at, fmt::format("unknown key '{}' in {}", printable(entry.key, kLongestGuess), section_),
                      fmt::format("keys of {}: {}", section_, fmt::join(known_, ", ")));
    } else {
      problems_.error(entry.at, fmt::format("unknown key '{}' in {}; did you mean '{}'?",
                                            printable(entry.key, kLongestGuess), section_, guess));
    }
  }
}

}  // namespace qanat::config
