// Identity: who a peer says it is (ID payload of RFC 7296 3.5), as a value that config, pki and ike share.
//
// In configuration: "192.0.2.1", "2001:db8::1", "fqdn:berlin.example.com" (or the bare name), "rfc822:ops@example.com",
// "keyid:text" or "keyid:0xHEX", "dn:CN=berlin,O=Example" or "dn:0xDER"; "ipv4:" and "ipv6:" may stand before an
// address.
//
// == is type and octets. matches() is what policy asks: FQDN and RFC822 without case, DNs with the same attributes and
// octets in the same order whatever string type holds them (RFC 5280 7.1), all else octet by octet.
#pragma once

#include "base/address.hpp"
#include "wire/numbers.hpp"

namespace qanat::wire {

struct Identity {
  IdType type{};
  Bytes data;

  [[nodiscard]] static Identity of_address(const IpAddress& address);
  [[nodiscard]] static Result<Identity> parse(std::string_view text);
  // As in configuration, so that parse() reads it back; peers' octets are escaped and cut, so this is safe to print.
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool matches(const Identity& other) const;
  // Octets that are equal for identities that match each other, and for no others: to find them by.
  [[nodiscard]] std::string key() const;
  friend bool operator==(const Identity&, const Identity&) = default;
};

}  // namespace qanat::wire
