// `qanat capture`: what the daemon is asked, and what is made of its answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "cli/command_line.hpp"
#include "cli/run.hpp"
#include "control/status_json.hpp"

namespace qanat::cli {

// The command; its exit code.
[[nodiscard]] int capture(const CommandLine& line, Shell& shell);

// The body of POST .../pcaps. The error's detail is for people.
[[nodiscard]] Result<std::string> capture_request(const CommandLine& line);
[[nodiscard]] std::optional<std::string> capture_id(std::string_view body);
// "137 packets, 51230 octets": of GET .../pcaps/{id}; empty when it cannot be read.
[[nodiscard]] std::string capture_text(std::string_view body);
// The errors of Cloudflare's envelope as one of ours.
[[nodiscard]] std::optional<control::ApiError> envelope_error(std::string_view body);

}  // namespace qanat::cli
