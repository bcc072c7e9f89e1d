// Reading the configuration and its secrets from disk, while the process may still read them.
#pragma once

#include <expected>
#include <map>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace qanat::daemon {

// Prints every problem to standard error. Error{LocalPolicy} when the file cannot be used. A psk_file or
// key_file that others may read is refused.
[[nodiscard]] Result<config::LoadedConfig> read_config(const std::string& file);

// A configuration and all files that it names, as they were at one moment: for a reload, where one process may read
// (daemon/config_reader.hpp) and another one judges.
struct ConfigFiles {
  Result<SecretBytes> text;
  std::map<std::string, Result<SecretBytes>> secrets;  // by the path that the configuration writes
  std::map<std::string, Result<SecretBytes>> others;

  [[nodiscard]] static ConfigFiles read(const std::string& file);
  [[nodiscard]] std::expected<config::LoadedConfig, std::vector<config::Problem>> load(const std::string& file,
                                                                                       WallTime now) const;
};

}  // namespace qanat::daemon
