// For tests and fuzzers only: octets from figures, sample messages of every kind, and whether what was read can be
// written and read again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wire/message.hpp"

namespace qanat::wire::testing {

// Hexadecimal with spaces and line ends, as one writes it below a figure.
[[nodiscard]] inline Bytes hex(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != ' ' && c != '\n') digits.push_back(c);
  }
  auto octets = from_hex(digits);
  ensure(octets.has_value(), "a figure is hexadecimal");
  return *octets;
}

[[nodiscard]] inline Bytes filled(std::size_t size, std::uint8_t first = 0) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(first + i);
  return out;
}

[[nodiscard]] inline IkeHeader header_of(ExchangeType exchange, std::uint8_t flags, std::uint32_t message_id) {
  IkeHeader h;
  h.spi_i = 0x0102030405060708;
  h.spi_r = exchange == ExchangeType::IKE_SA_INIT && flags == kFlagInitiator ? 0 : 0x1112131415161718;
  h.exchange = exchange;
  h.flags = flags;
  h.message_id = message_id;
  return h;
}

[[nodiscard]] inline PayloadType encrypted_type(const EncryptedPart& part) {
  return part.is_fragment() ? PayloadType::SKF : PayloadType::SK;
}

// Any message, with an encrypted part whose body is taken as it is.
[[nodiscard]] inline Bytes write_message(IkeHeader header, const Payloads& payloads,
                                         const std::optional<EncryptedPart>& encrypted) {
  if (!encrypted) return write_clear_message(header, payloads);
  const PayloadType type = encrypted_type(*encrypted);
  ByteWriter chain;
  const PayloadType first = write_chain(chain, payloads, type);
  const std::size_t own = (encrypted->is_fragment() ? kSkfHeaderSize : kSkHeaderSize) + encrypted->body.size();
  chain.u8(static_cast<std::uint8_t>(encrypted->first_inner));
  chain.u8(encrypted->reserved);
  chain.u16(static_cast<std::uint16_t>(own));
  if (encrypted->is_fragment()) {
    chain.u16(encrypted->fragment_number);
    chain.u16(encrypted->total_fragments);
  }
  chain.bytes(encrypted->body);
  header.next_payload = payloads.empty() ? type : first;
  header.length = static_cast<std::uint32_t>(kIkeHeaderSize + chain.size());
  ByteWriter out;
  write_header(out, header);
  out.bytes(chain.view());
  return std::move(out).take();
}

// The same message, but for what a writer normalises: Length, reserved flags, selectors and attributes that we skip.
[[nodiscard]] inline bool same_message(const ClearMessage& a, const ClearMessage& b) {
  const auto meaning = [](IkeHeader h) {
    h.flags = static_cast<std::uint8_t>(h.flags & (kFlagInitiator | kFlagResponse));
    h.length = 0;
    return h;
  };
  if (meaning(a.header) != meaning(b.header) || a.payloads != b.payloads ||
      a.encrypted.has_value() != b.encrypted.has_value())
    return false;
  if (!a.encrypted) return true;
  const EncryptedPart& x = *a.encrypted;
  const EncryptedPart& y = *b.encrypted;
  return x.first_inner == y.first_inner && x.reserved == y.reserved && equal(x.body, y.body) &&
         x.fragment_number == y.fragment_number && x.total_fragments == y.total_fragments &&
         b.encrypted->associated_size + y.body.size() == b.header.length;
}

// What every parsed message must do: be written, not grow, parse again, and mean the same. Empty when it does.
[[nodiscard]] inline std::string round_trip_fault(const ClearMessage& message) {
  const Bytes again = write_message(message.header, message.payloads, message.encrypted);
  if (again.size() > message.header.length) return "grew when it was written";
  const auto second = parse_message(again);
  if (!second) return "does not parse after it was written: " + second.error().where + ": " + second.error().detail;
  if (!same_message(message, *second)) return "means something else after it was written";
  for (const Payload& p : message.payloads) {  // identities are shown in logs, whatever they hold
    if (const auto* id = std::get_if<IdPayload>(&p)) {
      for (const char c : id->identity.to_string()) {
        if (c < 0x20 || c == 0x7f) return "has an identity that prints control characters";
      }
      if (!id->identity.matches(id->identity)) return "has an identity that is not itself";
    }
  }
  return {};
}

[[nodiscard]] inline SaPayload hybrid_ike_sa() {
  Proposal hybrid{1, ProtocolId::IKE, {}, {}};
  hybrid.transforms.push_back({TransformType::ENCR, 20, 256, false});
  hybrid.transforms.push_back({TransformType::PRF, 6, std::nullopt, false});
  hybrid.transforms.push_back({TransformType::KE, 31, std::nullopt, false});
  hybrid.transforms.push_back({TransformType::ADDKE1, 36, std::nullopt, false});
  Proposal classical{2, ProtocolId::IKE, {}, {}};
  classical.transforms.push_back({TransformType::ENCR, 12, 256, false});
  classical.transforms.push_back({TransformType::PRF, 5, std::nullopt, false});
  classical.transforms.push_back({TransformType::INTEG, 12, std::nullopt, false});
  classical.transforms.push_back({TransformType::KE, 19, std::nullopt, false});
  return {{hybrid, classical}};
}

[[nodiscard]] inline SaPayload esp_sa() {
  Proposal p{1, ProtocolId::ESP, {0xc1, 0x02, 0x03, 0x04}, {}};
  p.transforms.push_back({TransformType::ENCR, 20, 256, false});
  p.transforms.push_back({TransformType::ESN, 1, std::nullopt, false});
  p.transforms.push_back({TransformType::ESN, 0, std::nullopt, false});
  return {{p}};
}

