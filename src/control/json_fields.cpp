#include "control/json_fields.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxShown = 64;

// Watches the parser: how deep it is, and which names an object has had. A lenient reader that takes the last of two
// equal names and a strict one that takes the first would not read the same tunnel.
class Watcher {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        too_deep_ = too_deep_ || static_cast<std::size_t>(depth) >= kMaxDepth;
        names_.emplace_back();
        break;
      case json::parse_event_t::array_start:
        too_deep_ = too_deep_ || static_cast<std::size_t>(depth) >= kMaxDepth;
        break;
      case json::parse_event_t::object_end:
        names_.pop_back();
        break;
      case json::parse_event_t::key:
        if (twice_.empty() && !names_.back().insert(parsed.get_ref<const std::string&>()).second)
          twice_ = parsed.get_ref<const std::string&>();
        break;
      case json::parse_event_t::array_end:
      case json::parse_event_t::value:
        break;
    }
    return !too_deep_;
  }
  [[nodiscard]] bool too_deep() const { return too_deep_; }
  [[nodiscard]] const std::string& twice() const { return twice_; }

 private:
  std::vector<std::set<std::string>> names_;
  bool too_deep_ = false;
  std::string twice_;
};

std::string escaped_pointer(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string{c};
  return out;
}

// The parser's depth is its own stack; what is deeper than this is refused before it is built.
bool is_deeper(std::string_view text) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      quoted = c != '"';
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace

ParsedBody parse_body(std::string_view text) {
  ParsedBody out;
  const auto refuse = [&](std::string message) {
    out.value = json::object();
    out.faults.push_back({ApiCode::NotJson, std::move(message)});
    return std::move(out);
  };
  if (text.empty()) return refuse("the body is empty: must be a JSON object");
  if (is_deeper(text)) return refuse(fmt::format("the body is nested deeper than {} levels", kMaxDepth));
  Watcher watcher;
  try {
    out.value = json::parse(
        text, [&](int depth, json::parse_event_t event, json& parsed) { return watcher(depth, event, parsed); });
  } catch (const json::parse_error& error) {
    return refuse(fmt::format("the body is no JSON, or no UTF-8: look at octet {}", error.byte));
  } catch (const json::exception&) {
    return refuse("the body has a number that is too large");
  }
  if (!watcher.twice().empty())
    return refuse(fmt::format("{} is given twice in one object", printable(watcher.twice(), kMaxShown)));
  if (!out.value.is_object()) return refuse(fmt::format("the body is {}: must be a JSON object", shown(out.value)));
  return out;
}

std::string shown(const json& value) {
  switch (value.type()) {
    case json::value_t::string:
      return fmt::format("\"{}\"", printable(value.get_ref<const std::string&>(), kMaxShown));
    case json::value_t::array:
      return "an array";
    case json::value_t::object:
      return "an object";
    default:
      return value.dump();
  }
}

std::string text_fault(std::string_view text, std::size_t most) {
  if (text.size() > most) return fmt::format("has {} octets, and at most {} are allowed", text.size(), most);
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), control)) return "has control characters";
  return {};
}

const json* Fields::find(std::string_view name) {
  known_.push_back(name);
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void Fields::report(ApiCode code, std::string message, std::string_view name) {
  if (faults_.size() >= kMaxFaults) return;
  faults_.push_back({code, std::move(message), pointer_ + (name.empty() ? "" : "/" + escaped_pointer(name))});
}

void Fields::refuse(std::string_view name, std::string_view must, ApiCode code) {
  const auto it = object_.find(name);
  report(code, fmt::format("{}{} = {}: {}", where_, name, it == object_.end() ? "null" : shown(*it), must), name);
}

void Fields::missing(std::string_view name, std::string_view must) {
  report(ApiCode::MissingField, fmt::format("{}{} is missing: {}", where_, name, must), name);
}

std::optional<std::string> Fields::text(std::string_view name, std::size_t most, std::string_view must) {
  const json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) {
    refuse(name, fmt::format("must be {}", must));
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (const std::string fault = text_fault(text, most); !fault.empty()) {
    refuse(name, fault);
    return std::nullopt;
  }
  return text;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const json* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  refuse(name, "must be true or false, without quotes");
  return std::nullopt;
}

std::optional<std::int64_t> Fields::integer(std::string_view name, std::int64_t min, std::int64_t max) {
  const json* value = find(name);
  if (!value) return std::nullopt;
  // 5.0 is what some clients make of 5.
  const bool whole = value->is_number_float() && value->get<double>() >= -9e15 && value->get<double>() <= 9e15 &&
                     value->get<double>() == static_cast<double>(static_cast<std::int64_t>(value->get<double>()));
  if (value->is_number_integer() || whole) {
    const bool huge = value->is_number_unsigned() && value->get<std::uint64_t>() > std::uint64_t{INT64_MAX};
    const std::int64_t number = huge ? INT64_MAX : value->get<std::int64_t>();
    if (!huge && number >= min && number <= max) return number;
  }
  refuse(name, fmt::format("must be a whole number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<std::size_t> Fields::word(std::string_view name, std::span<const std::string_view> words) {
  const json* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_string()) {
    const auto it = std::find(words.begin(), words.end(), value->get_ref<const std::string&>());
    if (it != words.end()) return static_cast<std::size_t>(it - words.begin());
  }
  const std::string_view guess = value->is_string() && value->get_ref<const std::string&>().size() < kMaxShown
                                     ? nearest(value->get_ref<const std::string&>(), words)
                                     : std::string_view{};
  refuse(name, fmt::format("must be one of {}{}", fmt::join(words, ", "),
                           guess.empty() ? "" : fmt::format("; did you mean {}?", guess)));
  return std::nullopt;
}

std::optional<std::vector<std::string>> Fields::texts(std::string_view name, std::size_t most, std::string_view must) {
  const json* value = find(name);
  if (!value) return std::nullopt;
  const auto is_text = [](const json& item) { return item.is_string(); };
  if (!value->is_array() || !std::all_of(value->begin(), value->end(), is_text)) {
    refuse(name, fmt::format("must be an array of {}", must));
    return std::nullopt;
  }
  if (value->size() > most) {
    refuse(name, fmt::format("has {} entries, and at most {} are allowed", value->size(), most));
    return std::nullopt;
  }
  return value->get<std::vector<std::string>>();
}

std::optional<Fields> Fields::object(std::string_view name) {
  const json* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_object()) {
    refuse(name, "must be an object");
    return std::nullopt;
  }
  return Fields{*value, fmt::format("{}{}.", where_, name), pointer_ + "/" + escaped_pointer(name), faults_};
}

void Fields::read_only(std::span<const std::string_view> names) {
  known_.insert(known_.end(), names.begin(), names.end());
}

void Fields::finish() {
  for (const auto& [name, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const std::string_view guess = name.size() < kMaxShown ? nearest(name, known_) : std::string_view{};
    report(ApiCode::UnknownField,
           fmt::format("{}{}: there is no such field{}", where_, printable(name, kMaxShown),
                       guess.empty() ? "" : fmt::format("; did you mean {}?", guess)),
           name);
  }
}

}  // namespace qanat::control
