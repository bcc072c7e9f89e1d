#include "wire/identity.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/text.hpp"
#include "wire/distinguished_name.hpp"

namespace qanat::wire {

namespace {

constexpr std::string_view kAccepted =
    "accepted are an IP address (192.0.2.1, 2001:db8::1), fqdn:berlin.example.com or the bare name, "
    "rfc822:ops@example.com, "
    "keyid:text, keyid:0xHEX, dn:CN=berlin,O=Example and dn:0xDER";
constexpr std::size_t kMaxDomain = 253;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxShown = 512;  // octets of a peer's identity in a log line; key ids of ours are not longer

std::unexpected<Error> bad(std::string detail) {
  return fail(ErrorKind::Malformed, "identity", std::move(detail));
}
std::unexpected<Error> refuse(std::string_view text, std::string_view why) {
  return bad(fmt::format("'{}' {}; {}", printable(text, 80), why, kAccepted));
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

// Why `name` is no domain name, nullptr when it is one. Underscores are allowed: hosted peers have them.
const char* domain_fault(std::string_view name) {
  if (name.empty()) return "has an empty name";
  if (name.size() > kMaxDomain) return "is longer than 253 octets";
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return "has an empty label";
      label = 0;
    } else if (!is_name_char(c)) {
      return "is not a host name: letters, digits, '-', '_' and '.' only";
    } else if (++label > kMaxLabel) {
      return "has a label longer than 63 octets";
    }
  }
  return label == 0 ? "ends with a dot" : nullptr;
}

Result<Identity> parse_fqdn(std::string_view whole, std::string_view name) {
  if (const char* fault = domain_fault(name)) return refuse(whole, fault);
  return Identity{IdType::ID_FQDN, to_bytes(name)};
}

Result<Identity> parse_bare_name(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? text : text.substr(dot + 1);
  if (!last.empty() && std::all_of(last.begin(), last.end(), is_digit)) {
    return refuse(text, "looks like an address but is none");
  }
  return parse_fqdn(text, text);
}

Result<Identity> parse_rfc822(std::string_view whole, std::string_view address) {
  const std::size_t at = address.rfind('@');
  if (at == std::string_view::npos || at == 0) return refuse(whole, "is no mail address");
  const std::string_view local = address.substr(0, at);
  const bool plain =
      std::all_of(local.begin(), local.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '@' && c != '\\'; });
  if (!plain || local.size() > 64)
    return refuse(whole, "has a local part that is not up to 64 printable characters without '@' and '\\'");
  if (const char* fault = domain_fault(address.substr(at + 1))) return refuse(whole, fault);
  return Identity{IdType::ID_RFC822_ADDR, to_bytes(address)};
}

Result<Identity> parse_address(std::string_view whole, std::string_view text, IdType type) {
  const auto address = IpAddress::parse(text);
  if (!address || (type == IdType::ID_IPV4_ADDR) != address->is_v4()) {
    return refuse(whole, type == IdType::ID_IPV4_ADDR ? "is no IPv4 address" : "is no IPv6 address");
  }
  return Identity::of_address(*address);
}

bool is_hex_form(std::string_view text) {
  return text.starts_with("0x") || text.starts_with("0X");
}

Result<Identity> parse_keyid(std::string_view whole, std::string_view text) {
  Bytes data = to_bytes(text);
  if (is_hex_form(text)) {
    auto octets = from_hex(text.substr(2));
    if (!octets) return refuse(whole, "is not hexadecimal after 0x");
    data = std::move(*octets);
  }
  if (data.empty()) return refuse(whole, "has an empty key id");
  if (data.size() > kMaxShown) return refuse(whole, "is longer than 512 octets");
  return Identity{IdType::ID_KEY_ID, std::move(data)};
}

Result<Identity> parse_dn(std::string_view whole, std::string_view text) {
  if (!is_hex_form(text)) {
    QANAT_ASSIGN(Bytes der, encode_dn(text));
    return Identity{IdType::ID_DER_ASN1_DN, std::move(der)};
  }
  constexpr std::size_t kMaxDer = 8192;
  auto der = from_hex(text.substr(2));
  if (!der || der->size() < 2 || der->front() != 0x30 || der->size() > kMaxDer) {
    return refuse(whole, "is not the DER of a name in hexadecimal after 0x");
  }
  return Identity{IdType::ID_DER_ASN1_DN, std::move(*der)};
}

std::string hex_of(ByteView data) {
  return "0x" + to_hex(data.first(std::min(data.size(), kMaxShown))) + (data.size() > kMaxShown ? "..." : "");
}

