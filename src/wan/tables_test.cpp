// The small tables of the packet path: routes, held packets, fragments, selectors.
#include <map>

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "esp/packet_test_support.hpp"
#include "wan/flow.hpp"
#include "wan/fragments.hpp"
#include "wan/hold_queue.hpp"
#include "wan/route_table.hpp"

namespace qanat::wan {
namespace {

using namespace esp::testing;
using esp::DropReason;

Instant at(std::int64_t ms) {
  return Instant::from_ns(ms * 1'000'000);
}
Hop to(std::uint32_t tunnel) {
  return {.kind = Hop::Kind::Tunnel, .tunnel = TunnelId{tunnel}};
}

TEST(RouteTable, LongestPrefixWinsInEachVrfAndFamily) {
  RouteTable r;
  const VrfId v0{0};
  const VrfId v1{1};
  r.add(v0, net("0.0.0.0/0"), to(1));
  r.add(v0, net("10.0.0.0/8"), to(2));
  r.add(v0, net("10.1.0.0/16"), to(3));
  r.add(v0, net("10.1.2.3/32"), to(4));
  r.add(v0, net("2001:db8::/32"), to(5));
  r.add(v1, net("10.1.0.0/16"), to(6));
  const auto tunnel = [&](VrfId vrf, std::string_view a) {
    const auto m = r.lookup(vrf, ip(a));
    return m ? m->hop.tunnel.value() : 0;
  };
  EXPECT_EQ(tunnel(v0, "192.0.2.1"), 1U);
  EXPECT_EQ(tunnel(v0, "10.200.0.1"), 2U);
  EXPECT_EQ(tunnel(v0, "10.1.2.4"), 3U);
  EXPECT_EQ(tunnel(v0, "10.1.2.3"), 4U);
  EXPECT_EQ(tunnel(v0, "2001:db8::1"), 5U);
  EXPECT_EQ(tunnel(v0, "2001:db9::1"), 0U);
  EXPECT_EQ(tunnel(v1, "10.1.2.3"), 6U);
  EXPECT_EQ(tunnel(v1, "10.2.2.3"), 0U);
  EXPECT_EQ(r.lookup(v0, ip("10.1.9.9"))->length, 16U);
  EXPECT_TRUE(r.leads_to(v0, ip("10.1.2.3"), TunnelId{1}));
  EXPECT_TRUE(r.leads_to(v0, ip("10.1.2.3"), TunnelId{2}));
  EXPECT_FALSE(r.leads_to(v0, ip("10.1.2.3"), TunnelId{5}));
  r.remove(v0, net("10.1.2.3/32"), to(4));
  r.remove(v0, net("10.1.0.0/16"), to(99));
  r.remove(v0, net("10.9.0.0/16"), to(3));
  EXPECT_EQ(tunnel(v0, "10.1.2.3"), 3U);
}

TEST(RouteTable, HopsOfOnePrefixHaveAnOrder) {
  RouteTable r;
  const VrfId v;
  r.add(v, net("10.0.0.0/31"), to(5));
  r.add(v, net("10.0.0.0/31"), to(2));
  r.add(v, net("10.0.0.0/31"), to(2));
  r.add(v, net("10.0.0.0/31"), {.kind = Hop::Kind::Interface, .tunnel = TunnelId{9}});
  EXPECT_EQ(r.size(), 3U);
  EXPECT_EQ(r.lookup(v, ip("10.0.0.1"))->hop.kind, Hop::Kind::Interface);
  r.remove(v, net("10.0.0.0/31"), {.kind = Hop::Kind::Interface, .tunnel = TunnelId{9}});
  EXPECT_EQ(r.lookup(v, ip("10.0.0.1"))->hop, to(2));
  r.remove(v, net("10.0.0.0/31"), to(2));
  r.remove(v, net("10.0.0.0/31"), to(5));
  EXPECT_FALSE(r.lookup(v, ip("10.0.0.1")));
  EXPECT_EQ(r.size(), 0U);
}

TEST(RouteTable, AgreesWithALinearSearch) {
  SeededRng rng(20);
  RouteTable r;
  std::vector<std::pair<Prefix, Hop>> all;
  for (std::uint32_t i = 0; i < 400; ++i) {
    const Prefix p =
        Prefix::masked(IpAddress::v4((10U << 24) | (rng.u32() & 0xffff)), static_cast<unsigned>(rng.below(33)));
    r.add({}, p, to(i));
    all.emplace_back(p, to(i));
    if (rng.below(4) == 0) {
      const auto victim = static_cast<std::ptrdiff_t>(rng.below(all.size()));
      r.remove({}, all[static_cast<std::size_t>(victim)].first, all[static_cast<std::size_t>(victim)].second);
      all.erase(all.begin() + victim);
    }
  }
  for (int i = 0; i < 20'000; ++i) {
    const IpAddress a = IpAddress::v4((10U << 24) | (rng.u32() & 0x1ffff));
    const std::pair<Prefix, Hop>* best = nullptr;
    for (const auto& entry : all) {
      if (!entry.first.contains(a)) continue;
      if (best == nullptr || entry.first.length() > best->first.length() ||
          (entry.first.length() == best->first.length() && entry.second < best->second)) {
        best = &entry;
      }
    }
    const auto m = r.lookup({}, a);
    ASSERT_EQ(m.has_value(), best != nullptr);
    if (m) {
      ASSERT_EQ(m->hop, best->second);
    }
  }
}

TEST(SaSelectors, AgreeWithTheSelectorsThatTheyStandFor) {
  SeededRng rng(21);
  const auto some = [&] {
    std::vector<wire::TrafficSelector> list;
    for (std::uint64_t n = rng.below(4); n != 0; --n) {
      switch (rng.below(6)) {
        case 0:
          list.push_back(any4());
          break;
        case 1:
          list.push_back(any6());
          break;
        case 2:
          list.push_back({.first = ip("10.0.0.1"), .last = ip("10.0.0.2")});
          break;
        case 3:
          list.push_back({.first = ip("2001:db8::1"), .last = ip("2001:db8::2"), .protocol = 17});
          break;
        case 4:
          list.push_back(any4());
          list.back().protocol = 6;
          break;
        default:
          list.push_back(any4());
          list.back().port_last = 5000;
          break;
      }
    }
    return list;
  };
  std::map<Fit, int> seen;
  for (int i = 0; i < 3000; ++i) {
    const auto local = some();
    const auto remote = some();
    const SaSelectors compact = sa_selectors(local, remote);
    for (int j = 0; j < 20; ++j) {
      const bool v6 = rng.below(2) == 0;
      Flow flow;
      flow.local = ip(v6 ? "2001:db8::1" : "10.0.0.1");
      flow.remote = rng.below(2) == 0 ? ip(v6 ? "2001:db8::9" : "10.0.0.9") : flow.local;
      flow.protocol = rng.below(2) == 0 ? 17 : 6;
      flow.ports = static_cast<Flow::PortState>(rng.below(3));
      flow.local_port = rng.below(2) == 0 ? 4000 : 6000;
      flow.remote_port = rng.below(2) == 0 ? 4000 : 6000;
      const Fit expected = fits(local, remote, flow);
      ASSERT_EQ(fits(compact.open, compact.narrow.get(), flow), expected);
      ++seen[expected];
    }
  }
  EXPECT_EQ(seen.size(), 3U);
  EXPECT_EQ(sa_selectors({any4(), any6()}, {any6(), any4()}).open, OpenTo::Both);
  EXPECT_EQ(sa_selectors({any4(), any6()}, {any6(), any4()}).narrow, nullptr);
}

struct Thing {
  int id = 0;
  std::size_t octets = 10;
  [[nodiscard]] std::size_t size() const { return octets; }
};

TEST(HoldQueue, BoundsOrderAndTime) {
  HoldQueue<int, Thing> q(3, 55, 1s);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(q.has_room(1, 10));
    q.push(at(i), 1, {.id = i});
  }
  EXPECT_FALSE(q.has_room(1, 10));
  EXPECT_TRUE(q.has_room(2, 10));
  q.push(at(5), 2, {.id = 10});
  q.push(at(6), 2, {.id = 11});
  EXPECT_FALSE(q.has_room(3, 10));  // 50 of 55 octets
  EXPECT_EQ(q.next(), at(1000));
  EXPECT_FALSE(q.expire(at(999)));
  const auto late = q.expire(at(1000));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->first, 1);
  EXPECT_EQ(late->second.id, 0);
  EXPECT_EQ(q.next(), at(1001));
  const auto taken = q.take(1);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[0].id, 1);
  EXPECT_EQ(taken[1].id, 2);
  EXPECT_EQ(q.next(), at(1005));
  q.push(at(500), 1, {.id = 20});
  EXPECT_EQ(q.count(2), 2U);
  EXPECT_EQ(q.take(2).size(), 2U);
  EXPECT_EQ(q.next(), at(1500));
  EXPECT_EQ(q.expire(at(2000))->second.id, 20);
  EXPECT_FALSE(q.next());
  EXPECT_TRUE(q.take(1).empty());
  EXPECT_TRUE(q.has_room(3, 55));
}

