// OutboundSa: one direction of one ESP SA, as its sender: header, IV, padding, ciphertext, ICV (RFC 4303 3.3), with
// its sequence number and limits. One owner, which is the only writer of the sequence number.
//
//   SPI | sequence number | IV | ciphertext of (inner packet | 1, 2, 3.. | pad length | next header) | ICV
#pragma once

#include <expected>

#include "base/rng.hpp"
#include "esp/drop_reason.hpp"
#include "esp/key_cache.hpp"
#include "esp/overhead.hpp"
#include "esp/sa_limits.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::esp {

inline constexpr std::uint8_t kNextHeaderIpv4 = 4;
inline constexpr std::uint8_t kNextHeaderIpv6 = 41;
inline constexpr std::uint8_t kNextHeaderNone = 59;  // a dummy (RFC 4303 2.6)

class OutboundSa {
 public:
  // Error{Internal} for a suite without cipher or a KEYMAT of another length. `keys` outlives the SA.
  [[nodiscard]] static Result<OutboundSa> create(const ipsec::SaDirection& direction, KeyCache& keys);

  [[nodiscard]] const EspLayout& layout() const { return layout_; }
  [[nodiscard]] const CipherSuite& suite() const { return key_.suite(); }
  [[nodiscard]] ipsec::EspSpi spi() const { return spi_; }
  [[nodiscard]] SaMeter& meter() { return meter_; }
  [[nodiscard]] const SaMeter& meter() const { return meter_; }

  // Asks the processor for the key that the next seal() is going to read.
  void prefetch_key() const { key_.prefetch(); }

  // Copies `inner` behind the header and seals it. dst has at least layout().sealed_size(inner.size()) octets and does
  // not overlap inner. Returns that size, or SeqExhausted or HardLimit, and dst is then unspecified.
  [[nodiscard]] std::expected<std::size_t, DropReason> seal(ByteView inner, std::uint8_t next_header,
                                                            MutableByteView dst, Rng& rng);
  // The same for an inner packet that already lies at dst[layout().payload_offset()].
  [[nodiscard]] std::expected<std::size_t, DropReason> seal_in_place(std::size_t inner_size, std::uint8_t next_header,
                                                                     MutableByteView dst, Rng& rng);

 private:
  OutboundSa(const ipsec::SaDirection& direction, SaKey key);

  SaKey key_;
  SaMeter meter_;  // its packets are the last sequence number
  ipsec::EspSpi spi_;
  EspLayout layout_;
  bool esn_ : 1;
  bool sequence_iv_ : 1;  // the IV is the sequence number (AEAD), not random (CBC)
};
static_assert(sizeof(OutboundSa) == 72, "an outbound SA's hot half and its outer path share two cache lines");

}  // namespace qanat::esp
