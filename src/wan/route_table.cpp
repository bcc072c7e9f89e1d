#include "wan/route_table.hpp"

#include <algorithm>

namespace qanat::wan {

RouteTable::Key RouteTable::Key::of(const IpAddress& address) {
  const ByteView octets = address.bytes();
  if (address.is_v4()) return {.high = std::uint64_t{address.v4_host_order()} << 32, .low = 0};
  return {.high = load_be64(octets.data()), .low = load_be64(&octets[8])};
}

RouteTable::Key RouteTable::Key::masked(unsigned length) const {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  if (length == 0) return {};
  if (length <= 64) return {.high = high & (kAll << (64 - length)), .low = 0};
  return {.high = high, .low = low & (kAll << (128 - length))};
}

std::size_t RouteTable::KeyHash::operator()(const Key& k) const noexcept {
  const std::uint64_t h = (k.high ^ (k.low * 0x9e3779b97f4a7c15U)) * 0xff51afd7ed558ccdU;
  return static_cast<std::size_t>(h ^ (h >> 32));
}

const RouteTable::Family* RouteTable::family(VrfId vrf, const IpAddress& address) const {
  const auto found = vrfs_.find(vrf);
  if (found == vrfs_.end()) return nullptr;
  return address.is_v6() ? &found->second.v6 : &found->second.v4;
}

void RouteTable::add(VrfId vrf, const Prefix& prefix, const Hop& hop) {
  Vrf& tables = vrfs_[vrf];
  auto& levels = (prefix.is_v4() ? tables.v4 : tables.v6).levels;
  auto level = std::find_if(levels.begin(), levels.end(), [&](const Level& l) { return l.length <= prefix.length(); });
  if (level == levels.end() || level->length != prefix.length()) {
    level = levels.insert(level, Level{.length = prefix.length(), .prefixes = {}});
  }
  Hops& hops = level->prefixes[Key::of(prefix.address())];
  const auto at = std::lower_bound(hops.begin(), hops.end(), hop);
  if (at == hops.end() || *at != hop) hops.insert(at, hop);
}

void RouteTable::remove(VrfId vrf, const Prefix& prefix, const Hop& hop) {
  const auto found = vrfs_.find(vrf);
  if (found == vrfs_.end()) return;
  auto& levels = (prefix.is_v4() ? found->second.v4 : found->second.v6).levels;
  const auto level =
      std::find_if(levels.begin(), levels.end(), [&](const Level& l) { return l.length == prefix.length(); });
  if (level == levels.end()) return;
  const auto entry = level->prefixes.find(Key::of(prefix.address()));
  if (entry == level->prefixes.end()) return;
  std::erase(entry->second, hop);
  if (entry->second.empty()) level->prefixes.erase(entry);
  if (level->prefixes.empty()) levels.erase(level);
  if (found->second.v4.levels.empty() && found->second.v6.levels.empty()) vrfs_.erase(found);
}

std::optional<RouteTable::Match> RouteTable::lookup(VrfId vrf, const IpAddress& address) const {
  const Family* table = family(vrf, address);
  if (table == nullptr) return std::nullopt;
  const Key key = Key::of(address);
  for (const Level& level : table->levels) {
    const auto found = level.prefixes.find(key.masked(level.length));
    if (found != level.prefixes.end()) return Match{.hop = found->second.front(), .length = level.length};
  }
  return std::nullopt;
}

bool RouteTable::leads_to(VrfId vrf, const IpAddress& address, TunnelId tunnel) const {
  const Family* table = family(vrf, address);
  if (table == nullptr) return false;
  const Key key = Key::of(address);
  const Hop wanted{.kind = Hop::Kind::Tunnel, .tunnel = tunnel};
  return std::any_of(table->levels.begin(), table->levels.end(), [&](const Level& level) {
    const auto found = level.prefixes.find(key.masked(level.length));
    return found != level.prefixes.end() && std::binary_search(found->second.begin(), found->second.end(), wanted);
  });
}

std::size_t RouteTable::size() const {
  std::size_t count = 0;
  for (const auto& [vrf, tables] : vrfs_) {
    for (const Family* f : {&tables.v4, &tables.v6}) {
      for (const Level& level : f->levels) {
        for (const auto& [prefix, hops] : level.prefixes) count += hops.size();
      }
    }
  }
  return count;
}

}  // namespace qanat::wan
