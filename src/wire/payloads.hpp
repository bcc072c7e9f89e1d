// The payloads that site-to-site uses, one struct each, in RFC 7296 section 3's order. Parsing is total: every octet
// string is either a payload or an Error{Malformed}; nothing here has keys or state.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "base/iana.hpp"
#include "wire/header.hpp"
#include "wire/identity.hpp"
#include "wire/sa_payload.hpp"
#include "wire/ts_payload.hpp"

namespace qanat::wire {

struct KePayload {  // 3.4
  KeId method{};
  Bytes data;
  friend bool operator==(const KePayload&, const KePayload&) = default;
};
struct IdPayload {                       // 3.5
  PayloadType which = PayloadType::IDi;  // IDi or IDr
  Identity identity;
  friend bool operator==(const IdPayload&, const IdPayload&) = default;
};
struct CertPayload {  // 3.6
  std::uint8_t encoding = 0;
  Bytes data;
  friend bool operator==(const CertPayload&, const CertPayload&) = default;
};
struct CertReqPayload {  // 3.7
  std::uint8_t encoding = 0;
  Bytes data;
  friend bool operator==(const CertReqPayload&, const CertReqPayload&) = default;
};
struct AuthPayload {  // 3.8
  AuthMethod method{};
  Bytes data;
  friend bool operator==(const AuthPayload&, const AuthPayload&) = default;
};
struct NoncePayload {  // 3.9: 16 to 256 octets
  Bytes data;
  friend bool operator==(const NoncePayload&, const NoncePayload&) = default;
};
struct NotifyPayload {  // 3.10
  ProtocolId protocol = ProtocolId::None;
  Bytes spi;
  NotifyType type{};
  Bytes data;
  friend bool operator==(const NotifyPayload&, const NotifyPayload&) = default;
};
struct DeletePayload {  // 3.11
  ProtocolId protocol{};
  std::vector<std::uint32_t> spis;  // empty for IKE; SPI size must be 4 for AH and ESP
  friend bool operator==(const DeletePayload&, const DeletePayload&) = default;
};
struct VendorIdPayload {  // 3.12
  Bytes data;
  friend bool operator==(const VendorIdPayload&, const VendorIdPayload&) = default;
};
struct PuzzleSolutionPayload {  // RFC 8019 7.2
  Bytes data;
  friend bool operator==(const PuzzleSolutionPayload&, const PuzzleSolutionPayload&) = default;
};
// EAP and CP are recognised, so that they can be refused by name, and kept as octets.
struct EapPayload {
  Bytes data;
  friend bool operator==(const EapPayload&, const EapPayload&) = default;
};
struct CpPayload {
  Bytes data;
  friend bool operator==(const CpPayload&, const CpPayload&) = default;
};
// A type without a struct above, skipped by the receiver unless `critical` (RFC 7296 2.5).
struct UnknownPayload {
  PayloadType type{};
  bool critical = false;
  Bytes data;
  friend bool operator==(const UnknownPayload&, const UnknownPayload&) = default;
};

using Payload = std::variant<SaPayload, KePayload, IdPayload, CertPayload, CertReqPayload, AuthPayload, NoncePayload,
                             NotifyPayload, DeletePayload, VendorIdPayload, TsPayload, PuzzleSolutionPayload,
                             EapPayload, CpPayload, UnknownPayload>;
using Payloads = std::vector<Payload>;

[[nodiscard]] PayloadType type_of(const Payload& payload);

inline constexpr std::size_t kMaxPayloads = 128;  // in one chain; ours and every known peer's stay far below

// A chain of payloads whose first type is `first`: the plaintext of an SK payload, or what stands in the clear before
// it. Must end exactly at the end of `chain`. SK and SKF cannot stand inside (Error{Malformed, INVALID_SYNTAX}).
[[nodiscard]] Result<Payloads> parse_chain(PayloadType first, ByteView chain);

// Writes a chain and returns the type of its first payload (None when empty). `last_next` goes into the Next Payload
// field of the last one (SK when an encrypted payload follows).
PayloadType write_chain(ByteWriter& out, const Payloads& payloads, PayloadType last_next = PayloadType::None);

// The body of one payload without its generic header: what RFC 7296 2.15 signs of an ID payload.
[[nodiscard]] Bytes body_of(const Payload& payload);

// The first payload of a type in a chain, nullptr when absent.
template <typename T>
[[nodiscard]] const T* find(const Payloads& payloads) {
  for (const Payload& p : payloads) {
    if (const T* found = std::get_if<T>(&p)) return found;
  }
  return nullptr;
}
[[nodiscard]] const NotifyPayload* find_notify(const Payloads& payloads, NotifyType type);
[[nodiscard]] const IdPayload* find_id(const Payloads& payloads, PayloadType which);
[[nodiscard]] const TsPayload* find_ts(const Payloads& payloads, PayloadType which);
[[nodiscard]] std::size_t count(const Payloads& payloads, PayloadType type);

}  // namespace qanat::wire
