// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
#pragma once

#include "base/address.hpp"
#include "base/bytes.hpp"

namespace qanat::esp {

// One's complement sum over octets, as a partial result to add to; an odd last octet is padded with zero.
[[nodiscard]] constexpr std::uint32_t checksum_add(std::uint32_t sum, ByteView data) {
  std::uint64_t wide = sum;
  std::size_t i = 0;
  for (; i + 1 < data.size(); i += 2) wide += load_be16(&data[i]);
  if (i < data.size()) wide += static_cast<std::uint32_t>(data[i]) << 8;
  while ((wide >> 16) != 0) wide = (wide & 0xffff) + (wide >> 16);
  return static_cast<std::uint32_t>(wide);
}
[[nodiscard]] constexpr std::uint16_t checksum_finish(std::uint32_t sum) {
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}
[[nodiscard]] constexpr std::uint16_t checksum(ByteView data) {
  return checksum_finish(checksum_add(0, data));
}

// Of a transport header and its data behind an IPv6 pseudo-header (RFC 8200 8.1) or an IPv4 one.
[[nodiscard]] inline std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination,
                                                      std::uint8_t protocol, ByteView data) {
  std::uint32_t sum = checksum_add(0, source.bytes());
  sum = checksum_add(sum, destination.bytes());
  sum += static_cast<std::uint32_t>(data.size() >> 16) + static_cast<std::uint32_t>(data.size() & 0xffff) + protocol;
  return checksum_finish(checksum_add(sum, data));
}

// RFC 1624 eqn. 3: the checksum after one 16-bit word has changed.
[[nodiscard]] constexpr std::uint16_t checksum_update(std::uint16_t sum, std::uint16_t old_word,
                                                      std::uint16_t new_word) {
  std::uint32_t s = static_cast<std::uint16_t>(~sum);
  s += static_cast<std::uint16_t>(~old_word);
  s += new_word;
  return checksum_finish(s);
}

}  // namespace qanat::esp