TEST(HoldQueue, WhatIsLeftBehindKeepsItsOrderAndDeadline) {
  SeededRng rng(21);
  HoldQueue<int, Thing> q(8, 1'000'000, 1s);
  std::map<int, std::pair<int, std::int64_t>> held;  // by id: key, deadline
  int next = 0;
  for (std::int64_t ms = 0; ms < 60'000; ms += 10) {
    const int key = static_cast<int>(rng.below(3));
    if (q.has_room(key, 10)) {
      q.push(at(ms), key, {.id = next});
      held[next++] = {key, ms + 1000};
    }
    if (rng.below(5) == 0) {
      const auto odd = rng.below(2);
      int last = -1;
      for (const Thing& t :
           q.take(key, [&](const Thing& thing) { return static_cast<std::uint64_t>(thing.id % 2) == odd; })) {
        ASSERT_LT(last, t.id);
        last = t.id;
        ASSERT_EQ(held.at(t.id).first, key);
        held.erase(t.id);
      }
      for (const auto& [id, entry] : held) {
        ASSERT_FALSE(entry.first == key && static_cast<std::uint64_t>(id % 2) == odd);
      }
    }
    while (const auto late = q.expire(at(ms))) {
      ASSERT_EQ(held.begin()->first, late->second.id);
      ASSERT_LE(held.begin()->second.second, ms);
      held.erase(held.begin());
    }
    ASSERT_EQ(q.next().has_value(), !held.empty());
    if (!held.empty()) {
      ASSERT_EQ(*q.next(), at(held.begin()->second.second));
    }
  }
}

