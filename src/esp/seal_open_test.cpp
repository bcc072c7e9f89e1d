// Seal and open against each other and against damage (reliability.md section 3, K20).
#include <set>

#include <gtest/gtest.h>

#include "esp/open.hpp"
#include "esp/packet_test_support.hpp"
#include "esp/seal.hpp"

namespace qanat::esp {
namespace {

using namespace esp::testing;

constexpr ipsec::EspSpi kSpi = 0x08001234;

struct Pair {
  std::unique_ptr<KeyCache> keys;
  OutboundSa out;
  InboundSa in;
};
Pair make_pair(const CipherSuite& suite, bool esn = false, ipsec::SaLimits limits = {}, std::uint32_t window = 64,
               std::uint64_t last_sequence = 0) {
  auto sender = direction(suite, kSpi, 1);
  auto receiver = direction(suite, kSpi, 1);
  sender.esn = receiver.esn = esn;
  sender.limits = limits;
  sender.last_sequence = receiver.last_sequence = last_sequence;
  receiver.replay_window = window;
  auto keys = std::make_unique<KeyCache>(2);
  auto out = OutboundSa::create(sender, *keys);
  auto in = InboundSa::create(receiver, *keys);
  EXPECT_TRUE(out && in);
  return {std::move(keys), std::move(*out), std::move(*in)};
}

Bytes seal(OutboundSa& sa, ByteView inner, Rng& rng, std::uint8_t next = kNextHeaderIpv4) {
  Bytes dst(sa.layout().sealed_size(inner.size()));
  const auto size = sa.seal(inner, next, dst, rng);
  EXPECT_TRUE(size && *size == dst.size());
  return dst;
}

// Any trailer under the right key, as a sender that is wrong or hostile would make it.
Bytes seal_raw(const CipherSuite& suite, std::uint64_t sequence, ByteView payload, bool esn = false) {
  const EspLayout layout = esp_layout(suite);
  auto cipher = *crypto::PacketCipher::create(suite, key_for(suite, 1).expose());
  Bytes dst(layout.payload_offset() + payload.size() + layout.icv);
  store_be32(dst.data(), kSpi);
  store_be32(&dst[4], static_cast<std::uint32_t>(sequence));
  if (layout.iv == 8) store_be64(&dst[8], sequence);
  const MutableByteView view{dst};
  const auto ct = view.subspan(layout.payload_offset(), payload.size());
  std::copy(payload.begin(), payload.end(), ct.begin());
  cipher->seal({.spi = kSpi, .sequence = sequence, .esn = esn}, view.subspan(8, layout.iv), ct, ct,
               view.last(layout.icv));
  return dst;
}

class Suites : public ::testing::TestWithParam<CipherSuite> {};
INSTANTIATE_TEST_SUITE_P(All, Suites, ::testing::ValuesIn(kSuites), [](const auto& param) {
  return to_string(param.param).find('-') == std::string::npos
             ? to_string(param.param)
             : to_string(param.param).replace(to_string(param.param).find('-'), 1, "_");
});

TEST_P(Suites, RoundTripOfEverySize) {
  for (const bool esn : {false, true}) {
    SeededRng rng(3);
    Pair sa = make_pair(GetParam(), esn);
    for (std::size_t size = 0; size < 300; ++size) {
      const Bytes inner = rng.bytes(size);
      Bytes datagram = seal(sa.out, inner, rng);
      EXPECT_EQ(datagram.size() % 4, 0U);
      EXPECT_EQ(load_be32(datagram.data()), kSpi);
      EXPECT_EQ(load_be32(&datagram[4]), size + 1);
      const auto opened = sa.in.open(datagram);
      ASSERT_TRUE(opened) << size << " " << to_string(opened.error());
      EXPECT_TRUE(equal(opened->payload, inner));
      EXPECT_EQ(opened->next_header, kNextHeaderIpv4);
      EXPECT_TRUE(opened->newest);
    }
    EXPECT_EQ(sa.in.meter().packets(), 300U);
    EXPECT_EQ(sa.in.meter().bytes(), sa.out.meter().bytes());
  }
}

TEST_P(Suites, EveryFlippedBitIsRefusedAndChangesNothing) {
  SeededRng rng(4);
  Pair sa = make_pair(GetParam());
  const Bytes good = seal(sa.out, rng.bytes(41), rng);
  for (std::size_t at = 4; at < good.size(); ++at) {  // the SPI is matched by the caller
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes bad = good;
      bad[at] ^= static_cast<std::uint8_t>(1U << bit);
      const auto opened = sa.in.open(bad);
      ASSERT_FALSE(opened);
      EXPECT_EQ(opened.error(), at < 8 && load_be32(&bad[4]) == 0 ? DropReason::Replay : DropReason::AuthFailed) << at;
    }
  }
  EXPECT_EQ(sa.in.window().top(), 0U);
  Bytes last = good;
  EXPECT_TRUE(sa.in.open(last));
}

TEST_P(Suites, EveryLengthIsSafe) {
  SeededRng rng(5);
  Pair sa = make_pair(GetParam());
  const Bytes good = seal(sa.out, rng.bytes(200), rng);
  for (std::size_t size = 0; size <= good.size() + 64; ++size) {
    if (size == good.size()) continue;
    Bytes datagram = good;
    datagram.resize(size);
    const auto opened = sa.in.open(datagram);
    ASSERT_FALSE(opened);
    const EspLayout& layout = sa.out.layout();
    if (size < layout.sealed_size(0))
      EXPECT_EQ(opened.error(), DropReason::TooShort) << size;
    else if ((size - layout.payload_offset() - layout.icv) % layout.alignment != 0)
      EXPECT_EQ(opened.error(), DropReason::Alignment);
    else
      EXPECT_EQ(opened.error(), DropReason::AuthFailed);
  }
  EXPECT_EQ(sa.in.window().top(), 0U);
}

TEST_P(Suites, HostileTrailersUnderTheRightKey) {
  Pair sa = make_pair(GetParam());
  const std::size_t block = sa.out.layout().alignment;
  std::uint64_t sequence = 0;
  const auto open = [&](Bytes payload) {
    Bytes datagram = seal_raw(GetParam(), ++sequence, payload);
    const auto opened = sa.in.open(datagram);
    return opened ? std::optional<DropReason>{} : std::optional{opened.error()};
  };
  for (std::size_t size = block; size <= 16 * block; size += block) {
    for (unsigned pad = 0; pad < 256; ++pad) {
      Bytes payload(size, 0);
      payload[size - 2] = static_cast<std::uint8_t>(pad);
      payload[size - 1] = kNextHeaderIpv4;
      const auto reason = open(payload);
      if (pad + 2 > size)
        EXPECT_EQ(reason, DropReason::PadLength);
      else if (pad > 0)
        EXPECT_EQ(reason, DropReason::Padding);
      else
        EXPECT_FALSE(reason);
    }
  }
  for (unsigned next = 0; next < 256; ++next) {
    Bytes payload(block, 0);
    payload[block - 1] = static_cast<std::uint8_t>(next);
    const bool good = next == 4 || next == 41 || next == 59;
    EXPECT_EQ(open(payload), good ? std::nullopt : std::optional{DropReason::NextHeader});
  }
  // Longer padding than needed is good padding.
  Bytes longest(16 * ((255 + 2 + 15) / 16), 0);
  for (std::size_t i = 0; i < 255; ++i) longest[longest.size() - 2 - 255 + i] = static_cast<std::uint8_t>(i + 1);
  longest[longest.size() - 2] = 255;
  longest[longest.size() - 1] = kNextHeaderIpv6;
  EXPECT_FALSE(open(longest));
}

TEST_P(Suites, ReplayIsRefusedAndCommittedOnlyAfterTheIcv) {
  SeededRng rng(6);
  Pair sa = make_pair(GetParam());
  const Bytes good = seal(sa.out, rng.bytes(64), rng);
  Bytes forged = good;
  store_be32(&forged[4], 0x7fffffff);  // would move the window far ahead
  EXPECT_EQ(sa.in.open(forged).error(), DropReason::AuthFailed);
  Bytes first = good;
  EXPECT_TRUE(sa.in.open(first));
  Bytes again = good;
  EXPECT_EQ(sa.in.open(again).error(), DropReason::Replay);
}

TEST_P(Suites, SequenceNumberZeroIsRefused) {
  Pair sa = make_pair(GetParam());
  Bytes payload(sa.out.layout().alignment, 0);
  payload.back() = kNextHeaderNone;
  Bytes zero = seal_raw(GetParam(), 0, payload);
  EXPECT_EQ(sa.in.open(zero).error(), DropReason::Replay);
}

TEST_P(Suites, ExtendedNumbersPassTheWrapInOrderAndOutOfOrder) {
  constexpr std::uint64_t kWrap = std::uint64_t{1} << 32;
  SeededRng rng(7);
  Pair sa = make_pair(GetParam(), true, {}, 64, kWrap - 11);
  std::vector<Bytes> datagrams;
  for (int i = 0; i < 20; ++i) datagrams.push_back(seal(sa.out, rng.bytes(50), rng));
  std::swap(datagrams[9], datagrams[10]);  // 0xffffffff after 0x100000000
  for (const Bytes& d : datagrams) {
    Bytes copy = d;
    ASSERT_TRUE(sa.in.open(copy));
  }
  EXPECT_EQ(sa.in.window().top(), kWrap + 9);
  for (const Bytes& d : datagrams) {
    Bytes copy = d;
    EXPECT_FALSE(sa.in.open(copy));
  }
  // A packet of the old subspace, replayed when its low half is new again, fails its ICV.
  Bytes old = seal_raw(GetParam(), 50, Bytes(sa.out.layout().alignment, 0), true);
  EXPECT_EQ(sa.in.open(old).error(), DropReason::AuthFailed);
}

TEST_P(Suites, ShortNumbersStopAtTheirEnd) {
  SeededRng rng(8);
  Pair sa = make_pair(GetParam(), false, {}, 64, 0xffffffffU - 2);
  EXPECT_TRUE(sa.out.meter().take_soft());
  EXPECT_FALSE(sa.out.meter().take_soft());
  Bytes a = seal(sa.out, rng.bytes(8), rng);
  EXPECT_FALSE(sa.out.meter().take_hard());
  Bytes b = seal(sa.out, rng.bytes(8), rng);
  EXPECT_EQ(load_be32(&b[4]), 0xffffffffU);
  EXPECT_TRUE(sa.out.meter().take_hard());
  EXPECT_FALSE(sa.out.meter().take_hard());
  EXPECT_TRUE(sa.in.open(a));
  EXPECT_TRUE(sa.in.open(b));
  Bytes dst(200);
  EXPECT_EQ(sa.out.seal(rng.bytes(8), kNextHeaderIpv4, dst, rng).error(), DropReason::SeqExhausted);
}

TEST(Seal, ExtendedNumbersStopAtTheirEnd) {
  SeededRng rng(8);
  Pair sa = make_pair(kGcm256, true, {}, 64, ~std::uint64_t{0} - 1);
  EXPECT_EQ(load_be32(&seal(sa.out, rng.bytes(8), rng)[4]), 0xffffffffU);
  Bytes dst(200);
  EXPECT_EQ(sa.out.seal(rng.bytes(8), kNextHeaderIpv4, dst, rng).error(), DropReason::SeqExhausted);
}

TEST(Open, AnSaThatGoesOnElsewhereKnowsWhatWasUsed) {
  SeededRng rng(11);
  Pair before = make_pair(kGcm256, true);
  std::vector<Bytes> old;
  for (int i = 0; i < 100; ++i) old.push_back(seal(before.out, rng.bytes(20), rng));
  Pair after = make_pair(kGcm256, true, {}, 64, 100);
  for (Bytes d : old) EXPECT_FALSE(after.in.open(d));
  std::vector<Bytes> fresh;
  for (int i = 0; i < 100; ++i) fresh.push_back(seal(after.out, rng.bytes(20), rng));
  EXPECT_EQ(load_be32(&fresh[0][4]), 101U);
  for (std::size_t i = 0; i < 100; i += 2) std::swap(fresh[i], fresh[i + 1]);
  for (Bytes d : fresh) EXPECT_TRUE(after.in.open(d));
}

TEST(Seal, LimitsOfPacketsAndBytes) {
  SeededRng rng(9);
  Pair packets = make_pair(kGcm256, true, {.soft_packets = 3, .hard_packets = 5});
  for (int i = 1; i <= 5; ++i) {
    seal(packets.out, rng.bytes(10), rng);
    EXPECT_EQ(packets.out.meter().take_soft(), i == 3) << i;
    EXPECT_EQ(packets.out.meter().take_hard(), i == 5) << i;
  }
  Bytes dst(200);
  EXPECT_EQ(packets.out.seal(rng.bytes(8), kNextHeaderIpv4, dst, rng).error(), DropReason::HardLimit);

  Pair octets = make_pair(kChaCha, true, {.hard_bytes = 1000});
  for (int i = 1; i <= 10; ++i) {
    seal(octets.out, rng.bytes(100), rng);
    EXPECT_EQ(octets.out.meter().take_soft(), i == 9) << i;
  }
  EXPECT_EQ(octets.out.seal(rng.bytes(8), kNextHeaderIpv4, dst, rng).error(), DropReason::HardLimit);
}

TEST(Seal, AesStopsAtItsLimitOfBlocksWhateverIsConfigured) {
  SaMeter meter(kGcm256, SequenceNumbers::Extended, {});
  const std::size_t big = std::size_t{1} << 30;
  std::uint64_t gigabytes = 0;
  bool soft = false;
  while (!meter.blocked()) {
    meter.count(big, big);
    soft = meter.take_soft() || soft;
    ++gigabytes;
  }
  EXPECT_TRUE(soft);
  EXPECT_EQ(meter.blocked(), DropReason::HardLimit);
  EXPECT_LE(gigabytes, 1024U);
  SaMeter chacha(kChaCha, SequenceNumbers::Extended, {});
  for (int i = 0; i < 5000; ++i) chacha.count(big, big);
  EXPECT_FALSE(chacha.blocked());
}

TEST(Seal, NoIvTwiceUnderOneKey) {
  for (const CipherSuite& suite : kSuites) {
    SeededRng rng(10);
    Pair sa = make_pair(suite, true, {}, 64, (std::uint64_t{1} << 32) - 50'000);
    std::set<Bytes> seen;
    Bytes dst(200);
    const Bytes inner = rng.bytes(20);
    for (int i = 0; i < 100'000; ++i) {
      ASSERT_TRUE(sa.out.seal(inner, kNextHeaderIpv4, dst, rng));
      ASSERT_TRUE(seen.insert(to_bytes(ByteView{dst}.subspan(8, sa.out.layout().iv))).second) << i;
    }
  }
}

TEST(Open, EsnNeedsAWindow) {
  auto receiver = direction(kGcm256, kSpi, 1);
  receiver.esn = true;
  receiver.replay_window = 0;
  KeyCache keys(1);
  const auto sa = InboundSa::create(receiver, keys);
  ASSERT_FALSE(sa);
  EXPECT_EQ(sa.error().kind, ErrorKind::LocalPolicy);
}

TEST(Open, WrongKeyLengthsAreErrors) {
  auto d = direction(kGcm256, kSpi, 1);
  d.keymat = SecretBytes(35);
  KeyCache keys(1);
  EXPECT_FALSE(InboundSa::create(d, keys));
  EXPECT_FALSE(OutboundSa::create(d, keys));
  d.suite = {};
  EXPECT_FALSE(InboundSa::create(d, keys));
}

TEST(DropReasons, NamesAreUniqueAndExplained) {
  std::set<std::string_view> names;
  for (const DropText& text : kDropTexts) {
    EXPECT_TRUE(names.insert(text.name).second) << text.name;
    EXPECT_FALSE(text.help.empty());
    EXPECT_EQ(text.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos);
  }
}

}  // namespace
}  // namespace qanat::esp
