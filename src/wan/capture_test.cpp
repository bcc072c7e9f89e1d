#include "wan/capture.hpp"

#include <gtest/gtest.h>

#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using ipsec::CaptureChunk;
using ipsec::CaptureEnd;
using Way = ipsec::CapturedPacket::Way;

ipsec::StartCapture wish(std::uint64_t id = 1) {
  return {.capture = CaptureId{id},
          .vrf = {},
          .tunnel = TwoSites::kTunnel,
          .filter = {},
          .time = 10s,
          .packets = 1000,
          .bytes = 1 << 20,
          .snap = 65535};
}

// Everything that a capture has told, as one chunk.
CaptureChunk told(Gateway& gateway, std::uint64_t id = 1) {
  CaptureChunk out;
  while (auto event = gateway.path.poll_event()) {
    auto* chunk = std::get_if<CaptureChunk>(&*event);
    if (chunk == nullptr || chunk->capture != CaptureId{id}) continue;
    EXPECT_FALSE(out.end) << "nothing comes after the end";
    for (ipsec::CapturedPacket packet : chunk->packets) {
      EXPECT_LE(packet.begin + packet.kept, chunk->octets.size());
      packet.begin += static_cast<std::uint32_t>(out.octets.size());
      out.packets.push_back(packet);
    }
    append(out.octets, chunk->octets);
    out.tunnels.insert(out.tunnels.end(), chunk->tunnels.begin(), chunk->tunnels.end());
    out.end = chunk->end;
  }
  return out;
}

Bytes packet_of(const CaptureChunk& chunk, std::size_t index) {
  const auto& p = chunk.packets.at(index);
  return to_bytes(ByteView{chunk.octets}.subspan(p.begin, p.kept));
}

TEST(Capture, SeesWhatGoesInAndWhatComesOut) {
  TwoSites net;
  net.up();
  net.a.post(wish());
  net.b.post(wish());
  net.a.tun(udp(a_to_b()));
  net.carry();
  net.b.tun(udp(b_to_a()));
  net.carry();
  net.a.post(ipsec::StopCapture{CaptureId{1}});
  net.b.post(ipsec::StopCapture{CaptureId{1}});
  const CaptureChunk a = told(net.a);
  const CaptureChunk b = told(net.b);
  ASSERT_EQ(a.packets.size(), 2U);
  ASSERT_EQ(b.packets.size(), 2U);
  EXPECT_EQ(a.packets[0].way, Way::Out);
  EXPECT_EQ(a.packets[1].way, Way::In);
  EXPECT_EQ(b.packets[0].way, Way::In);
  EXPECT_EQ(b.packets[1].way, Way::Out);
  // What one side puts in is what the other takes out, octet by octet.
  EXPECT_EQ(packet_of(a, 0), packet_of(b, 0));
  EXPECT_EQ(packet_of(a, 1), packet_of(b, 1));
  EXPECT_EQ(packet_of(b, 0), one_hop_less(a_to_b()));
  EXPECT_EQ(a.end, CaptureEnd::Stopped);
  ASSERT_EQ(a.tunnels.size(), 1U);
  EXPECT_EQ(a.tunnels[0].second, "t7");
  // And the packets themselves arrived as without it.
  EXPECT_EQ(net.b.take_delivered(), one_hop_less(a_to_b()));
}

TEST(Capture, SegmentsOfASuperPacketAndFragmentsAreSeenAsTheyLeave) {
  TwoSites net;
  net.up();
  net.a.post(wish());
  PacketSpec large = a_to_b();
  large.payload = 2000;
  large.dont_fragment = false;
  net.a.tun(udp(large));
  const std::size_t left = net.a.sink.sent.size();
  ASSERT_GT(left, 1U);
  net.a.post(ipsec::StopCapture{CaptureId{1}});
  EXPECT_EQ(told(net.a).packets.size(), left);
}

