#include "esp/inner_edit.hpp"

#include <gtest/gtest.h>

#include "esp/icmp.hpp"
#include "esp/packet_test_support.hpp"

namespace qanat::esp {
namespace {

using namespace esp::testing;

const PacketSpec k4{.source = ip("10.1.0.1"), .destination = ip("10.2.0.1")};
const PacketSpec k6{.source = ip("2001:db8:1::1"), .destination = ip("2001:db8:2::1")};

TEST(InnerEdit, TtlAndEcnKeepTheChecksum) {
  for (const PacketSpec& base : {k4, k6}) {
    for (unsigned v = 0; v < 256; ++v) {
      PacketSpec s = base;
      s.tos = static_cast<std::uint8_t>(v);
      s.ttl = static_cast<std::uint8_t>(v == 0 ? 1 : v);
      Bytes packet = udp(s);
      InnerPacket p = *parse_inner(packet);
      decrement_ttl(packet, p);
      for (const Ecn ecn : {Ecn::Ce, Ecn::NotEct, Ecn::Ect0, Ecn::Ect1}) set_ecn(packet, p, ecn);
      const auto after = parse_inner(packet);
      ASSERT_TRUE(after);
      EXPECT_EQ(after->ttl, s.ttl - 1);
      EXPECT_EQ(after->tos, (v & 0xfcU) | 1U);
      EXPECT_TRUE(checksums_right(packet));
    }
  }
}

TEST(InnerEdit, MssIsLoweredNeverRaised) {
  const auto mss_option = [](std::uint16_t mss) {
    return Bytes{2, 4, static_cast<std::uint8_t>(mss >> 8), static_cast<std::uint8_t>(mss)};
  };
  for (const PacketSpec& s : {k4, k6}) {
    const std::uint16_t headers = s.source.is_v6() ? 60 : 40;
    Bytes packet = tcp_syn(s, mss_option(1460));
    const InnerPacket p = *parse_inner(packet);
    ASSERT_TRUE(checksums_right(packet));
    EXPECT_TRUE(clamp_mss(packet, p, 1400));
    EXPECT_EQ(load_be16(&packet[packet.size() - 2]), 1400 - headers);
    EXPECT_TRUE(checksums_right(packet));
    EXPECT_FALSE(clamp_mss(packet, p, 1400));
    EXPECT_FALSE(clamp_mss(packet, p, 1500));
    EXPECT_FALSE(clamp_mss(packet, p, headers));  // no room: left alone
  }
}

TEST(InnerEdit, MssAtAnOddPlaceAndBehindOtherOptions) {
  Bytes options = {1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 2, 4, 0x05, 0xb4, 0};
  Bytes packet = tcp_syn(k4, options);
  ASSERT_TRUE(checksums_right(packet));
  EXPECT_TRUE(clamp_mss(packet, *parse_inner(packet), 1300));
  EXPECT_TRUE(checksums_right(packet));
  EXPECT_EQ(load_be16(&packet[40 + 13]), 1260);
}

TEST(InnerEdit, OptionsThatLieAreLeftAlone) {
  SeededRng rng(12);
  for (int i = 0; i < 50'000; ++i) {
    Bytes packet = tcp_syn(k4, rng.bytes(40 - 4 * rng.below(10)));
    if (rng.below(2) != 0) packet[32] = static_cast<std::uint8_t>(rng.u32());
    const bool right = checksums_right(packet);
    clamp_mss(packet, *parse_inner(packet), static_cast<std::uint16_t>(rng.below(1500)));
    EXPECT_EQ(checksums_right(packet), right);
  }
  Bytes data = udp(k4);
  EXPECT_FALSE(clamp_mss(data, *parse_inner(data), 500));
}

TEST(InnerEdit, FragmentsMakeTheWholeAgain) {
  for (const std::size_t payload : {1U, 500U, 1480U, 3000U, 8972U}) {
    for (const std::uint16_t mtu : {std::uint16_t{68}, std::uint16_t{576}, std::uint16_t{1401}}) {
      PacketSpec s = k4;
      s.payload = payload;
      const Bytes packet = udp(s);
      const InnerPacket p = *parse_inner(packet);
      Ipv4Fragmenter pieces(packet, p, mtu);
      Bytes whole(packet.begin(), packet.begin() + 20);
      Bytes out(mtu);
      while (!pieces.done()) {
        const std::size_t size = pieces.next(out);
        ASSERT_LE(size, mtu);
        const auto f = parse_inner(ByteView{out}.first(size));
        ASSERT_TRUE(f);
        EXPECT_EQ(f->size, size);
        EXPECT_EQ(f->fragment_offset, whole.size() - 20);
        EXPECT_EQ(f->more_fragments, !pieces.done());
        EXPECT_TRUE(checksums_right(ByteView{out}.first(size)));
        append(whole, ByteView{out}.subspan(20, size - 20));
      }
      EXPECT_EQ(whole, packet);
    }
  }
}

TEST(InnerEdit, FragmentOfAFragmentKeepsItsPlace) {
  PacketSpec s = k4;
  s.payload = 1600;
  Bytes packet = udp(s);
  store_be16(&packet[6], 0x2000 | 100);
  store_be16(&packet[10], 0);
  store_be16(&packet[10], checksum(ByteView{packet}.first(20)));
  Ipv4Fragmenter pieces(packet, *parse_inner(packet), 1000);
  Bytes out(1000);
  std::size_t expected = 800;
  while (!pieces.done()) {
    const auto f = parse_inner(ByteView{out}.first(pieces.next(out)));
    ASSERT_TRUE(f);
    EXPECT_EQ(f->fragment_offset, expected);
    EXPECT_TRUE(f->more_fragments);
    expected += f->size - 20U;
  }
}

TEST(InnerEdit, OptionsThatAreNotCopiedLeaveLaterFragments) {
  Bytes packet = udp({.source = k4.source, .destination = k4.destination, .payload = 400});
  const Bytes options = {7, 7, 4,    0, 0, 0,
                         0, 1, 0x94, 4, 0, 0};  // record route (not copied), no-operation, router alert (copied)
  packet.insert(packet.begin() + 20, options.begin(), options.end());
  packet[0] = 0x48;
  store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  Ipv4Fragmenter pieces(packet, *parse_inner(packet), 232);
  Bytes out(232);
  pieces.next(out);
  EXPECT_TRUE(equal(ByteView{out}.subspan(20, 12), options));
  pieces.next(out);
  EXPECT_TRUE(equal(ByteView{out}.subspan(20, 12), Bytes{1, 1, 1, 1, 1, 1, 1, 1, 0x94, 4, 0, 0}));
}

TEST(Icmp, TooBigSaysHowBig) {
  PacketSpec big = k4;
  big.payload = 2000;
  big.dont_fragment = true;
  const Bytes packet = udp(big);
  const InnerPacket p = *parse_inner(packet);
  ASSERT_TRUE(may_answer_with_error(packet, p));
  const Bytes error = make_icmp_error(IcmpError::TooBig, ip("10.255.0.0"), packet, p, 1438);
  EXPECT_TRUE(checksums_right(error));
  EXPECT_EQ(error.size(), 576U);
  const InnerPacket e = *parse_inner(error);
  EXPECT_EQ(e.source, ip("10.255.0.0"));
  EXPECT_EQ(e.destination, k4.source);
  EXPECT_EQ(error[20], 3);
  EXPECT_EQ(error[21], 4);
  EXPECT_EQ(load_be16(&error[24]), 0);
  EXPECT_EQ(load_be16(&error[26]), 1438);
  EXPECT_TRUE(equal(ByteView{error}.subspan(28), ByteView{packet}.first(548)));
  EXPECT_FALSE(may_answer_with_error(error, e));
}

TEST(Icmp, Ipv6TooBigAndTimeExceeded) {
  PacketSpec big = k6;
  big.payload = 2000;
  const Bytes packet = udp(big);
  const InnerPacket p = *parse_inner(packet);
  const Bytes error = make_icmp_error(IcmpError::TooBig, ip("fd00::1"), packet, p, 1418);
  EXPECT_TRUE(checksums_right(error));
  EXPECT_EQ(error.size(), 1280U);
  EXPECT_EQ(error[40], 2);
  EXPECT_EQ(load_be32(&error[44]), 1418U);
  EXPECT_FALSE(may_answer_with_error(error, *parse_inner(error)));
  const Bytes late = make_icmp_error(IcmpError::TtlExpired, ip("fd00::1"), packet, p, 0);
  EXPECT_TRUE(checksums_right(late));
  EXPECT_EQ(late[40], 3);
  const Bytes late4 = make_icmp_error(IcmpError::TtlExpired, ip("10.0.0.1"), udp(k4), *parse_inner(udp(k4)), 0);
  EXPECT_TRUE(checksums_right(late4));
  EXPECT_EQ(late4[20], 11);
}

TEST(Icmp, WhoGetsNoError) {
  const auto allowed = [](Bytes packet) { return may_answer_with_error(packet, *parse_inner(packet)); };
  EXPECT_TRUE(allowed(echo_request(k4.source, k4.destination)));
  EXPECT_TRUE(allowed(echo_request(k6.source, k6.destination)));
  EXPECT_FALSE(allowed(udp({.source = ip("0.0.0.0"), .destination = k4.destination})));
  EXPECT_FALSE(allowed(udp({.source = k4.source, .destination = ip("224.0.0.5")})));
  EXPECT_FALSE(allowed(udp({.source = k4.source, .destination = ip("255.255.255.255")})));
  EXPECT_FALSE(allowed(udp({.source = k6.source, .destination = ip("ff02::1")})));
  Bytes later = udp(k4);
  store_be16(&later[6], 3);
  EXPECT_FALSE(allowed(later));
}

TEST(Icmp, EchoReply) {
  for (const PacketSpec& s : {k4, k6}) {
    const Bytes request = echo_request(s.source, s.destination, 42);
    const InnerPacket p = *parse_inner(request);
    ASSERT_TRUE(is_echo_request(request, p));
    const Bytes reply = make_echo_reply(request, p);
    EXPECT_TRUE(checksums_right(reply));
    const InnerPacket r = *parse_inner(reply);
    EXPECT_EQ(r.source, s.destination);
    EXPECT_EQ(r.destination, s.source);
    EXPECT_EQ(reply[r.transport_offset], s.source.is_v6() ? 129 : 0);
    EXPECT_TRUE(
        equal(ByteView{reply}.subspan(r.transport_offset + 4U), ByteView{request}.subspan(p.transport_offset + 4U)));
    EXPECT_FALSE(is_echo_request(reply, r));
  }
}

}  // namespace
}  // namespace qanat::esp