esp::InnerPacket fragment(std::uint16_t offset, std::uint16_t length, bool more, std::uint32_t id = 1) {
  esp::InnerPacket p;
  p.source = ip("10.1.0.1");
  p.destination = ip("10.2.0.1");
  p.protocol = 17;
  p.header_size = p.transport_offset = 20;
  p.size = static_cast<std::uint16_t>(20 + length);
  p.fragment = true;
  p.more_fragments = more;
  p.fragment_offset = offset;
  p.fragment_id = id;
  if (offset == 0) {
    p.has_ports = true;
    p.ports = {1, 2};
  }
  return p;
}

TEST(Fragments, TheFirstDecidesForTheRest) {
  FragmentTable t(10);
  EXPECT_TRUE(t.see(at(0), 1, fragment(0, 800, true))->first_seen);
  const auto later = t.see(at(1), 1, fragment(800, 800, true));
  ASSERT_TRUE(later);
  EXPECT_EQ(later->ports, (esp::Ports{1, 2}));
  EXPECT_FALSE(t.see(at(1), 2, fragment(800, 800, true))->first_seen);  // another scope
  EXPECT_FALSE(t.see(at(1), 1, fragment(800, 800, true, 9))->first_seen);
  EXPECT_EQ(t.size(), 3U);
  EXPECT_EQ(t.see(at(2), 1, fragment(1600, 10, false))->ports, (esp::Ports{1, 2}));
  EXPECT_EQ(t.size(), 2U);  // whole, and forgotten
}

TEST(Fragments, OverlapsAreRefusedAndSoIsTheRest) {
  for (const auto& bad :
       {fragment(792, 800, true), fragment(8, 8, true), fragment(0, 1600, true), fragment(2392, 16, false)}) {
    FragmentTable t(10);
    ASSERT_TRUE(t.see(at(0), 1, fragment(0, 800, true)));
    ASSERT_TRUE(t.see(at(0), 1, fragment(1600, 800, true)));
    EXPECT_EQ(t.see(at(1), 1, bad).error(), DropReason::FragmentOverlap);
    EXPECT_EQ(t.see(at(2), 1, fragment(800, 800, true)).error(), DropReason::FragmentOverlap);
  }
}

TEST(Fragments, CopiesAreDroppedButDoNotSpoilTheRest) {
  FragmentTable t(10);
  ASSERT_TRUE(t.see(at(0), 1, fragment(0, 800, true)));
  EXPECT_FALSE(t.see(at(0), 1, fragment(0, 800, true)));
  EXPECT_TRUE(t.see(at(0), 1, fragment(800, 800, false)));
}

TEST(Fragments, NothingBehindTheEnd) {
  FragmentTable t(10);
  ASSERT_TRUE(t.see(at(0), 1, fragment(800, 8, false)));
  EXPECT_FALSE(t.see(at(0), 1, fragment(1600, 8, true)));
  FragmentTable u(10);
  ASSERT_TRUE(u.see(at(0), 1, fragment(1600, 8, true)));
  EXPECT_FALSE(u.see(at(0), 1, fragment(800, 8, false)));
}

