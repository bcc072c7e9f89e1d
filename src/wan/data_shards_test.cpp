// Two packet paths in one gateway, as two data workers have them: what one reads of the other's tunnels is carried by
// hand.
#include "wan/data_shards.hpp"

#include <gtest/gtest.h>

#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;

constexpr TunnelId kOdd{7};   // of worker 1
constexpr TunnelId kEven{8};  // of worker 0
constexpr std::uint32_t kWorkers = 2;

PacketPathConfig worker(std::uint32_t index) {
  PacketPathConfig config;
  config.worker = index;
  config.workers = {kWorkers};
  return config;
}

Bytes numbered(PacketSpec spec, std::uint8_t number) {
  spec.payload = 1;
  spec.fill = number;
  return udp(spec);
}

// A hub of two workers, and a site behind each of its two tunnels: 10.2/16 behind kOdd, 10.3/16 behind kEven.
class DataShards : public ::testing::Test {
 protected:
  DataShards() {
    even_link.b = "198.51.100.8";
    for (Gateway* w : {&hub0, &hub1}) EXPECT_FALSE(w->path.poll_handover());
    auto to_odd = plan(kOdd, {"10.2.0.0/16"});
    to_odd.interface4 = ip("10.255.0.0");
    to_odd.peer_interface4 = ip("10.255.0.1");
    auto to_even = plan(kEven, {"10.3.0.0/16"});
    to_even.interface4 = ip("10.255.1.0");
    to_even.peer_interface4 = ip("10.255.1.1");
    set(to_odd);
    set(to_even);
    odd.set(plan(kOdd, {"10.1.0.0/16", "10.3.0.0/16", "10.255.0.0/32"}));
    even.set(plan(kEven, {"10.1.0.0/16", "10.2.0.0/16", "10.255.1.0/32"}));
  }
  void set(const Plan& plan) {
    post(ipsec::SetTunnel{plan});
    post(routes_of(plan));
  }
  Gateway& at(std::uint32_t index) { return index == 0 ? hub0 : hub1; }
  void post(ipsec::Command command) {
    shards.post(std::move(command), [&](std::uint32_t to, ipsec::Command c) { at(to).post(std::move(c)); });
    carry();
  }
  void up(TunnelId tunnel, std::uint64_t child) {
    (tunnel == kOdd ? odd_keys : even_keys) =
        connect(at(shards.map().owner_of(tunnel)), tunnel, tunnel == kOdd ? odd : even, tunnel, link_of(tunnel), child);
    carry();
  }
  const Link& link_of(TunnelId tunnel) const { return tunnel == kOdd ? odd_link : even_link; }
  // What the workers have for each other, and what they tell.
  void carry() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::uint32_t from = 0; from < kWorkers; ++from) {
        while (auto leaving = at(from).path.poll_handover()) {
          moved = true;
          EXPECT_NE(leaving->worker, from);
          Gateway& to = at(leaving->worker);
          to.path.handle_handover(to.now, leaving->batch, to.sink);
        }
        while (const auto news = at(from).path.poll_news()) {
          moved = true;
          at(1 - from).path.handle_news(*news);
        }
      }
    }
  }
  ipsec::Counters counters() {
    for (std::uint32_t i = 0; i < kWorkers; ++i) (void)at(i).count_events<ipsec::Counters>();
    post(ipsec::ReadCounters{RequestId{9}});
    std::optional<ipsec::Event> whole;
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
      auto part = at(i).event<ipsec::Counters>();
      EXPECT_TRUE(part && !whole);
      whole = shards.merge(std::move(*part));
    }
    return std::get<ipsec::Counters>(whole.value());
  }
  std::vector<std::uint8_t> numbers(Gateway& site) {
    std::vector<std::uint8_t> out;
    while (!site.sink.delivered.empty()) out.push_back(site.take_delivered().back());
    return out;
  }
  // What the hub has sent to a site, into it.
  void deliver(Gateway& hub, Gateway& site) {
    while (!hub.sink.sent.empty()) site.wire(hub.take_sent());
  }

  wan::DataShards shards{kWorkers};
  Link odd_link;
  Link even_link;
  Gateway hub0{1, worker(0)};
  Gateway hub1{2, worker(1)};
  Gateway odd{3};
  Gateway even{4};
  Keyed odd_keys;
  Keyed even_keys;
};

std::uint64_t count_of(const std::vector<std::pair<std::string, std::uint64_t>>& counts, std::string_view name) {
  for (const auto& [n, count] : counts) {
    if (n == name) return count;
  }
  return 0;
}

