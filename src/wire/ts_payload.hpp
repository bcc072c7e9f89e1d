// Traffic Selector payloads (RFC 7296 3.13).
#pragma once

#include <vector>

#include "base/address.hpp"
#include "wire/numbers.hpp"

namespace qanat::wire {

// One range of addresses and ports; first and last are of the same family and first <= last.
struct TrafficSelector {
  IpAddress first;
  IpAddress last;
  std::uint8_t protocol = 0;  // 0: any
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 65535;  // OPAQUE is first = 65535, last = 0
  friend bool operator==(const TrafficSelector&, const TrafficSelector&) = default;
};

struct TsPayload {
  PayloadType which = PayloadType::TSi;  // TSi or TSr
  std::vector<TrafficSelector> selectors;
  friend bool operator==(const TsPayload&, const TsPayload&) = default;
};

// Selectors of types that we do not know are skipped (RFC 7296 2.9); a payload with none left parses as empty.
// Start above end, or a length that lies, is Error{Malformed, INVALID_SYNTAX}.
[[nodiscard]] Result<TsPayload> parse_ts(PayloadType which, ByteView body);
void write_body(ByteWriter& out, const TsPayload& payload);

}  // namespace qanat::wire
