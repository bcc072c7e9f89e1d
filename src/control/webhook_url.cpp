#include "control/webhook_url.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/bytes.hpp"

namespace qanat::control {

namespace {

// IANA's special-purpose registries: what is this host's, its link's or its site's, and what maps onto IPv4.
constexpr auto kNotPublic = std::to_array<std::string_view>(
    {"0.0.0.0/8",     "10.0.0.0/8",     "100.64.0.0/10",  "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
     "192.0.0.0/24",  "192.168.0.0/16", "198.18.0.0/15",  "224.0.0.0/4", "240.0.0.0/4",    "::/96",
     "::ffff:0:0/96", "64:ff9b::/96",   "64:ff9b:1::/48", "100::/64",    "2001::/32",      "2002::/16",
     "fc00::/7",      "fe80::/10",      "fec0::/10",      "ff00::/8"});

auto wrong(std::string detail) {
  return fail(ErrorKind::LocalPolicy, "url", std::move(detail));
}

bool is_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 && host.front() != '.' && host.front() != '-' &&
         std::all_of(host.begin(), host.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                  c == '_';
         });
}

}  // namespace

Result<WebhookUrl> parse_webhook_url(std::string_view text) {
  constexpr std::string_view kScheme = "https://";
  if (text.size() > kMaxWebhookUrl) return wrong("must have at most 2048 characters");
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; }))
    return wrong("must be printable ASCII: write anything else as %XX");
  if (!text.starts_with(kScheme)) return wrong("must begin with https://, so that nobody on the way reads the secret");
  text.remove_prefix(kScheme.size());
  if (text.find('#') != std::string_view::npos) return wrong("must have no '#' part: it is never sent");
  const std::size_t end = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, end);
  WebhookUrl out;
  out.authority = authority;
  out.target = text.substr(end);
  if (out.target.empty() || out.target.front() == '?') out.target.insert(0, "/");
  if (authority.find('@') != std::string_view::npos)
    return wrong("must have no user and password: use the webhook's secret");
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    const auto address = close == std::string_view::npos ? Result<IpAddress>{fail(ErrorKind::Malformed, "", "")}
                                                         : IpAddress::parse(authority.substr(1, close - 1));
    if (!address || !address->is_v6()) return wrong("must have an IPv6 address between '[' and ']'");
    out.host = authority.substr(1, close - 1);
    authority.remove_prefix(close + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    out.host = authority.substr(0, colon);
    authority.remove_prefix(colon);
    if (!is_name(out.host)) return wrong("must name a host after https://");
  }
  if (authority.empty()) return out;
  if (authority.front() != ':') return wrong("must have ':' and a port, or nothing, after the host");
  authority.remove_prefix(1);
  const auto [stop, fault] = std::from_chars(authority.data(), authority.data() + authority.size(), out.port);
  if (fault != std::errc{} || stop != authority.data() + authority.size() || out.port == 0)
    return wrong("must have a port from 1 to 65535 after ':'");
  return out;
}

bool is_webhook_address(const IpAddress& address, std::span<const Prefix> allowed) {
  const auto holds = [&](const Prefix& prefix) { return prefix.contains(address); };
  if (std::any_of(allowed.begin(), allowed.end(), holds)) return true;
  return std::none_of(kNotPublic.begin(), kNotPublic.end(),
                      [&](std::string_view text) { return holds(*Prefix::parse(text)); });
}

}  // namespace qanat::control
