// Reading the configuration and its secrets from disk, while the process may still read them.
#pragma once

#include <string>

#include "config/config.hpp"

namespace qanat::daemon {

// Prints every problem to standard error. Error{LocalPolicy} when the file cannot be used. A psk_file or
// key_file that others may read is refused.
[[nodiscard]] Result<model::Config> read_config(const std::string& file);

}  // namespace qanat::daemon
