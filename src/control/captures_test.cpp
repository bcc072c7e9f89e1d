#include "control/captures.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/pcapng.hpp"

namespace qanat::control {
namespace {

using ipsec::CaptureEnd;
using ::testing::HasSubstr;
constexpr Duration kBoot = std::chrono::seconds{1'800'000'000};

Instant at(Duration time) {
  return Instant::from_ns(time.count());
}

CaptureWish wish(std::string id, std::string account = "default") {
  CaptureWish out;
  out.id = std::move(id);
  out.account = std::move(account);
  out.tunnel = "berlin";
  out.time = 10s;
  out.packets = 100;
  out.bytes = 1 << 20;
  out.snap = 65535;
  out.document = "{}";
  return out;
}

ipsec::CaptureChunk chunk(CaptureId id, std::size_t packets, std::optional<CaptureEnd> end = std::nullopt,
                          bool names = true) {
  ipsec::CaptureChunk out;
  out.capture = id;
  if (names) out.tunnels.emplace_back(TunnelId{7}, "berlin");
  for (std::size_t i = 0; i < packets; ++i) {
    out.packets.push_back({.way = ipsec::CapturedPacket::Way::In,
                           .at = at(1s),
                           .tunnel = TunnelId{7},
                           .size = 100,
                           .begin = static_cast<std::uint32_t>(out.octets.size()),
                           .kept = 100});
    out.octets.resize(out.octets.size() + 100, 0x45);
  }
  out.end = end;
  return out;
}

std::string read_all(CaptureReader& reader) {
  std::string out;
  for (std::string part = reader.read(1000); !part.empty(); part = reader.read(1000)) {
    EXPECT_LE(part.size(), 1000U);
    out += part;
  }
  return out;
}

class Captures : public ::testing::Test {
 protected:
  // The number that the packet path knows it by.
  CaptureId start(CaptureWish one) {
    book_.start(now_, kBoot, std::move(one));
    const auto order = book_.poll_order();
    EXPECT_TRUE(order && order->start);
    return order ? order->capture : CaptureId{};
  }
  CaptureBook book_{"qanat 1"};
  Instant now_ = at(5s);
};

TEST_F(Captures, GoFromPendingOverRunningToSuccess) {
  const CaptureId id = start(wish("a"));
  EXPECT_EQ(book_.find("a")->state, CaptureState::Pending);
  EXPECT_EQ(book_.find("a")->submitted, (WallTime{1'800'000'005}));
  book_.take(now_, chunk(id, 0, {}, false));
  EXPECT_EQ(book_.find("a")->state, CaptureState::Running);
  EXPECT_EQ(book_.take(now_, chunk(id, 2)), "a");
  book_.stop(now_, "a");
  EXPECT_TRUE(book_.find("a")->stop_requested);
  book_.stop(now_, "a");  // twice is once
  const auto order = book_.poll_order();
  ASSERT_TRUE(order);
  EXPECT_FALSE(order->start);
  EXPECT_FALSE(book_.poll_order());
  book_.take(now_, chunk(id, 1, CaptureEnd::Stopped, false));
  EXPECT_EQ(book_.find("a")->state, CaptureState::Success);
  EXPECT_EQ(book_.find("a")->packets, 3U);
  EXPECT_EQ(book_.find("a")->bytes, 300U);
  book_.take(now_, chunk(id, 1, {}, false));  // late, and nobody's
  EXPECT_EQ(book_.find("a")->packets, 3U);
  auto full = wish("b");
  full.full = true;
  book_.take(now_, chunk(start(full), 1, CaptureEnd::Time));
  EXPECT_EQ(book_.find("b")->state, CaptureState::Complete);
}

TEST_F(Captures, AReaderGetsWhatTheWriterMakes) {
  const CaptureId id = start(wish("a"));
  CaptureReader reader{book_.data("a")};
  book_.take(now_, chunk(id, 2));
  std::string file = read_all(reader);
  EXPECT_FALSE(reader.at_end());
  book_.take(now_, chunk(id, 1, CaptureEnd::Time, false));
  file += read_all(reader);
  EXPECT_TRUE(reader.at_end());
  Bytes expected;
  pcapng::append_section(expected, "qanat 1");
  pcapng::append_interface(expected, "berlin", 65535, "");
  const Bytes packet(100, 0x45);
  for (int i = 0; i < 3; ++i)
    pcapng::append_packet(expected, 0, 1'800'000'001'000'000'000, pcapng::Direction::Inbound, packet, 100);
  EXPECT_EQ(to_bytes(file), expected);
}

TEST_F(Captures, NoMoreIsTakenThanWasAskedForWhoeverSends) {
  auto few = wish("a");
  few.packets = 3;
  const CaptureId id = start(few);
  book_.take(now_, chunk(id, 2));
  book_.take(now_, chunk(id, 2, {}, false));  // of another worker
  EXPECT_EQ(book_.find("a")->packets, 3U);
  EXPECT_EQ(book_.find("a")->state, CaptureState::Success);
  const auto order = book_.poll_order();  // the others are told
  ASSERT_TRUE(order);
  EXPECT_FALSE(order->start);
  auto small = wish("b");
  small.bytes = 150;
  const CaptureId other = start(small);
  book_.take(now_, chunk(other, 2));
  EXPECT_EQ(book_.find("b")->bytes, 100U);
}

TEST_F(Captures, FailWithAReason) {
  EXPECT_EQ(book_.fail(now_, start(wish("a")), "no such tunnel"), "a");
  EXPECT_EQ(book_.find("a")->state, CaptureState::Failed);
  EXPECT_EQ(book_.find("a")->error, "no such tunnel");
  book_.take(now_, chunk(start(wish("b")), 0, CaptureEnd::TooMany, false));
  EXPECT_EQ(book_.find("b")->state, CaptureState::Failed);
  book_.take(now_, chunk(start(wish("c")), 0, CaptureEnd::TunnelGone, false));
  EXPECT_EQ(book_.find("c")->state, CaptureState::Failed);
  // With packets there is something to read.
  book_.take(now_, chunk(start(wish("d")), 1, CaptureEnd::TunnelGone));
  EXPECT_EQ(book_.find("d")->state, CaptureState::Success);
  // A packet path that says nothing.
  start(wish("e"));
  now_ = now_ + 21s;
  EXPECT_THAT(book_.handle_timeout(now_), ::testing::ElementsAre("e"));
  EXPECT_EQ(book_.find("e")->state, CaptureState::Failed);
}

TEST_F(Captures, AreBoundedForAnAccountAndForTheGateway) {
  for (int i = 0; i < 4; ++i) start(wish(std::to_string(i)));
  EXPECT_THAT(*book_.refusal(wish("x")), HasSubstr("4 captures of this account run already"));
  EXPECT_FALSE(book_.refusal(wish("x", "red")));
  for (const char* account : {"red", "blue", "green"}) {
    for (int i = 0; i < 4; ++i) start(wish(account + std::to_string(i), account));
  }
  EXPECT_THAT(*book_.refusal(wish("x", "black")), HasSubstr("16 captures run on this gateway"));
}

TEST_F(Captures, AreBoundedInOctetsByWhatTheyMayTake) {
  auto large = wish("a");
  large.bytes = 100 << 20;
  start(large);
  EXPECT_THAT(*book_.refusal(large), HasSubstr("this account may hold"));
  auto red = large;
  red.account = "red";
  red.id = "r";
  EXPECT_FALSE(book_.refusal(red));
  start(red);
  auto blue = large;
  blue.account = "blue";
  EXPECT_THAT(*book_.refusal(blue), HasSubstr("this gateway may hold"));
}

TEST_F(Captures, WhatHasEndedMakesRoomForNewOnesOfItsAccount) {
  book_.take(now_, chunk(start(wish("other", "red")), 1, CaptureEnd::Time));
  for (std::size_t i = 0; i <= kCapturesKept; ++i)
    book_.take(now_, chunk(start(wish("c" + std::to_string(i))), 1, CaptureEnd::Time));
  EXPECT_EQ(book_.list("default").size(), kCapturesKept);
  EXPECT_EQ(book_.find("c0"), nullptr);
  EXPECT_NE(book_.find("c1"), nullptr);
  EXPECT_NE(book_.find("other"), nullptr);
}

TEST_F(Captures, GoAfterAnHourAndWhenTheyAreRemoved) {
  book_.take(now_, chunk(start(wish("a")), 1, CaptureEnd::Time));
  ASSERT_TRUE(book_.next_timeout());
  EXPECT_EQ(*book_.next_timeout(), now_ + kCaptureKept);
  now_ = now_ + kCaptureKept;
  (void)book_.handle_timeout(now_);
  EXPECT_EQ(book_.find("a"), nullptr);
  EXPECT_FALSE(book_.next_timeout());
  // One that runs is stopped first.
  const CaptureId id = start(wish("b"));
  book_.remove("b");
  const auto order = book_.poll_order();
  ASSERT_TRUE(order);
  EXPECT_EQ(order->capture, id);
  EXPECT_FALSE(order->start);
  EXPECT_FALSE(book_.take(now_, chunk(id, 1, CaptureEnd::Stopped)));
  book_.remove("nobody");
}

// Else whoever starts, reads slowly and deletes would hold as much as it likes.
TEST_F(Captures, WhatIsStillReadCountsAfterItsRemoval) {
  auto large = wish("a");
  large.bytes = 100 << 20;
  large.packets = 1'000'000;
  const CaptureId id = start(large);
  for (int i = 0; i < 40; ++i) book_.take(now_, chunk(id, 10'000, {}, i == 0));
  CaptureReader reader{book_.data("a")};
  (void)reader.read(10);
  book_.take(now_, chunk(id, 0, CaptureEnd::Stopped, false));
  book_.remove("a");
  EXPECT_EQ(book_.data("a"), nullptr);
  auto next = wish("b");
  next.bytes = 90 << 20;
  EXPECT_TRUE(book_.refusal(next));
  EXPECT_FALSE(reader.read(10).empty());
  reader.release();
  EXPECT_FALSE(book_.refusal(next));
}

}  // namespace
}  // namespace qanat::control
