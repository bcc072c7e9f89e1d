// Super-packets: cut as the kernel would, merged as its GRO would, and the one is the inverse of the other.
#include <functional>

#include <gtest/gtest.h>

#include "esp/fast_sum.hpp"
#include "esp/merger.hpp"
#include "esp/packet_test_support.hpp"
#include "esp/segmenter.hpp"

namespace qanat::esp {
namespace {

using namespace esp::testing;

constexpr std::uint8_t kFin = 1;
constexpr std::uint8_t kPsh = 8;
constexpr std::uint8_t kAck = 16;
constexpr std::uint8_t kUrg = 32;
constexpr std::uint8_t kEce = 64;
constexpr std::uint8_t kCwr = 128;

struct Spec {
  bool v6 = false;
  bool tcp = true;
  std::size_t payload = 5000;
  std::size_t segment = 1000;
  std::size_t options = 12;  // of TCP, octets
  std::uint8_t flags = kAck;
  std::uint8_t tos = 0;
  std::uint8_t ttl = 64;
  bool dont_fragment = true;
  std::uint16_t id = 0xfffe;
  std::uint32_t sequence = 0xfffffff0;
  std::uint16_t source_port = 4000;
};

struct Super {
  Bytes packet;
  Offload offload;
};

// As the kernel hands it over: its checksum field holds the sum of the pseudo-header.
Super make(const Spec& s, Rng& rng) {
  const IpAddress from = ip(s.v6 ? "2001:db8:1::5" : "10.1.0.5");
  const IpAddress to = ip(s.v6 ? "2001:db8:2::9" : "10.2.0.9");
  ByteWriter t;
  t.u16(s.source_port);
  t.u16(5001);
  if (s.tcp) {
    t.u32(s.sequence);
    t.u32(77);
    t.u8(static_cast<std::uint8_t>((5 + s.options / 4) << 4));
    t.u8(s.flags);
    t.u16(501);
    t.u32(0);
    t.bytes(rng.bytes(s.options));
  } else {
    t.u16(static_cast<std::uint16_t>(8 + s.payload));
    t.u16(0);
  }
  const std::size_t transport_header = t.size();
  t.bytes(rng.bytes(s.payload));
  PacketSpec spec{.source = from, .destination = to, .protocol = s.tcp ? kProtocolTcp : kProtocolUdp};
  spec.tos = s.tos;
  spec.ttl = s.ttl;
  spec.dont_fragment = s.dont_fragment;
  Super out;
  out.packet = transport_packet(spec, std::move(t).take());
  const std::size_t start = s.v6 ? 40 : 20;
  if (!s.v6) {
    store_be16(&out.packet[4], s.id);
    store_be16(&out.packet[10], 0);
    store_be16(&out.packet[10], checksum(ByteView{out.packet}.first(20)));
  }
  Offload& o = out.offload;
  o.kind = !s.tcp ? Offload::Kind::Udp : s.v6 ? Offload::Kind::Tcp6 : Offload::Kind::Tcp4;
  o.needs_checksum = true;
  o.congestion_reduced = s.tcp && (s.flags & kCwr) != 0;
  o.checksum_start = static_cast<std::uint16_t>(start);
  o.checksum_offset = s.tcp ? 16 : 6;
  o.header_size = static_cast<std::uint16_t>(start + transport_header);
  o.segment_size = static_cast<std::uint16_t>(s.segment);
  const std::uint16_t pseudo = checksum_finish(pseudo_header_sum(out.packet, spec.protocol, out.packet.size() - start));
  store_be16(&out.packet[start + o.checksum_offset], static_cast<std::uint16_t>(~pseudo));
  return out;
}

std::vector<Bytes> cut(const Super& super) {
  const auto p = parse_inner(super.packet);
  EXPECT_TRUE(p);
  auto segments = Segmenter::create(super.packet, *p, super.offload);
  EXPECT_TRUE(segments);
  std::vector<Bytes> out;
  const std::size_t count = segments->count();
  while (!segments->done()) {
    Bytes segment(segments->next_size());  // exactly as large, so that ASan sees a step past its end
    EXPECT_EQ(segments->next(segment), segment.size());
    EXPECT_LE(segment.size(), segments->largest());
    out.push_back(std::move(segment));
  }
  EXPECT_EQ(out.size(), count);
  return out;
}

std::vector<Super> merge(std::vector<Bytes>& packets, bool udp = true) {
  Merger merger(udp);
  for (Bytes& packet : packets) {
    const auto p = parse_inner(packet);
    EXPECT_TRUE(p);
    merger.add(MutableByteView{packet}.first(p->size), *p);
  }
  std::vector<Super> out;
  merger.drain([&](const Offload& offload, std::span<const ByteView> pieces) {
    Super super{{}, offload};
    for (const ByteView piece : pieces) super.packet.insert(super.packet.end(), piece.begin(), piece.end());
    out.push_back(std::move(super));
  });
  EXPECT_TRUE(merger.empty());
  return out;
}

TEST(FastSum, IsTheChecksumOfEveryLengthAndOffset) {
  SeededRng rng(1);
  Bytes data = rng.bytes(70'000);
  for (int i = 0; i < 1500; ++i) {
    const std::size_t size = i < 600 ? static_cast<std::size_t>(i) : rng.u32() % 66'000;
    const std::size_t at = rng.u32() % 65;
    const ByteView view = ByteView{data}.subspan(at, size);
    const std::uint16_t plain = checksum(view);
    EXPECT_EQ(checksum_finish(fast_sum(view)), plain) << size << " octets at " << at;
    EXPECT_EQ(checksum_finish(detail::portable_sum(view)), plain);
    Bytes copy(size + 1, 0xcc);
    EXPECT_EQ(checksum_finish(copy_and_sum(MutableByteView{copy}.first(size), view)), plain);
    EXPECT_TRUE(equal(ByteView{copy}.first(size), view));
    EXPECT_EQ(copy.back(), 0xcc);
    Bytes other(size, 0);
    EXPECT_EQ(checksum_finish(detail::portable_copy_and_sum(other, view)), plain);
    EXPECT_TRUE(equal(other, view));
  }
  const Bytes ones(65'535, 0xff);
  EXPECT_EQ(checksum_finish(fast_sum(ones)), checksum(ones));
  EXPECT_EQ(fast_sum(Bytes(1000, 0)), 0U);
}

TEST(Segmenter, CutsAsTheKernelDoes) {
  SeededRng rng(2);
  for (const bool v6 : {false, true}) {
    const Super super =
        make({.v6 = v6, .payload = 2500, .segment = 1000, .flags = kAck | kPsh | kFin | kCwr | kEce}, rng);
    const auto segments = cut(super);
    ASSERT_EQ(segments.size(), 3U);
    const std::size_t t = v6 ? 40 : 20;
    for (std::size_t i = 0; i < 3; ++i) {
      const Bytes& s = segments[i];
      EXPECT_TRUE(checksums_right(s));
      const auto p = parse_inner(s);
      ASSERT_TRUE(p);
      EXPECT_EQ(p->size, s.size());
      EXPECT_EQ(s.size(), t + 32 + (i == 2 ? 500 : 1000));
      if (!v6) {
        EXPECT_EQ(p->fragment_id, (0xfffeU + i) & 0xffff);
      }
      EXPECT_EQ(load_be32(&s[t + 4]), 0xfffffff0U + static_cast<std::uint32_t>(i) * 1000);
      const unsigned flags = kAck | kEce | (i == 0 ? kCwr : 0U) | (i == 2 ? kPsh | kFin : 0U);
      EXPECT_EQ(s[t + 13], flags);
      EXPECT_TRUE(
          equal(ByteView{s}.subspan(t + 32), ByteView{super.packet}.subspan(t + 32 + i * 1000, s.size() - t - 32)));
    }
  }
  const auto datagrams = cut(make({.tcp = false, .payload = 2001, .segment = 1000}, rng));
  ASSERT_EQ(datagrams.size(), 3U);
  EXPECT_TRUE(checksums_right(datagrams[2]));
  EXPECT_EQ(load_be16(&datagrams[2][24]), 9U);
  EXPECT_EQ(datagrams[2].size(), 29U);
}

TEST(Segmenter, GivesTheTtlThatItIsTold) {
  SeededRng rng(3);
  for (const bool v6 : {false, true}) {
    const Super super = make({.v6 = v6}, rng);
    auto p = parse_inner(super.packet);
    p->ttl = 9;
    auto segments = Segmenter::create(super.packet, *p, super.offload);
    Bytes out(2000);
    out.resize(segments->next(out));
    EXPECT_EQ(parse_inner(out)->ttl, 9);
    EXPECT_TRUE(checksums_right(out));
  }
}

TEST(Segmenter, RefusesHeadersThatAreNotThere) {
  SeededRng rng(4);
  const auto refused = [](const Super& super) {
    const auto p = parse_inner(super.packet);
    return p && !Segmenter::create(super.packet, *p, super.offload);
  };
  Super s = make({}, rng);
  s.offload.segment_size = 0;
  EXPECT_TRUE(refused(s));
  s = make({}, rng);
  s.offload.kind = Offload::Kind::Tcp6;
  EXPECT_TRUE(refused(s));
  s.offload.kind = Offload::Kind::Udp;
  EXPECT_TRUE(refused(s));
  s = make({}, rng);
  s.packet[32] = 0x40;  // a TCP header of 16 octets
  EXPECT_TRUE(refused(s));
  s = make({.payload = 10}, rng);
  s.packet[32] = 0xf0;  // and one that reaches past the end
  EXPECT_TRUE(refused(s));
  s = make({}, rng);
  store_be16(&s.packet[6], 0x2000);  // a fragment
  store_be16(&s.packet[2], 20 + 800);
  EXPECT_TRUE(refused(s));
}

TEST(Offload, CompletesAChecksum) {
  SeededRng rng(5);
  for (const bool tcp : {true, false}) {
    Super s = make({.tcp = tcp, .payload = 333}, rng);
    s.offload.kind = Offload::Kind::None;
    EXPECT_FALSE(checksums_right(s.packet));
    EXPECT_TRUE(complete_checksum(s.packet, s.offload));
    EXPECT_TRUE(checksums_right(s.packet));
    s.offload.checksum_start = static_cast<std::uint16_t>(s.packet.size() - 1);
    EXPECT_FALSE(complete_checksum(s.packet, s.offload));
  }
}

// The property: whatever the host hands over arrives as it was.
TEST(Merger, IsTheInverseOfTheSegmenter) {
  SeededRng rng(6);
  for (int i = 0; i < 1500; ++i) {
    Spec s;
    s.v6 = (rng.u32() & 1U) != 0;
    s.tcp = (rng.u32() & 3U) != 0;
    s.options = s.tcp ? rng.u32() % 11 * 4 : 0;
    s.segment = 130 + rng.u32() % 9000;
    const std::size_t most = std::min<std::size_t>(s.segment * (s.tcp ? 500 : 64), 65'400);
    s.payload = s.segment + 1 + rng.u32() % (most - s.segment - 1);
    s.payload = std::min<std::size_t>(s.payload, 65'400);
    if (s.payload <= s.segment) continue;
    s.flags = static_cast<std::uint8_t>(kAck | (rng.u32() & (kPsh | kFin | kEce | kCwr)));
    s.tos = static_cast<std::uint8_t>(rng.u32());
    s.ttl = static_cast<std::uint8_t>(rng.u32());
    s.dont_fragment = (rng.u32() & 1U) != 0;
    s.id = static_cast<std::uint16_t>(rng.u32());
    s.sequence = rng.u32();
    Super super = make(s, rng);
    auto p = parse_inner(super.packet);
    ASSERT_TRUE(p);
    auto segments = cut(super);
    ASSERT_GT(segments.size(), 1U);
    for (const Bytes& segment : segments) ASSERT_TRUE(checksums_right(segment));
    auto merged = merge(segments);
    ASSERT_EQ(merged.size(), 1U) << "v6 " << s.v6 << " tcp " << s.tcp << " payload " << s.payload << "/" << s.segment;
    EXPECT_TRUE(merged[0].offload == super.offload);
    EXPECT_TRUE(equal(merged[0].packet, super.packet));
  }
}

TEST(Merger, GoesOnOverSeveralSuperPacketsOfAFlow) {
  SeededRng rng(7);
  std::vector<Bytes> all;
  for (std::uint32_t i = 0; i < 3; ++i) {
    auto some = cut(make({.payload = 4000,
                          .segment = 1000,
                          .options = 0,
                          .id = static_cast<std::uint16_t>(100 + 4 * i),
                          .sequence = 1 + 4000 * i},
                         rng));
    all.insert(all.end(), some.begin(), some.end());
  }
  const auto merged = merge(all);
  ASSERT_EQ(merged.size(), 1U);
  EXPECT_EQ(merged[0].packet.size(), 12'040U);
}

// Nothing that differs from the first is merged, and everything arrives, in order, as it was.
TEST(Merger, KeepsApartWhatIsNotEqual) {
  struct Case {
    const char* name;
    bool v6;
    bool tcp;
    std::function<void(Bytes&)> change;  // of the second of three segments
    bool fix_checksums = true;
  };
  const auto set = [](std::size_t at, std::uint8_t mask) {
    return [=](Bytes& b) { b[at] = static_cast<std::uint8_t>(b[at] ^ mask); };
  };
  const std::vector<Case> cases{
      {"ECN", false, true, set(1, 3)},
      {"DSCP", false, true, set(1, 0x80)},
      {"ECN of IPv6", true, true, set(1, 0x10)},
      {"flow label", true, true, set(3, 1)},
      {"DF", false, true, set(6, 0x40)},
      {"reserved flag", false, true, set(6, 0x80)},
      {"TTL", false, true, set(8, 1)},
      {"hop limit", true, true, set(7, 1)},
      {"id", false, true, set(5, 0x40)},
      {"source", false, true, set(15, 1)},
      {"source6", true, true, set(23, 1)},
      {"destination", false, true, set(19, 1)},
      {"port", false, true, set(21, 1)},
      {"UDP port", false, false, set(21, 1)},
      {"sequence", false, true, set(27, 1)},
      {"acknowledgement", false, true, set(31, 1)},
      {"reserved bits of TCP", false, true, set(32, 1)},
      {"ECE", false, true, set(33, kEce)},
      {"CWR", false, true, set(33, kCwr)},
      {"URG", false, true, set(33, kUrg)},
      {"RST", false, true, set(33, 4)},
      {"SYN", false, true, set(33, 2)},
      {"no ACK", false, true, set(33, kAck)},
      {"window", false, true, set(35, 1)},
      {"urgent pointer", false, true, set(39, 1)},
      {"options", false, true, set(41, 1)},
      {"TCP checksum", false, true, set(37, 1), false},
      {"UDP checksum", false, false, set(27, 1), false},
      {"payload", false, true, set(100, 1), false},
      {"IPv4 checksum", false, true, set(11, 1), false},
      {"no UDP checksum", false, false,
       [](Bytes& b) {
         b[26] = 0;
         b[27] = 0;
       },
       false},
      {"UDP length", false, false, [](Bytes& b) { b[25] = static_cast<std::uint8_t>(b[25] - 1); }, false},
  };
  SeededRng rng(8);
  for (const Case& c : cases) {
    Spec s{.v6 = c.v6, .tcp = c.tcp, .payload = 3000, .segment = 1000};
    s.dont_fragment = false;
    auto packets = cut(make(s, rng));
    Bytes& changed = packets[1];
    c.change(changed);
    if (c.fix_checksums) {
      const auto p = parse_inner(changed);
      ASSERT_TRUE(p) << c.name;
      const std::size_t at = p->transport_offset + (c.tcp ? 16U : 6U);
      store_be16(&changed[at], 0);
      store_be16(&changed[at], transport_checksum(p->source, p->destination, p->protocol,
                                                  ByteView{changed}.subspan(p->transport_offset)));
      if (!c.v6) {
        store_be16(&changed[10], 0);
        store_be16(&changed[10], checksum(ByteView{changed}.first(20)));
      }
    }
    const std::vector<Bytes> before = packets;
    const auto merged = merge(packets);
    ASSERT_GE(merged.size(), 2U) << c.name;
    // The first and the changed one stand alone, unless the third goes on behind the changed one or the first.
    bool alone = std::string_view(c.name) == "CWR";  // which may begin a super-packet
    for (const Super& m : merged) alone = alone || (m.offload == Offload{} && m.packet == before[1]);
    EXPECT_TRUE(alone) << c.name;
    EXPECT_TRUE(equal(ByteView{merged[0].packet}.last(1000), ByteView{before[0]}.last(1000))) << c.name;
  }
}

TEST(Merger, EndsAtPushAtAShorterOneAndAtAGap) {
  SeededRng rng(9);
  auto packets = cut(make({.payload = 4000, .segment = 1000, .options = 0}, rng));
  packets[1][33] |= kPsh;
  store_be16(&packets[1][36], checksum_update(load_be16(&packets[1][36]), kAck, kAck | kPsh));
  ASSERT_TRUE(checksums_right(packets[1]));
  auto copy = packets;
  auto merged = merge(copy);
  ASSERT_EQ(merged.size(), 2U);
  EXPECT_EQ(merged[0].packet.size(), 2040U);
  EXPECT_EQ(merged[0].packet[33], kAck | kPsh);
  EXPECT_EQ(merged[1].packet.size(), 2040U);

  packets.erase(packets.begin() + 2);  // now a gap behind the push
  packets.insert(packets.begin(), packets[2]);
  merged = merge(packets);
  ASSERT_EQ(merged.size(), 3U);  // the last, which came first; the two; the last again

  auto datagrams = cut(make({.tcp = false, .payload = 2500, .segment = 1000}, rng));
  auto more = cut(make({.tcp = false, .payload = 2000, .segment = 500, .id = 0xfffe + 3 - 0x10000}, rng));
  datagrams.insert(datagrams.end(), more.begin(), more.end());
  merged = merge(datagrams);
  ASSERT_EQ(merged.size(), 2U);
  EXPECT_EQ(merged[0].offload.segment_size, 1000);
  EXPECT_EQ(merged[1].offload.segment_size, 500);
}

TEST(Merger, LeavesUdpAloneWhereTheHostDoesNotTakeIt) {
  SeededRng rng(10);
  auto datagrams = cut(make({.tcp = false}, rng));
  const auto before = datagrams;
  const auto merged = merge(datagrams, false);
  ASSERT_EQ(merged.size(), before.size());
  for (std::size_t i = 0; i < merged.size(); ++i) {
    EXPECT_EQ(merged[i].packet, before[i]);
    EXPECT_EQ(merged[i].offload, Offload{});
  }
}

TEST(Merger, NothingOvertakesAPacketOfItsFlow) {
  SeededRng rng(11);
  auto a = cut(make({.payload = 4000, .segment = 1000}, rng));
  auto b = cut(make({.payload = 4000, .segment = 1000, .source_port = 4001}, rng));
  // a and b interleaved; in the middle of a something of the same flow that cannot be merged.
  Bytes odd = a[2];
  odd[33] = kAck | kUrg;
  std::vector<Bytes> packets{a[0], b[0], a[1], b[1], odd, b[2], a[2], b[3], a[3]};
  auto merged = merge(packets);
  ASSERT_EQ(merged.size(), 4U);
  EXPECT_EQ(merged[0].packet.size(), 2052U);  // a0 a1
  EXPECT_EQ(merged[1].packet.size(), 4052U);  // all of b
  EXPECT_EQ(merged[2].packet, odd);
  EXPECT_EQ(merged[3].packet.size(), 2052U);  // a2 a3

  // A fragment has no ports: it may belong to any flow.
  Bytes fragment = a[0];
  store_be16(&fragment[6], 0x0010);
  packets = {b[0], fragment, b[1], b[2]};
  merged = merge(packets);
  ASSERT_EQ(merged.size(), 3U);
  EXPECT_EQ(merged[0].packet, b[0]);
  EXPECT_EQ(merged[1].packet, fragment);
  EXPECT_EQ(merged[2].packet.size(), 2052U);
}

// Whatever an authenticated peer sends: nothing is read beyond it (ASan), nothing is lost, and what was not merged
// arrives unchanged.
TEST(Merger, SurvivesHostilePackets) {
  SeededRng rng(12);
  for (int round = 0; round < 3000; ++round) {
    Spec s;
    s.v6 = (rng.u32() & 1U) != 0;
    s.tcp = (rng.u32() & 1U) != 0;
    s.payload = 300;
    s.segment = 100;
    s.options = s.tcp ? 12 : 0;
    auto packets = cut(make(s, rng));
    const std::uint32_t changes = 1 + rng.u32() % 4;
    for (std::uint32_t i = 0; i < changes; ++i) {
      Bytes& packet = packets[rng.u32() % packets.size()];
      packet[rng.u32() % std::min<std::size_t>(62, packet.size())] = static_cast<std::uint8_t>(rng.u32());
      if ((rng.u32() & 7U) == 0) packet.resize(packet.size() - rng.u32() % packet.size());
      packet.shrink_to_fit();
    }
    Merger merger(true);
    std::size_t payload_in = 0;
    std::vector<Bytes> kept;
    kept.reserve(packets.size());
    for (const Bytes& packet : packets) {
      const auto p = parse_inner(packet);
      if (!p) continue;
      kept.emplace_back(packet.begin(), packet.begin() + p->size);
      merger.add(kept.back(), *p);
      payload_in += p->size;
    }
    std::size_t out = 0;
    merger.drain([&](const Offload& offload, std::span<const ByteView> pieces) {
      for (const ByteView piece : pieces) out += piece.size();
      out += (pieces.size() - 1) * offload.header_size;
      EXPECT_EQ(offload.kind == Offload::Kind::None, pieces.size() == 1);
    });
    EXPECT_EQ(out, payload_in);
  }
}

}  // namespace
}  // namespace qanat::esp
