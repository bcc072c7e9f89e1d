// Where load() collects what is wrong, and how a place in the file is written down. Internal to config/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace qanat::config {

struct Position {
  unsigned line = 0;
  unsigned column = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}

  void error(Position at, const std::string& message, const std::string& hint = {}) {
    add(at, message, hint, Severity::Error);
  }
  void warn(Position at, const std::string& message, const std::string& hint = {}) {
    add(at, message, hint, Severity::Warning);
  }

  [[nodiscard]] bool failed() const { return failed_; }
  // In the order of the file.
  [[nodiscard]] std::vector<Problem> take() &&;

 private:
  void add(Position at, const std::string& message, const std::string& hint, Severity severity);

  std::string file_;
  std::vector<Problem> list_;
  bool failed_ = false;
  bool more_ = false;  // than are kept
};

// Text of the file for a message: quoted, escaped, cut.
[[nodiscard]] std::string quoted(std::string_view text);
// The line of what no file has: it stands behind all lines.
inline constexpr unsigned kNoLine = 4294967295U;
[[nodiscard]] std::string line_of(Position at);  // "line 12"; "the API" for what no file has

}  // namespace qanat::config
