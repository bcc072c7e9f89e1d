#include "esp/inner_edit.hpp"

#include <algorithm>

#include "esp/checksum.hpp"

namespace qanat::esp {

namespace {

constexpr std::size_t kV4Checksum = 10;
constexpr std::uint8_t kTcpSyn = 2;

// Writes a 16-bit word of an IPv4 header and mends the checksum.
void set_v4_word(MutableByteView packet, std::size_t at, std::uint16_t word) {
  const std::uint16_t old = load_be16(&packet[at]);
  store_be16(&packet[at], word);
  store_be16(&packet[kV4Checksum], checksum_update(load_be16(&packet[kV4Checksum]), old, word));
}

}  // namespace

void decrement_ttl(MutableByteView packet, InnerPacket& p) {
  p.ttl = static_cast<std::uint8_t>(p.ttl - 1);
  if (p.is_v6()) {
    packet[7] = p.ttl;
  } else {
    set_v4_word(packet, 8, static_cast<std::uint16_t>((p.ttl << 8) | p.protocol));
  }
}

void set_ecn(MutableByteView packet, InnerPacket& p, Ecn ecn) {
  if (ecn_of(p.tos) == ecn) return;
  p.tos = static_cast<std::uint8_t>((p.tos & 0xfcU) | static_cast<std::uint8_t>(ecn));
  if (p.is_v6()) {
    packet[0] = static_cast<std::uint8_t>((packet[0] & 0xf0U) | (p.tos >> 4));
    packet[1] = static_cast<std::uint8_t>((std::uint32_t{p.tos} << 4) | (packet[1] & 0x0fU));
  } else {
    set_v4_word(packet, 0, static_cast<std::uint16_t>((packet[0] << 8) | p.tos));
  }
}

bool clamp_mss(MutableByteView packet, const InnerPacket& p, std::uint16_t mtu) {
  if (p.protocol != kProtocolTcp || p.later_fragment()) return false;
  const std::size_t fixed = p.is_v6() ? 60 : 40;  // RFC 6691: the fixed headers, without options
  const MutableByteView tcp = packet.subspan(p.transport_offset, static_cast<std::size_t>(p.size - p.transport_offset));
  if (mtu <= fixed || tcp.size() < 20 || (tcp[13] & kTcpSyn) == 0) return false;
  const auto limit = static_cast<std::uint16_t>(mtu - fixed);
  const std::size_t header = std::min<std::size_t>(std::size_t{4} * (tcp[12] >> 4U), tcp.size());
  for (std::size_t at = 20; at < header;) {
    const std::uint8_t kind = tcp[at];
    if (kind == 0) break;
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= header) break;
    const std::size_t length = tcp[at + 1];
    if (length < 2 || at + length > header) break;
    if (kind == 2 && length == 4) {
      const std::uint16_t mss = load_be16(&tcp[at + 2]);
      if (mss <= limit) return false;
      store_be16(&tcp[at + 2], limit);
      std::uint16_t sum = load_be16(&tcp[16]);
      if (at % 2 == 0) {
        sum = checksum_update(sum, mss, limit);
      } else {
        // The option lies across two words of the sum; swapping the octets adds the same (RFC 1071 2B).
        const auto swap = [](std::uint16_t v) { return static_cast<std::uint16_t>((v << 8) | (v >> 8)); };
        sum = checksum_update(sum, swap(mss), swap(limit));
      }
      store_be16(&tcp[16], sum);
      return true;
    }
    at += length;
  }
  return false;
}

Ipv4Fragmenter::Ipv4Fragmenter(ByteView packet, const InnerPacket& p, std::uint16_t mtu)
    : packet_(packet),
      header_(p.header_size),
      at_(p.header_size),
      end_(p.size),
      step_((static_cast<std::size_t>(mtu) - p.header_size) / 8 * 8),
      first_offset_(p.fragment_offset),
      more_after_(p.more_fragments) {
  ensure(step_ >= 8, "fragmenting to an MTU without room");
}

std::size_t Ipv4Fragmenter::next(MutableByteView out) {
  const std::size_t content = std::min(step_, end_ - at_);
  const std::size_t size = header_ + content;
  ensure(out.size() >= size, "fragment buffer too small");
  std::memcpy(out.data(), packet_.data(), header_);
  std::memcpy(&out[header_], &packet_[at_], content);
  const std::size_t offset = first_offset_ + (at_ - header_);
  if (offset != 0) {
    for (std::size_t i = 20; i < header_;) {
      const std::uint8_t kind = out[i];
      if (kind == 0) break;
      const std::size_t length = kind == 1 ? 1 : (i + 1 < header_ ? std::size_t{out[i + 1]} : 0);
      if (length == 0 || (kind != 1 && length < 2) || i + length > header_) break;
      if ((kind & 0x80U) == 0) std::memset(&out[i], 1, length);  // not to be copied: no-operation instead
      i += length;
    }
  }
  at_ += content;
  const bool more = at_ != end_ || more_after_;
  store_be16(&out[2], static_cast<std::uint16_t>(size));
  store_be16(&out[6], static_cast<std::uint16_t>((more ? 0x2000U : 0U) | (offset / 8)));
  store_be16(&out[kV4Checksum], 0);
  store_be16(&out[kV4Checksum], checksum(out.first(header_)));
  return size;
}

}  // namespace qanat::esp