TEST(Capture, DropsOfThePolicyAreSeenAndDummiesAreNot) {
  TwoSites net;
  net.up();
  net.b.post(wish());
  ipsec::PolicyRule none;
  none.name = "none";
  none.action = ipsec::PolicyRule::Action::Drop;
  net.b.post(ipsec::SetPolicy{{none}});
  net.a.post(ipsec::SendDummy{ChildSaId{1}});
  net.a.tun(udp(a_to_b()));
  net.carry();
  EXPECT_TRUE(net.b.sink.delivered.empty());
  net.b.post(ipsec::StopCapture{CaptureId{1}});
  EXPECT_EQ(told(net.b).packets.size(), 1U);
}

TEST(Capture, EndsByTimePacketsAndOctets) {
  TwoSites net;
  net.up();
  auto few = wish(1);
  few.packets = 3;
  auto small = wish(2);
  const std::size_t size = udp(a_to_b()).size();
  small.bytes = 2 * size;
  auto brief = wish(3);
  brief.time = 1s;
  for (auto one : {few, small, brief}) net.a.post(one);
  for (int i = 0; i < 5; ++i) net.a.tun(udp(a_to_b()));
  std::map<std::uint64_t, std::size_t> packets;
  std::map<std::uint64_t, std::optional<CaptureEnd>> ends;
  const auto hear = [&] {
    while (auto event = net.a.path.poll_event()) {
      if (auto* chunk = std::get_if<CaptureChunk>(&*event)) {
        packets[chunk->capture.value()] += chunk->packets.size();
        ends[chunk->capture.value()] = chunk->end;
      }
    }
  };
  hear();
  EXPECT_EQ(packets[1], 3U);
  EXPECT_EQ(ends[1], CaptureEnd::Packets);
  EXPECT_EQ(packets[2], 2U);
  EXPECT_EQ(ends[2], CaptureEnd::Bytes);
  EXPECT_FALSE(ends[3]);
  // A chunk that does not become full is not kept for long.
  ASSERT_TRUE(net.a.path.next_timeout());
  EXPECT_LE(*net.a.path.next_timeout(), net.a.now + CaptureSet::kPatience);
  net.a.now = net.a.now + CaptureSet::kPatience;
  net.a.timeout();
  hear();
  EXPECT_EQ(packets[3], 5U);
  EXPECT_FALSE(ends[3]);
  net.a.now = net.a.now + 1s;
  net.a.tun(udp(a_to_b()));  // late, whatever the timer does
  net.a.timeout();
  hear();
  EXPECT_EQ(packets[3], 5U);
  EXPECT_EQ(ends[3], CaptureEnd::Time);
}

TEST(Capture, KeepsNoMoreOfAPacketThanWasAskedFor) {
  TwoSites net;
  net.up();
  auto headers = wish();
  headers.snap = 28;
  net.a.post(headers);
  net.a.tun(udp(a_to_b()));
  net.a.post(ipsec::StopCapture{CaptureId{1}});
  const CaptureChunk chunk = told(net.a);
  ASSERT_EQ(chunk.packets.size(), 1U);
  EXPECT_EQ(chunk.packets[0].kept, 28U);
  EXPECT_EQ(chunk.packets[0].size, udp(a_to_b()).size());
}

TEST(Capture, ManyPacketsComeInChunks) {
  TwoSites net;
  net.up();
  auto much = wish();
  much.packets = 100'000;
  net.a.post(much);
  PacketSpec spec = a_to_b();
  spec.payload = 1200;
  std::size_t packets = 0;
  std::size_t largest = 0;
  for (int i = 0; i < 500; ++i) net.a.tun(udp(spec));
  while (auto event = net.a.path.poll_event()) {
    if (auto* chunk = std::get_if<CaptureChunk>(&*event)) {
      packets += chunk->packets.size();
      largest = std::max(largest, chunk->octets.size());
    }
  }
  EXPECT_GT(packets, 400U);
  EXPECT_LE(largest, CaptureSet::kChunk + 2048);
}

