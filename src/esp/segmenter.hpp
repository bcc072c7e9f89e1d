// Segmenter: a super-packet as the packets that it stands for, as the kernel would cut it: lengths, IPv4
// identification, TCP sequence numbers, FIN and PSH on the last segment only, CWR on the first only, and all checksums.
#pragma once

#include <array>
#include <optional>

#include "esp/offload.hpp"

namespace qanat::esp {

class Segmenter {
 public:
  // `p` describes `packet`, which outlives the segmenter; its TTL, which may be another than the packet's, is what the
  // segments get. nullopt when the headers are not what `offload` says.
  [[nodiscard]] static std::optional<Segmenter> create(ByteView packet, const InnerPacket& p, const Offload& offload);

  [[nodiscard]] std::size_t count() const { return (payload_.size() + segment_ - 1) / segment_; }
  [[nodiscard]] std::size_t largest() const { return header_size_ + std::min(segment_, payload_.size()); }
  [[nodiscard]] bool has_syn() const { return tcp_ && (tcp_flags_ & 2U) != 0; }

  [[nodiscard]] bool done() const { return at_ == payload_.size(); }
  // The size of the next segment; not when done().
  [[nodiscard]] std::size_t next_size() const { return header_size_ + std::min(segment_, payload_.size() - at_); }
  // Writes it to the front of `out`, which has room for it, and returns its size.
  std::size_t next(MutableByteView out);

 private:
  static constexpr std::size_t kMaxHeaders = 256;

  Segmenter() = default;
  std::array<std::uint8_t, kMaxHeaders> header_{};  // what is the same in all; zero where they differ
  ByteView payload_;
  std::size_t header_size_ = 0;
  std::size_t ip_size_ = 0;  // of the IPv4 header
  std::size_t transport_ = 0;
  std::size_t segment_ = 0;
  std::size_t at_ = 0;
  std::uint32_t ip_sum_ = 0;         // of header_
  std::uint32_t transport_sum_ = 0;  // of header_ and of the pseudo-header without its length
  std::uint32_t sequence_ = 0;
  std::uint16_t id_ = 0;
  std::uint8_t tcp_flags_ = 0;
  bool v6_ = false;
  bool tcp_ = false;
};

}  // namespace qanat::esp