TEST_F(DataShards, AnSpiLeadsSteeringToTheTunnelsOwner) {
  up(kOdd, 1);
  up(kEven, 2);
  EXPECT_EQ(odd_keys.spi_a % 2, 1U);
  EXPECT_EQ(even_keys.spi_a % 2, 0U);
  const auto before = ipsec::spi_bucket(odd_keys.spi_a);
  up(kOdd, 3);
  EXPECT_EQ(ipsec::spi_bucket(odd_keys.spi_a), before) << "a rekeyed SA stays where it is read";
  EXPECT_FALSE(hub0.install_outbound(a_out(odd_link, odd_keys, ChildSaId{4}, kOdd))) << "an SA has one owner";
}

TEST_F(DataShards, PacketsOfTheHostKeepTheirOrder) {
  up(kOdd, 1);
  PacketSpec spec{.source = ip("10.1.0.5"), .destination = ip("10.2.0.9")};
  for (std::uint8_t i = 0; i < 20; ++i) hub0.tun(numbered(spec, i));
  EXPECT_TRUE(hub0.sink.sent.empty());
  carry();
  for (std::uint8_t i = 20; i < 40; ++i) hub1.tun(numbered(spec, i));
  deliver(hub1, odd);
  const auto seen = numbers(odd);
  ASSERT_EQ(seen.size(), 40U);
  for (std::uint8_t i = 0; i < 40; ++i) EXPECT_EQ(seen[i], i);
  const auto all = counters();
  EXPECT_EQ(all.handed_over, 20U);
}

TEST_F(DataShards, ASuperPacketOfTheHostIsHandedOverWhole) {
  up(kOdd, 1);
  Super big = tcp_super(8000, 1000);
  hub0.path.handle_tun(hub0.now, {}, std::array{esp::OffloadPacket{big.packet, big.offload}}, hub0.sink);
  carry();
  EXPECT_EQ(hub1.sink.sent.size(), 8U);
  deliver(hub1, odd);
  EXPECT_EQ(odd.sink.delivered.size(), 8U);
  EXPECT_EQ(counters().handed_over, 8U);
}

TEST_F(DataShards, ARunOfTwoSpisIsOpenedByBothOwners) {
  up(kOdd, 1);
  up(kEven, 2);
  odd.tun(numbered({.source = ip("10.2.0.9"), .destination = ip("10.1.0.5")}, 1));
  hub0.wire(odd.take_sent());  // merged by the kernel behind one of worker 0's
  EXPECT_TRUE(hub0.sink.delivered.empty());
  carry();
  EXPECT_EQ(numbers(hub1), std::vector<std::uint8_t>{1});
  EXPECT_EQ(hub0.dropped(DropReason::NoSa) + hub1.dropped(DropReason::NoSa), 0U);
  // Nobody's, as it is the reader's own bucket: told once, not carried to and fro.
  SentEsp stray{.path = odd_link.path_of_b(), .esp = Bytes(100, 0x42)};
  hub0.wire(stray);
  carry();
  EXPECT_EQ(hub0.dropped(DropReason::NoSa), 1U);
}

TEST_F(DataShards, NativeEspIsEachWorkersOwnAffair) {
  odd_link.encapsulation = ipsec::Encapsulation::Native;
  up(kOdd, 1);
  odd.tun(numbered({.source = ip("10.2.0.9"), .destination = ip("10.1.0.5")}, 1));
  const SentEsp sent = odd.take_sent();
  hub0.wire(sent);  // the kernel gives it to every raw socket
  hub1.wire(sent);
  carry();
  EXPECT_EQ(numbers(hub1), std::vector<std::uint8_t>{1});
  EXPECT_EQ(hub1.dropped(DropReason::Replay), 0U);
}

TEST_F(DataShards, FromSiteToSiteThroughTwoOwners) {
  up(kOdd, 1);
  up(kEven, 2);
  const PacketSpec spec{.source = ip("10.2.0.9"), .destination = ip("10.3.0.9")};
  for (std::uint8_t i = 0; i < 10; ++i) {
    odd.tun(numbered(spec, i));
    hub1.wire(odd.take_sent());
  }
  carry();
  EXPECT_TRUE(hub1.sink.delivered.empty() && hub0.sink.delivered.empty());
  deliver(hub0, even);
  const auto seen = numbers(even);
  ASSERT_EQ(seen.size(), 10U);
  for (std::uint8_t i = 0; i < 10; ++i) EXPECT_EQ(seen[i], i);
}

