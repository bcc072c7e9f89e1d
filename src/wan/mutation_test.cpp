// Random and damaged input from both sides: nothing ends the process, and every packet in is delivered, held or
// counted.
#include <gtest/gtest.h>

#include "esp/seal.hpp"
#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
constexpr TunnelId kT = TwoSites::kTunnel;

Bytes damaged(Bytes b, SeededRng& rng) {
  for (auto n = rng.below(4); n != 0 && !b.empty(); --n) {
    switch (rng.below(5)) {
      case 0:
        b[rng.below(b.size())] ^= static_cast<std::uint8_t>(1U << rng.below(8));
        break;
      case 1:
        b[rng.below(b.size())] = static_cast<std::uint8_t>(rng.u32());
        break;
      case 2:
        b.resize(rng.below(b.size() + 40));
        break;
      case 3:
        b.insert(b.begin() + static_cast<std::ptrdiff_t>(rng.below(b.size())), static_cast<std::uint8_t>(rng.u32()));
        break;
      default:
        b[rng.below(std::min<std::size_t>(b.size(), 48))] = static_cast<std::uint8_t>(rng.below(2) != 0 ? 0xff : 0);
        break;
    }
  }
  return b;
}

// How often packets of a datagram batch were accounted for: what left (the fake network has no other output), what
// was counted, and what is still held.
TEST(Mutation, EveryDatagramIsDeliveredOrCounted) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    SeededRng rng(seed);
    TwoSites net({.suite = kSuites[seed], .window = seed == 3 ? 0U : 64U});
    net.up();
    for (int i = 0; i < 30'000; ++i) {
      PacketSpec s = rng.below(4) == 0 ? a_to_b6() : a_to_b();
      s.payload = rng.below(100);
      s.tos = static_cast<std::uint8_t>(rng.u32());
      s.ttl = static_cast<std::uint8_t>(2 + rng.below(200));
      net.a.tun(udp(s));
      SentEsp sent = net.a.take_sent();
      if (rng.below(3) != 0) sent.esp = damaged(std::move(sent.esp), rng);
      if (rng.below(20) == 0) sent.esp = rng.bytes(rng.below(200));
      if (rng.below(5) == 0) sent.tos = static_cast<std::uint8_t>(rng.u32());
      const std::uint64_t before = net.b.path.drops().total() + net.b.sink.delivered.size();
      net.b.wire(sent);
      ASSERT_EQ(net.b.path.drops().total() + net.b.sink.delivered.size(), before + 1);
      net.b.sink.delivered.clear();
      net.b.sink.sent.clear();
    }
    EXPECT_GT(net.b.dropped(DropReason::AuthFailed), 1000U);
    while (net.b.path.poll_event()) {
    }
  }
}

TEST(Mutation, EveryInnerPacketUnderTheRightKeyIsDeliveredOrCounted) {
  for (std::uint64_t seed = 10; seed < 13; ++seed) {
    SeededRng rng(seed);
    TwoSites net({.suite = kSuites[seed % 3], .esn = true});
    if (seed == 12)
      net.link.b_ts = {
          {.first = ip("10.2.0.0"), .last = ip("10.2.255.255"), .protocol = 17, .port_first = 0, .port_last = 6000}};
    net.up();
    esp::KeyCache keys(1);
    auto sealer = *esp::OutboundSa::create(a_out(net.link, net.keyed, ChildSaId{1}, kT), keys);
    for (int i = 0; i < 30'000; ++i) {
      PacketSpec s = rng.below(2) == 0 ? a_to_b6() : a_to_b();
      s.payload = rng.below(60);
      Bytes inner = rng.below(4) == 0   ? tcp_syn(s, rng.bytes(4 * rng.below(10)))
                    : rng.below(6) == 0 ? echo_request(s.source, ip("10.255.0.1"))
                                        : udp(s);
      if (s.source.is_v6() && inner[0] >> 4 == 6 && rng.below(3) == 0)
        inner[6] = std::array<std::uint8_t, 6>{0, 43, 44, 51, 60, 135}[rng.below(6)];
      if (rng.below(4) == 0 && inner[0] >> 4 == 4)
        store_be16(&inner[6], static_cast<std::uint16_t>(rng.below(8) | (rng.below(2) << 13)));
      if (rng.below(4) != 0) inner = damaged(std::move(inner), rng);
      Bytes dst(sealer.layout().sealed_size(inner.size()));
      const auto next = std::array<std::uint8_t, 4>{
          4, 41, 59, static_cast<std::uint8_t>(rng.u32())}[rng.below(12) == 0 ? 2 + rng.below(2) : rng.below(2)];
      ASSERT_TRUE(sealer.seal(inner, next, dst, rng));
      const std::uint64_t before = net.b.path.drops().total() + net.b.sink.delivered.size();
      const std::uint64_t answers = net.b.dropped(DropReason::Answered);
      net.b.wire(net.link.path_of_b(), 0, dst);
      const std::uint64_t after = net.b.path.drops().total() + net.b.sink.delivered.size();
      // An echo reply of ours may meet a selector of its own.
      ASSERT_GE(after, before + 1);
      ASSERT_LE(after, before + 1 + (net.b.dropped(DropReason::Answered) - answers));
      net.b.sink.delivered.clear();
      net.b.sink.sent.clear();
      net.b.now = net.b.now + 5ms;
    }
    EXPECT_EQ(net.b.dropped(DropReason::AuthFailed), 0U);
  }
}