// RFC 4343: names compare without the case of ASCII letters; the locale has no say.
constexpr std::uint8_t lower(std::uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<std::uint8_t>(c + ('a' - 'A')) : c;
}

bool equal_no_case(ByteView a, ByteView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](std::uint8_t x, std::uint8_t y) { return lower(x) == lower(y); });
}

std::string keyid_to_string(ByteView data) {
  const bool plain =
      std::all_of(data.begin(), data.end(), [](std::uint8_t c) { return c > 0x20 && c < 0x7f && c != '\\'; });
  const bool looks_hex = data.size() >= 2 && data[0] == '0' && (data[1] == 'x' || data[1] == 'X');
  return "keyid:" + (plain && !looks_hex && !data.empty() ? printable(data, kMaxShown) : hex_of(data));
}

}  // namespace

Identity Identity::of_address(const IpAddress& address) {
  return {address.is_v4() ? IdType::ID_IPV4_ADDR : IdType::ID_IPV6_ADDR, to_bytes(address.bytes())};
}

Result<Identity> Identity::parse(std::string_view text) {
  if (text.empty()) return bad(fmt::format("is empty; {}", kAccepted));
  if (const auto address = IpAddress::parse(text)) return of_address(*address);
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    if (text.starts_with('@'))
      return refuse(text,
                    fmt::format("begins with '@'; a host name is written fqdn:{}", printable(text.substr(1), 80)));
    if (text.find('=') != std::string_view::npos)
      return refuse(text, "looks like a distinguished name, which begins with dn:");
    return text.find('@') == std::string_view::npos ? parse_bare_name(text) : parse_rfc822(text, text);
  }
  const std::string_view kind = text.substr(0, colon);
  const std::string_view rest = text.substr(colon + 1);
  if (kind == "ipv4") return parse_address(text, rest, IdType::ID_IPV4_ADDR);
  if (kind == "ipv6") return parse_address(text, rest, IdType::ID_IPV6_ADDR);
  if (kind == "fqdn") return parse_fqdn(text, rest);
  if (kind == "rfc822") return parse_rfc822(text, rest);
  if (kind == "keyid") return parse_keyid(text, rest);
  if (kind == "dn") return parse_dn(text, rest);
  static constexpr std::array<std::string_view, 6> kKinds{"ipv4", "ipv6", "fqdn", "rfc822", "keyid", "dn"};
  const std::string_view near = nearest(kind, kKinds);
  return refuse(text, near.empty() ? "begins with no kind of identity that we know"
                                   : fmt::format("begins with an unknown kind; did you mean {}:", near));
}

std::string Identity::to_string() const {
  switch (type) {
    case IdType::ID_IPV4_ADDR:
      if (data.size() == 4) return IpAddress::from_bytes(data).to_string();
      break;
    case IdType::ID_IPV6_ADDR:
      if (data.size() == 16) return IpAddress::from_bytes(data).to_string();
      break;
    case IdType::ID_FQDN:
      return "fqdn:" + printable(data, kMaxShown);
    case IdType::ID_RFC822_ADDR:
      return "rfc822:" + printable(data, kMaxShown);
    case IdType::ID_KEY_ID:
      return keyid_to_string(data);
    case IdType::ID_DER_ASN1_DN:
      if (data.size() <= kMaxShown) {
        if (const auto name = decode_dn(data)) return "dn:" + *name;
      }
      return "dn:" + hex_of(data);
    case IdType::ID_NULL:
      return "ID_NULL";
    case IdType::ID_DER_ASN1_GN:
      break;
  }
  return wire::to_string(type) + ":" + hex_of(data);
}

bool Identity::matches(const Identity& other) const {
  if (type != other.type) return false;
  switch (type) {
    case IdType::ID_FQDN:
    case IdType::ID_RFC822_ADDR:
      return equal_no_case(data, other.data);
    case IdType::ID_DER_ASN1_DN:
      return same_dn(data, other.data);
    default:
      return data == other.data;
  }
}

std::string Identity::key() const {
  std::string out(1, static_cast<char>(type));
  switch (type) {
    case IdType::ID_FQDN:
    case IdType::ID_RFC822_ADDR:
      for (const std::uint8_t c : data) out += static_cast<char>(lower(c));
      return out;
    case IdType::ID_DER_ASN1_DN:
      return out + dn_key(data);
    default:
      return out.append(data.begin(), data.end());
  }
}

}  // namespace qanat::wire
