#include "wan/fragments.hpp"

#include <algorithm>

namespace qanat::wan {

namespace {

// An honest datagram has fewer: 65,535 octets in pieces of 512.
constexpr std::size_t kMaxRanges = 128;
// A first fragment that comes again so much later is another datagram, which reuses the 16 bits of the identification.
constexpr Duration kReuse = 1s;

}  // namespace

std::size_t FragmentTable::KeyHash::operator()(const Key& k) const noexcept {
  const std::hash<IpAddress> address;
  std::size_t h = std::hash<std::uint64_t>{}(k.scope * 0x9e3779b97f4a7c15ULL + k.id);
  h = h * 31 + address(k.source);
  h = h * 31 + address(k.destination);
  return h * 31 + k.protocol;
}

void FragmentTable::forget(Entries::iterator entry) {
  order_.erase(entry->second.turn);
  entries_.erase(entry);
}

FragmentTable::Entries::iterator FragmentTable::begin_entry(Instant now, const Key& key) {
  if (entries_.size() >= capacity_ && !order_.empty()) forget(entries_.find(order_.front()));
  const auto turn = order_.insert(order_.end(), key);
  Entry entry;
  entry.since = now;
  entry.turn = turn;
  return entries_.emplace(key, std::move(entry)).first;
}

std::expected<FragmentFacts, esp::DropReason> FragmentTable::see(Instant now, std::uint64_t scope,
                                                                 const esp::InnerPacket& p) {
  while (!order_.empty()) {
    const auto oldest = entries_.find(order_.front());
    if (now - oldest->second.since < kFragmentLife) break;
    forget(oldest);
  }
  const Key key{.scope = scope,
                .source = p.source,
                .destination = p.destination,
                .id = p.fragment_id,
                .protocol = p.is_v6() ? std::uint8_t{0} : p.protocol};
  auto found = entries_.find(key);
  if (found != entries_.end() && p.fragment_offset == 0 && found->second.facts.first_seen &&
      now - found->second.since >= kReuse) {
    forget(found);
    found = entries_.end();
  }
  if (found == entries_.end()) found = begin_entry(now, key);
  Entry& entry = found->second;
  if (entry.refused) return std::unexpected(esp::DropReason::FragmentOverlap);

  const std::uint32_t begin = p.fragment_offset;
  const std::uint32_t end = begin + static_cast<std::uint32_t>(p.size - p.transport_offset);
  auto& ranges = entry.ranges;
  const auto next = std::lower_bound(ranges.begin(), ranges.end(), begin,
                                     [](const Range& r, std::uint32_t b) { return r.begin < b; });
  if (next != ranges.end() && next->begin == begin && next->end == end)
    return std::unexpected(esp::DropReason::FragmentOverlap);
  const bool overlaps = (next != ranges.end() && next->begin < end) ||
                        (next != ranges.begin() && std::prev(next)->end > begin) ||
                        (entry.end && (end > *entry.end || !p.more_fragments)) || ranges.size() >= kMaxRanges;
  if (overlaps) {
    entry.refused = true;
    return std::unexpected(esp::DropReason::FragmentOverlap);
  }
  ranges.insert(next, {begin, end});
  if (!p.more_fragments) {
    entry.end = end;
    if (ranges.back().end > end) {  // something lies behind the last fragment
      entry.refused = true;
      return std::unexpected(esp::DropReason::FragmentOverlap);
    }
  }
  if (begin == 0) {
    entry.facts.first_seen = true;
    if (p.has_ports) entry.facts.ports = p.ports;
  }
  const FragmentFacts facts = entry.facts;
  std::uint32_t covered = 0;
  for (const Range& range : ranges) covered += range.end - range.begin;
  if (entry.end && covered == *entry.end) forget(found);
  return facts;
}

}  // namespace qanat::wan
