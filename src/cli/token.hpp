// `qanat token`: what is sent to the daemon, and what is shown of its answer.
#pragma once

#include "base/result.hpp"
#include "cli/command_line.hpp"

namespace qanat::cli {

[[nodiscard]] std::string token_request(const TokenLine& line);

struct TokenText {
  std::string text;  // standard output: of a new token the secret alone, for $(...)
  std::string note;  // standard error
};
// Error{Malformed}: the answer cannot be read.
[[nodiscard]] Result<TokenText> token_text(TokenVerb verb, std::string_view body);

}  // namespace qanat::cli
