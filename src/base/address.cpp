#include "base/address.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace qanat {

namespace {

std::optional<unsigned> parse_number(std::string_view text, unsigned base, unsigned max, std::size_t max_digits) {
  if (text.empty() || text.size() > max_digits) {
    return std::nullopt;
  }
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, static_cast<int>(base));
  if (error != std::errc{} || end != text.data() + text.size() || value > max) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::array<std::uint8_t, 4>> parse_v4(std::string_view text) {
  std::array<std::uint8_t, 4> out{};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::size_t dot = text.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) {
      return std::nullopt;
    }
    const std::string_view part = text.substr(0, dot);
    const auto number = parse_number(part, 10, 255, 3);
    if (!number || (part.size() > 1 && part[0] == '0')) {
      return std::nullopt;  // a leading zero would be octal to some readers
    }
    out[i] = static_cast<std::uint8_t>(*number);
    text.remove_prefix(dot == std::string_view::npos ? text.size() : dot + 1);
  }
  return out;
}

// Groups of one side of "::"; false when malformed. A dotted quad may end the last side.
bool parse_groups(std::string_view text, Bytes& out, bool last_side) {
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    if (colon == std::string_view::npos && last_side && part.find('.') != std::string_view::npos) {
      const auto quad = parse_v4(part);
      if (!quad) return false;
      append(out, *quad);
      return true;
    }
    const auto number = parse_number(part, 16, 0xffff, 4);
    if (!number) return false;
    out.push_back(static_cast<std::uint8_t>(*number >> 8));
    out.push_back(static_cast<std::uint8_t>(*number));
    if (colon == std::string_view::npos) return true;
    text.remove_prefix(colon + 1);
    if (text.empty()) return false;
  }
  return true;
}

std::optional<std::array<std::uint8_t, 16>> parse_v6(std::string_view text) {
  const std::size_t gap = text.find("::");
  Bytes head;
  Bytes tail;
  if (gap == std::string_view::npos) {
    if (!parse_groups(text, head, true) || head.size() != 16) return std::nullopt;
  } else {
    if (!parse_groups(text.substr(0, gap), head, false) || !parse_groups(text.substr(gap + 2), tail, true))
      return std::nullopt;
    if (head.size() + tail.size() > 14) return std::nullopt;
  }
  std::array<std::uint8_t, 16> out{};
  std::copy(head.begin(), head.end(), out.begin());
  std::copy_backward(tail.begin(), tail.end(), out.end());
  return out;
}

}  // namespace

IpAddress IpAddress::from_bytes(ByteView octets) {
  ensure(octets.size() == 4 || octets.size() == 16, "an IP address has 4 or 16 octets");
  IpAddress a;
  a.v6_ = octets.size() == 16;
  std::copy(octets.begin(), octets.end(), a.octets_.begin());
  return a;
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.find(':') == std::string_view::npos) {
    if (const auto quad = parse_v4(text)) return from_bytes(*quad);
  } else if (const auto groups = parse_v6(text)) {
    return from_bytes(*groups);
  }
  return fail(ErrorKind::Malformed, "IP address",
              fmt::format("'{}' is neither an IPv4 address like 192.0.2.1 nor an IPv6 address like 2001:db8::1", text));
}

bool IpAddress::is_unspecified() const {
  return std::all_of(octets_.begin(), octets_.end(), [](std::uint8_t b) { return b == 0; });
}

bool IpAddress::is_multicast() const {
  return v6_ ? octets_[0] == 0xff : (octets_[0] & 0xf0) == 0xe0;
}

std::string IpAddress::to_string() const {
  if (!v6_) {
    return fmt::format("{}.{}.{}.{}", octets_[0], octets_[1], octets_[2], octets_[3]);
  }
  // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = load_be16(&octets_[i * 2]);
  std::size_t best = 8;
  std::size_t best_length = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t n = 0;
    while (i + n < 8 && groups[i + n] == 0) ++n;
    if (n > best_length) {
      best = i;
      best_length = n;
    }
    i += n + 1;
  }
  std::string out;
  for (std::size_t i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    out += fmt::format("{:x}", groups[i]);
  }
  return out;
}

Prefix Prefix::masked(const IpAddress& address, unsigned length) {
  ensure(length <= address.bits(), "prefix length within the address");
  Bytes octets = to_bytes(address.bytes());
  for (unsigned bit = length; bit < address.bits(); ++bit) {
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] & ~(0x80U >> (bit % 8)));
  }
  Prefix p;
  p.address_ = IpAddress::from_bytes(octets);
  p.length_ = length;
  return p;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  QANAT_ASSIGN(const IpAddress address, IpAddress::parse(text.substr(0, slash)));
  unsigned length = address.bits();
  if (slash != std::string_view::npos) {
    const auto number = parse_number(text.substr(slash + 1), 10, address.bits(), 3);
    if (!number) {
      return fail(ErrorKind::Malformed, "prefix",
                  fmt::format("'{}': the length after '/' must be 0 to {}", text, address.bits()));
    }
    length = *number;
  }
  const Prefix p = masked(address, length);
  if (p.address_ != address) {
    return fail(ErrorKind::Malformed, "prefix",
                fmt::format("'{}' has host bits set; the network is {}", text, p.to_string()));
  }
  return p;
}

bool Prefix::contains(const IpAddress& a) const {
  if (a.is_v4() != address_.is_v4()) {
    return false;
  }
  const ByteView x = a.bytes();
  const ByteView y = address_.bytes();
  const unsigned whole = length_ / 8;
  if (!equal(x.first(whole), y.first(whole))) {
    return false;
  }
  const unsigned rest = length_ % 8;
  return rest == 0 || ((x[whole] ^ y[whole]) >> (8 - rest)) == 0;
}

IpAddress Prefix::last() const {
  Bytes octets = to_bytes(address_.bytes());
  for (unsigned bit = length_; bit < address_.bits(); ++bit) {
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] | (0x80U >> (bit % 8)));
  }
  return IpAddress::from_bytes(octets);
}

std::string Prefix::to_string() const {
  return fmt::format("{}/{}", address_.to_string(), length_);
}

std::string Endpoint::to_string() const {
  return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), port)
                         : fmt::format("{}:{}", address.to_string(), port);
}

}  // namespace qanat

std::size_t std::hash<qanat::IpAddress>::operator()(const qanat::IpAddress& a) const noexcept {
  std::uint64_t h = a.is_v6() ? 0x9e3779b97f4a7c15U : 0x517cc1b727220a95U;
  for (const std::uint8_t b : a.bytes()) {
    h = (h ^ b) * 0x100000001b3U;
  }
  return static_cast<std::size_t>(h ^ (h >> 32));
}
