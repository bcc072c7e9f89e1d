// What the Director and its snapshot share.
#pragma once

#include <string>

#include "ike/status.hpp"

namespace qanat::gateway {

[[nodiscard]] std::string keys_word(const ike::SafetyVerdict& verdict);  // control::Verdict::keys

}  // namespace qanat::gateway
