// --keylog: what Wireshark needs, appended to files in a folder that only its owner can read.
//
//   DIR/gen<N>/ikev2_decryption_table   keys of generation N of every IKE SA (Wireshark holds one key set per SPI pair,
//                                       each key exchange makes a new generation)
//   DIR/esp_sa                          every ESP SA
#pragma once

#include <string>

#include "ike/actions.hpp"

namespace qanat::daemon {

// The line for the table, without its end. An algorithm that Wireshark has no name for gives an empty line.
[[nodiscard]] std::string key_log_line(const ike::KeyLog& keys);
[[nodiscard]] std::string key_log_line(const ike::EspKeyLog& keys);

class KeyLogWriter {
 public:
  explicit KeyLogWriter(std::string directory) : directory_(std::move(directory)) {}
  // Makes the folder (0700). Before rights are dropped: it then belongs to `uid`.
  [[nodiscard]] Status prepare(std::uint32_t uid, std::uint32_t gid) const;
  [[nodiscard]] Status write(const ike::KeyLog& keys) const;
  [[nodiscard]] Status write(const ike::EspKeyLog& keys) const;

 private:
  std::string directory_;
};

}  // namespace qanat::daemon
