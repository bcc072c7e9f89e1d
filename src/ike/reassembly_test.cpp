#include "ike/reassembly.hpp"

#include <algorithm>

#include <gtest/gtest.h>

namespace qanat::ike {
namespace {

wire::EncryptedPart part(std::uint16_t number, std::uint16_t total) {
  wire::EncryptedPart p;
  p.first_inner = number == 1 ? wire::PayloadType::KE : wire::PayloadType::None;
  p.fragment_number = number;
  p.total_fragments = total;
  p.associated_size = 36;
  return p;
}
const Instant kNow = Instant::from_ns(5);
const Bytes kDatagram(100, 0x11);

TEST(Reassembly, PutsFragmentsTogetherInEveryOrder) {
  std::vector<std::uint16_t> order{1, 2, 3, 4};
  do {
    Reassembly r;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const FragmentVerdict verdict =
          r.add(kNow, 7, part(order[i], 4), kDatagram, Bytes(3, static_cast<std::uint8_t>(order[i])));
      EXPECT_EQ(verdict, i == 3 ? FragmentVerdict::Complete : FragmentVerdict::Stored);
    }
    Reassembly::Complete whole = r.take();
    EXPECT_EQ(whole.plaintext, (Bytes{1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4}));
    EXPECT_EQ(whole.first_inner, wire::PayloadType::KE);
    EXPECT_EQ(whole.first_datagram.size(), 36U);
    EXPECT_EQ(whole.total, 4);
    EXPECT_EQ(whole.octets, 400U);
    EXPECT_TRUE(r.empty());
    EXPECT_FALSE(r.deadline());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Reassembly, AloneFragmentIsAMessage) {
  Reassembly r;
  EXPECT_EQ(r.add(kNow, 1, part(1, 1), kDatagram, Bytes{}), FragmentVerdict::Complete);
  EXPECT_TRUE(r.take().plaintext.empty());
}

TEST(Reassembly, ADuplicateIsNamedWhateverItHolds) {
  Reassembly r;
  EXPECT_EQ(r.add(kNow, 1, part(1, 3), kDatagram, Bytes{1}), FragmentVerdict::Stored);
  EXPECT_EQ(r.check(1, part(1, 3)), FragmentVerdict::Duplicate);
  EXPECT_EQ(r.add(kNow, 1, part(1, 3), kDatagram, Bytes{2}), FragmentVerdict::Duplicate);
  EXPECT_EQ(r.stored_octets(), 1U);
}

TEST(Reassembly, ALargerTotalBeginsAnewASmallerOneIsStale) {
  Reassembly r;
  EXPECT_EQ(r.add(kNow, 1, part(1, 3), kDatagram, Bytes{1}), FragmentVerdict::Stored);
  EXPECT_EQ(r.add(kNow, 1, part(2, 2), kDatagram, Bytes{1}), FragmentVerdict::Stale);
  EXPECT_EQ(r.add(kNow, 1, part(2, 4), kDatagram, Bytes{1, 2}), FragmentVerdict::Stored);
  EXPECT_EQ(r.stored_octets(), 2U);
}

TEST(Reassembly, AnotherMessageIdBeginsAnew) {
  Reassembly r;
  EXPECT_EQ(r.add(kNow, 1, part(1, 2), kDatagram, Bytes{1}), FragmentVerdict::Stored);
  EXPECT_EQ(r.add(kNow, 2, part(1, 2), kDatagram, Bytes{9}), FragmentVerdict::Stored);
  EXPECT_EQ(r.add(kNow, 2, part(2, 2), kDatagram, Bytes{8}), FragmentVerdict::Complete);
  EXPECT_EQ(r.take().plaintext, (Bytes{9, 8}));
}

TEST(Reassembly, NumberAndSizeAreBounded) {
  Reassembly r;
  EXPECT_EQ(r.check(1, part(1, kMaxTotalFragments + 1)), FragmentVerdict::TooLarge);
  EXPECT_EQ(r.check(1, part(1, 65535)), FragmentVerdict::TooLarge);
  FragmentVerdict verdict = FragmentVerdict::Stored;
  for (std::uint16_t n = 1; n <= 100 && verdict == FragmentVerdict::Stored; ++n) {
    verdict = r.add(kNow, 1, part(n, 100), kDatagram, Bytes(1000, 1));
    EXPECT_LE(r.stored_octets(), kMaxReassembled);
  }
  EXPECT_EQ(verdict, FragmentVerdict::TooLarge);
  EXPECT_TRUE(r.empty());
}

TEST(Reassembly, TheDeadlineIsThatOfTheFirstFragment) {
  Reassembly r;
  EXPECT_EQ(r.add(kNow, 1, part(1, 3), kDatagram, Bytes{1}), FragmentVerdict::Stored);
  EXPECT_EQ(r.add(kNow + 10s, 1, part(2, 3), kDatagram, Bytes{1}), FragmentVerdict::Stored);
  EXPECT_EQ(r.deadline(), kNow + kReassemblyTimeout);
}

}  // namespace
}  // namespace qanat::ike
