// `qanat debug bundle`: what a report of trouble needs, in a new folder, without any secret.
#pragma once

#include <string>
#include <string_view>

#include "cli/run.hpp"

namespace qanat::cli {

[[nodiscard]] int debug_bundle(const CommandLine& line, Shell& shell);

// A TOML file without its comments and without the values of keys that hold secrets. Works on files that do not parse:
// from the first string without an end on, nothing is kept.
[[nodiscard]] std::string without_secrets(std::string_view toml);

}  // namespace qanat::cli
