#include "ike/sk_codec.hpp"

#include <algorithm>

namespace qanat::ike {

using wire::PayloadType;

namespace {

constexpr std::size_t kMaxFragments = 255;

// The offset of the octet that names the encrypted payload: the header's Next Payload, or that of the last payload
// that stands in the clear before it.
std::size_t next_payload_field(ByteView datagram, std::size_t encrypted_at) {
  constexpr std::size_t kNextPayloadInHeader = 16;
  std::size_t at = wire::kIkeHeaderSize;
  std::size_t field = kNextPayloadInHeader;
  while (at < encrypted_at) {
    field = at;
    at += load_be16(&datagram[at + 2]);
  }
  return field;
}

Bytes header_with_lengths(Bytes head, std::size_t plaintext_size) {
  constexpr std::size_t kLengthInHeader = 24;
  store_be32(&head[kLengthInHeader], static_cast<std::uint32_t>(head.size() + plaintext_size));
  store_be16(&head[head.size() - 2], static_cast<std::uint16_t>(plaintext_size + wire::kSkHeaderSize));
  return head;
}

}  // namespace

Result<Bytes> SkSealer::seal_one(const wire::IkeHeader& header, PayloadType first, ByteView text, std::uint16_t number,
                                 std::uint16_t total, Rng& rng, const wire::Payloads& clear) {
  const crypto::CipherSizes& sizes = cipher_.sizes();
  const std::size_t padded = (text.size() + 1 + sizes.block - 1) / sizes.block * sizes.block;
  const std::size_t prefix = total == 0 ? wire::kSkHeaderSize : wire::kSkfHeaderSize;
  const std::size_t payload_size = prefix + sizes.iv + padded + sizes.icv;

  const PayloadType type = total == 0 ? PayloadType::SK : PayloadType::SKF;
  ByteWriter in_front;
  const PayloadType front = wire::write_chain(in_front, clear, type);
  ByteWriter out;
  wire::IkeHeader h = header;
  h.next_payload = clear.empty() ? type : front;
  h.length = static_cast<std::uint32_t>(wire::kIkeHeaderSize + in_front.size() + payload_size);
  wire::write_header(out, h);
  out.bytes(in_front.view());
  out.u8(static_cast<std::uint8_t>(first));
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(payload_size));
  if (total != 0) {
    out.u16(number);
    out.u16(total);
  }
  const std::size_t associated = out.size();
  Bytes datagram = std::move(out).take();
  datagram.resize(associated + sizes.iv + padded + sizes.icv);
  const MutableByteView body = MutableByteView{datagram}.subspan(associated);
  const MutableByteView iv = body.first(sizes.iv);
  if (suite_.is_aead()) {
    store_be64(iv.data(), next_iv_++);
  } else {
    rng.fill(iv);
  }
  const MutableByteView inner = body.subspan(sizes.iv, padded);
  std::copy(text.begin(), text.end(), inner.begin());
  inner.back() = static_cast<std::uint8_t>(padded - text.size() - 1);
  QANAT_TRY(cipher_.seal(ByteView{datagram}.first(associated), iv, inner, body.subspan(sizes.iv + padded)));
  return datagram;
}

Result<SealedMessage> SkSealer::seal(const wire::IkeHeader& header, const wire::Payloads& payloads,
                                     std::size_t max_message, Rng& rng, const wire::Payloads& clear) {
  SealedMessage out;
  ByteWriter chain;
  const PayloadType first = wire::write_chain(chain, payloads);
  out.plaintext = std::move(chain).take();
  if (out.plaintext.size() > 65000) {
    return fail(ErrorKind::Resource, "IKE message", "is too large to send");
  }

  ByteWriter in_front;
  const PayloadType front = wire::write_chain(in_front, clear, PayloadType::SK);
  ByteWriter head;
  wire::IkeHeader h = header;
  h.next_payload = clear.empty() ? PayloadType::SK : front;
  wire::write_header(head, h);
  head.bytes(in_front.view());
  head.u8(static_cast<std::uint8_t>(first));
  head.u8(0);
  head.u16(0);
  out.auth_header = header_with_lengths(std::move(head).take(), out.plaintext.size());

  out.first = first;
  QANAT_ASSIGN(out.datagrams, seal_chain(header, first, out.plaintext, max_message, rng, clear));
  return out;
}

