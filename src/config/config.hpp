// The configuration file: TOML text in, model objects out. Pure: the caller reads the files.
//
// load() reports every problem of a file at once, each with its line and column, the key, the value, what is allowed
// and, where we can know it, what to write instead. Only a mistake of TOML's own grammar hides what follows it.
// Keys are listed in docs/config.md; an unknown key is an error with the nearest known one.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"
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
  std::map<std::string, unsigned> lines = {};  // of "tunnel berlin", "route 10.1.0.0/16 via berlin", "policy x"
};

// Gives the octets of the files that a configuration names: secrets (psk_file, key_file), whose mode the caller
// checks, and public ones (certificates, revocation lists). Gets the path as it is written in the file: the caller
// resolves a relative one against the folder of the configuration file.
class FileReader {
 public:
  using Read = std::function<Result<SecretBytes>(const std::string& path)>;
  FileReader(Read secret, Read open) : secret_(std::move(secret)), open_(std::move(open)) {}
  // One for both.
  template <typename F>
    requires(std::is_invocable_r_v<Result<SecretBytes>, F, const std::string&> && !std::is_same_v<F, FileReader>)
  FileReader(F read) : FileReader(read, read) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] Result<SecretBytes> operator()(const std::string& path) const { return secret_(path); }
  [[nodiscard]] Result<SecretBytes> read_public(const std::string& path) const { return open_(path); }

 private:
  Read secret_;
  Read open_;
};

// `file_name` is only printed. On failure: all errors, and the warnings beside them, in the order of the file. Without
// `now` no certificate is found to expire.
[[nodiscard]] std::expected<LoadedConfig, std::vector<Problem>> load(std::string_view text,
                                                                     const std::string& file_name,
                                                                     const FileReader& read_file,
                                                                     std::optional<WallTime> now = std::nullopt);

// "qanat.toml:12:3: error: ...\n  hint: ...\n", one problem after the other; no control characters.
[[nodiscard]] std::string render_problems(std::span<const Problem> problems);

// Larger files are refused unread.
inline constexpr std::size_t kMaxConfigSize = std::size_t{16} << 20;
inline constexpr std::size_t kMaxSecretFile = std::size_t{64} << 10;
inline constexpr std::size_t kMaxPublicFile = std::size_t{2} << 20;
inline constexpr std::size_t kMaxPskSize = 4096;

}  // namespace qanat::config
