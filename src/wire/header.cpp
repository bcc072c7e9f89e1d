#include "wire/header.hpp"

#include <fmt/format.h>

#include "wire/malformed.hpp"

namespace qanat::wire {

//                      1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |                       IKE SA Initiator's SPI                  |
// |                       IKE SA Responder's SPI                  |
// |  Next Payload | MjVer | MnVer | Exchange Type |     Flags     |
// |                          Message ID                           |
// |                            Length                             |
Result<IkeHeader> parse_header(ByteView datagram) {
  if (datagram.size() < kIkeHeaderSize) {
    return malformed("IKE header",
                     fmt::format("needs {} octets, the datagram has {}", kIkeHeaderSize, datagram.size()));
  }
  const std::uint8_t* p = datagram.data();
  IkeHeader h;
  h.spi_i = load_be64(p);
  h.spi_r = load_be64(p + 8);
  h.next_payload = static_cast<PayloadType>(p[16]);
  h.major_version = static_cast<std::uint8_t>(p[17] >> 4);
  h.minor_version = static_cast<std::uint8_t>(p[17] & 0x0f);
  h.exchange = static_cast<ExchangeType>(p[18]);
  h.flags = p[19];
  h.message_id = load_be32(p + 20);
  h.length = load_be32(p + 24);
  if (h.length != datagram.size()) {
    return malformed("IKE header",
                     fmt::format("Length says {} octets, the datagram has {}", h.length, datagram.size()));
  }
  return h;
}

void write_header(ByteWriter& out, const IkeHeader& header) {
  out.u64(header.spi_i);
  out.u64(header.spi_r);
  out.u8(static_cast<std::uint8_t>(header.next_payload));
  out.u8(static_cast<std::uint8_t>(((header.major_version & 0x0f) << 4) | (header.minor_version & 0x0f)));
  out.u8(static_cast<std::uint8_t>(header.exchange));
  // RFC 7296 3.1: the V bit and the unassigned ones "MUST be cleared when sending".
  out.u8(static_cast<std::uint8_t>(header.flags & (kFlagInitiator | kFlagResponse)));
  out.u32(header.message_id);
  out.u32(header.length);
}

}  // namespace qanat::wire
