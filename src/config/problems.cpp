#include "config/problems.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/text.hpp"

namespace qanat::config {

namespace {

// Nobody reads more; a file of another kind given by mistake would fill the screen.
constexpr std::size_t kMaxProblems = 100;
constexpr std::size_t kMaxShown = 64;
constexpr std::size_t kMaxMessage = 1000;

std::string without_controls(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxMessage)) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet >= 0x20 && octet < 0x7f) {
      out.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", octet);
    }
  }
  return out;
}

}  // namespace

void Problems::add(Position at, const std::string& message, const std::string& hint, Severity severity) {
  failed_ = failed_ || severity == Severity::Error;
  if (list_.size() == kMaxProblems) {
    more_ = true;
    return;
  }
  const auto place = std::upper_bound(list_.begin(), list_.end(), at, [](Position p, const Problem& other) {
    return p < Position{other.line, other.column};
  });
  list_.insert(place, {file_, at.line, at.column, without_controls(message), without_controls(hint), severity});
}

std::vector<Problem> Problems::take() && {
  if (more_) {
    list_.push_back({file_, list_.back().line, list_.back().column,
                     fmt::format("more than {} problems; the rest is not shown", kMaxProblems),
                     "mend these, then check again", failed_ ? Severity::Error : Severity::Warning});
  }
  return std::move(list_);
}

std::string quoted(std::string_view text) {
  return fmt::format("\"{}\"", printable(text, kMaxShown));
}

std::string line_of(Position at) {
  return at.line == kNoLine ? "the API" : fmt::format("line {}", at.line);
}

std::string render_problems(std::span<const Problem> problems) {
  std::string out;
  for (const Problem& problem : problems) {
    out += without_controls(problem.file);
    if (problem.line != 0) {
      out += fmt::format(":{}:{}", problem.line, problem.column);
    }
    out += fmt::format(": {}: {}\n", problem.severity == Severity::Error ? "error" : "warning", problem.message);
    if (!problem.hint.empty()) {
      out += fmt::format("  hint: {}\n", problem.hint);
    }
  }
  return out;
}

}  // namespace qanat::config
