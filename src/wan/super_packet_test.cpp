// Super-packets of the host through the path: looked up once, cut into the sink's room, and everything that holds for
// single packets holds for their segments.
#include <gtest/gtest.h>

#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
using esp::Offload;

void hand_over(Gateway& gateway, Super super) {
  const esp::OffloadPacket packet{super.packet, super.offload};
  gateway.path.handle_tun(gateway.now, {}, std::span(&packet, 1), gateway.sink);
}

TEST(SuperPacket, ArrivesAsItsSegments) {
  for (const bool v6 : {false, true}) {
    TwoSites net;
    net.up();
    hand_over(net.a, tcp_super(5100, 1300, v6));
    ASSERT_EQ(net.a.sink.sent.size(), 4U);
    for (std::size_t i = 1; i < 3; ++i) EXPECT_EQ(net.a.sink.sent[i].esp.size(), net.a.sink.sent[0].esp.size());
    net.carry();
    const std::size_t header = v6 ? 60 : 40;
    Bytes content;
    for (std::size_t i = 0; i < 4; ++i) {
      const Bytes packet = net.b.take_delivered();
      ASSERT_GT(packet.size(), header);
      EXPECT_TRUE(checksums_right(packet));
      EXPECT_EQ(esp::parse_inner(packet)->ttl, 63);
      EXPECT_EQ(load_be32(&packet[header - 16]), 1 + 1300 * i);
      content.insert(content.end(), packet.begin() + static_cast<std::ptrdiff_t>(header), packet.end());
    }
    const Bytes whole = tcp_super(5100, 1300, v6).packet;
    EXPECT_TRUE(equal(content, ByteView{whole}.subspan(header)));
    EXPECT_EQ(net.a.path.drops().total() + net.b.path.drops().total(), 0U);
  }
}

TEST(SuperPacket, ASingleOneGetsItsChecksum) {
  TwoSites net;
  net.up();
  Super one = tcp_super(100, 0);
  one.offload.kind = Offload::Kind::None;
  const std::uint16_t pseudo =
      esp::checksum_finish(esp::pseudo_header_sum(one.packet, esp::kProtocolTcp, one.packet.size() - 20));
  store_be16(&one.packet[36], static_cast<std::uint16_t>(~pseudo));
  hand_over(net.a, one);
  net.carry();
  EXPECT_TRUE(checksums_right(net.b.take_delivered()));
  one.offload.checksum_start = 60'000;
  hand_over(net.a, one);
  EXPECT_EQ(net.a.dropped(DropReason::Malformed), 1U);
  EXPECT_TRUE(net.a.sink.sent.empty());
}

TEST(SuperPacket, SegmentsThatAreTooLongAreRefusedOnce) {
  TwoSites net;
  net.up();
  hand_over(net.a, tcp_super(6000, 1500));
  EXPECT_TRUE(net.a.sink.sent.empty());
  EXPECT_EQ(net.a.dropped(DropReason::Mtu), 4U);
  ASSERT_EQ(net.a.sink.delivered.size(), 1U);
  const Bytes icmp = net.a.take_delivered();
  EXPECT_EQ(icmp[9], esp::kProtocolIcmp);
  EXPECT_EQ(icmp[20], 3);
  EXPECT_EQ(icmp[21], 4);
  EXPECT_EQ(load_be16(&icmp[28 + 2]), 1540) << "it quotes a segment, not the super-packet";
}

TEST(SuperPacket, SegmentsThatMayBeCutAreCut) {
  TwoSites net;
  net.up();
  hand_over(net.a, tcp_super(3000, 1500, false, false));
  EXPECT_EQ(net.a.sink.sent.size(), 4U);
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 4U);
  EXPECT_EQ(net.a.path.drops().total() + net.b.path.drops().total(), 0U);
}

