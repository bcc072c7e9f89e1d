#include "esp/seal.hpp"

namespace qanat::esp {

Result<OutboundSa> OutboundSa::create(const ipsec::SaDirection& direction, KeyCache& keys) {
  QANAT_ASSIGN(SaKey key, SaKey::create(keys, direction.suite, direction.keymat.expose()));
  return OutboundSa{direction, std::move(key)};
}

OutboundSa::OutboundSa(const ipsec::SaDirection& direction, SaKey key)
    : key_(std::move(key)),
      meter_(direction.suite, direction.esn ? SequenceNumbers::Extended : SequenceNumbers::Short, direction.limits),
      spi_(direction.spi),
      layout_(esp_layout(direction.suite)),
      esn_(direction.esn),
      sequence_iv_(direction.suite.is_aead()) {
  if (direction.last_sequence != 0) meter_.skip_packets(direction.last_sequence);
}

std::expected<std::size_t, DropReason> OutboundSa::seal(ByteView inner, std::uint8_t next_header, MutableByteView dst,
                                                        Rng& rng) {
  ensure(dst.size() >= layout_.sealed_size(inner.size()), "seal: destination too small");
  if (!inner.empty()) std::memcpy(&dst[layout_.payload_offset()], inner.data(), inner.size());
  return seal_in_place(inner.size(), next_header, dst, rng);
}

std::expected<std::size_t, DropReason> OutboundSa::seal_in_place(std::size_t inner_size, std::uint8_t next_header,
                                                                 MutableByteView dst, Rng& rng) {
  const std::size_t ciphertext_size = layout_.ciphertext_size(inner_size);
  const std::size_t size = layout_.sealed_size(inner_size);
  ensure(dst.size() >= size, "seal: destination too small");
  if (const auto reason = meter_.blocked()) return std::unexpected(*reason);

  // Reserved before anything else can happen to it: no two packets of this SA ever share it.
  meter_.count(inner_size, ciphertext_size);
  const std::uint64_t sequence = meter_.packets();
  store_be32(dst.data(), spi_);
  store_be32(&dst[4], static_cast<std::uint32_t>(sequence));

  const MutableByteView iv = dst.subspan(kHeaderSize, layout_.iv);
  if (sequence_iv_) {
    store_be64(iv.data(), sequence);  // RFC 4106 3.1: never twice under one key, and the number never is
  } else {
    rng.fill(iv);  // RFC 3602 3: unpredictable
  }

  const MutableByteView payload = dst.subspan(layout_.payload_offset(), ciphertext_size);
  const std::size_t pad = ciphertext_size - inner_size - kTrailerSize;
  for (std::size_t i = 0; i < pad; ++i) payload[inner_size + i] = static_cast<std::uint8_t>(i + 1);
  payload[ciphertext_size - 2] = static_cast<std::uint8_t>(pad);
  payload[ciphertext_size - 1] = next_header;

  key_.expanded().seal({.spi = spi_, .sequence = sequence, .esn = esn_}, iv, payload, payload,
                       dst.subspan(size - layout_.icv, layout_.icv));
  return size;
}

}  // namespace qanat::esp
