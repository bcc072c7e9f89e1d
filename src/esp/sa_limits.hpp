// How much one key may protect, and when to ask for the next one (RFC 4303 3.3.3, rules.md "Rekey without loss").
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
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
enum class SequenceNumbers : std::uint8_t { Short, Extended };  // 32 or 64 bits

// What one direction of an SA has carried, against its limits. Nothing wraps: at a hard limit the SA stops.
//
// A packet compares one number: as long as `left_` is not used up, no limit can have been reached. The limits
// themselves lie elsewhere and are looked at again when it is.
class SaMeter {
 public:
  SaMeter(const CipherSuite& suite, SequenceNumbers numbers, const ipsec::SaLimits& limits);

  // nullopt: the next packet may go.
  [[nodiscard]] std::optional<DropReason> blocked() const {
    if (left_ != 0) [[likely]]
      return std::nullopt;
    return blocked_now();
  }
  void count(std::size_t inner_octets, std::size_t ciphertext_octets) {
    ++packets_;
    bytes_ += inner_octets;
    blocks_ += ciphertext_octets / 16 + 2;  // the last, partial block, and the one of the tag
    const std::uint64_t weight = std::max(inner_octets, ciphertext_octets) + kPacketWeight;
    left_ = left_ > weight ? left_ - weight : 0;
  }
  // Of an SA that goes on here after another place: as if that many packets had been carried.
  void skip_packets(std::uint64_t packets) {
    packets_ += packets;
    left_ = 0;
  }

  [[nodiscard]] std::uint64_t packets() const { return packets_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // True once, when the soft limit (the hard one) has been reached.
  [[nodiscard]] bool take_soft() { return left_ == 0 && take_soft_now(); }
  [[nodiscard]] bool take_hard() { return left_ == 0 && take_hard_now(); }

 private:
  // Of one packet, at least as much as it uses up of any limit: its octets, 16 for each of its blocks, and
  // kPacketWeight for itself. So `left_` octets of weight hold no more octets, blocks or packets than are allowed.
  static constexpr std::uint64_t kPacketWeight = 64;

  struct Limits {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t blocks = 0;
  };
  // What an SA keeps of its limits; those of the sequence number and the cipher follow from two bits.
  struct Bounds {
    ipsec::SaLimits limits;
    SequenceNumbers numbers = SequenceNumbers::Short;
    bool bounded_cipher = false;
    bool soft_told = false;
    bool hard_told = false;

    [[nodiscard]] std::uint64_t max_sequence() const {
      return numbers == SequenceNumbers::Extended ? kMaxExtendedSequence : kMaxSequence;
    }
    [[nodiscard]] Limits hard() const;
    [[nodiscard]] Limits soft() const;
  };
  [[nodiscard]] bool reached(const Limits& limits) const {
    return packets_ >= limits.packets || bytes_ >= limits.bytes || blocks_ >= limits.blocks;
  }
  [[nodiscard]] std::optional<DropReason> blocked_now() const;
  [[nodiscard]] bool take_soft_now();
  [[nodiscard]] bool take_hard_now();
  void refill();

  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t blocks_ = 0;
  std::uint64_t left_ = 0;
  std::unique_ptr<Bounds> bounds_;
};

}  // namespace qanat::esp
