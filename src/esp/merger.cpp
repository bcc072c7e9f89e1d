#include "esp/merger.hpp"

#include "esp/checksum.hpp"
#include "esp/fast_sum.hpp"

namespace qanat::esp {

namespace {

constexpr unsigned kFinPsh = 0x09;
constexpr unsigned kAck = 0x10;
constexpr unsigned kCwr = 0x80;
constexpr unsigned kMergeable = kFinPsh | kAck | 0x40 | kCwr;  // and ECE
constexpr std::size_t kMaxSize = 65535;
constexpr std::uint16_t kMaxTcp = 512;  // packets in one; the kernel takes 1,024 pieces in a write
constexpr std::uint16_t kMaxUdp = 64;   // as the kernel's own limit

bool same(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) {
  return std::memcmp(a, b, size) == 0;
}

bool is_v6(ByteView packet) {
  return (packet[0] >> 4) == 6;
}

std::size_t slot_of(ByteView packet, std::size_t transport, std::uint8_t protocol) {
  const bool v6 = is_v6(packet);
  std::uint64_t hash = load_be32(&packet[transport]) ^ (std::uint64_t{protocol} << 40);
  for (std::size_t at = v6 ? 8 : 12, end = v6 ? 40 : 20; at < end; at += 8) {
    hash = (hash ^ load_be64(&packet[at])) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 29;
  }
  return static_cast<std::size_t>(hash >> 7);
}

bool checksums_right(ByteView packet, std::size_t transport, std::uint8_t protocol) {
  if (!is_v6(packet) && fast_sum(packet.first(transport)) != 0xffff) return false;
  const ByteView content = packet.subspan(transport);
  return checksum_finish(pseudo_header_sum(packet, protocol, content.size()) + fast_sum(content)) == 0;
}

}  // namespace

// What is needed to compare it with others; Kind::Other when it can never be merged.
Merger::Item Merger::describe(MutableByteView packet, const InnerPacket& p) const {
  Item item;
  item.first = packet;
  item.total = p.size;
  item.transport = p.transport_offset;
  const std::size_t content = static_cast<std::size_t>(p.size) - p.transport_offset;
  if (p.is_v6() ? p.transport_offset != 40 : (p.header_size != 20 || (packet[6] & 0x80U) != 0)) return item;
  const std::uint8_t* t = packet.data() + p.transport_offset;
  if (p.protocol == kProtocolTcp) {
    if (content < 20) return item;
    const std::size_t header = std::size_t{4} * (t[12] >> 4U);
    const unsigned flags = t[13];
    if (header < 20 || header >= content || (flags & kAck) == 0 || (flags & ~kMergeable) != 0) return item;
    item.kind = Kind::Tcp;
    item.header = static_cast<std::uint16_t>(p.transport_offset + header);
    item.payload = static_cast<std::uint16_t>(content - header);
    item.next_sequence = load_be32(t + 4) + item.payload;
    item.end_flags = static_cast<std::uint8_t>(flags & kFinPsh);
    item.open = item.end_flags == 0;
  } else if (udp_ && p.protocol == kProtocolUdp) {
    if (content <= 8 || load_be16(t + 4) != content || load_be16(t + 6) == 0) return item;
    item.kind = Kind::Udp;
    item.header = static_cast<std::uint16_t>(p.transport_offset + 8);
    item.payload = static_cast<std::uint16_t>(content - 8);
    item.open = true;
  }
  return item;
}

void Merger::add(MutableByteView packet, const InnerPacket& p) {
  ensure(packet.size() == p.size, "merger: the packet's size");
  const bool has_flow = p.protocol == kProtocolTcp || p.protocol == kProtocolUdp;
  if (!has_flow || !p.has_ports || p.fragment) {
    // Fragments have no ports, so whose neighbours they are is not known: nothing overtakes them.
    if (has_flow || p.fragment) ++epoch_;
    Item plain;
    plain.first = packet;
    items_.push_back(plain);
    return;
  }
  const Item item = describe(packet, p);
  Slot& slot = slots_[slot_of(packet, p.transport_offset, p.protocol) % kSlots];
  if (slot.epoch == epoch_ && append(items_[slot.item], item)) return;
  slot = {.epoch = epoch_, .item = static_cast<std::uint32_t>(items_.size())};
  items_.push_back(item);
}

bool Merger::append(Item& item, const Item& next) {
  if (!item.open || item.kind != next.kind || item.transport != next.transport || item.header != next.header ||
      next.payload > item.payload || item.total + next.payload > kMaxSize ||
      item.count >= (item.kind == Kind::Tcp ? kMaxTcp : kMaxUdp)) {
    return false;
  }
  const std::uint8_t* a = item.first.data();
  const std::uint8_t* b = next.first.data();
  Ids ids = item.ids;
  if (item.transport == 40) {
    // Version, traffic class, flow label; next header, hop limit, addresses.
    if (!same(a, b, 4) || !same(a + 6, b + 6, 34)) return false;
  } else {
    // Version, header length, TOS; flags; TTL, protocol; addresses.
    if (!same(a, b, 2) || !same(a + 6, b + 6, 4) || !same(a + 12, b + 12, 8)) return false;
    const std::uint16_t first = load_be16(a + 4);
    const std::uint16_t id = load_be16(b + 4);
    const bool counting = id == static_cast<std::uint16_t>(first + item.count);
    const bool constant = id == first && (a[6] & 0x40U) != 0;  // with DF it means nothing (RFC 6864 4.1)
    if (ids == Ids::Unknown) ids = counting ? Ids::Counting : Ids::Constant;
    if (ids == Ids::Counting ? !counting : !constant) return false;
  }
  const std::uint8_t* s = a + item.transport;
  const std::uint8_t* t = b + item.transport;
  if (!same(s, t, 4)) return false;
  if (item.kind == Kind::Tcp) {
    constexpr unsigned kMayDiffer = kFinPsh | kCwr;
    if (load_be32(t + 4) != item.next_sequence || (t[13] & kCwr) != 0 || !same(s + 8, t + 8, 5) ||
        ((s[13] ^ t[13]) & ~kMayDiffer) != 0 || !same(s + 14, t + 14, 2) || !same(s + 18, t + 18, 2) ||
        !same(s + 20, t + 20, static_cast<std::size_t>(item.header - item.transport) - 20)) {
      return false;
    }
  }
  const std::uint8_t protocol = item.kind == Kind::Tcp ? kProtocolTcp : kProtocolUdp;
  if (!item.verified) {
    item.verified = checksums_right(item.first, item.transport, protocol);
    item.open = item.verified;
  }
  if (!item.open || !checksums_right(next.first, next.transport, protocol)) return false;

  parts_.push_back({.payload = next.first.subspan(next.header), .next = 0});
  const auto part = static_cast<std::uint32_t>(parts_.size());
  (item.last_part == 0 ? item.next_part : parts_[item.last_part - 1].next) = part;
  item.last_part = part;
  item.total += next.payload;
  item.next_sequence = next.next_sequence;
  item.end_flags |= next.end_flags;
  item.ids = ids;
  ++item.count;
  item.open = next.end_flags == 0 && next.payload == item.payload;
  return true;
}

void Merger::finish(Item& item) {
  pieces_.clear();
  pieces_.emplace_back(item.first);
  offload_ = {};
  if (item.count == 1) return;
  for (std::uint32_t part = item.next_part; part != 0; part = parts_[part - 1].next)
    pieces_.push_back(parts_[part - 1].payload);

  const MutableByteView packet = item.first;
  const bool v6 = item.transport == 40;
  const std::size_t length = item.total - item.transport;
  if (v6) {
    store_be16(&packet[4], static_cast<std::uint16_t>(item.total - 40));
  } else {
    store_be16(&packet[2], static_cast<std::uint16_t>(item.total));
    store_be16(&packet[10], 0);
    store_be16(&packet[10], checksum_finish(fast_sum(packet.first(20))));
  }
  std::uint8_t* t = &packet[item.transport];
  const bool tcp = item.kind == Kind::Tcp;
  if (tcp) {
    offload_.kind = v6 ? Offload::Kind::Tcp6 : Offload::Kind::Tcp4;
    offload_.checksum_offset = 16;
    offload_.congestion_reduced = (t[13] & kCwr) != 0;
    t[13] = static_cast<std::uint8_t>(t[13] | item.end_flags);
  } else {
    offload_.kind = Offload::Kind::Udp;
    offload_.checksum_offset = 6;
    store_be16(t + 4, static_cast<std::uint16_t>(length));
  }
  const auto inverted = checksum_finish(pseudo_header_sum(packet, tcp ? kProtocolTcp : kProtocolUdp, length));
  store_be16(t + offload_.checksum_offset, static_cast<std::uint16_t>(~inverted));
  offload_.needs_checksum = true;
  offload_.checksum_start = item.transport;
  offload_.header_size = item.header;
  offload_.segment_size = item.payload;
}

void Merger::forget() {
  items_.clear();
  parts_.clear();
  ++epoch_;
}

}  // namespace qanat::esp
