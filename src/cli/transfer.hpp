// `qanat import`: what the daemon is sent.
#pragma once

#include "cli/command_line.hpp"
#include "cli/run.hpp"
#include "control/transfer.hpp"

namespace qanat::cli {

// A configuration file with the files that it names, or a bundle opened with `line.key_file`. The error's detail is
// for people; a configuration's problems are rendered, one a line.
[[nodiscard]] Result<control::Transfer> read_transfer(const CommandLine& line, const Shell& shell);
// The key of a bundle, without its line end.
[[nodiscard]] Result<SecretBytes> read_bundle_key(const std::string& path, const Shell& shell);

// {"key":"..."}
[[nodiscard]] std::string export_request(const SecretBytes& key);
// "imported 3 objects": of the daemon's answer.
[[nodiscard]] std::string import_text(std::string_view body);

}  // namespace qanat::cli
