#include "config/toml_tree.hpp"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

namespace qanat::config {

namespace {

Position position_of(const toml::source_region& region, Position fallback) {
  return region.begin ? Position{region.begin.line, region.begin.column} : fallback;
}

Value convert(const toml::node& node, Position fallback);

Table convert_table(const toml::table& table, Position at) {
  Table out;
  out.entries.reserve(table.size());
  for (const auto& [key, node] : table) {
    const Position key_at = position_of(key.source(), position_of(node.source(), at));
    out.entries.push_back({std::string{key.str()}, key_at, convert(node, key_at)});
  }
  std::sort(out.entries.begin(), out.entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.at, a.key) < std::tie(b.at, b.key); });
  return out;
}

Value convert(const toml::node& node, Position fallback) {
  Value out;
  out.at = position_of(node.source(), fallback);
  if (const auto* text = node.as_string()) {
    out.data = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.data = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    out.data = boolean->get();
  } else if (const auto* array = node.as_array()) {
    Array items;
    items.items.reserve(array->size());
    for (const toml::node& item : *array) items.items.push_back(convert(item, out.at));
    out.data = std::move(items);
  } else if (const auto* table = node.as_table()) {
    out.data = convert_table(*table, out.at);
  } else {
    out.data = OtherValue{node.is_floating_point() ? "a number with a fraction" : "a date or time"};
  }
  return out;
}

}  // namespace

std::optional<Table> parse_toml(std::string_view text, Problems& problems) {
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    const toml::parse_error& error = result.error();
    std::string message{error.description()};
    problems.error(
        position_of(error.source(), {1, 1}), "this is not TOML: " + message,
        "a line is key = value; text needs double quotes (peer = \"198.51.100.7\"), numbers and true or false "
        "do not; a section is [gateway], or [[tunnel]] with two brackets");
    return std::nullopt;
  }
  return convert_table(result.table(), {1, 1});
}

std::string shown(const Value& value) {
  struct Show {
    std::string operator()(const std::string& text) const { return quoted(text); }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(bool truth) const { return truth ? "true" : "false"; }
    std::string operator()(const Array&) const { return "an array"; }
    std::string operator()(const Table&) const { return "a table"; }
    std::string operator()(const OtherValue& other) const { return other.kind; }
  };
  return std::visit(Show{}, value.data);
}

}  // namespace qanat::config
