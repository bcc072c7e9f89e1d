// A TOML file as a small tree of our own, with the place of every key and value in the file; toml++ itself is seen
// only by toml_tree.cpp. Internal to config/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/problems.hpp"

namespace qanat::config {

struct Value;
struct Entry;
struct Array {
  std::vector<Value> items;
};
struct Table {
  std::vector<Entry> entries;  // in the order of the file
};
struct OtherValue {
  std::string kind;  // "a date", "a number with a fraction"
};

struct Value {
  Position at;
  std::variant<std::string, std::int64_t, bool, Array, Table, OtherValue> data;
};
struct Entry {
  std::string key;
  Position at;  // of the key; its value may stand on a later line
  Value value;
};

// nullopt after a mistake of grammar, which is in `problems`.
[[nodiscard]] std::optional<Table> parse_toml(std::string_view text, Problems& problems);

// The value for a message: "\"text\"", "12", "true", "an array", "a table".
[[nodiscard]] std::string shown(const Value& value);

}  // namespace qanat::config
