#include "wire/distinguished_name.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/text.hpp"

namespace qanat::wire {

namespace {

constexpr std::uint8_t kSequence = 0x30;
constexpr std::uint8_t kSet = 0x31;
constexpr std::uint8_t kOid = 0x06;
constexpr std::uint8_t kUtf8String = 0x0c;
constexpr std::uint8_t kPrintableString = 0x13;
constexpr std::uint8_t kIa5String = 0x16;

struct AttributeType {
  std::string_view name;
  std::span<const std::uint8_t> oid;  // the content octets
  std::uint8_t string_type;
};

constexpr std::array<std::uint8_t, 3> kCn{0x55, 0x04, 3};
constexpr std::array<std::uint8_t, 3> kSerialNumber{0x55, 0x04, 5};
constexpr std::array<std::uint8_t, 3> kC{0x55, 0x04, 6};
constexpr std::array<std::uint8_t, 3> kL{0x55, 0x04, 7};
constexpr std::array<std::uint8_t, 3> kSt{0x55, 0x04, 8};
constexpr std::array<std::uint8_t, 3> kStreet{0x55, 0x04, 9};
constexpr std::array<std::uint8_t, 3> kO{0x55, 0x04, 10};
constexpr std::array<std::uint8_t, 3> kOu{0x55, 0x04, 11};
constexpr std::array<std::uint8_t, 9> kEmailAddress{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01};
constexpr std::array<std::uint8_t, 10> kUid{0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01};
constexpr std::array<std::uint8_t, 10> kDc{0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19};

const std::array<AttributeType, 11> kAttributes{{
    {"CN", kCn, kUtf8String},
    {"O", kO, kUtf8String},
    {"OU", kOu, kUtf8String},
    {"C", kC, kPrintableString},
    {"L", kL, kUtf8String},
    {"ST", kSt, kUtf8String},
    {"emailAddress", kEmailAddress, kIa5String},
    {"DC", kDc, kIa5String},
    {"STREET", kStreet, kUtf8String},
    {"serialNumber", kSerialNumber, kPrintableString},
    {"UID", kUid, kUtf8String},
}};

bool equal_no_case(std::string_view a, std::string_view b) {
  constexpr auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [lower](char x, char y) { return lower(x) == lower(y); });
}

const AttributeType* find_by_name(std::string_view name) {
  const auto* it = std::find_if(kAttributes.begin(), kAttributes.end(),
                                [name](const AttributeType& a) { return equal_no_case(a.name, name); });
  return it == kAttributes.end() ? nullptr : it;
}

const AttributeType* find_by_oid(ByteView oid) {
  const auto* it =
      std::find_if(kAttributes.begin(), kAttributes.end(), [oid](const AttributeType& a) { return equal(a.oid, oid); });
  return it == kAttributes.end() ? nullptr : it;
}

std::unexpected<Error> bad(std::string detail) {
  return fail(ErrorKind::Malformed, "identity", std::move(detail));
}

// ---- text -> DER ----

Bytes tlv(std::uint8_t tag, ByteView content) {
  Bytes out{tag};
  if (content.size() < 0x80) {
    out.push_back(static_cast<std::uint8_t>(content.size()));
  } else if (content.size() <= 0xff) {
    out.push_back(0x81);
    out.push_back(static_cast<std::uint8_t>(content.size()));
  } else {
    ensure(content.size() <= 0xffff, "a distinguished name fits into a payload");
    out.push_back(0x82);
    out.push_back(static_cast<std::uint8_t>(content.size() >> 8));
    out.push_back(static_cast<std::uint8_t>(content.size()));
  }
  append(out, content);
  return out;
}

bool is_utf8(ByteView v) {
  for (std::size_t i = 0; i < v.size();) {
    const std::uint8_t lead = v[i++];
    if (lead < 0x80) continue;
    const std::size_t more = lead >= 0xc2 && lead < 0xe0   ? 1
                             : lead >= 0xe0 && lead < 0xf0 ? 2
                             : lead >= 0xf0 && lead < 0xf5 ? 3
                                                           : 0;
    if (more == 0 || v.size() - i < more) return false;
    const std::uint8_t second = v[i];
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second >= 0xa0) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second >= 0x90)) {
      return false;  // overlong, a surrogate, or above U+10FFFF
    }
    for (std::size_t k = 0; k < more; ++k) {
      if ((v[i++] & 0xc0) != 0x80) return false;
    }
  }
  return true;
}

