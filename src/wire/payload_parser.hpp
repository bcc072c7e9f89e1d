// One payload at a time: what parse_chain() and parse_message() share. Not for other rooms.
#pragma once

#include "wire/payloads.hpp"

namespace qanat::wire {

inline constexpr std::size_t kGenericHeaderSize = 4;
inline constexpr std::uint8_t kCriticalBit = 0x80;

// The generic payload header (RFC 7296 3.2) with what it spans.
struct RawPayload {
  PayloadType next = PayloadType::None;
  std::uint8_t reserved = 0;  // the C bit and RESERVED
  ByteView body;
};
// Reads the payload of type `type` at the reader's place; its length may not exceed what is left.
[[nodiscard]] Result<RawPayload> read_raw_payload(ByteReader& in, PayloadType type);

// SK and SKF are Error{Malformed}: they are no payload of a chain.
[[nodiscard]] Result<Payload> parse_payload(PayloadType type, const RawPayload& raw);

// Bodies, each beside its writer in payload_bodies.cpp; SA and TS have files of their own.
[[nodiscard]] Result<KePayload> parse_ke(ByteView body);
[[nodiscard]] Result<IdPayload> parse_id(PayloadType which, ByteView body);
[[nodiscard]] Result<CertPayload> parse_cert(ByteView body);
[[nodiscard]] Result<CertReqPayload> parse_certreq(ByteView body);
[[nodiscard]] Result<AuthPayload> parse_auth(ByteView body);
[[nodiscard]] Result<NoncePayload> parse_nonce(ByteView body);
[[nodiscard]] Result<NotifyPayload> parse_notify(ByteView body);
[[nodiscard]] Result<DeletePayload> parse_delete(ByteView body);
void write_body(ByteWriter& out, const KePayload& payload);
void write_body(ByteWriter& out, const IdPayload& payload);
void write_body(ByteWriter& out, const CertPayload& payload);
void write_body(ByteWriter& out, const CertReqPayload& payload);
void write_body(ByteWriter& out, const AuthPayload& payload);
void write_body(ByteWriter& out, const NoncePayload& payload);
void write_body(ByteWriter& out, const NotifyPayload& payload);
void write_body(ByteWriter& out, const DeletePayload& payload);

}  // namespace qanat::wire
