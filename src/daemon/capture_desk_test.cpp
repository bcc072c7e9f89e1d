#include "daemon/capture_desk.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/clock.hpp"

namespace qanat::daemon {
namespace {

using Follow = control::CaptureRoom::Follow;

control::CaptureWish wish(std::string id) {
  control::CaptureWish out;
  out.id = std::move(id);
  out.account = "default";
  out.time = 10s;
  out.packets = 1000;
  out.bytes = 1 << 20;
  out.snap = 65535;
  out.document = "{}";
  return out;
}

ipsec::CaptureChunk chunk(CaptureId id, bool end = false) {
  ipsec::CaptureChunk out{
      .capture = id, .tunnels = {{TunnelId{1}, "berlin"}}, .packets = {}, .octets = Bytes(50, 0x45), .end = {}};
  out.packets.push_back({.at = io::boot_now(), .tunnel = TunnelId{1}, .size = 50, .begin = 0, .kept = 50});
  if (end) out.end = ipsec::CaptureEnd::Time;
  return out;
}

CaptureId begin(CaptureDesk& desk, const std::string& id) {
  desk.start(wish(id));
  const auto orders = desk.take_orders();
  EXPECT_EQ(orders.size(), 1U);
  return orders.empty() ? CaptureId{} : orders.front().capture;
}

TEST(CaptureDesk, AFollowerIsWokenForMoreAndForTheEnd) {
  CaptureDesk desk("qanat test");
  const CaptureId id = begin(desk, "a");
  const auto stream = desk.open("a", Follow::Yes);
  ASSERT_TRUE(stream);
  int rung = 0;
  stream->on_more([&rung] { ++rung; });
  EXPECT_FALSE(stream->pull(1 << 20).octets.empty());  // the section header
  desk.take(io::boot_now(), chunk(id));
  EXPECT_EQ(rung, 1);
  const auto piece = stream->pull(1 << 20);
  EXPECT_FALSE(piece.octets.empty());
  EXPECT_FALSE(piece.end);
  desk.take(io::boot_now(), chunk(id, true));
  EXPECT_EQ(rung, 2);
  EXPECT_TRUE(stream->pull(1 << 20).end);
  EXPECT_EQ(desk.list("default").at(0).packets, 2U);
}

TEST(CaptureDesk, AFollowerThatGoesEndsIt) {
  CaptureDesk desk("qanat test");
  const CaptureId id = begin(desk, "a");
  desk.open("a", Follow::No).reset();
  EXPECT_TRUE(desk.take_orders().empty());
  desk.open("a", Follow::Yes).reset();
  const auto orders = desk.take_orders();
  ASSERT_EQ(orders.size(), 1U);
  EXPECT_EQ(orders.front().capture, id);
  EXPECT_FALSE(orders.front().start);
}

TEST(CaptureDesk, StreamsMayOutliveItAndACaptureThatIsRemoved) {
  std::shared_ptr<control::BodyStream> stream;
  {
    CaptureDesk desk("qanat test");
    const CaptureId id = begin(desk, "a");
    desk.take(io::boot_now(), chunk(id));
    stream = desk.open("a", Follow::Yes);
    EXPECT_EQ(desk.open("b", Follow::Yes), nullptr);
    int rung = 0;
    stream->on_more([&rung] { ++rung; });
    desk.remove("a");
    EXPECT_EQ(rung, 1);
    stream->on_more([] {});
  }
  const auto piece = stream->pull(1 << 20);
  EXPECT_TRUE(piece.end);
  EXPECT_GT(piece.octets.size(), 50U);
}

// Under the thread sanitizer this is where a race would show.
TEST(CaptureDesk, ReadersAndTheWriterAreDifferentThreads) {
  CaptureDesk desk("qanat test");
  const CaptureId id = begin(desk, "a");
  std::atomic<std::size_t> octets{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&desk, &octets] {
      const auto stream = desk.open("a", Follow::No);
      stream->on_more([] {});
      for (bool end = false; !end;) {
        const auto piece = stream->pull(777);
        octets += piece.octets.size();
        end = piece.end;
        (void)desk.list("default");
      }
    });
  }
  for (int i = 0; i < 200; ++i) desk.take(io::boot_now(), chunk(id, i == 199));
  for (std::thread& one : readers) one.join();
  const auto whole = desk.open("a", Follow::No)->pull(1 << 24);
  EXPECT_TRUE(whole.end);
  EXPECT_EQ(octets, 3 * whole.octets.size());
}

}  // namespace
}  // namespace qanat::daemon
