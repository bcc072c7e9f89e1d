// ICMP and ICMPv6 messages that we send ourselves: errors about a packet, and echo replies.
#pragma once

#include "base/bytes.hpp"
#include "esp/inner_packet.hpp"

namespace qanat::esp {

enum class IcmpError : std::uint8_t { TooBig, TtlExpired };

// False for packets about which no error may be sent: errors themselves, later fragments, multicast and unspecified
// addresses (RFC 1122 3.2.2, RFC 4443 2.4).
[[nodiscard]] bool may_answer_with_error(ByteView packet, const InnerPacket& p);

// The whole IP packet of an error from `from` (of the packet's family) to the packet's source: destination unreachable,
// fragmentation needed, with `mtu` (RFC 1191 4); packet too big (RFC 4443 3.2); or time exceeded. Quotes as much as
// fits into 576 octets (IPv4) or 1,280 (IPv6).
[[nodiscard]] Bytes make_icmp_error(IcmpError error, const IpAddress& from, ByteView packet, const InnerPacket& p,
                                    std::uint16_t mtu);

// True for an unfragmented echo request.
[[nodiscard]] bool is_echo_request(ByteView packet, const InnerPacket& p);
// The whole IP packet that answers it, from its destination.
[[nodiscard]] Bytes make_echo_reply(ByteView packet, const InnerPacket& p);

}  // namespace qanat::esp
