// Where a webhook may lead: https alone, and no address of the host or its neighbourhood unless the configuration says
// so ([gateway] webhook_allow). A token with the scope write chooses URLs, and must not thereby reach what only this
// host reaches. The addresses are judged again when a connection is made: a name may mean another one by then.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "base/result.hpp"

namespace qanat::control {

inline constexpr std::size_t kMaxWebhookUrl = 2048;

struct WebhookUrl {
  std::string host;  // a name, or an address without brackets
  std::uint16_t port = 443;
  std::string target;     // "/path?query"
  std::string authority;  // as the header Host has it
};

// "https://host[:port][/path][?query]". An error's detail says what is allowed.
[[nodiscard]] Result<WebhookUrl> parse_webhook_url(std::string_view text);
// Whether it is a public address, or in one of these prefixes.
[[nodiscard]] bool is_webhook_address(const IpAddress& address, std::span<const Prefix> allowed);

}  // namespace qanat::control