bool is_printable_string(ByteView v) {
  constexpr std::string_view kMarks = " '()+,-./:=?";
  return std::all_of(v.begin(), v.end(), [kMarks](std::uint8_t b) {
    const char c = static_cast<char>(b);
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool holds(std::uint8_t string_type, ByteView v) {
  if (string_type == kPrintableString) return is_printable_string(v);
  if (string_type == kIa5String) return std::all_of(v.begin(), v.end(), [](std::uint8_t b) { return b < 0x80; });
  return is_utf8(v);
}

// Takes one value off the front of `text`, up to an unescaped comma or the end.
Result<Bytes> take_value(std::string_view& text) {
  constexpr std::string_view kEscapable = ",+\"\\<>;=# ";
  Bytes value;
  std::size_t keep = 0;  // trailing spaces count only when escaped
  std::size_t i = 0;
  for (; i < text.size() && text[i] != ','; ++i) {
    const char c = text[i];
    if (c == ' ' && value.empty()) continue;
    if (c == '+' || c == '"' || c == ';' || c == '<' || c == '>') {
      return bad(fmt::format(
          "'{}' must be written '\\{}' inside a dn: value (RFC 4514); an RDN of several attributes is not supported", c,
          c));
    }
    if (c != '\\') {
      value.push_back(static_cast<std::uint8_t>(c));
      if (c != ' ') keep = value.size();
      continue;
    }
    if (i + 1 < text.size() && kEscapable.find(text[i + 1]) != std::string_view::npos) {
      value.push_back(static_cast<std::uint8_t>(text[++i]));
    } else if (const auto octet = from_hex(text.substr(i + 1, 2)); octet && octet->size() == 1) {
      value.push_back(octet->front());
      i += 2;
    } else {
      return bad(
          "a backslash in a dn: value stands before one of ,+\"\\<>;=# or a space, or before two hexadecimal digits");
    }
    keep = value.size();
  }
  value.resize(keep);
  text.remove_prefix(i);
  return value;
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

Result<Bytes> encode_rdn(std::string_view name, ByteView value) {
  const AttributeType* type = find_by_name(name);
  if (type == nullptr) {
    return bad(
        fmt::format("'{}' is no attribute of a dn: that we know; accepted are CN, O, OU, C, L, ST, emailAddress, DC, "
                    "STREET, serialNumber and UID",
                    printable(name, 40)));
  }
  if (value.empty()) {
    return bad(fmt::format("{} in a dn: has no value", type->name));
  }
  if (!holds(type->string_type, value)) {
    return bad(fmt::format("the value of {} in a dn: has octets that its string type cannot hold", type->name));
  }
  if (type->name == "C" && value.size() != 2) {
    return bad("C in a dn: is a country of two letters, like DE");
  }
  Bytes attribute = tlv(kOid, type->oid);
  append(attribute, tlv(type->string_type, value));
  return tlv(kSet, tlv(kSequence, attribute));
}

// ---- DER -> text ----

struct Element {
  std::uint8_t tag = 0;
  ByteView content;
};

// One definite-length element off the front of `in`; nullopt when it is no DER.
std::optional<Element> take_element(ByteView& in) {
  if (in.size() < 2) return std::nullopt;
  const std::uint8_t tag = in[0];
  std::size_t length = in[1];
  std::size_t header = 2;
  if ((tag & 0x1f) == 0x1f) return std::nullopt;
  if (length >= 0x80) {
    const std::size_t octets = length & 0x7f;
    if (octets == 0 || octets > 3 || in.size() < 2 + octets || in[2] == 0) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = length << 8 | in[2 + i];
    if (length < 0x80) return std::nullopt;
    header += octets;
  }
  if (length > in.size() - header) return std::nullopt;
  const Element element{tag, in.subspan(header, length)};
  in = in.subspan(header + length);
  return element;
}

// The content of `in` when it is exactly one element with this tag.
std::optional<ByteView> only_element(ByteView in, std::uint8_t tag) {
  const auto element = take_element(in);
  if (!element || element->tag != tag || !in.empty()) return std::nullopt;
  return element->content;
}

struct Rdn {
  ByteView oid;
  Element value;
};

// nullopt when it is no Name of RDNs with one attribute each.
std::optional<std::vector<Rdn>> parse_name(ByteView der) {
  const auto name = only_element(der, kSequence);
  if (!name) return std::nullopt;
  std::vector<Rdn> rdns;
  ByteView rest = *name;
  while (!rest.empty()) {
    const auto set = take_element(rest);
    if (!set || set->tag != kSet) return std::nullopt;
    auto attribute = only_element(set->content, kSequence);
    if (!attribute) return std::nullopt;
    const auto oid = take_element(*attribute);
    if (!oid || oid->tag != kOid) return std::nullopt;
    const auto value = take_element(*attribute);
    if (!value || !attribute->empty()) return std::nullopt;
    rdns.push_back({oid->content, *value});
  }
  return rdns;
}

bool is_text(const Element& value) {
  return (value.tag == kUtf8String || value.tag == kPrintableString || value.tag == kIa5String) &&
         holds(value.tag, value.content);
}

std::string escape(ByteView value) {
  constexpr std::string_view kSpecial = ",+\"\\<>;";
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = static_cast<char>(value[i]);
    if (value[i] < 0x20 || value[i] >= 0x7f) {
      out += fmt::format("\\{:02x}", value[i]);
    } else if (kSpecial.find(c) != std::string_view::npos || (c == ' ' && (i == 0 || i + 1 == value.size())) ||
               (c == '#' && i == 0)) {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Result<Bytes> encode_dn(std::string_view text) {
  // The DER of what we accept must fit into an ID payload; an escape makes text longer, not shorter.
  constexpr std::size_t kMaxText = 2048;
  if (text.size() > kMaxText) {
    return bad(fmt::format("a dn: has at most {} characters", kMaxText));
  }
  Bytes rdns;
  while (true) {
    const std::size_t sign = text.find('=');
    if (sign == std::string_view::npos) {
      return bad("a dn: is written as attributes and values, like dn:CN=berlin,O=Example");
    }
    const std::string_view name = trim(text.substr(0, sign));
    text.remove_prefix(sign + 1);
    QANAT_ASSIGN(const Bytes value, take_value(text));
    QANAT_ASSIGN(const Bytes rdn, encode_rdn(name, value));
    append(rdns, rdn);
    if (text.empty()) return tlv(kSequence, rdns);
    text.remove_prefix(1);
  }
}

std::optional<std::string> decode_dn(ByteView der) {
  const auto rdns = parse_name(der);
  if (!rdns || rdns->empty()) return std::nullopt;
  std::string out;
  for (const Rdn& rdn : *rdns) {
    const AttributeType* type = find_by_oid(rdn.oid);
    if (type == nullptr || !is_text(rdn.value) || rdn.value.content.empty()) return std::nullopt;
    if (!holds(type->string_type, rdn.value.content) || (type->name == "C" && rdn.value.content.size() != 2))
      return std::nullopt;
    if (!out.empty()) out += ',';
    out += fmt::format("{}={}", type->name, escape(rdn.value.content));
  }
  return out;
}

std::string dn_key(ByteView der) {
  const auto rdns = parse_name(der);
  if (!rdns) return std::string{"?"}.append(der.begin(), der.end());
  std::string out{"="};
  const auto add = [&](char tag, ByteView octets) {
    const std::size_t size = octets.size();  // below 2^24
    out += {tag, static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)};
    out.append(octets.begin(), octets.end());
  };
  for (const Rdn& rdn : *rdns) {
    add(static_cast<char>(kOid), rdn.oid);
    add(static_cast<char>(is_text(rdn.value) ? kUtf8String : rdn.value.tag), rdn.value.content);
  }
  return out;
}

bool same_dn(ByteView a, ByteView b) {
  if (equal(a, b)) return true;
  const auto x = parse_name(a);
  const auto y = parse_name(b);
  if (!x || !y) return false;
  return std::equal(x->begin(), x->end(), y->begin(), y->end(), [](const Rdn& p, const Rdn& q) {
    const bool same_kind = p.value.tag == q.value.tag || (is_text(p.value) && is_text(q.value));
    return same_kind && equal(p.oid, q.oid) && equal(p.value.content, q.value.content);
  });
}

}  // namespace qanat::wire
