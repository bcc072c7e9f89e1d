#include "esp/offload.hpp"

#include "esp/checksum.hpp"
#include "esp/fast_sum.hpp"

namespace qanat::esp {

bool complete_checksum(MutableByteView packet, const Offload& offload) {
  const std::size_t start = offload.checksum_start;
  const std::size_t field = start + offload.checksum_offset;
  if (field + 2 > packet.size()) return false;
  const std::uint16_t sum = checksum_finish(fast_sum(packet.subspan(start)));
  store_be16(&packet[field], sum != 0 ? sum : 0xffff);  // RFC 768: zero says that there is none
  return true;
}

std::uint32_t pseudo_header_sum(ByteView packet, std::uint8_t protocol, std::size_t length) {
  const bool v6 = (packet[0] >> 4) == 6;
  const std::uint32_t addresses = fast_sum(v6 ? packet.subspan(8, 32) : packet.subspan(12, 8));
  return addresses + protocol + static_cast<std::uint32_t>(length >> 16) + static_cast<std::uint32_t>(length & 0xffff);
}

}  // namespace qanat::esp
