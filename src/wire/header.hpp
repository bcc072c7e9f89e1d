// The IKE header (RFC 7296 3.1).
#pragma once

#include "base/bytes.hpp"
#include "wire/numbers.hpp"

namespace qanat::wire {

inline constexpr std::size_t kIkeHeaderSize = 28;
inline constexpr std::uint8_t kFlagInitiator = 0x08;
inline constexpr std::uint8_t kFlagVersion = 0x10;
inline constexpr std::uint8_t kFlagResponse = 0x20;

struct IkeHeader {
  std::uint64_t spi_i = 0;
  std::uint64_t spi_r = 0;
  PayloadType next_payload = PayloadType::None;
  std::uint8_t major_version = 2;
  std::uint8_t minor_version = 0;
  ExchangeType exchange{};
  std::uint8_t flags = 0;  // as received; writers set kFlagInitiator and kFlagResponse only
  std::uint32_t message_id = 0;
  std::uint32_t length = 0;  // of the whole message, header included

  [[nodiscard]] bool is_response() const { return (flags & kFlagResponse) != 0; }
  [[nodiscard]] bool from_initiator() const {
    return (flags & kFlagInitiator) != 0;
  }  // of the IKE SA, not of the exchange
  friend bool operator==(const IkeHeader&, const IkeHeader&) = default;
};

// Reads the fixed header only. Error{Malformed} when shorter than 28 octets or when Length is not the datagram's
// length; the version is not judged here (a higher major version is answered, RFC 7296 2.5).
[[nodiscard]] Result<IkeHeader> parse_header(ByteView datagram);
void write_header(ByteWriter& out, const IkeHeader& header);

}  // namespace qanat::wire
