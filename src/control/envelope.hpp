// Cloudflare's envelope: {"result":...,"success":true,"errors":[],"messages":[]}. Internal to the object API.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/api.hpp"
#include "control/json_fields.hpp"

namespace qanat::control {

// `result` is JSON text; `messages` are for people: what was taken and has no effect.
[[nodiscard]] Reply success_reply(std::string_view result, const std::vector<std::string>& messages = {});
// At least one fault.
[[nodiscard]] Reply failure_reply(int status, const ApiFaults& faults);
[[nodiscard]] Reply failure_reply(int status, ApiCode code, std::string message);

// JSON text with quotes; octets that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string json_text(std::string_view text);

}  // namespace qanat::control
