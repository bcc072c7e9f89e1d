#include "esp/inner_packet.hpp"

namespace qanat::esp {

namespace {

using Parsed = std::expected<InnerPacket, DropReason>;

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kAuthentication = 51;
constexpr std::uint8_t kDestinationOptions = 60;
constexpr std::uint8_t kMobility = 135;
constexpr int kMaxExtensionHeaders = 8;

// Octets of the transport header without which a first fragment says too little (RFC 1858, RFC 3128, RFC 7112).
std::size_t least_transport(std::uint8_t protocol) {
  switch (protocol) {
    case kProtocolTcp:
      return 20;
    case kProtocolUdp:
    case kProtocolUdpLite:
    case kProtocolIcmp:
    case kProtocolIcmpv6:
      return 8;
    case kProtocolSctp:
    case kProtocolDccp:
      return 12;
    default:
      return 0;
  }
}

// Reads ports where the packet has them; a first fragment must have its whole transport header.
Parsed with_ports(InnerPacket p, ByteView data) {
  // The data of every fragment but the last is a multiple of 8, and none reaches past 65,535.
  const auto content = static_cast<std::size_t>(p.size - p.transport_offset);
  if (p.fragment && (content == 0 || p.fragment_offset + content > 65535))
    return std::unexpected(DropReason::Malformed);
  if (p.later_fragment()) return p;
  const std::size_t least = least_transport(p.protocol);
  if (p.fragment && content < least) return std::unexpected(DropReason::FragmentTiny);
  if (!protocol_has_ports(p.protocol) || content < 4) return p;
  const std::uint8_t* transport = &data[p.transport_offset];
  p.has_ports = true;
  if (p.protocol == kProtocolIcmp || p.protocol == kProtocolIcmpv6) {
    p.ports = {load_be16(transport), load_be16(transport)};
  } else {
    p.ports = {load_be16(transport), load_be16(transport + 2)};
  }
  return p;
}

Parsed parse_v4(ByteView data) {
  if (data.size() < 20) return std::unexpected(DropReason::BadInnerLength);
  InnerPacket p;
  p.header_size = static_cast<std::uint16_t>((data[0] & 15U) * 4);
  p.size = load_be16(&data[2]);
  if (p.header_size < 20 || p.size < p.header_size || p.size > data.size())
    return std::unexpected(DropReason::BadInnerLength);
  p.transport_offset = p.header_size;
  p.tos = data[1];
  p.fragment_id = load_be16(&data[4]);
  const std::uint16_t flags = load_be16(&data[6]);
  p.dont_fragment = (flags & 0x4000U) != 0;
  p.more_fragments = (flags & 0x2000U) != 0;
  p.fragment_offset = static_cast<std::uint16_t>((flags & 0x1fffU) * 8);
  p.fragment = p.more_fragments || p.fragment_offset != 0;
  p.ttl = data[8];
  p.protocol = data[9];
  p.source = IpAddress::from_bytes(data.subspan(12, 4));
  p.destination = IpAddress::from_bytes(data.subspan(16, 4));
  if (p.more_fragments && (p.size - p.header_size) % 8 != 0) return std::unexpected(DropReason::Malformed);
  return with_ports(p, data);
}

Parsed parse_v6(ByteView data) {
  if (data.size() < 40) return std::unexpected(DropReason::BadInnerLength);
  InnerPacket p;
  p.header_size = 40;
  const std::size_t size = 40U + load_be16(&data[4]);
  if (size > data.size() || size > 65535) return std::unexpected(DropReason::BadInnerLength);
  p.size = static_cast<std::uint16_t>(size);
  p.tos = static_cast<std::uint8_t>(load_be16(data.data()) >> 4);
  p.ttl = data[7];
  p.dont_fragment = true;
  p.source = IpAddress::from_bytes(data.subspan(8, 16));
  p.destination = IpAddress::from_bytes(data.subspan(24, 16));

  std::uint8_t next = data[6];
  std::size_t at = 40;
  for (int headers = 0;; ++headers) {
    const bool known = next == kHopByHop || next == kRouting || next == kFragment || next == kAuthentication ||
                       next == kDestinationOptions || next == kMobility;
    if (!known) break;
    if (headers == kMaxExtensionHeaders) return std::unexpected(DropReason::Malformed);
    // A first fragment holds the whole chain of headers (RFC 7112); so does a packet that is none.
    if (size - at < 8) return std::unexpected(p.fragment ? DropReason::FragmentTiny : DropReason::Malformed);
    std::size_t length = 8;
    if (next == kFragment) {
      if (p.fragment) return std::unexpected(DropReason::Malformed);
      const std::uint16_t field = load_be16(&data[at + 2]);
      p.fragment_offset = field & 0xfff8U;
      p.more_fragments = (field & 1U) != 0;
      p.fragment_id = load_be32(&data[at + 4]);
      p.fragment = p.more_fragments || p.fragment_offset != 0;  // not an atomic fragment (RFC 6946)
      if (p.more_fragments && (size - at - 8) % 8 != 0) return std::unexpected(DropReason::Malformed);
    } else {
      length = next == kAuthentication ? (data[at + 1] + 2U) * 4U : (data[at + 1] + 1U) * 8U;
    }
    if (size - at < length) return std::unexpected(p.fragment ? DropReason::FragmentTiny : DropReason::Malformed);
    next = data[at];
    at += length;
    if (p.later_fragment()) break;  // what follows is data, whatever it looks like
  }
  p.protocol = next;
  p.transport_offset = static_cast<std::uint16_t>(at);
  return with_ports(p, data);
}

}  // namespace

bool protocol_has_ports(std::uint8_t protocol) {
  return least_transport(protocol) != 0;
}

std::expected<InnerPacket, DropReason> parse_inner(ByteView data) {
  if (data.empty()) return std::unexpected(DropReason::NotIp);
  switch (data[0] >> 4) {
    case 4:
      return parse_v4(data);
    case 6:
      return parse_v6(data);
    default:
      return std::unexpected(DropReason::NotIp);
  }
}

}  // namespace qanat::esp
