#include "esp/segmenter.hpp"

#include <algorithm>

#include "esp/checksum.hpp"
#include "esp/fast_sum.hpp"

namespace qanat::esp {

namespace {

constexpr unsigned kFinPsh = 0x09;
constexpr unsigned kCwr = 0x80;

}  // namespace

std::optional<Segmenter> Segmenter::create(ByteView packet, const InnerPacket& p, const Offload& offload) {
  const bool tcp = offload.kind == Offload::Kind::Tcp4 || offload.kind == Offload::Kind::Tcp6;
  if (p.fragment || p.protocol != (tcp ? kProtocolTcp : kProtocolUdp) || offload.segment_size == 0 ||
      packet.size() < p.size || (tcp && p.is_v6() != (offload.kind == Offload::Kind::Tcp6))) {
    return std::nullopt;
  }
  const std::size_t transport = p.transport_offset;
  std::size_t header = transport + (tcp ? 20U : 8U);
  if (header >= p.size) return std::nullopt;
  if (tcp) header = transport + std::size_t{4} * (packet[transport + 12] >> 4U);
  if (header < transport + (tcp ? 20U : 8U) || header >= p.size || header > kMaxHeaders) return std::nullopt;

  Segmenter out;
  out.payload_ = packet.first(p.size).subspan(header);
  out.header_size_ = header;
  out.ip_size_ = p.header_size;
  out.transport_ = transport;
  out.segment_ = offload.segment_size;
  out.v6_ = p.is_v6();
  out.tcp_ = tcp;
  std::uint8_t* h = out.header_.data();
  std::memcpy(h, packet.data(), header);
  h[out.v6_ ? 7 : 8] = p.ttl;
  if (!out.v6_) {
    out.id_ = load_be16(h + 4);
    for (const std::size_t at : {2U, 4U, 10U}) store_be16(h + at, 0);
    out.ip_sum_ = fast_sum(ByteView{h, out.ip_size_});
  }
  if (tcp) {
    out.sequence_ = load_be32(h + transport + 4);
    out.tcp_flags_ = h[transport + 13];
    store_be32(h + transport + 4, 0);
    h[transport + 13] = 0;
    store_be16(h + transport + 16, 0);
  } else {
    store_be32(h + transport + 4, 0);  // length, checksum
  }
  out.transport_sum_ = pseudo_header_sum(ByteView{h, header}, p.protocol, 0) +
                       fast_sum(ByteView{out.header_}.subspan(transport, header - transport));
  return out;
}

std::size_t Segmenter::next(MutableByteView out) {
  const std::size_t content = std::min(segment_, payload_.size() - at_);
  const std::size_t size = header_size_ + content;
  ensure(content != 0 && out.size() >= size, "segment buffer too small");
  std::uint8_t* o = out.data();
  std::memcpy(o, header_.data(), header_size_);
  std::uint32_t sum = transport_sum_ + copy_and_sum(out.subspan(header_size_), payload_.subspan(at_, content));

  if (v6_) {
    store_be16(o + 4, static_cast<std::uint16_t>(size - 40));
  } else {
    store_be16(o + 2, static_cast<std::uint16_t>(size));
    store_be16(o + 4, id_);
    store_be16(o + 10, checksum_finish(ip_sum_ + static_cast<std::uint32_t>(size) + id_));
    ++id_;
  }
  const auto length = static_cast<std::uint32_t>(size - transport_);
  sum += length;
  if (tcp_) {
    unsigned flags = tcp_flags_;
    if (at_ != 0) flags &= ~kCwr;
    if (at_ + content != payload_.size()) flags &= ~kFinPsh;
    store_be32(o + transport_ + 4, sequence_);
    o[transport_ + 13] = static_cast<std::uint8_t>(flags);
    sum += (sequence_ >> 16) + (sequence_ & 0xffff) + flags;
    store_be16(o + transport_ + 16, checksum_finish(sum));
    sequence_ += static_cast<std::uint32_t>(content);
  } else {
    store_be16(o + transport_ + 4, static_cast<std::uint16_t>(length));
    const std::uint16_t folded = checksum_finish(sum + length);  // the length is in the header, too
    store_be16(o + transport_ + 6, folded != 0 ? folded : 0xffff);
  }
  at_ += content;
  return size;
}

}  // namespace qanat::esp
