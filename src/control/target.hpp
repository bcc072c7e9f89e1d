// The target of a request, taken apart: what stands between the slashes, and the parameters behind the question mark.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qanat::control {

struct Target {
  std::vector<std::string> path;  // decoded segments
  std::vector<std::pair<std::string, std::string>> query;
};

// nullopt: it does not begin with a slash, or has a '%' without two hexadecimal digits.
[[nodiscard]] std::optional<Target> parse_target(std::string_view text);
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char at);

}  // namespace qanat::control
