// Offload: what a host leaves to us of a packet that it routes into the TUN, and what we leave to it of one that we
// write there: checksums that are not complete, and super-packets, up to 64 KB that stand for many segments.
#pragma once

#include "base/bytes.hpp"
#include "esp/inner_packet.hpp"

namespace qanat::esp {

struct Offload {
  enum class Kind : std::uint8_t { None, Tcp4, Tcp6, Udp };  // None: one packet
  Kind kind = Kind::None;
  // The checksum field, `checksum_offset` octets behind `checksum_start`, holds the sum of the pseudo-header only.
  bool needs_checksum = false;
  bool congestion_reduced = false;    // the TCP flag CWR is set: for the first segment only
  std::uint16_t checksum_start = 0;   // where the transport header begins
  std::uint16_t checksum_offset = 0;  // octets
  std::uint16_t header_size = 0;      // octets before the payload
  std::uint16_t segment_size = 0;     // octets of payload in each segment but the last

  friend bool operator==(const Offload&, const Offload&) = default;
};

// As the host hands it over: to change, until the next is read.
struct OffloadPacket {
  MutableByteView packet;
  Offload offload;
};

// How many packets a super-packet of `size` octets stands for.
[[nodiscard]] constexpr std::size_t packets_in(const Offload& offload, std::size_t size) {
  if (offload.kind == Offload::Kind::None || offload.segment_size == 0 || size <= offload.header_size) return 1;
  return (size - offload.header_size + offload.segment_size - 1) / offload.segment_size;
}

// Does what `offload.needs_checksum` leaves to do for one packet. False: its places lie outside the packet.
[[nodiscard]] bool complete_checksum(MutableByteView packet, const Offload& offload);

// The sum of a pseudo-header of IPv4 or IPv6 (RFC 9293 3.1, RFC 8200 8.1), folded.
[[nodiscard]] std::uint32_t pseudo_header_sum(ByteView packet, std::uint8_t protocol, std::size_t length);

}  // namespace qanat::esp
