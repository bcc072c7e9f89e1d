// How much one key may protect, and when to ask for the next one (RFC 4303 3.3.3, rules.md "Rekey without loss").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/iana.hpp"
#include "esp/drop_reason.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::esp {

// Cipher blocks under one key. AES-GCM and AES-CBC give an attacker an advantage of about (blocks)^2 / 2^129
// (draft-irtf-cfrg-aead-limits 5.1; Luykx and Paterson, "Limits on Authenticated Encryption Use in TLS", 4.1). 2^36
// blocks, 1 TiB, keep it at 2^-57, the target of RFC 9001 6.6 and B.1.
inline constexpr std::uint64_t kMaxAesBlocks = std::uint64_t{1} << 36;

inline constexpr std::uint64_t kMaxSequence = 0xffffffffU;
inline constexpr std::uint64_t kMaxExtendedSequence = ~std::uint64_t{0};

// What one direction of an SA has carried, against its limits. Nothing wraps: at a hard limit the SA stops.
class SaMeter {
 public:
  SaMeter() = default;
  SaMeter(const CipherSuite& suite, std::uint64_t max_sequence, const ipsec::SaLimits& limits);

  // nullopt: the next packet may go.
  [[nodiscard]] std::optional<DropReason> blocked() const {
    if (packets_ >= max_sequence_) return DropReason::SeqExhausted;
    if (packets_ >= hard_packets_ || bytes_ >= hard_bytes_ || blocks_ >= hard_blocks_) return DropReason::HardLimit;
    return std::nullopt;
  }
  void count(std::size_t inner_octets, std::size_t ciphertext_octets) {
    ++packets_;
    bytes_ += inner_octets;
    blocks_ += ciphertext_octets / 16 + 2;  // the last, partial block, and the one of the tag
  }
  // Of an SA that goes on here after another place: as if that many packets had been carried.
  void skip_packets(std::uint64_t packets) { packets_ += packets; }

  [[nodiscard]] std::uint64_t packets() const { return packets_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // True once, when the soft limit (the hard one) has been reached.
  [[nodiscard]] bool take_soft() {
    if (soft_told_ || (packets_ < soft_packets_ && bytes_ < soft_bytes_ && blocks_ < soft_blocks_)) return false;
    soft_told_ = true;
    return true;
  }
  [[nodiscard]] bool take_hard() {
    if (hard_told_ || !blocked()) return false;
    hard_told_ = true;
    return true;
  }

 private:
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t blocks_ = 0;
  std::uint64_t max_sequence_ = 0;
  std::uint64_t hard_packets_ = 0;
  std::uint64_t hard_bytes_ = 0;
  std::uint64_t hard_blocks_ = 0;
  std::uint64_t soft_packets_ = 0;
  std::uint64_t soft_bytes_ = 0;
  std::uint64_t soft_blocks_ = 0;
  bool soft_told_ = false;
  bool hard_told_ = false;
};

}  // namespace qanat::esp
