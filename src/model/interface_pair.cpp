#include "model/interface_pair.hpp"

#include <charconv>

#include <fmt/format.h>

namespace qanat::model {

Result<InterfacePair> parse_interface_pair(std::string_view text, InnerFamily family) {
  const bool v6 = family == InnerFamily::V6;
  const std::string_view must = v6 ? "must be our IPv6 address and /127 or /126, like fd00::/127"
                                   : "must be our IPv4 address and /31 or /30, like 10.255.0.0/31";
  const auto wrong = [&](std::string detail) { return fail(ErrorKind::LocalPolicy, "interface", std::move(detail)); };
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return wrong(std::string{must});
  const auto address = IpAddress::parse(text.substr(0, slash));
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (!address || error != std::errc{} || end != digits.data() + digits.size() || address->is_v6() != v6)
    return wrong(std::string{must});
  const unsigned pair_length = address->bits() - 1;
  if (length != pair_length && length != pair_length - 1) return wrong(std::string{must});
  if (address->is_unspecified() || address->is_multicast()) return wrong("is no address that a host can have");

  Bytes other = to_bytes(address->bytes());
  std::uint8_t& last = other.back();
  if (length == pair_length) {
    last = static_cast<std::uint8_t>(last ^ 1U);
  } else {
    const unsigned host = last & 3U;
    if (host == 0 || host == 3) {
      const Prefix net = Prefix::masked(*address, length);
      return wrong(fmt::format("is the {} of {}; ours must be one of its two hosts",
                               host == 0 ? "network address" : "last address", net.to_string()));
    }
    last = static_cast<std::uint8_t>((last & ~3U) | (3U - host));
  }
  const IpAddress theirs = IpAddress::from_bytes(other);
  if (theirs.is_unspecified()) return wrong("leaves no address for the peer");
  return InterfacePair{*address, theirs, length};
}

}  // namespace qanat::model
