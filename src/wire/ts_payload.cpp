#include "wire/ts_payload.hpp"

#include <optional>

#include <fmt/format.h>

#include "wire/malformed.hpp"

namespace qanat::wire {

namespace {

constexpr std::uint8_t kTsIpv4AddrRange = 7;
constexpr std::uint8_t kTsIpv6AddrRange = 8;
constexpr std::size_t kSelectorHeader = 4;  // what every TS type has: type, protocol, length
constexpr std::size_t kIpv4Size = 16;
constexpr std::size_t kIpv6Size = 40;

const char* name_of(PayloadType which) {
  return which == PayloadType::TSr ? "TSr payload" : "TSi payload";
}

// RFC 7296 3.13.1: OPAQUE is Start Port 65535 and End Port 0, the one range that runs backwards.
bool ports_in_order(const TrafficSelector& ts) {
  return ts.port_first <= ts.port_last || (ts.port_first == 65535 && ts.port_last == 0);
}

//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |   TS Type     |IP Protocol ID*|       Selector Length         |
// |           Start Port*         |           End Port*           |
// ~                         Starting Address*                     ~
// ~                         Ending Address*                       ~
// nullopt: a TS type that we do not know.
Result<std::optional<TrafficSelector>> parse_selector(ByteReader& in, const char* where) {
  QANAT_ASSIGN(const std::uint8_t type, in.u8("TS Type"));
  QANAT_ASSIGN(const std::uint8_t protocol, in.u8("IP Protocol ID"));
  QANAT_ASSIGN(const std::uint16_t length, in.u16("Selector Length"));
  const bool v4 = type == kTsIpv4AddrRange;
  const bool v6 = type == kTsIpv6AddrRange;
  if ((v4 && length != kIpv4Size) || (v6 && length != kIpv6Size) || length < kSelectorHeader) {
    return malformed(where, fmt::format("a selector of TS Type {} cannot have length {}", type, length));
  }
  QANAT_ASSIGN(const ByteView rest, in.take(length - kSelectorHeader, "selector"));
  if (!v4 && !v6) {
    return std::nullopt;
  }
  const std::size_t address_size = v4 ? 4 : 16;
  TrafficSelector ts;
  ts.protocol = protocol;
  ts.port_first = load_be16(rest.data());
  ts.port_last = load_be16(rest.data() + 2);
  ts.first = IpAddress::from_bytes(rest.subspan(4, address_size));
  ts.last = IpAddress::from_bytes(rest.subspan(4 + address_size, address_size));
  if (ts.first > ts.last) {
    return malformed(where, fmt::format("the range {}-{} runs backwards", ts.first.to_string(), ts.last.to_string()));
  }
  if (!ports_in_order(ts)) {
    return malformed(where, fmt::format("the ports {}-{} run backwards", ts.port_first, ts.port_last));
  }
  return ts;
}

void write_selector(ByteWriter& out, const TrafficSelector& ts) {
  ensure(ts.first.is_v4() == ts.last.is_v4(), "a selector's addresses are of one family");
  out.u8(ts.first.is_v4() ? kTsIpv4AddrRange : kTsIpv6AddrRange);
  out.u8(ts.protocol);
  out.u16(static_cast<std::uint16_t>(ts.first.is_v4() ? kIpv4Size : kIpv6Size));
  out.u16(ts.port_first);
  out.u16(ts.port_last);
  out.bytes(ts.first.bytes());
  out.bytes(ts.last.bytes());
}

//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// | Number of TSs |                 RESERVED                      |
// ~                       <Traffic Selectors>                     ~
Result<TsPayload> parse_selectors(PayloadType which, ByteView body) {
  ByteReader in(body);
  TsPayload payload{which, {}};
  QANAT_ASSIGN(const std::uint8_t number, in.u8("Number of TSs"));
  QANAT_TRY(in.take(3, "RESERVED"));
  std::size_t found = 0;
  while (!in.empty() && found <= number) {
    QANAT_ASSIGN(const std::optional<TrafficSelector> ts, parse_selector(in, name_of(which)));
    if (ts) payload.selectors.push_back(*ts);
    ++found;
  }
  if (found != number) {
    return malformed(name_of(which), fmt::format("says {} selectors and has {}", number,
                                                 found > number ? "more" : std::to_string(found)));
  }
  return payload;
}

}  // namespace

Result<TsPayload> parse_ts(PayloadType which, ByteView body) {
  return in_payload(name_of(which), parse_selectors(which, body));
}

void write_body(ByteWriter& out, const TsPayload& payload) {
  ensure(payload.selectors.size() <= 255, "a TS payload has at most 255 selectors");
  out.u8(static_cast<std::uint8_t>(payload.selectors.size()));
  out.zeros(3);
  for (const TrafficSelector& ts : payload.selectors) {
    write_selector(out, ts);
  }
}

}  // namespace qanat::wire
