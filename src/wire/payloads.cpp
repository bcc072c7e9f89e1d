#include "wire/payloads.hpp"

#include <algorithm>
#include <type_traits>

#include <fmt/format.h>

#include "wire/malformed.hpp"
#include "wire/payload_parser.hpp"

namespace qanat::wire {

namespace {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

template <typename T>
Result<Payload> as_payload(Result<T> result) {
  if (!result) return std::unexpected(std::move(result).error());
  return Payload{std::move(*result)};
}

std::string name_of(PayloadType type) {
  return to_string(type) + " payload";
}

void write_any_body(ByteWriter& out, const Payload& payload) {
  std::visit(
      [&](const auto& p) {
        if constexpr (requires { write_body(out, p); }) {
          write_body(out, p);
        } else {
          out.bytes(p.data);  // those that are kept as octets
        }
      },
      payload);
}

}  // namespace

PayloadType type_of(const Payload& payload) {
  return std::visit(Overloaded{
                        [](const SaPayload&) { return PayloadType::SA; },
                        [](const KePayload&) { return PayloadType::KE; },
                        [](const IdPayload& p) { return p.which; },
                        [](const CertPayload&) { return PayloadType::CERT; },
                        [](const CertReqPayload&) { return PayloadType::CERTREQ; },
                        [](const AuthPayload&) { return PayloadType::AUTH; },
                        [](const NoncePayload&) { return PayloadType::Nonce; },
                        [](const NotifyPayload&) { return PayloadType::N; },
                        [](const DeletePayload&) { return PayloadType::D; },
                        [](const VendorIdPayload&) { return PayloadType::V; },
                        [](const TsPayload& p) { return p.which; },
                        [](const PuzzleSolutionPayload&) { return PayloadType::PS; },
                        [](const EapPayload&) { return PayloadType::EAP; },
                        [](const CpPayload&) { return PayloadType::CP; },
                        [](const UnknownPayload& p) { return p.type; },
                    },
                    payload);
}

// | Next Payload  |C|  RESERVED   |         Payload Length        |
Result<RawPayload> read_raw_payload(ByteReader& in, PayloadType type) {
  if (in.remaining() < kGenericHeaderSize) {
    return malformed(name_of(type), fmt::format("is announced, but only {} octets are left", in.remaining()));
  }
  const ByteView header = in.rest();
  const std::size_t length = load_be16(&header[2]);
  if (length < kGenericHeaderSize || length > in.remaining()) {
    return malformed(name_of(type), fmt::format("Payload Length is {}, it must be {} to {}", length, kGenericHeaderSize,
                                                in.remaining()));
  }
  QANAT_ASSIGN(const ByteView whole, in.take(length, "payload"));
  return RawPayload{static_cast<PayloadType>(header[0]), header[1], whole.subspan(kGenericHeaderSize)};
}

Result<Payload> parse_payload(PayloadType type, const RawPayload& raw) {
  switch (type) {
    case PayloadType::SA:
      return as_payload(parse_sa(raw.body));
    case PayloadType::KE:
      return as_payload(parse_ke(raw.body));
    case PayloadType::IDi:
    case PayloadType::IDr:
      return as_payload(parse_id(type, raw.body));
    case PayloadType::CERT:
      return as_payload(parse_cert(raw.body));
    case PayloadType::CERTREQ:
      return as_payload(parse_certreq(raw.body));
    case PayloadType::AUTH:
      return as_payload(parse_auth(raw.body));
    case PayloadType::Nonce:
      return as_payload(parse_nonce(raw.body));
    case PayloadType::N:
      return as_payload(parse_notify(raw.body));
    case PayloadType::D:
      return as_payload(parse_delete(raw.body));
    case PayloadType::V:
      return Payload{VendorIdPayload{to_bytes(raw.body)}};
    case PayloadType::TSi:
    case PayloadType::TSr:
      return as_payload(parse_ts(type, raw.body));
    case PayloadType::CP:
      return Payload{CpPayload{to_bytes(raw.body)}};
    case PayloadType::EAP:
      return Payload{EapPayload{to_bytes(raw.body)}};
    case PayloadType::PS:
      return Payload{PuzzleSolutionPayload{to_bytes(raw.body)}};
    case PayloadType::SK:
    case PayloadType::SKF:
      return malformed(name_of(type), "cannot stand inside a chain of payloads");
    case PayloadType::None:
      break;
  }
  // The critical bit counts only where we do not understand the type (RFC 7296 3.2).
  return Payload{UnknownPayload{type, (raw.reserved & kCriticalBit) != 0, to_bytes(raw.body)}};
}

Result<Payloads> parse_chain(PayloadType first, ByteView chain) {
  Payloads payloads;
  ByteReader in(chain);
  PayloadType type = first;
  while (type != PayloadType::None) {
    if (payloads.size() == kMaxPayloads) {
      return malformed("message", fmt::format("has more than {} payloads", kMaxPayloads));
    }
    QANAT_ASSIGN(const RawPayload raw, read_raw_payload(in, type));
    QANAT_ASSIGN(Payload payload, parse_payload(type, raw));
    payloads.push_back(std::move(payload));
    type = raw.next;
  }
  if (!in.empty()) {
    return malformed("message", fmt::format("{} octets follow the last payload", in.remaining()));
  }
  return payloads;
}

PayloadType write_chain(ByteWriter& out, const Payloads& payloads, PayloadType last_next) {
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    const std::size_t start = out.size();
    const auto* unknown = std::get_if<UnknownPayload>(&payloads[i]);
    out.u8(static_cast<std::uint8_t>(i + 1 < payloads.size() ? type_of(payloads[i + 1]) : last_next));
    out.u8(unknown != nullptr && unknown->critical ? kCriticalBit : 0);
    out.u16(0);
    write_any_body(out, payloads[i]);
    const std::size_t length = out.size() - start;
    ensure(length <= 65535, "a payload has at most 65535 octets");
    out.patch_u16(start + 2, static_cast<std::uint16_t>(length));
  }
  return payloads.empty() ? PayloadType::None : type_of(payloads.front());
}

Bytes body_of(const Payload& payload) {
  ByteWriter out;
  write_any_body(out, payload);
  return std::move(out).take();
}

const NotifyPayload* find_notify(const Payloads& payloads, NotifyType type) {
  for (const Payload& p : payloads) {
    if (const auto* notify = std::get_if<NotifyPayload>(&p); notify != nullptr && notify->type == type) return notify;
  }
  return nullptr;
}

const IdPayload* find_id(const Payloads& payloads, PayloadType which) {
  for (const Payload& p : payloads) {
    if (const auto* id = std::get_if<IdPayload>(&p); id != nullptr && id->which == which) return id;
  }
  return nullptr;
}

const TsPayload* find_ts(const Payloads& payloads, PayloadType which) {
  for (const Payload& p : payloads) {
    if (const auto* ts = std::get_if<TsPayload>(&p); ts != nullptr && ts->which == which) return ts;
  }
  return nullptr;
}

std::size_t count(const Payloads& payloads, PayloadType type) {
  return static_cast<std::size_t>(
      std::count_if(payloads.begin(), payloads.end(), [type](const Payload& p) { return type_of(p) == type; }));
}

}  // namespace qanat::wire
