// OutboundSa: one direction of one ESP SA, as its sender: header, IV, padding, ciphertext, ICV (RFC 4303 3.3), with
// its sequence number and limits. One owner, which is the only writer of the sequence number.
//
//   SPI | sequence number | IV | ciphertext of (inner packet | 1, 2, 3.. | pad length | next header) | ICV
#pragma once

#include <expected>
#include <memory>

#include "base/rng.hpp"
#include "crypto/packet_cipher.hpp"
#include "esp/drop_reason.hpp"
#include "esp/overhead.hpp"
#include "esp/sa_limits.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::esp {

inline constexpr std::uint8_t kNextHeaderIpv4 = 4;
inline constexpr std::uint8_t kNextHeaderIpv6 = 41;
inline constexpr std::uint8_t kNextHeaderNone = 59;  // a dummy (RFC 4303 2.6)

class OutboundSa {
 public:
  // Error{Internal} for a suite without cipher or a KEYMAT of another length.
  [[nodiscard]] static Result<OutboundSa> create(const ipsec::SaDirection& direction);

  [[nodiscard]] const EspLayout& layout() const { return layout_; }
  [[nodiscard]] ipsec::EspSpi spi() const { return spi_; }
  [[nodiscard]] SaMeter& meter() { return meter_; }
  [[nodiscard]] const SaMeter& meter() const { return meter_; }

  // Copies `inner` behind the header and seals it. dst has at least layout().sealed_size(inner.size()) octets and does
  // not overlap inner. Returns that size, or SeqExhausted or HardLimit, and dst is then unspecified.
  [[nodiscard]] std::expected<std::size_t, DropReason> seal(ByteView inner, std::uint8_t next_header,
                                                            MutableByteView dst, Rng& rng);
  // The same for an inner packet that already lies at dst[layout().payload_offset()].
  [[nodiscard]] std::expected<std::size_t, DropReason> seal_in_place(std::size_t inner_size, std::uint8_t next_header,
                                                                     MutableByteView dst, Rng& rng);

 private:
  OutboundSa() = default;

  std::unique_ptr<crypto::PacketCipher> cipher_;
  EspLayout layout_;
  ipsec::EspSpi spi_ = 0;
  bool esn_ = false;
  bool sequence_iv_ = true;  // the IV is the sequence number (AEAD), not random (CBC)
  SaMeter meter_;            // its packets are the last sequence number
};

}  // namespace qanat::esp