TEST(Fragments, AreForgottenAfter30SecondsAndWhenThereAreTooMany) {
  FragmentTable t(4);
  for (std::uint32_t id = 0; id < 10; ++id) ASSERT_TRUE(t.see(at(id), 1, fragment(0, 800, true, id)));
  EXPECT_EQ(t.size(), 4U);
  EXPECT_TRUE(t.see(at(10), 1, fragment(800, 8, true, 9))->first_seen);
  EXPECT_FALSE(t.see(at(10), 1, fragment(800, 8, true, 2))->first_seen);
  EXPECT_FALSE(t.see(at(31'000), 1, fragment(808, 8, true, 9))->first_seen);
}

TEST(Fragments, AReusedIdentificationStartsAnew) {
  FragmentTable t(4);
  ASSERT_TRUE(t.see(at(0), 1, fragment(0, 800, true)));
  EXPECT_TRUE(t.see(at(1500), 1, fragment(0, 1600, true)));
  EXPECT_TRUE(t.see(at(1500), 1, fragment(1600, 8, false)));
}

TEST(Fragments, RandomOnesStayBounded) {
  SeededRng rng(21);
  FragmentTable t(64);
  for (int i = 0; i < 200'000; ++i) {
    auto p =
        fragment(static_cast<std::uint16_t>(rng.below(8000) * 8), static_cast<std::uint16_t>(8 + 8 * rng.below(20)),
                 rng.below(5) != 0, static_cast<std::uint32_t>(rng.below(200)));
    (void)t.see(at(i / 10), rng.below(2), p);
    ASSERT_LE(t.size(), 64U);
  }
}

wire::TrafficSelector ts(std::string_view prefix, std::uint8_t protocol = 0, std::uint16_t first = 0,
                         std::uint16_t last = 65535) {
  const Prefix p = net(prefix);
  return {.first = p.first(), .last = p.last(), .protocol = protocol, .port_first = first, .port_last = last};
}

TEST(Flow, SelectorsWithAddressesProtocolsAndPorts) {
  const auto packet = *esp::parse_inner(
      udp({.source = ip("10.1.0.1"), .destination = ip("10.2.0.1"), .source_port = 53, .destination_port = 80}));
  const Flow out = make_flow(Direction::Out, packet);
  const Flow in = make_flow(Direction::In, packet);
  using Selectors = std::vector<wire::TrafficSelector>;
  const auto check = [](const Selectors& l, const Selectors& r, const Flow& f) { return fits(l, r, f); };
  EXPECT_EQ(check({any4()}, {any4()}, out), Fit::Yes);
  EXPECT_EQ(check({any6()}, {any6()}, out), Fit::No);
  EXPECT_EQ(check({ts("10.1.0.0/16")}, {ts("10.2.0.0/16")}, out), Fit::Yes);
  EXPECT_EQ(check({ts("10.1.0.0/16")}, {ts("10.2.0.0/16")}, in), Fit::No);
  EXPECT_EQ(check({ts("10.2.0.0/16")}, {ts("10.1.0.0/16")}, in), Fit::Yes);
  EXPECT_EQ(check({ts("10.9.0.0/16"), ts("10.1.0.0/16", 17, 53, 53)}, {any4()}, out), Fit::Yes);
  EXPECT_EQ(check({ts("10.1.0.0/16", 6)}, {any4()}, out), Fit::No);
  EXPECT_EQ(check({ts("10.1.0.0/16", 17, 54, 60)}, {any4()}, out), Fit::No);
  EXPECT_EQ(check({any4()}, {ts("10.2.0.0/16", 17, 80, 80)}, out), Fit::Yes);
  EXPECT_EQ(check({ts("10.2.0.0/16", 17, 80, 80)}, {any4()}, in), Fit::Yes);
  EXPECT_EQ(check({}, {any4()}, out), Fit::No);

  Flow unknown = out;
  unknown.ports = Flow::PortState::Unknown;
  EXPECT_EQ(check({any4()}, {any4()}, unknown), Fit::Yes);
  EXPECT_EQ(check({ts("10.1.0.0/16", 17, 53, 53)}, {any4()}, unknown), Fit::NeedsPorts);
  EXPECT_EQ(check({ts("10.1.0.0/16", 6, 53, 53)}, {any4()}, unknown), Fit::No);
  Flow gre = out;
  gre.protocol = 47;
  gre.ports = Flow::PortState::None;
  EXPECT_EQ(check({ts("10.1.0.0/16", 47, 53, 53)}, {any4()}, gre), Fit::No);
  EXPECT_EQ(check({ts("10.1.0.0/16", 47, 65535, 0)}, {any4()}, gre), Fit::Yes);  // OPAQUE
  EXPECT_EQ(check({ts("10.1.0.0/16", 17, 65535, 0)}, {any4()}, out), Fit::No);

  const auto wanted = local_selector(out);
  EXPECT_EQ(wanted, (wire::TrafficSelector{ip("10.1.0.1"), ip("10.1.0.1"), 17, 53, 53}));
  EXPECT_EQ(remote_selector(gre), (wire::TrafficSelector{ip("10.2.0.1"), ip("10.2.0.1"), 47, 0, 65535}));
}

}  // namespace
}  // namespace qanat::wan
