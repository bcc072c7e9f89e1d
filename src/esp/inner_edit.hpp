// Changes to an inner packet on its way through: TTL, ECN, TCP MSS, each with its checksum, and fragmentation of IPv4
// before encryption. All take the packet that `p` describes, at least p.size octets.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "esp/ecn.hpp"
#include "esp/inner_packet.hpp"

namespace qanat::esp {

// The caller has seen that p.ttl > 1.
void decrement_ttl(MutableByteView packet, InnerPacket& p);
void set_ecn(MutableByteView packet, InnerPacket& p, Ecn ecn);

// Lowers the MSS option of a TCP SYN so that a segment fits into `mtu`; adds none. True when it changed something.
bool clamp_mss(MutableByteView packet, const InnerPacket& p, std::uint16_t mtu);

// Where the pieces of an IPv4 packet begin and end when none may be larger than `mtu`, headers included. Options that
// are not copied into later fragments are overwritten there (RFC 791 3.1), so that all headers have one size.
class Ipv4Fragmenter {
 public:
  // mtu >= header size + 8.
  Ipv4Fragmenter(ByteView packet, const InnerPacket& p, std::uint16_t mtu);
  [[nodiscard]] static bool possible(const InnerPacket& p, std::uint16_t mtu) { return mtu >= p.header_size + 8; }

  [[nodiscard]] bool done() const { return at_ == end_; }
  // Writes the next fragment into `out` and returns its size, which is at most mtu.
  std::size_t next(MutableByteView out);

 private:
  ByteView packet_;
  std::size_t header_;
  std::size_t at_;
  std::size_t end_;
  std::size_t step_;
  std::uint16_t first_offset_;
  bool more_after_;
};

}  // namespace qanat::esp
