// How replies are written as JSON, and read again by the command line. For the few files that have nlohmann's header.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qanat::control {

using Json = nlohmann::ordered_json;

inline constexpr int kIndent = 2;

[[nodiscard]] inline std::string text_of(const Json& json) {
  return json.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

[[nodiscard]] inline std::string text_member(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string{};
}

// The reply as an object; null when it is none.
[[nodiscard]] inline Json parse_object(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_object() ? json : Json(nullptr);
}

}  // namespace qanat::control
