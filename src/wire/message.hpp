// An IKE message as it stands in a datagram (without the non-ESP marker), in trust stages:
//
//   ClearMessage: parsed from the wire, nothing authenticated; its encrypted part is still ciphertext.
//   After decryption (ike/sk_codec) the plaintext goes through parse_chain().
//
// The encrypted part must be the last payload (RFC 7296 3.14).
#pragma once

#include <optional>

#include "wire/payloads.hpp"

namespace qanat::wire {

inline constexpr std::size_t kMaxMessageSize = 65507;
inline constexpr std::size_t kSkHeaderSize = 4;   // generic payload header of SK
inline constexpr std::size_t kSkfHeaderSize = 8;  // and of SKF with Fragment Number and Total Fragments (RFC 7383 2.5)

struct EncryptedPart {
  PayloadType first_inner = PayloadType::None;  // Next Payload of the SK or SKF header
  std::uint8_t reserved = 0;          // the C bit and RESERVED as received: IntAuth covers them (RFC 9242 3.3.2)
  std::size_t associated_size = 0;    // from the message's first octet to the end of the SK or SKF header
  ByteView body;                      // IV | ciphertext | ICV, a view into the datagram
  std::uint16_t fragment_number = 0;  // 1..total for SKF; 0 for SK
  std::uint16_t total_fragments = 0;
  [[nodiscard]] bool is_fragment() const { return total_fragments != 0; }
};

struct ClearMessage {
  IkeHeader header;
  Payloads payloads;  // what stands in the clear
  std::optional<EncryptedPart> encrypted;
};

// Views in the result point into `datagram`. SKF with number 0, total 0 or number > total is Error{Malformed}.
[[nodiscard]] Result<ClearMessage> parse_message(ByteView datagram);

// A message with nothing encrypted: IKE_SA_INIT, and errors before there are keys. Fills in Next Payload and Length.
[[nodiscard]] Bytes write_clear_message(IkeHeader header, const Payloads& payloads);

}  // namespace qanat::wire