struct NamedPayload {
  std::string name;
  Payload payload;
};

// One of every kind.
[[nodiscard]] inline std::vector<NamedPayload> every_payload() {
  const TrafficSelector v4{IpAddress::v4(0x0a010000), IpAddress::v4(0x0a01ffff), 6, 80, 443};
  const TrafficSelector v6{IpAddress::from_bytes(filled(16)), IpAddress::from_bytes(filled(16, 1)), 0, 0, 65535};
  const TrafficSelector opaque{IpAddress::v4(0), IpAddress::v4(0xffffffff), 17, 65535, 0};
  return {
      {"SA", hybrid_ike_sa()},
      {"KE", KePayload{KeId::CURVE25519, filled(32)}},
      {"IDi", IdPayload{PayloadType::IDi, {IdType::ID_FQDN, to_bytes("berlin.example.com")}}},
      {"IDr", IdPayload{PayloadType::IDr, {IdType::ID_IPV4_ADDR, {192, 0, 2, 1}}}},
      {"CERT", CertPayload{4, filled(40)}},
      {"CERTREQ", CertReqPayload{4, filled(20)}},
      {"AUTH", AuthPayload{AuthMethod::DigitalSignature, filled(64)}},
      {"Nonce", NoncePayload{filled(32)}},
      {"N", NotifyPayload{ProtocolId::ESP, {0xc1, 2, 3, 4}, NotifyType::REKEY_SA, {9}}},
      {"D", DeletePayload{ProtocolId::ESP, {0xc1020304, 0xc5060708}}},
      {"V", VendorIdPayload{filled(16)}},
      {"TSi", TsPayload{PayloadType::TSi, {v4, v6}}},
      {"TSr", TsPayload{PayloadType::TSr, {opaque}}},
      {"CP", CpPayload{{1, 0, 0, 0, 0, 1, 0, 0}}},
      {"EAP", EapPayload{{1, 0, 0, 5, 1}}},
      {"PS", PuzzleSolutionPayload{filled(8)}},
      {"Unknown", UnknownPayload{static_cast<PayloadType>(99), false, filled(5)}},
  };
}

struct NamedMessage {
  std::string name;
  Bytes octets;
};

// Valid messages: seeds of the fuzzers, and what the mutation test breaks.
[[nodiscard]] inline std::vector<NamedMessage> sample_messages() {
  const auto notify = [](NotifyType type, Bytes data = {}) {
    return NotifyPayload{ProtocolId::None, {}, type, std::move(data)};
  };
  const Bytes body = filled(96, 0x40);
  EncryptedPart sk;
  sk.first_inner = PayloadType::IDi;
  sk.body = body;
  EncryptedPart skf = sk;
  skf.fragment_number = 1;
  skf.total_fragments = 3;
  EncryptedPart skf_next = skf;
  skf_next.first_inner = PayloadType::None;
  skf_next.fragment_number = 3;
  Payloads all;
  for (NamedPayload& p : every_payload()) all.push_back(std::move(p.payload));
  const Payloads request{hybrid_ike_sa(),
                         KePayload{KeId::CURVE25519, filled(32)},
                         NoncePayload{filled(32)},
                         notify(NotifyType::NAT_DETECTION_SOURCE_IP, filled(20)),
                         notify(NotifyType::NAT_DETECTION_DESTINATION_IP, filled(20)),
                         notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED),
                         notify(NotifyType::SIGNATURE_HASH_ALGORITHMS, {0, 2, 0, 3, 0, 4, 0, 5}),
                         notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED)};
  Payloads with_cookie = request;
  with_cookie.insert(with_cookie.begin(), notify(NotifyType::COOKIE, filled(24)));
  Payloads response = request;
  response.front() = SaPayload{{hybrid_ike_sa().proposals.front()}};
  const Payloads child{esp_sa(), NoncePayload{filled(16)}, every_payload()[11].payload, every_payload()[12].payload};
  const auto init = [](std::uint8_t flags) { return header_of(ExchangeType::IKE_SA_INIT, flags, 0); };
  return {
      {"sa_init_hybrid_request", write_clear_message(init(kFlagInitiator), request)},
      {"sa_init_hybrid_cookie", write_clear_message(init(kFlagInitiator), with_cookie)},
      {"sa_init_hybrid_response", write_clear_message(init(kFlagResponse), response)},
      {"sa_init_invalid_ke",
       write_clear_message(init(kFlagResponse), {notify(NotifyType::INVALID_KE_PAYLOAD, {0, 19})})},
      {"every_payload", write_clear_message(header_of(ExchangeType::INFORMATIONAL, kFlagInitiator, 7), all)},
      {"child_payloads", write_clear_message(header_of(ExchangeType::CREATE_CHILD_SA, kFlagInitiator, 5), child)},
      {"empty", write_clear_message(header_of(ExchangeType::INFORMATIONAL, kFlagResponse, 1), {})},
      {"sk", write_message(header_of(ExchangeType::IKE_AUTH, kFlagInitiator, 2), {}, sk)},
      {"sk_after_notify", write_message(header_of(ExchangeType::IKE_INTERMEDIATE, kFlagInitiator, 1),
                                        {notify(NotifyType::COOKIE, filled(8))}, sk)},
      {"skf_first", write_message(header_of(ExchangeType::IKE_AUTH, kFlagInitiator, 2), {}, skf)},
      {"skf_last", write_message(header_of(ExchangeType::IKE_AUTH, kFlagResponse, 2), {}, skf_next)},
  };
}

}  // namespace qanat::wire::testing
