#include "esp/inner_packet.hpp"

#include <gtest/gtest.h>

#include "esp/packet_test_support.hpp"

namespace qanat::esp {
namespace {

using namespace esp::testing;

const PacketSpec k4{
    .source = ip("10.1.0.1"), .destination = ip("10.2.0.1"), .tos = 0xb9, .ttl = 9, .dont_fragment = true};
const PacketSpec k6{.source = ip("2001:db8:1::1"), .destination = ip("2001:db8:2::1"), .tos = 0xb9, .ttl = 9};

DropReason reason_of(ByteView data) {
  const auto p = parse_inner(data);
  EXPECT_FALSE(p);
  return p ? DropReason::kCount : p.error();
}

// An IPv6 packet with extension headers before `content`.
Bytes v6_with(std::vector<std::pair<std::uint8_t, Bytes>> headers, std::uint8_t last, ByteView content) {
  ByteWriter body;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    Bytes h = headers[i].second;
    h[0] = i + 1 < headers.size() ? headers[i + 1].first : last;
    body.bytes(h);
  }
  body.bytes(content);
  PacketSpec s = k6;
  s.protocol = headers.empty() ? last : headers[0].first;
  return transport_packet({.source = s.source, .destination = s.destination, .protocol = 253}, std::move(body).take());
}
Bytes with_first_header(Bytes packet, std::uint8_t first) {
  packet[6] = first;
  return packet;
}
Bytes fragment_header(std::uint16_t offset, bool more, std::uint32_t id) {
  ByteWriter h;
  h.u8(0);
  h.u8(0);
  h.u16(static_cast<std::uint16_t>(offset | (more ? 1U : 0U)));
  h.u32(id);
  return std::move(h).take();
}

TEST(InnerPacket, Ipv4) {
  Bytes packet = udp(k4);
  append(packet, Bytes(30, 0));  // TFC padding
  const auto p = parse_inner(packet);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->size, 20 + 8 + 64);
  EXPECT_EQ(p->transport_offset, 20);
  EXPECT_EQ(p->source, k4.source);
  EXPECT_EQ(p->destination, k4.destination);
  EXPECT_EQ(p->tos, 0xb9);
  EXPECT_EQ(p->ttl, 9);
  EXPECT_TRUE(p->dont_fragment);
  EXPECT_FALSE(p->fragment);
  EXPECT_TRUE(p->has_ports);
  EXPECT_EQ(p->ports, (Ports{4000, 5000}));
}

TEST(InnerPacket, Ipv6WithAndWithoutExtensionHeaders) {
  const auto plain = parse_inner(udp(k6));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->tos, 0xb9);
  EXPECT_EQ(plain->ttl, 9);
  EXPECT_EQ(plain->ports, (Ports{4000, 5000}));

  const Bytes transport(20, 7);
  const Bytes hop(8, 0);
  Bytes options(16, 0);
  options[1] = 1;
  const Bytes packet = with_first_header(v6_with({{0, hop}, {60, options}, {43, hop}}, kProtocolUdp, transport), 0);
  const auto p = parse_inner(packet);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->protocol, kProtocolUdp);
  EXPECT_EQ(p->transport_offset, 40 + 8 + 16 + 8);
  EXPECT_EQ(p->ports, (Ports{0x0707, 0x0707}));
}

TEST(InnerPacket, Ipv6ChainsAreBounded) {
  std::vector<std::pair<std::uint8_t, Bytes>> many(9, {60, Bytes(8, 0)});
  EXPECT_EQ(reason_of(with_first_header(v6_with(many, kProtocolUdp, Bytes(8)), 60)), DropReason::Malformed);
  many.pop_back();
  EXPECT_TRUE(parse_inner(with_first_header(v6_with(many, kProtocolUdp, Bytes(8)), 60)));
  Bytes lies(8, 0);
  lies[1] = 200;  // reaches past the end
  EXPECT_EQ(reason_of(with_first_header(v6_with({{60, lies}}, kProtocolUdp, Bytes(8)), 60)), DropReason::Malformed);
}

