// `qanat reload` and `qanat check --diff`.
#pragma once

#include <string>

#include "control/reload_json.hpp"

namespace qanat::cli {

// A row a change: what, which keys, and what that does; the message below them.
[[nodiscard]] std::string reload_table(const control::ReloadReport& report);
// Of several lines, each without control characters.
[[nodiscard]] std::string clean_lines(const std::string& text);

}  // namespace qanat::cli
