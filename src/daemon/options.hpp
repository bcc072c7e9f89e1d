// The command line of qanatd.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace qanat::daemon {

struct Options {
  enum class Mode : std::uint8_t { Run, Protect, Purge } mode = Mode::Run;
  std::string config_file = "/etc/qanat/qanat.toml";
  std::string key_log_dir;  // empty: off
  std::string log_level;    // empty: as the config says
};

// Parses argv; an exit code when there is nothing to run (help, version, a mistake: already printed).
struct ParsedOptions {
  Options options;
  std::optional<int> exit_code;
};
[[nodiscard]] ParsedOptions parse_options(int argc, char** argv);

}  // namespace qanat::daemon
