// The bodies of payloads in the order of RFC 7296 section 3, each parser followed by its writer.
#include <algorithm>

#include <fmt/format.h>

#include "wire/malformed.hpp"
#include "wire/payload_parser.hpp"

namespace qanat::wire {

namespace {

constexpr std::size_t kMinNonce = 16;
constexpr std::size_t kMaxNonce = 256;

std::string id_name(PayloadType which) {
  return to_string(which) + " payload";
}

std::optional<std::size_t> fixed_size(IdType type) {
  switch (type) {
    case IdType::ID_IPV4_ADDR:
      return 4;
    case IdType::ID_IPV6_ADDR:
      return 16;
    case IdType::ID_NULL:
      return 0;  // RFC 7619 2.2
    default:
      return std::nullopt;
  }
}

}  // namespace

// 3.4
// |   Diffie-Hellman Group Num    |           RESERVED            |
// ~                       Key Exchange Data                       ~
Result<KePayload> parse_ke(ByteView body) {
  constexpr std::size_t kFixed = 4;
  if (body.size() <= kFixed) {
    return malformed("KE payload",
                     body.size() < kFixed ? "is shorter than its fixed fields" : "has no Key Exchange Data");
  }
  return KePayload{static_cast<KeId>(load_be16(body.data())), to_bytes(body.subspan(kFixed))};
}

void write_body(ByteWriter& out, const KePayload& payload) {
  out.u16(static_cast<std::uint16_t>(payload.method));
  out.u16(0);
  out.bytes(payload.data);
}

// 3.5
// |   ID Type     |                 RESERVED                      |
// ~                   Identification Data                         ~
Result<IdPayload> parse_id(PayloadType which, ByteView body) {
  constexpr std::size_t kFixed = 4;
  if (body.size() < kFixed) {
    return malformed(id_name(which), "is shorter than its fixed fields");
  }
  const auto type = static_cast<IdType>(body[0]);
  const ByteView data = body.subspan(kFixed);
  if (const auto size = fixed_size(type); size && data.size() != *size) {
    return malformed(id_name(which), fmt::format("{} has {} octets, not {}", to_string(type), *size, data.size()));
  }
  if (data.empty() && type != IdType::ID_NULL) {
    return malformed(id_name(which), fmt::format("{} is empty", to_string(type)));
  }
  return IdPayload{which, Identity{type, to_bytes(data)}};
}

void write_body(ByteWriter& out, const IdPayload& payload) {
  out.u8(static_cast<std::uint8_t>(payload.identity.type));
  out.zeros(3);
  out.bytes(payload.identity.data);
}

// 3.6
// | Cert Encoding |
// ~                       Certificate Data                        ~
Result<CertPayload> parse_cert(ByteView body) {
  if (body.size() < 2) {
    return malformed("CERT payload", body.empty() ? "has no Cert Encoding" : "has no Certificate Data");
  }
  return CertPayload{body[0], to_bytes(body.subspan(1))};
}

void write_body(ByteWriter& out, const CertPayload& payload) {
  out.u8(payload.encoding);
  out.bytes(payload.data);
}

// 3.7
// | Cert Encoding |
// ~                    Certification Authority                    ~
Result<CertReqPayload> parse_certreq(ByteView body) {
  if (body.empty()) {
    return malformed("CERTREQ payload", "has no Cert Encoding");
  }
  return CertReqPayload{body[0], to_bytes(body.subspan(1))};
}

void write_body(ByteWriter& out, const CertReqPayload& payload) {
  out.u8(payload.encoding);
  out.bytes(payload.data);
}

// 3.8
// | Auth Method   |                RESERVED                       |
// ~                      Authentication Data                      ~
Result<AuthPayload> parse_auth(ByteView body) {
  constexpr std::size_t kFixed = 4;
  if (body.size() <= kFixed) {
    return malformed("AUTH payload",
                     body.size() < kFixed ? "is shorter than its fixed fields" : "has no Authentication Data");
  }
  return AuthPayload{static_cast<AuthMethod>(body[0]), to_bytes(body.subspan(kFixed))};
}

void write_body(ByteWriter& out, const AuthPayload& payload) {
  out.u8(static_cast<std::uint8_t>(payload.method));
  out.zeros(3);
  out.bytes(payload.data);
}

// 3.9
// ~                            Nonce Data                         ~
Result<NoncePayload> parse_nonce(ByteView body) {
  if (body.size() < kMinNonce || body.size() > kMaxNonce) {
    return malformed("Nonce payload", fmt::format("has {} octets, not {} to {}", body.size(), kMinNonce, kMaxNonce));
  }
  return NoncePayload{to_bytes(body)};
}

void write_body(ByteWriter& out, const NoncePayload& payload) {
  out.bytes(payload.data);
}

// 3.10
// |  Protocol ID  |   SPI Size    |      Notify Message Type      |
// ~                Security Parameter Index (SPI)                 ~
// ~                       Notification Data                       ~
Result<NotifyPayload> parse_notify(ByteView body) {
  constexpr std::size_t kFixed = 4;
  if (body.size() < kFixed) {
    return malformed("N payload", "is shorter than its fixed fields");
  }
  const std::size_t spi_size = body[1];
  const ByteView rest = body.subspan(kFixed);
  if (spi_size > rest.size()) {
    return malformed("N payload", fmt::format("SPI Size says {} octets, {} are left", spi_size, rest.size()));
  }
  return NotifyPayload{static_cast<ProtocolId>(body[0]), to_bytes(rest.first(spi_size)),
                       static_cast<NotifyType>(load_be16(&body[2])), to_bytes(rest.subspan(spi_size))};
}

void write_body(ByteWriter& out, const NotifyPayload& payload) {
  ensure(payload.spi.size() <= 255, "an SPI has at most 255 octets");
  out.u8(static_cast<std::uint8_t>(payload.protocol));
  out.u8(static_cast<std::uint8_t>(payload.spi.size()));
  out.u16(static_cast<std::uint16_t>(payload.type));
  out.bytes(payload.spi);
  out.bytes(payload.data);
}

// 3.11
// | Protocol ID   |   SPI Size    |          Num of SPIs          |
// ~               Security Parameter Index(es) (SPI)              ~
Result<DeletePayload> parse_delete(ByteView body) {
  constexpr std::size_t kFixed = 4;
  constexpr const char* kWhere = "D payload";
  if (body.size() < kFixed) {
    return malformed(kWhere, "is shorter than its fixed fields");
  }
  DeletePayload payload{static_cast<ProtocolId>(body[0]), {}};
  const std::size_t spi_size = body[1];
  const std::size_t number = load_be16(&body[2]);
  const ByteView rest = body.subspan(kFixed);
  switch (payload.protocol) {
    case ProtocolId::IKE:  // its SPIs stand in the message's header; the count of none is not worth a quarrel
      if (spi_size != 0 || !rest.empty()) {
        return malformed(kWhere, "carries an SPI for IKE, which must have none");
      }
      return payload;
    case ProtocolId::AH:
    case ProtocolId::ESP:
      if (spi_size != 4) {
        return malformed(kWhere, fmt::format("SPI Size is {}, it must be 4 for AH and ESP", spi_size));
      }
      if (number * 4 != rest.size()) {
        return malformed(kWhere, fmt::format("says {} SPIs and has {} octets of them", number, rest.size()));
      }
      for (std::size_t at = 0; at < rest.size(); at += 4) {
        payload.spis.push_back(load_be32(&rest[at]));
      }
      return payload;
    case ProtocolId::None:
      break;
  }
  return malformed(kWhere, fmt::format("Protocol ID {} is not IKE, AH or ESP", body[0]));
}

void write_body(ByteWriter& out, const DeletePayload& payload) {
  ensure(payload.protocol != ProtocolId::IKE || payload.spis.empty(), "a Delete for IKE has no SPI");
  out.u8(static_cast<std::uint8_t>(payload.protocol));
  out.u8(payload.protocol == ProtocolId::IKE ? 0 : 4);
  out.u16(static_cast<std::uint16_t>(payload.spis.size()));  // more than fit into a payload do not pass write_chain
  for (const std::uint32_t spi : payload.spis) {
    out.u32(spi);
  }
}

}  // namespace qanat::wire
