#include "wan/route_table.hpp"

namespace qanat::wan {

namespace {

std::size_t spread(const RouteKey& key, VrfId vrf) {
  const std::uint64_t h = (key.high ^ (key.low * 0x9e3779b97f4a7c15U) ^ vrf.value()) * 0xff51afd7ed558ccdU;
  return static_cast<std::size_t>(h >> 32);
}

}  // namespace

const RouteTrie* RouteTable::trie(VrfId vrf, const IpAddress& address) const {
  const auto found = vrfs_.find(vrf);
  if (found == vrfs_.end()) return nullptr;
  return address.is_v6() ? &found->second.v6 : &found->second.v4;
}

void RouteTable::add(VrfId vrf, const Prefix& prefix, const Hop& hop) {
  Vrf& tries = vrfs_[vrf];
  RouteTrie& trie = prefix.is_v4() ? tries.v4 : tries.v6;
  const auto added = trie.add(RouteKey::of(prefix.address()), prefix.length(), hop);
  if (added == RouteTrie::Added::Same) return;
  if (added == RouteTrie::Added::New) ++size_;
  ++generation_;
}

void RouteTable::remove(VrfId vrf, const Prefix& prefix, const Hop& hop) {
  const auto found = vrfs_.find(vrf);
  if (found == vrfs_.end()) return;
  Vrf& tries = found->second;
  if (!(prefix.is_v4() ? tries.v4 : tries.v6).remove(RouteKey::of(prefix.address()), prefix.length(), hop)) return;
  --size_;
  ++generation_;
  if (tries.v4.empty() && tries.v6.empty()) vrfs_.erase(found);
}

template <typename Answer, typename Find>
Answer RouteTable::remember(Memory<Answer>& memory, VrfId vrf, const IpAddress& address, TunnelId tunnel,
                            const Find& find) const {
  const RouteKey key = RouteKey::of(address);
  Remembered<Answer>& last = memory[spread(key, vrf) % kRemembered];
  if (last.as_of != generation_ || last.address != address || last.vrf != vrf || last.tunnel != tunnel) {
    const RouteTrie* routes = trie(vrf, address);
    last = {.address = address,
            .vrf = vrf,
            .tunnel = tunnel,
            .as_of = generation_,
            .answer = routes != nullptr ? find(*routes, key) : Answer{}};
  }
  return last.answer;
}

std::optional<RouteTable::Match> RouteTable::lookup(VrfId vrf, const IpAddress& address) const {
  return remember(matches_, vrf, address, {}, [](const RouteTrie& routes, const RouteKey& key) {
    const auto found = routes.longest(key);
    if (found.hop == nullptr) return std::optional<Match>{};
    return std::optional{Match{.hop = *found.hop, .length = found.length, .hops = found.hops}};
  });
}

bool RouteTable::leads_to(VrfId vrf, const IpAddress& address, TunnelId tunnel) const {
  return remember(sources_, vrf, address, tunnel, [&](const RouteTrie& routes, const RouteKey& key) {
    const auto best = routes.longest(key);
    const bool local = best.hop != nullptr && best.hop->kind == Hop::Kind::Local;
    return !local && routes.any(key, tunnel);
  });
}

}  // namespace qanat::wan