TEST(SuperPacket, ASynIsClamped) {
  TwoSites net;
  net.up();
  Super super = tcp_super(2000, 1000, false, true, 0x02);
  const Bytes syn = tcp_syn(a_to_b(), Bytes{2, 4, 0x05, 0xb4});  // MSS 1,460
  super.packet.insert(super.packet.begin() + 40, syn.begin() + 40, syn.end());
  super.packet[32] = 0x60;
  store_be16(&super.packet[2], static_cast<std::uint16_t>(super.packet.size()));
  super.offload.header_size = 44;
  hand_over(net.a, super);
  net.carry();
  const Bytes first = net.b.take_delivered();
  ASSERT_GT(first.size(), 44U);
  EXPECT_LT(load_be16(&first[42]), 1460);
  EXPECT_TRUE(checksums_right(first));
}

TEST(SuperPacket, ExpiresAsOne) {
  TwoSites net;
  net.up();
  Super super = tcp_super(3000, 1000);
  super.packet[8] = 1;
  hand_over(net.a, super);
  EXPECT_EQ(net.a.dropped(DropReason::TtlExpired), 3U);
  EXPECT_EQ(net.a.sink.delivered.size(), 1U);
}

TEST(SuperPacket, WaitsForAnSa) {
  TwoSites net;
  hand_over(net.a, tcp_super(5200, 1300));
  EXPECT_TRUE(net.a.event<ipsec::Acquire>());
  net.up();
  net.a.timeout();
  EXPECT_EQ(net.a.sink.sent.size(), 4U);
  net.carry();
  EXPECT_EQ(net.b.sink.delivered.size(), 4U);

  TwoSites never;
  hand_over(never.a, tcp_super(5200, 1300));
  never.a.now = never.a.now + 2s;
  never.a.timeout();
  EXPECT_EQ(never.a.dropped(DropReason::HoldTimeout), 4U);
}

TEST(SuperPacket, CountsEachSegmentThatIsDropped) {
  TwoSites net;
  Super super = tcp_super(5200, 1300);
  store_be32(&super.packet[16], 0x08080808);
  hand_over(net.a, super);
  EXPECT_EQ(net.a.dropped(DropReason::NoRoute), 4U);
  net.up();
  super = tcp_super(5200, 1300);
  super.packet[32] = 0xf0;  // headers that do not fit together
  super.offload.kind = Offload::Kind::Tcp6;
  hand_over(net.a, super);
  EXPECT_EQ(net.a.dropped(DropReason::Malformed), 4U);
}

// Keeps what is delivered where it lies, as the data worker does.
class LazySink final : public PacketSink {
 public:
  MutableByteView reserve(std::size_t size) override {
    room.resize(size);
    return room;
  }
  void commit(const ipsec::OuterPath&, std::uint8_t, DfBit, std::size_t) override {}
  void deliver(VrfId, MutableByteView packet, const esp::InnerPacket& p) override {
    EXPECT_EQ(packet.size(), p.size);
    pending.push_back(packet);
  }
  void settle() override {
    for (const ByteView packet : pending) settled.push_back(to_bytes(packet));
    pending.clear();
  }
  void write_tun(VrfId, ByteView) override {}
  Bytes room;
  std::vector<ByteView> pending;
  std::vector<Bytes> settled;
};

// What was held for its key is given back when it leaves: the sink hears of it before.
TEST(SuperPacket, WhatWasHeldIsSettledBeforeItDies) {
  TwoSites net;
  net.keyed = key_up(net.a, TwoSites::kTunnel, net.b, TwoSites::kTunnel, 1);
  ASSERT_TRUE(net.a.install_outbound(a_out(net.link, net.keyed, ChildSaId{1}, TwoSites::kTunnel)));
  net.a.post(ipsec::SwitchOutbound{TwoSites::kTunnel, ChildSaId{1}});
  net.a.tun(udp(a_to_b()));
  net.b.wire(net.a.take_sent());  // held: no key yet
  EXPECT_TRUE(net.b.sink.delivered.empty());
  ASSERT_TRUE(net.b.install_inbound(b_in(net.link, net.keyed, ChildSaId{1}, TwoSites::kTunnel)));
  LazySink sink;
  net.b.path.handle_timeout(net.b.now, sink);
  EXPECT_TRUE(sink.pending.empty());
  ASSERT_EQ(sink.settled.size(), 1U);
  EXPECT_EQ(sink.settled[0], one_hop_less(a_to_b()));
}

}  // namespace
}  // namespace qanat::wan
