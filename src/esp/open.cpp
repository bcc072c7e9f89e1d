#include "esp/open.hpp"

#include "esp/seal.hpp"

namespace qanat::esp {

Result<InboundSa> InboundSa::create(const ipsec::SaDirection& direction, KeyCache& keys) {
  if (direction.esn && direction.replay_window == 0) {
    return fail(ErrorKind::LocalPolicy, "inbound SA", "extended sequence numbers need a replay window");
  }
  QANAT_ASSIGN(SaKey key, SaKey::create(keys, direction.suite, direction.keymat.expose()));
  return InboundSa{direction, std::move(key)};
}

InboundSa::InboundSa(const ipsec::SaDirection& direction, SaKey key)
    : key_(std::move(key)),
      meter_(direction.suite, SequenceNumbers::Extended,
             direction.limits),  // the sender's number is the sender's to stop
      window_(direction.replay_window),
      spi_(direction.spi),
      layout_(esp_layout(direction.suite)),
      esn_(direction.esn) {
  if (direction.last_sequence != 0) window_.start_after(direction.last_sequence);
}

std::expected<Opened, DropReason> InboundSa::open(MutableByteView datagram) {
  // At least one aligned block of ciphertext, which holds the trailer.
  if (datagram.size() < layout_.sealed_size(0)) return std::unexpected(DropReason::TooShort);
  const std::size_t ciphertext_size = datagram.size() - layout_.payload_offset() - layout_.icv;
  if (!layout_.aligned(ciphertext_size)) return std::unexpected(DropReason::Alignment);

  const std::uint32_t low = load_be32(&datagram[4]);
  const std::optional<std::uint64_t> sequence = esn_ ? window_.extend(low) : low;
  if (!sequence || !window_.check(*sequence)) return std::unexpected(DropReason::Replay);
  if (const auto reason = meter_.blocked()) return std::unexpected(*reason);

  const MutableByteView payload = datagram.subspan(layout_.payload_offset(), ciphertext_size);
  if (!key_.expanded().open({.spi = spi_, .sequence = *sequence, .esn = esn_},
                            datagram.subspan(kHeaderSize, layout_.iv), payload, payload, datagram.last(layout_.icv))) {
    return std::unexpected(DropReason::AuthFailed);
  }
  const bool newest = window_.commit(*sequence);

  const std::size_t pad = payload[ciphertext_size - 2];
  const std::uint8_t next_header = payload[ciphertext_size - 1];
  const std::size_t inner_size = pad + kTrailerSize <= ciphertext_size ? ciphertext_size - pad - kTrailerSize : 0;
  meter_.count(inner_size, ciphertext_size);
  if (pad + kTrailerSize > ciphertext_size) return std::unexpected(DropReason::PadLength);
  for (std::size_t i = 0; i < pad; ++i) {
    if (payload[inner_size + i] != i + 1) return std::unexpected(DropReason::Padding);
  }
  if (next_header != kNextHeaderIpv4 && next_header != kNextHeaderIpv6 && next_header != kNextHeaderNone) {
    return std::unexpected(DropReason::NextHeader);
  }
  return Opened{.payload = payload.first(inner_size), .next_header = next_header, .newest = newest};
}

}  // namespace qanat::esp
