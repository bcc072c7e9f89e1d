// What the commands have in common: asking the daemon, and reporting what went wrong.
#pragma once

#include <chrono>
#include <expected>
#include <string>

#include "cli/run.hpp"

namespace qanat::cli {

inline constexpr std::chrono::seconds kReadTimeout{10};

// An error in the form that was asked for: JSON on standard output, or a line for people on standard error.
int report(Shell& shell, bool json, int exit_code, const std::string& code, const std::string& message,
           const std::string& hint = {});
int bad_reply(const CommandLine& line, Shell& shell, const std::string& detail);

struct Unreachable {
  std::string message;
  std::string hint;
};
[[nodiscard]] Unreachable explain(const ClientError& error, const std::string& socket, const Shell& shell);

// A reply with a status of 200 to 299; anything else has been reported and gives the exit code.
[[nodiscard]] std::expected<control::Reply, int> ask(const CommandLine& line, Shell& shell, const std::string& method,
                                                     const std::string& target, std::chrono::seconds timeout,
                                                     const std::string& body = {});

}  // namespace qanat::cli