Result<std::vector<Bytes>> SkSealer::seal_chain(const wire::IkeHeader& header, PayloadType first, ByteView chain,
                                                std::size_t max_message, Rng& rng, const wire::Payloads& clear) {
  std::vector<Bytes> out;
  ByteWriter in_front;
  wire::write_chain(in_front, clear, PayloadType::SK);
  const crypto::CipherSizes& sizes = cipher_.sizes();
  const std::size_t padded = (chain.size() + 1 + sizes.block - 1) / sizes.block * sizes.block;
  const std::size_t whole =
      wire::kIkeHeaderSize + in_front.size() + wire::kSkHeaderSize + sizes.iv + padded + sizes.icv;
  if (max_message == 0 || whole <= max_message) {
    QANAT_ASSIGN(Bytes datagram, seal_one(header, first, chain, 0, 0, rng, clear));
    out.push_back(std::move(datagram));
    return out;
  }
  const std::size_t overhead = wire::kIkeHeaderSize + in_front.size() + wire::kSkfHeaderSize + sizes.iv + sizes.icv;
  const std::size_t room =
      max_message > overhead + sizes.block + 16 ? (max_message - overhead) / sizes.block * sizes.block - 1 : 16;
  const std::size_t total = (chain.size() + room - 1) / room;
  if (total > kMaxFragments) {
    return fail(ErrorKind::Resource, "IKE message", "would need more than 255 fragments");
  }
  for (std::size_t i = 0; i < total; ++i) {
    const ByteView part = chain.subspan(i * room, std::min(room, chain.size() - i * room));
    QANAT_ASSIGN(Bytes datagram,
                 seal_one(header, i == 0 ? first : PayloadType::None, part, static_cast<std::uint16_t>(i + 1),
                          static_cast<std::uint16_t>(total), rng, i == 0 ? clear : wire::Payloads{}));
    out.push_back(std::move(datagram));
  }
  return out;
}

Result<Bytes> open_encrypted(crypto::SkCipher& cipher, ByteView datagram, const wire::EncryptedPart& part) {
  const crypto::CipherSizes& sizes = cipher.sizes();
  const auto malformed = [](const char* what) {
    return fail(ErrorKind::Malformed, "SK payload", what, static_cast<std::uint16_t>(wire::NotifyType::INVALID_SYNTAX));
  };
  if (part.body.size() < sizes.iv + sizes.block + sizes.icv) {
    return malformed("is shorter than its IV, padding and ICV");
  }
  const std::size_t text_size = part.body.size() - sizes.iv - sizes.icv;
  if (text_size % sizes.block != 0) {
    return malformed("is not a multiple of the cipher's block");
  }
  Bytes text = to_bytes(part.body.subspan(sizes.iv, text_size));
  QANAT_TRY(
      cipher.open(datagram.first(part.associated_size), part.body.first(sizes.iv), text, part.body.last(sizes.icv)));
  const std::size_t padding = std::size_t{text.back()} + 1;
  if (padding > text.size()) {
    return fail(ErrorKind::PeerMisbehaved, "SK payload", "has a pad length beyond its plaintext",
                static_cast<std::uint16_t>(wire::NotifyType::INVALID_SYNTAX));
  }
  text.resize(text.size() - padding);
  return text;
}

Bytes int_auth_header(ByteView first_datagram, const wire::EncryptedPart& part, std::size_t plaintext_size) {
  const std::size_t header_size = part.is_fragment() ? wire::kSkfHeaderSize : wire::kSkHeaderSize;
  const std::size_t encrypted_at = part.associated_size - header_size;
  Bytes head = to_bytes(first_datagram.first(encrypted_at + wire::kSkHeaderSize));
  head[next_payload_field(first_datagram, encrypted_at)] = static_cast<std::uint8_t>(PayloadType::SK);
  return header_with_lengths(std::move(head), plaintext_size);
}

}  // namespace qanat::ike
