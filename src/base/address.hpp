// IP addresses, prefixes and UDP endpoints, IPv4 and IPv6, as values: no sockets, no names, no lookups.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace qanat {

class IpAddress {
 public:
  constexpr IpAddress() = default;  // 0.0.0.0
  [[nodiscard]] static constexpr IpAddress v4(std::uint32_t host_order) {
    IpAddress a;
    store_be32(a.octets_.data(), host_order);
    return a;
  }
  // 4 or 16 octets in network order; anything else is a bug of the caller.
  [[nodiscard]] static IpAddress from_bytes(ByteView octets);
  [[nodiscard]] static Result<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr bool is_v4() const { return !v6_; }
  [[nodiscard]] constexpr bool is_v6() const { return v6_; }
  [[nodiscard]] constexpr std::size_t size() const { return v6_ ? 16 : 4; }
  [[nodiscard]] constexpr unsigned bits() const { return v6_ ? 128 : 32; }
  [[nodiscard]] ByteView bytes() const { return ByteView{octets_}.first(size()); }
  [[nodiscard]] constexpr std::uint32_t v4_host_order() const { return load_be32(octets_.data()); }
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const IpAddress& a, const IpAddress& b) {
    if (a.v6_ != b.v6_) return a.v6_ <=> b.v6_;
    return a.octets_ <=> b.octets_;
  }
  friend constexpr bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> octets_{};
  bool v6_ = false;
};

// Network prefix; host bits are zero (parse refuses others, `masked` clears them).
class Prefix {
 public:
  constexpr Prefix() = default;  // 0.0.0.0/0
  [[nodiscard]] static Prefix masked(const IpAddress& address, unsigned length);
  [[nodiscard]] static Result<Prefix> parse(std::string_view text);

  [[nodiscard]] const IpAddress& address() const { return address_; }
  [[nodiscard]] unsigned length() const { return length_; }
  [[nodiscard]] bool is_v4() const { return address_.is_v4(); }
  [[nodiscard]] bool contains(const IpAddress& a) const;
  [[nodiscard]] bool contains(const Prefix& p) const { return p.length_ >= length_ && contains(p.address_); }
  [[nodiscard]] bool overlaps(const Prefix& p) const { return contains(p) || p.contains(*this); }
  [[nodiscard]] IpAddress first() const { return address_; }
  [[nodiscard]] IpAddress last() const;
  [[nodiscard]] std::string to_string() const;

  friend auto operator<=>(const Prefix&, const Prefix&) = default;

 private:
  IpAddress address_;
  unsigned length_ = 0;
};

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  [[nodiscard]] std::string to_string() const;  // "192.0.2.1:500", "[2001:db8::1]:4500"
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

}  // namespace qanat

template <>
struct std::hash<qanat::IpAddress> {
  std::size_t operator()(const qanat::IpAddress& a) const noexcept;
};
template <>
struct std::hash<qanat::Endpoint> {
  std::size_t operator()(const qanat::Endpoint& e) const noexcept {
    return std::hash<qanat::IpAddress>{}(e.address) * 31 + e.port;
  }
};
