#include "esp/overhead.hpp"

#include <algorithm>

namespace qanat::esp {

EspLayout esp_layout(const CipherSuite& suite) {
  const crypto::CipherSizes sizes = crypto::cipher_sizes(suite);
  return {.iv = static_cast<std::uint8_t>(sizes.iv),
          .icv = static_cast<std::uint8_t>(sizes.icv),
          .alignment = static_cast<std::uint8_t>(std::max<std::size_t>(4, sizes.block))};
}

std::uint16_t inner_mtu(const CipherSuite& suite, ipsec::Encapsulation encapsulation, OuterFamily family,
                        std::uint16_t outer_mtu) {
  const std::size_t ip = family == OuterFamily::V6 ? 40 : 20;
  const std::size_t udp = encapsulation == ipsec::Encapsulation::Udp ? 8 : 0;
  if (outer_mtu <= ip + udp) return 0;
  return static_cast<std::uint16_t>(esp_layout(suite).max_inner(outer_mtu - ip - udp));
}

}  // namespace qanat::esp