TEST_F(DataShards, AnErrorAboutAHandedOverPacketReachesItsSender) {
  up(kOdd, 1);
  up(kEven, 2);
  // It has one hop left, which the hub uses up.
  odd.tun(numbered({.source = ip("10.2.0.9"), .destination = ip("10.3.0.9"), .ttl = 2}, 1));
  hub1.wire(odd.take_sent());
  carry();
  EXPECT_EQ(hub0.dropped(DropReason::TtlExpired), 1U);
  ASSERT_EQ(hub1.sink.sent.size(), 1U) << "the error goes back by the tunnel's owner";
  deliver(hub1, odd);
  const Bytes error = odd.take_delivered();
  const auto p = esp::parse_inner(error);
  ASSERT_TRUE(p.has_value());
  EXPECT_EQ(p->protocol, esp::kProtocolIcmp);
  EXPECT_EQ(p->destination, ip("10.2.0.9"));
}

TEST_F(DataShards, APacketWaitsAtTheOwnerForItsSa) {
  hub0.tun(numbered({.source = ip("10.1.0.5"), .destination = ip("10.2.0.9")}, 5));
  carry();
  EXPECT_EQ(hub0.count_events<ipsec::Acquire>(), 0U);
  EXPECT_EQ(hub1.count_events<ipsec::Acquire>(), 1U);
  up(kOdd, 1);
  hub1.timeout();
  deliver(hub1, odd);
  EXPECT_EQ(numbers(odd), std::vector<std::uint8_t>{5});
}

TEST_F(DataShards, ABatchWithoutRoomIsCountedForItsTunnel) {
  up(kOdd, 1);
  for (std::uint8_t i = 0; i < 3; ++i) hub0.tun(numbered({.source = ip("10.1.0.5"), .destination = ip("10.2.0.9")}, i));
  const auto leaving = hub0.path.poll_handover();
  ASSERT_TRUE(leaving);
  hub0.path.note_handover_lost(leaving->batch);
  const auto all = counters();
  EXPECT_EQ(count_of(all.drops, "handover_full"), 3U);
  for (const ipsec::TunnelCounters& t : all.tunnels)
    EXPECT_EQ(count_of(t.drops, "handover_full"), t.tunnel == kOdd ? 3U : 0U);
}

TEST_F(DataShards, AllWorkersSteerByWhatTheOwnersKnow) {
  up(kOdd, 1);
  up(kEven, 2);
  // The same prefix through both, the tunnel of worker 1 first.
  post(ipsec::SetRoutes{.vrf = {},
                        .add = {{.prefix = net("10.9.0.0/16"), .tunnel = kOdd, .priority = 10},
                                {.prefix = net("10.9.0.0/16"), .tunnel = kEven, .priority = 20}},
                        .remove = {}});
  const Bytes packet = numbered({.source = ip("10.1.0.5"), .destination = ip("10.9.0.9")}, 1);
  const auto leaves_by = [&] {
    for (Gateway* w : {&hub0, &hub1}) {
      w->sink.sent.clear();
    }
    hub0.tun(packet);
    carry();
    return hub1.sink.sent.size() == 1 ? kOdd : hub0.sink.sent.size() == 1 ? kEven : TunnelId{};
  };
  EXPECT_EQ(leaves_by(), kOdd);
  post(ipsec::RemoveOutbound{ChildSaId{1}});
  EXPECT_EQ(leaves_by(), kEven) << "worker 0 knows that worker 1's tunnel has no SA";
  up(kOdd, 3);
  EXPECT_EQ(leaves_by(), kOdd);
  post(ipsec::RemoveTunnel{kOdd});
  EXPECT_EQ(leaves_by(), kEven);
}

TEST_F(DataShards, ARouteForHybridKeysOnlyIsKnownToAll) {
  odd_link.keys = ipsec::KeySafety::Hybrid;
  post(ipsec::SetRoutes{
      .vrf = {}, .add = {{.prefix = net("10.9.0.0/16"), .tunnel = kOdd, .hybrid_only = true}}, .remove = {}});
  const Bytes packet = numbered({.source = ip("10.1.0.5"), .destination = ip("10.9.0.9")}, 1);
  hub0.tun(packet);
  EXPECT_EQ(hub0.dropped(DropReason::PqRequired), 1U);
  up(kOdd, 1);
  hub0.tun(packet);
  carry();
  EXPECT_EQ(hub1.sink.sent.size(), 1U);
}

TEST_F(DataShards, ThePolicyIsAskedOnce) {
  up(kOdd, 1);
  ipsec::PolicyRule rule;
  rule.name = "web";
  rule.action = ipsec::PolicyRule::Action::Allow;
  post(ipsec::SetPolicy{{rule}});
  const Bytes packet = numbered({.source = ip("10.1.0.5"), .destination = ip("10.2.0.9")}, 1);
  hub0.tun(packet);
  hub1.tun(packet);
  carry();
  const auto all = counters();
  ASSERT_EQ(all.policy.size(), 1U);
  EXPECT_EQ(all.policy[0].packets, 2U);
}