TEST(InnerPacket, Ipv6Fragments) {
  const auto first =
      parse_inner(with_first_header(v6_with({{44, fragment_header(0, true, 99)}}, kProtocolUdp, Bytes(16, 1)), 44));
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->fragment && first->more_fragments && !first->later_fragment() && first->has_ports);
  EXPECT_EQ(first->fragment_id, 99U);
  const auto later =
      parse_inner(with_first_header(v6_with({{44, fragment_header(16, false, 99)}}, 60, Bytes(3, 1)), 44));
  ASSERT_TRUE(later);
  EXPECT_TRUE(later->later_fragment());
  EXPECT_FALSE(later->has_ports);
  EXPECT_EQ(later->fragment_offset, 16);
  EXPECT_EQ(later->protocol, 60);
  const auto atomic =
      parse_inner(with_first_header(v6_with({{44, fragment_header(0, false, 99)}}, kProtocolUdp, Bytes(16, 1)), 44));
  ASSERT_TRUE(atomic);
  EXPECT_FALSE(atomic->fragment);
  EXPECT_EQ(reason_of(with_first_header(v6_with({{44, fragment_header(0, true, 1)}}, kProtocolTcp, Bytes(16, 1)), 44)),
            DropReason::FragmentTiny);
  EXPECT_EQ(reason_of(with_first_header(v6_with({{44, fragment_header(0, true, 1)}}, 60, Bytes{}), 44)),
            DropReason::FragmentTiny);
  EXPECT_EQ(reason_of(with_first_header(v6_with({{44, fragment_header(8, true, 1)}}, kProtocolUdp, Bytes(15, 1)), 44)),
            DropReason::Malformed);
}

TEST(InnerPacket, LengthsThatLie) {
  const Bytes good = udp(k4);
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(reason_of(ByteView{good}.first(size)), size == 0 ? DropReason::NotIp : DropReason::BadInnerLength)
        << size;
  }
  for (std::uint16_t length = 0; length < 20; ++length) {
    Bytes bad = good;
    store_be16(&bad[2], length);
    EXPECT_EQ(reason_of(bad), DropReason::BadInnerLength);
  }
  for (unsigned words = 0; words < 5; ++words) {
    Bytes bad = good;
    bad[0] = static_cast<std::uint8_t>(0x40U | words);
    EXPECT_EQ(reason_of(bad), DropReason::BadInnerLength);
  }
  const Bytes good6 = udp(k6);
  for (std::size_t size = 1; size < good6.size(); ++size)
    EXPECT_EQ(reason_of(ByteView{good6}.first(size)), DropReason::BadInnerLength);
  Bytes other = good;
  for (unsigned version = 0; version < 16; ++version) {
    if (version == 4 || version == 6) continue;
    other[0] = static_cast<std::uint8_t>(version << 4 | 5);
    EXPECT_EQ(reason_of(other), DropReason::NotIp);
  }
}

TEST(InnerPacket, Ipv4Fragments) {
  const auto with = [](std::uint16_t flags, std::size_t payload, std::uint8_t protocol) {
    Bytes packet = udp({.source = k4.source, .destination = k4.destination, .payload = payload});
    store_be16(&packet[6], flags);
    packet[9] = protocol;
    return packet;
  };
  const auto first = parse_inner(with(0x2000, 64, kProtocolUdp));
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->fragment && first->has_ports && !first->later_fragment());
  const auto later = parse_inner(with(0x0003, 5, kProtocolUdp));
  ASSERT_TRUE(later);
  EXPECT_EQ(later->fragment_offset, 24);
  EXPECT_FALSE(later->has_ports);
  EXPECT_EQ(reason_of(with(0x2000, 61, kProtocolUdp)), DropReason::Malformed);    // not a multiple of 8
  EXPECT_EQ(reason_of(with(0x2000, 0, kProtocolTcp)), DropReason::FragmentTiny);  // 8 octets of TCP
  EXPECT_EQ(reason_of(with(0x1fff, 64, kProtocolUdp)), DropReason::Malformed);    // ends past 65,535: ping of death
}

TEST(InnerPacket, IcmpTypeAndCodeStandForPorts) {
  const auto p = parse_inner(echo_request(k4.source, k4.destination));
  ASSERT_TRUE(p && p->has_ports);
  EXPECT_EQ(p->ports, (Ports{0x0800, 0x0800}));
  const auto p6 = parse_inner(echo_request(k6.source, k6.destination));
  ASSERT_TRUE(p6 && p6->has_ports);
  EXPECT_EQ(p6->ports, (Ports{0x8000, 0x8000}));
}

TEST(InnerPacket, RandomOctetsNeverReadPastTheEnd) {
  SeededRng rng(11);
  for (int i = 0; i < 200'000; ++i) {
    Bytes data = rng.bytes(rng.below(120));
    if (!data.empty()) data[0] = static_cast<std::uint8_t>((rng.below(2) != 0 ? 0x40U : 0x60U) | (data[0] & 15U));
    if (data.size() > 6 && rng.below(2) != 0)
      store_be16(&data[data[0] >> 4 == 4 ? 2 : 4], static_cast<std::uint16_t>(rng.below(data.size() + 2)));
    if (data.size() > 50 && rng.below(2) != 0) data[6] = 44;
    const auto p = parse_inner(Bytes(data));
    if (p) {
      EXPECT_LE(p->size, data.size());
      EXPECT_LE(p->transport_offset, p->size);
    }
  }
}

}  // namespace
}  // namespace qanat::esp
