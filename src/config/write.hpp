// The way back: a configuration as the text of a file that load() reads as the same configuration, and the files that
// it names. Only what differs from the defaults is written.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"

namespace qanat::config {

struct WrittenFile {
  std::string name;  // "berlin.psk": relative to the configuration's folder
  SecretBytes octets;
  bool secret = true;  // mode 0600
};
struct Written {
  std::string text;
  std::vector<WrittenFile> files;  // keys, certificates and revocation lists
};

[[nodiscard]] Written write(const model::Config& config);

}  // namespace qanat::config
