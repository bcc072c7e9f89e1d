// How large a packet becomes on the wire, and how large one may be to fit (RFC 4303 2.4: the trailer ends on 4 octets,
// and on a whole cipher block).
#pragma once

#include <cstddef>
#include <cstdint>

#include "crypto/cipher_sizes.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::esp {

inline constexpr std::size_t kHeaderSize = 8;   // SPI, sequence number
inline constexpr std::size_t kTrailerSize = 2;  // pad length, next header

// Where one SA's packets have what.
struct EspLayout {
  std::uint8_t iv = 0;
  std::uint8_t icv = 0;
  std::uint8_t alignment = 4;  // of the ciphertext, a power of two

  [[nodiscard]] constexpr bool aligned(std::size_t ciphertext) const { return (ciphertext & (alignment - 1U)) == 0; }
  [[nodiscard]] constexpr std::size_t payload_offset() const { return kHeaderSize + iv; }
  [[nodiscard]] constexpr std::size_t ciphertext_size(std::size_t inner) const {
    return (inner + kTrailerSize + alignment - 1U) & ~(std::size_t{alignment} - 1);
  }
  [[nodiscard]] constexpr std::size_t sealed_size(std::size_t inner) const {
    return payload_offset() + ciphertext_size(inner) + icv;
  }
  // The largest inner packet whose ESP packet has at most `esp_size` octets; 0 when none has.
  [[nodiscard]] constexpr std::size_t max_inner(std::size_t esp_size) const {
    const std::size_t fixed = payload_offset() + icv;
    const std::size_t room = esp_size > fixed ? (esp_size - fixed) / alignment * alignment : 0;
    return room > kTrailerSize ? room - kTrailerSize : 0;
  }
};

[[nodiscard]] EspLayout esp_layout(const CipherSuite& suite);

enum class OuterFamily : std::uint8_t { V4, V6 };
[[nodiscard]] constexpr OuterFamily outer_family(const ipsec::OuterPath& path) {
  return path.peer.address.is_v6() ? OuterFamily::V6 : OuterFamily::V4;
}

// The largest inner packet that leaves in one outer packet of at most `outer_mtu` octets; 0 when none fits.
[[nodiscard]] std::uint16_t inner_mtu(const CipherSuite& suite, ipsec::Encapsulation encapsulation, OuterFamily family,
                                      std::uint16_t outer_mtu);

}  // namespace qanat::esp