TEST(Capture, IsOfItsOwnTunnelAndAccount) {
  TwoSites net;
  net.up();
  auto other_account = wish(1);
  other_account.vrf = VrfId{9};
  other_account.tunnel.reset();
  auto other_tunnel = wish(2);
  other_tunnel.tunnel = TunnelId{8};
  auto whole_account = wish(3);
  whole_account.tunnel.reset();
  for (auto one : {other_account, other_tunnel, whole_account}) net.a.post(one);
  net.a.tun(udp(a_to_b()));
  std::map<std::uint64_t, std::size_t> packets;
  for (std::uint64_t id : {1U, 2U, 3U}) net.a.post(ipsec::StopCapture{CaptureId{id}});
  while (auto event = net.a.path.poll_event()) {
    if (auto* chunk = std::get_if<CaptureChunk>(&*event)) packets[chunk->capture.value()] += chunk->packets.size();
  }
  EXPECT_EQ(packets, (std::map<std::uint64_t, std::size_t>{{1, 0}, {2, 0}, {3, 1}}));
}

TEST(Capture, EndsWithItsTunnelAndThereAreNoMoreThanTheBound) {
  TwoSites net;
  net.up();
  for (std::uint64_t id = 1; id <= CaptureSet::kMany + 1; ++id) net.a.post(wish(id));
  std::map<std::uint64_t, std::optional<CaptureEnd>> ends;
  const auto hear = [&] {
    while (auto event = net.a.path.poll_event()) {
      if (auto* chunk = std::get_if<CaptureChunk>(&*event)) ends[chunk->capture.value()] = chunk->end;
    }
  };
  hear();
  EXPECT_EQ(ends[CaptureSet::kMany + 1], CaptureEnd::TooMany);
  EXPECT_FALSE(ends[CaptureSet::kMany]);
  net.a.post(ipsec::RemoveTunnel{TwoSites::kTunnel});
  hear();
  for (std::uint64_t id = 1; id <= CaptureSet::kMany; ++id) EXPECT_EQ(ends[id], CaptureEnd::TunnelGone) << id;
  EXPECT_FALSE(net.a.path.next_timeout());
}

TEST(CaptureFilter, EachFieldCounts) {
  const Bytes octets = udp(a_to_b());
  const auto p = esp::parse_inner(octets);
  ASSERT_TRUE(p);
  const auto ports = known_ports(*p);
  ASSERT_TRUE(ports);
  using F = ipsec::CaptureFilter;
  const auto fits = [&](const F& filter) { return takes(filter, *p, ports); };
  EXPECT_TRUE(fits({}));
  EXPECT_TRUE(fits({.source = net("10.1.0.0/16"),
                    .destination = net("10.2.0.9/32"),
                    .source_port = ports->source,
                    .destination_port = ports->destination,
                    .protocol = 17}));
  EXPECT_FALSE(fits({.source = net("10.2.0.0/16")}));
  EXPECT_FALSE(fits({.destination = net("10.2.0.8/32")}));
  EXPECT_FALSE(fits({.source = net("2001:db8::/32")}));
  EXPECT_FALSE(fits({.source_port = static_cast<std::uint16_t>(ports->source + 1)}));
  EXPECT_FALSE(fits({.destination_port = static_cast<std::uint16_t>(ports->destination + 1)}));
  EXPECT_FALSE(fits({.protocol = 6}));
  // A fragment whose ports nobody knows fits no port.
  EXPECT_FALSE(takes({.source_port = ports->source}, *p, std::nullopt));
  EXPECT_TRUE(takes({.protocol = 17}, *p, std::nullopt));
  // The type and code of ICMP are no ports.
  Flow echo;
  echo.protocol = 1;
  echo.ports = Flow::PortState::Known;
  EXPECT_FALSE(known_ports(echo, Direction::In));
}

}  // namespace
}  // namespace qanat::wan
