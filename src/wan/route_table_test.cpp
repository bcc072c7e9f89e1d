// RouteTable against a list that is searched from end to end.
#include "wan/route_table.hpp"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "esp/packet_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace esp::testing;

Hop to(std::uint32_t tunnel) {
  return {.kind = Hop::Kind::Tunnel, .tunnel = TunnelId{tunnel}};
}

struct Plain {
  std::map<std::pair<VrfId, Prefix>, std::set<Hop>> all;

  void add(VrfId vrf, const Prefix& prefix, const Hop& hop) {
    remove(vrf, prefix, hop);
    all[{vrf, prefix}].insert(hop);
  }
  void remove(VrfId vrf, const Prefix& prefix, const Hop& hop) {
    const auto found = all.find({vrf, prefix});
    if (found == all.end()) return;
    std::erase_if(found->second, [&](const Hop& h) { return h.same_way(hop); });
    if (found->second.empty()) all.erase(found);
  }
  [[nodiscard]] std::size_t size() const {
    std::size_t count = 0;
    for (const auto& [prefix, hops] : all) count += hops.size();
    return count;
  }
  [[nodiscard]] std::optional<RouteTable::Match> lookup(VrfId vrf, const IpAddress& address) const {
    std::optional<RouteTable::Match> best;
    for (const auto& [where, hops] : all) {
      if (where.first != vrf || !where.second.contains(address)) continue;
      if (!best || where.second.length() > best->length)
        best = {.hop = *hops.begin(), .length = where.second.length(), .hops = {}};
    }
    return best;
  }
  [[nodiscard]] bool leads_to(VrfId vrf, const IpAddress& address, TunnelId tunnel) const {
    const auto best = lookup(vrf, address);
    if (best && best->hop.kind == Hop::Kind::Local) return false;
    return std::any_of(all.begin(), all.end(), [&](const auto& entry) {
      return entry.first.first == vrf && entry.first.second.contains(address) &&
             std::any_of(entry.second.begin(), entry.second.end(),
                         [&](const Hop& hop) { return hop.leads_into(tunnel); });
    });
  }
};

// Bits of few kinds, so that prefixes nest, touch and branch at every length.
IpAddress some_address(Rng& rng) {
  const bool v6 = rng.below(2) == 0;
  Bytes octets(v6 ? 16 : 4);
  for (auto& octet : octets) {
    constexpr std::uint8_t kFew[] = {0, 0, 0, 0xff, 0x80, 0x01, 0x10, 0x0a};
    octet = rng.below(6) == 0 ? static_cast<std::uint8_t>(rng.u32()) : kFew[rng.below(std::size(kFew))];
  }
  return IpAddress::from_bytes(octets);
}
Hop some_hop(Rng& rng) {
  return {.kind = static_cast<Hop::Kind>(rng.below(4)),
          .tunnel = TunnelId{static_cast<std::uint32_t>(rng.below(4))},
          .priority = static_cast<std::uint32_t>(100 + 100 * rng.below(3)),
          .weight = static_cast<std::uint16_t>(1 + rng.below(3)),
          .pq_require = rng.below(8) == 0};
}

TEST(RouteTable, AgreesWithAListAfterEveryChange) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
    SeededRng rng(seed);
    RouteTable table;
    Plain plain;
    std::vector<IpAddress> asked;
    for (int i = 0; i < 24; ++i) asked.push_back(some_address(rng));
    const std::uint64_t many = 20 + 60 * (seed % 3);
    for (int step = 0; step < 1500; ++step) {
      const VrfId vrf{static_cast<std::uint32_t>(rng.below(2))};
      if (plain.all.empty() || rng.below(many) >= plain.all.size()) {
        IpAddress address = rng.below(3) == 0 ? asked[rng.below(asked.size())] : some_address(rng);
        const Prefix prefix = Prefix::masked(address, static_cast<unsigned>(rng.below(address.bits() + 1)));
        const Hop hop = some_hop(rng);
        for (int twice = rng.below(5) == 0 ? 2 : 1; twice != 0; --twice) table.add(vrf, prefix, hop);
        plain.add(vrf, prefix, hop);
      } else {
        // One that is there, by a hop that may be there, and sometimes one that is not there.
        auto victim = plain.all.begin();
        std::advance(victim, static_cast<std::ptrdiff_t>(rng.below(plain.all.size())));
        const auto [where, hops] = *victim;
        const Hop hop = rng.below(3) == 0 ? some_hop(rng) : *hops.begin();
        const Prefix prefix =
            rng.below(8) == 0 ? Prefix::masked(where.second.address(), where.second.length() / 2) : where.second;
        table.remove(where.first, prefix, hop);
        plain.remove(where.first, prefix, hop);
      }
      ASSERT_EQ(table.size(), plain.size()) << seed << " " << step;
      // The same questions again and again, so that remembered answers would show.
      for (const IpAddress& address : asked) {
        const auto expected = plain.lookup(vrf, address);
        const auto found = table.lookup(vrf, address);
        ASSERT_EQ(found.has_value(), expected.has_value()) << address.to_string() << " " << seed << " " << step;
        if (found) {
          ASSERT_EQ(found->hop, expected->hop);
          ASSERT_EQ(found->length, expected->length);
          const auto& hops = plain.all.at({vrf, Prefix::masked(address, found->length)});
          ASSERT_EQ(found->hops != nullptr, hops.size() > 1 || hops.begin()->pq_require);
          if (found->hops != nullptr) {
            ASSERT_TRUE(std::equal(hops.begin(), hops.end(), found->hops->begin(), found->hops->end()));
          }
        }
        const TunnelId tunnel{static_cast<std::uint32_t>(rng.below(4))};
        ASSERT_EQ(table.leads_to(vrf, address, tunnel), plain.leads_to(vrf, address, tunnel));
      }
    }
    while (!plain.all.empty()) {
      const auto [where, hops] = *plain.all.begin();
      table.remove(where.first, where.second, *hops.begin());
      plain.remove(where.first, where.second, *hops.begin());
    }
    EXPECT_EQ(table.size(), 0U);
    for (const IpAddress& address : asked) EXPECT_FALSE(table.lookup(VrfId{0}, address));
  }
}

TEST(RouteTable, HoldsAHundredThousandPrefixesOfEachFamily) {
  SeededRng rng(7);
  RouteTable table;
  std::vector<std::pair<Prefix, Hop>> all;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    // Every /24 of 10.0.0.0 and on, and every /48 of 2001:db8..; shuffled by an odd factor.
    const std::uint32_t n = (i / 2 * 40'503U) % 100'000U;
    Prefix prefix = Prefix::masked(IpAddress::v4(0x0a000000U + n * 256), 24);
    if (i % 2 == 1) {
      Bytes octets(16);
      store_be32(octets.data(), 0x20010db8);
      store_be32(&octets[2], 0x0db80000U + n);
      prefix = Prefix::masked(IpAddress::from_bytes(octets), 48);
    }
    table.add({}, prefix, to(i));
    all.emplace_back(prefix, to(i));
  }
  ASSERT_EQ(table.size(), 200'000U);
  for (int i = 0; i < 50'000; ++i) {
    const auto& [prefix, hop] = all[rng.below(all.size())];
    const auto found = table.lookup({}, prefix.last());
    ASSERT_TRUE(found);
    ASSERT_EQ(found->hop, hop);
  }
  for (const auto& [prefix, hop] : all) table.remove({}, prefix, hop);
  EXPECT_EQ(table.size(), 0U);
}

}  // namespace
}  // namespace qanat::wan
