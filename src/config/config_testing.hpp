// What the tests of config/ share: a file system of two keys, and configurations made of one line.
#pragma once

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config.hpp"

namespace qanat::config::testing {

inline Result<SecretBytes> read_fake(const std::string& path) {
  if (path == "good.psk")
    return SecretBytes::copy_of(to_bytes(std::string_view{"qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"}));
  if (path == "short.psk") return SecretBytes::copy_of(to_bytes(std::string_view{"hunter2\r\n"}));
  if (path == "empty.psk") return SecretBytes::copy_of(to_bytes(std::string_view{"\n"}));
  if (path == "two.psk") return SecretBytes::copy_of(to_bytes(std::string_view{"first-line-of-a-long-key\nsecond\n"}));
  if (path == "big.psk") return SecretBytes{5000};
  return fail(ErrorKind::Resource, path, "cannot be read: No such file or directory");
}

inline std::expected<LoadedConfig, std::vector<Problem>> load_text(std::string_view text) {
  return load(text, "qanat.toml", read_fake);
}

inline const std::string kGateway = "[gateway]\naddress = [\"203.0.113.1\", \"2001:db8::1\"]\n";

// A tunnel that is fine, with `more` lines at its end. Its lines: [[tunnel]] is 3, name 4, peer 5, psk_file 6.
inline std::string with_tunnel(std::string_view more) {
  return kGateway + "[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\npsk_file = \"good.psk\"\n" +
         std::string{more} + "\n";
}
inline std::string second_tunnel(std::string_view more) {
  return "[[tunnel]]\nname = \"paris\"\npsk_file = \"good.psk\"\n" + std::string{more} + "\n";
}

// Everything that load() says about a text, errors and warnings.
inline std::string said(std::string_view text) {
  const auto loaded = load_text(text);
  return loaded ? render_problems(loaded->warnings) : render_problems(loaded.error());
}
inline bool fails(std::string_view text) {
  return !load_text(text).has_value();
}

}  // namespace qanat::config::testing
