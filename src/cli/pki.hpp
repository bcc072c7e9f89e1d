// `qanat pki`: a small certificate authority with safe defaults. Files in, files out; certificates are made in pki/.
#pragma once

#include "cli/run.hpp"

namespace qanat::cli {

[[nodiscard]] int pki_command(const CommandLine& line, Shell& shell);

}  // namespace qanat::cli
