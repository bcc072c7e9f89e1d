#include "esp/icmp.hpp"

#include <algorithm>

#include "esp/checksum.hpp"

namespace qanat::esp {

namespace {

constexpr std::uint8_t kTtl = 64;

// An IP header without options and without content checksum; `content` follows.
Bytes ip_packet(const IpAddress& from, const IpAddress& to, std::uint8_t tos, ByteView content) {
  ByteWriter out;
  if (from.is_v6()) {
    out.u32((6U << 28) | (static_cast<std::uint32_t>(tos) << 20));
    out.u16(static_cast<std::uint16_t>(content.size()));
    out.u8(kProtocolIcmpv6);
    out.u8(kTtl);
    out.bytes(from.bytes());
    out.bytes(to.bytes());
  } else {
    out.u8(0x45);
    out.u8(tos);
    out.u16(static_cast<std::uint16_t>(20 + content.size()));
    out.u32(0);  // never fragmented by us, so without an identification (RFC 6864)
    out.u8(kTtl);
    out.u8(kProtocolIcmp);
    out.u16(0);
    out.bytes(from.bytes());
    out.bytes(to.bytes());
    out.patch_u16(10, checksum(out.view()));
  }
  out.bytes(content);
  return std::move(out).take();
}

Bytes icmp_packet(const IpAddress& from, const IpAddress& to, std::uint8_t tos, Bytes content) {
  store_be16(&content[2], 0);
  store_be16(&content[2], from.is_v6() ? transport_checksum(from, to, kProtocolIcmpv6, content) : checksum(content));
  return ip_packet(from, to, tos, content);
}

std::uint8_t icmp_type(ByteView packet, const InnerPacket& p) {
  return packet[p.transport_offset];
}

}  // namespace

bool may_answer_with_error(ByteView packet, const InnerPacket& p) {
  if (p.later_fragment() || p.source.is_unspecified() || p.source.is_multicast() || p.destination.is_multicast())
    return false;
  if (!p.is_v6() && (p.source.v4_host_order() == 0xffffffffU || p.destination.v4_host_order() == 0xffffffffU))
    return false;
  const bool icmp = p.protocol == kProtocolIcmp || p.protocol == kProtocolIcmpv6;
  if (!icmp) return true;
  if (p.size == p.transport_offset) return false;
  const std::uint8_t type = icmp_type(packet, p);
  if (p.is_v6()) return type >= 128 && type != 137;             // errors, redirect
  return type == 0 || type == 8 || (type >= 13 && type <= 18);  // queries only
}

Bytes make_icmp_error(IcmpError error, const IpAddress& from, ByteView packet, const InnerPacket& p,
                      std::uint16_t mtu) {
  const std::size_t header = p.is_v6() ? 40 : 20;
  const std::size_t quote = std::min<std::size_t>(p.size, (p.is_v6() ? 1280 : 576) - header - 8);
  ByteWriter content;
  if (p.is_v6()) {
    content.u8(error == IcmpError::TooBig ? 2 : 3);
    content.u8(0);
    content.u16(0);
    content.u32(error == IcmpError::TooBig ? mtu : 0);
  } else {
    content.u8(error == IcmpError::TooBig ? 3 : 11);
    content.u8(error == IcmpError::TooBig ? 4 : 0);
    content.u16(0);
    content.u32(error == IcmpError::TooBig ? mtu : 0);
  }
  content.bytes(packet.first(quote));
  return icmp_packet(from, p.source, 0xc0, std::move(content).take());  // RFC 1812 4.3.2.5: internetwork control
}

bool is_echo_request(ByteView packet, const InnerPacket& p) {
  if (p.fragment || p.size - p.transport_offset < 8 || p.source.is_unspecified() || p.source.is_multicast())
    return false;
  if (p.is_v6()) return p.protocol == kProtocolIcmpv6 && icmp_type(packet, p) == 128;
  return p.protocol == kProtocolIcmp && icmp_type(packet, p) == 8;
}

Bytes make_echo_reply(ByteView packet, const InnerPacket& p) {
  Bytes content = to_bytes(packet.subspan(p.transport_offset, static_cast<std::size_t>(p.size - p.transport_offset)));
  content[0] = p.is_v6() ? 129 : 0;
  content[1] = 0;
  return icmp_packet(p.destination, p.source, p.tos, std::move(content));
}

}  // namespace qanat::esp
