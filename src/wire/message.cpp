#include "wire/message.hpp"

#include <fmt/format.h>

#include "wire/malformed.hpp"
#include "wire/payload_parser.hpp"

namespace qanat::wire {

namespace {

// 3.14, and RFC 7383 2.5 for SKF, whose header goes on with
// |        Fragment Number        |        Total Fragments        |
Result<EncryptedPart> parse_encrypted(PayloadType type, const RawPayload& raw, ByteView datagram) {
  EncryptedPart part;
  part.first_inner = raw.next;
  part.reserved = raw.reserved;
  part.body = raw.body;
  if (type == PayloadType::SKF) {
    constexpr std::size_t kNumbers = kSkfHeaderSize - kSkHeaderSize;
    if (raw.body.size() < kNumbers) {
      return malformed("SKF payload", "is shorter than its fixed fields");
    }
    part.fragment_number = load_be16(raw.body.data());
    part.total_fragments = load_be16(raw.body.data() + 2);
    if (part.fragment_number == 0 || part.fragment_number > part.total_fragments) {
      return malformed("SKF payload", fmt::format("is fragment {} of {}", part.fragment_number, part.total_fragments));
    }
    part.body = raw.body.subspan(kNumbers);
  }
  part.associated_size = datagram.size() - part.body.size();
  return part;
}

}  // namespace

Result<ClearMessage> parse_message(ByteView datagram) {
  if (datagram.size() > kMaxMessageSize) {
    return malformed("IKE header", fmt::format("the message has {} octets, at most {} are allowed", datagram.size(),
                                               kMaxMessageSize));
  }
  ClearMessage message;
  QANAT_ASSIGN(message.header, parse_header(datagram));
  ByteReader in(datagram.subspan(kIkeHeaderSize));
  PayloadType type = message.header.next_payload;
  while (type != PayloadType::None) {
    if (message.payloads.size() == kMaxPayloads) {
      return malformed("message", fmt::format("has more than {} payloads", kMaxPayloads));
    }
    QANAT_ASSIGN(const RawPayload raw, read_raw_payload(in, type));
    if (type == PayloadType::SK || type == PayloadType::SKF) {
      if (!in.empty()) {
        return malformed(to_string(type) + " payload",
                         fmt::format("must be the last, {} octets follow it", in.remaining()));
      }
      QANAT_ASSIGN(message.encrypted, parse_encrypted(type, raw, datagram));
      return message;
    }
    QANAT_ASSIGN(Payload payload, parse_payload(type, raw));
    message.payloads.push_back(std::move(payload));
    type = raw.next;
  }
  if (!in.empty()) {
    return malformed("message", fmt::format("{} octets follow the last payload", in.remaining()));
  }
  return message;
}

Bytes write_clear_message(IkeHeader header, const Payloads& payloads) {
  ByteWriter chain;
  header.next_payload = write_chain(chain, payloads);
  const std::size_t size = kIkeHeaderSize + chain.size();
  ensure(size <= kMaxMessageSize, "an IKE message fits into a datagram");
  header.length = static_cast<std::uint32_t>(size);
  ByteWriter out;
  write_header(out, header);
  out.bytes(chain.view());
  return std::move(out).take();
}

}  // namespace qanat::wire