TEST_F(DataShards, CountersAreThoseOfTheOwners) {
  up(kOdd, 1);
  up(kEven, 2);
  hub0.tun(numbered({.source = ip("10.1.0.5"), .destination = ip("10.2.0.9")}, 1));
  hub0.tun(numbered({.source = ip("10.1.0.5"), .destination = ip("10.3.0.9")}, 1));
  carry();
  const auto all = counters();
  EXPECT_EQ(all.sas.size(), 2U);
  ASSERT_EQ(all.tunnels.size(), 2U);
  for (const ipsec::TunnelCounters& t : all.tunnels) {
    EXPECT_EQ(t.packets_out, 1U);
    EXPECT_EQ(t.health.code, "disabled");
    EXPECT_TRUE(t.is_owners);
  }
  // The next question begins anew.
  EXPECT_EQ(counters().tunnels.size(), 2U);
}

TEST_F(DataShards, OwnInterfaceAddressesAnswerAtEveryWorker) {
  up(kOdd, 1);
  for (Gateway* w : {&hub0, &hub1}) {
    w->tun(echo_request(ip("10.1.0.5"), ip("10.255.0.0")));
    EXPECT_EQ(w->sink.delivered.size(), 1U);
  }
}

// Bounds hold for a capture, not for each worker's part of it, and its end is told once.
TEST(CapturesOfSeveralWorkers, KeepTheirBoundsTogether) {
  wan::DataShards shards(2);
  unsigned asked = 0;
  const auto send = [&](std::uint32_t, const ipsec::Command&) { ++asked; };
  const auto chunk = [](std::size_t packets, std::optional<ipsec::CaptureEnd> end = {}) {
    ipsec::CaptureChunk out{.capture = CaptureId{1}, .tunnels = {}, .packets = {}, .octets = {}, .end = end};
    for (std::size_t i = 0; i < packets; ++i) {
      out.packets.push_back(
          {.at = {}, .tunnel = kOdd, .size = 10, .begin = static_cast<std::uint32_t>(out.octets.size()), .kept = 10});
      out.octets.resize(out.octets.size() + 10);
    }
    return ipsec::Event{out};
  };
  const auto merged = [&](ipsec::Event event) -> std::optional<ipsec::CaptureChunk> {
    auto whole = shards.merge(std::move(event));
    return whole ? std::optional{std::get<ipsec::CaptureChunk>(*whole)} : std::nullopt;
  };
  ipsec::StartCapture wish{.capture = CaptureId{1}, .time = 10s, .packets = 5, .bytes = 1000, .snap = 100};
  shards.post(wish, send);
  EXPECT_EQ(asked, 2U);
  EXPECT_EQ(merged(chunk(3)).value().packets.size(), 3U);
  const auto last = merged(chunk(4)).value();
  EXPECT_EQ(last.packets.size(), 2U);
  EXPECT_EQ(last.octets.size(), 20U);
  EXPECT_EQ(last.end, ipsec::CaptureEnd::Packets);
  EXPECT_FALSE(merged(chunk(1, ipsec::CaptureEnd::Stopped)));
  EXPECT_FALSE(merged(chunk(0, ipsec::CaptureEnd::Stopped)));

  wish.bytes = 25;
  shards.post(wish, send);
  EXPECT_EQ(merged(chunk(3)).value().end, ipsec::CaptureEnd::Bytes);
  EXPECT_FALSE(merged(chunk(0, ipsec::CaptureEnd::Stopped)));
  EXPECT_FALSE(merged(chunk(0, ipsec::CaptureEnd::Stopped)));

  // Time ends it when it has ended in both.
  shards.post(wish, send);
  EXPECT_FALSE(merged(chunk(1, ipsec::CaptureEnd::Time)).value().end);
  EXPECT_EQ(merged(chunk(1, ipsec::CaptureEnd::Time)).value().end, ipsec::CaptureEnd::Time);

  // Of one tunnel: its owner's alone.
  wish.tunnel = kOdd;
  asked = 0;
  shards.post(wish, send);
  EXPECT_EQ(asked, 1U);
  EXPECT_EQ(merged(chunk(1, ipsec::CaptureEnd::Stopped)).value().end, ipsec::CaptureEnd::Stopped);
}

}  // namespace
}  // namespace qanat::wan
