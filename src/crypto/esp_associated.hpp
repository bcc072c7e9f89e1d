// The octets in front of the IV that ESP authenticates. Internal to crypto/.
#pragma once

#include <array>

#include "crypto/packet_cipher.hpp"

namespace qanat::crypto {

// AEADs (RFC 4106 5): SPI | sequence number, 8 octets, or SPI | high | low, 12 octets, with ESN.
class EspAssociated {
 public:
  explicit EspAssociated(const EspHeaderFields& header) : size_(header.esn ? 12 : 8) {
    store_be32(octets_.data(), header.spi);
    if (header.esn) {
      store_be64(octets_.data() + 4, header.sequence);
    } else {
      store_be32(octets_.data() + 4, static_cast<std::uint32_t>(header.sequence));
    }
  }
  [[nodiscard]] ByteView view() const { return ByteView{octets_}.first(size_); }

 private:
  std::array<std::uint8_t, 12> octets_{};
  std::size_t size_;
};

}  // namespace qanat::crypto