TEST(Mutation, EveryPacketOfTheHostIsSentOrCounted) {
  SeededRng rng(20);
  TwoSites net;
  net.up();
  for (int i = 0; i < 50'000; ++i) {
    PacketSpec s = rng.below(2) == 0 ? a_to_b6() : a_to_b();
    s.payload = rng.below(rng.below(10) == 0 ? 3000 : 60);
    const Bytes packet = damaged(rng.below(2) == 0 ? udp(s) : tcp_syn(s, rng.bytes(4 * rng.below(10))), rng);
    const std::uint64_t before = net.a.path.drops().total();
    net.a.tun(packet);
    const std::uint64_t counted = net.a.path.drops().total() - before;
    // One reason, or one packet (or its fragments).
    ASSERT_EQ(counted + (net.a.sink.sent.empty() ? 0U : 1U), 1U) << i;
    net.a.sink.sent.clear();
    net.a.sink.delivered.clear();
    net.a.now = net.a.now + 1ms;
  }
}

// Commands in any order, with packets between them.
TEST(Mutation, CommandsInAnyOrder) {
  SeededRng rng(21);
  TwoSites net({.limits = {.soft_packets = 20, .hard_packets = 30}});
  std::vector<ipsec::EspSpi> spis = {0, 5};
  for (int i = 0; i < 20'000; ++i) {
    const TunnelId t{static_cast<std::uint32_t>(6 + rng.below(3))};
    const ChildSaId child{rng.below(6)};
    Gateway& g = net.a;
    const Keyed k{.spi_a = spis[rng.below(spis.size())], .spi_b = 0x1000, .seed_ab = 1, .seed_ba = 1};
    switch (rng.below(14)) {
      case 0:
        spis.push_back(g.reserve(t));
        if (spis.size() > 12) spis.erase(spis.begin() + 1);
        break;
      case 1:
        g.post(ipsec::ReleaseSpi{k.spi_a});
        break;
      case 2:
        g.install_inbound(a_in(net.link, k, child, t));
        break;
      case 3:
        g.install_outbound(a_out(net.link, k, child, t));
        break;
      case 4:
        g.post(ipsec::SwitchOutbound{t, child});
        break;
      case 5:
        g.post(ipsec::SendDummy{child});
        break;
      case 6:
        g.post(ipsec::RemoveInbound{child});
        break;
      case 7:
        g.post(ipsec::RemoveOutbound{child});
        break;
      case 8:
        g.post(ipsec::UpdatePeer{t, net.link.path_of_a()});
        break;
      case 9:
        if (rng.below(4) == 0) g.post(ipsec::RemoveTunnel{t});
        break;
      case 10: {
        auto p = net.plan_a;
        p.tunnel = t;
        p.vrf = VrfId{static_cast<std::uint32_t>(rng.below(2))};
        p.outer_mtu = static_cast<std::uint16_t>(rng.below(3000));
        g.set(p);
        break;
      }
      case 11:
        g.post(ipsec::ReadCounters{RequestId{1}});
        break;
      case 12: {
        Bytes d = rng.bytes(100);
        store_be32(d.data(), k.spi_a);
        g.wire(net.link.path_of_a(), 0, d);
        break;
      }
      default:
        g.tun(ByteView{udp(a_to_b())}, VrfId{static_cast<std::uint32_t>(rng.below(2))});
        break;
    }
    if (rng.below(3) == 0) g.timeout();
    g.now = g.now + std::chrono::milliseconds(rng.below(400));
    if (const auto next = g.path.next_timeout()) {
      ASSERT_LE(*next, g.now + 1s);
    }
    while (g.path.poll_event()) {
    }
    g.sink.sent.clear();
    g.sink.delivered.clear();
  }
}

}  // namespace
}  // namespace qanat::wan
