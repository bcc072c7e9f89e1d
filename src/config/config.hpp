// The configuration file: TOML text in, model objects out. Pure: the caller reads the files.
//
// load() reports every problem of a file at once, each with its line and column, the key, the value, what is allowed
// and, where we can know it, what to write instead. Only a mistake of TOML's own grammar hides what follows it.
// Keys are listed in docs/config.md; an unknown key is an error with the nearest known one.
#pragma once

#include <expected>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"
#include "model/tunnel.hpp"

namespace qanat::config {

enum class Severity : std::uint8_t { Error, Warning };

struct Problem {
  std::string file;
  unsigned line = 0;  // from 1; 0: the file as a whole
  unsigned column = 0;
  std::string message;
  std::string hint;  // what to do, empty when the message says it all
  Severity severity = Severity::Error;

  friend bool operator==(const Problem&, const Problem&) = default;
};

struct LoadedConfig {
  model::Config config;
  std::vector<Problem> warnings;
};

// Gives the octets of a psk_file. Gets the path as it is written in the file: the caller resolves a relative one
// against the folder of the configuration file, and checks the file's mode.
using FileReader = std::function<Result<SecretBytes>(const std::string& path)>;

// `file_name` is only printed. On failure: all errors, and the warnings beside them, in the order of the file.
[[nodiscard]] std::expected<LoadedConfig, std::vector<Problem>> load(std::string_view text,
                                                                     const std::string& file_name,
                                                                     const FileReader& read_file);

// "qanat.toml:12:3: error: ...\n  hint: ...\n", one problem after the other; no control characters.
[[nodiscard]] std::string render_problems(std::span<const Problem> problems);

// A configuration file larger than this is refused unread, and so is a psk_file.
inline constexpr std::size_t kMaxConfigSize = std::size_t{16} << 20;
inline constexpr std::size_t kMaxPskSize = 4096;

}  // namespace qanat::config
