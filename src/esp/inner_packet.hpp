// InnerPacket: what the packet path must know of the header of an IPv4 or IPv6 packet, found without trusting any of
// its lengths. A description by offsets: it holds no pointer into the packet.
#pragma once

#include <expected>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "esp/drop_reason.hpp"

namespace qanat::esp {

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;
inline constexpr std::uint8_t kProtocolSctp = 132;
inline constexpr std::uint8_t kProtocolUdpLite = 136;
inline constexpr std::uint8_t kProtocolDccp = 33;

// What traffic selectors compare besides addresses. ICMP: type and code are both "ports" as (type << 8) | code
// (RFC 7296 3.13.1, RFC 4301 4.4.1.1).
struct Ports {
  std::uint16_t source = 0;
  std::uint16_t destination = 0;
  friend bool operator==(const Ports&, const Ports&) = default;
};

struct InnerPacket {
  IpAddress source;
  IpAddress destination;
  std::uint16_t size = 0;              // of the whole packet by its header; IPv6: at most 65,535 (no jumbograms)
  std::uint16_t header_size = 0;       // IPv4: with options; IPv6: 40
  std::uint16_t transport_offset = 0;  // behind all extension headers that we know; for a later fragment, its data
  std::uint8_t protocol = 0;           // of what lies there
  std::uint8_t tos = 0;                // TOS or traffic class
  std::uint8_t ttl = 0;                // or hop limit
  bool dont_fragment = false;          // always with IPv6
  bool fragment = false;
  bool more_fragments = false;
  std::uint32_t fragment_id = 0;
  std::uint16_t fragment_offset = 0;  // octets
  bool has_ports = false;             // the protocol has them, and they are in this packet
  Ports ports;

  [[nodiscard]] bool is_v6() const { return source.is_v6(); }
  [[nodiscard]] bool later_fragment() const { return fragment_offset != 0; }
};

// True for protocols whose selectors may name ports (or ICMP types).
[[nodiscard]] bool protocol_has_ports(std::uint8_t protocol);

// `data` may be longer than the packet (RFC 4303 2.7). NotIp, BadInnerLength, Malformed or FragmentTiny.
[[nodiscard]] std::expected<InnerPacket, DropReason> parse_inner(ByteView data);

}  // namespace qanat::esp
