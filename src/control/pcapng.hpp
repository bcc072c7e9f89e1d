// pcapng (draft-ietf-opsawg-pcapng): the blocks that a capture needs, appended to a buffer, little-endian. A file is a
// section header, then an interface before the first packet that names it, and packets.
#pragma once

#include <string_view>

#include "base/bytes.hpp"

namespace qanat::control::pcapng {

enum class Direction : std::uint8_t { Inbound = 1, Outbound = 2 };  // of epb_flags

// `application`: who writes it, "qanat 1.2.3".
void append_section(Bytes& to, std::string_view application);
// Raw IP packets (LINKTYPE_RAW), times in nanoseconds. Interfaces count from 0 in their order. `snap`: octets that are
// kept of a packet; `filter`: for people, may be empty.
void append_interface(Bytes& to, std::string_view name, std::uint32_t snap, std::string_view filter);
// `nanoseconds` since 1970; `kept`: the first octets of a packet of `size`.
void append_packet(Bytes& to, std::uint32_t interface, std::uint64_t nanoseconds, Direction direction, ByteView kept,
                   std::uint32_t size);
// What append_packet() adds beside the octets kept, at most.
inline constexpr std::size_t kPacketOverhead = 48;

}  // namespace qanat::control::pcapng
