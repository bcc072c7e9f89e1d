#include "daemon/event_feed.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::daemon {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr WallTime kStarted{1'790'000'000};

void say(EventFeed& feed, const std::string& tunnel) {
  feed.add(WallTime{1'790'000'001}, control::EventLevel::Info, "tunnel-up", {{"tunnel", tunnel}, {"reason", "a\nb"}});
}
std::string pull(const control::Reply& reply) {
  return reply.stream->pull(1 << 20).octets;
}

TEST(EventFeed, AReaderGetsWhatHappensFromNowOn) {
  EventFeed feed(kStarted);
  say(feed, "old");
  const control::Reply reply = feed.open({});
  EXPECT_EQ(reply.headers.front().second, "text/event-stream");
  int rung = 0;
  reply.stream->on_more([&rung] { ++rung; });
  EXPECT_EQ(pull(reply), "retry: 2000\n\n");
  EXPECT_EQ(pull(reply), "");
  EXPECT_FALSE(reply.stream->pull(10).end);
  say(feed, "new");
  EXPECT_EQ(rung, 1);
  EXPECT_EQ(pull(reply),
            "id: 1790000000.2\ndata: {\"number\":2,\"time\":\"2026-09-21T14:13:21Z\",\"level\":\"info\",\"event\":"
            "\"tunnel-up\",\"fields\":{\"tunnel\":\"new\",\"reason\":\"a\\nb\"}}\n\n");
  EXPECT_EQ(feed.recent().size(), 2U);
}

TEST(EventFeed, AReaderGoesOnWhereItWas) {
  EventFeed feed(kStarted);
  for (int i = 1; i <= 10; ++i) say(feed, "t" + std::to_string(i));
  const auto from = [&](const char* id) {
    const auto place = control::parse_event_id(id);
    EXPECT_TRUE(place) << id;
    return pull(feed.open({place, ""}));
  };
  EXPECT_THAT(from("1790000000.8"), StartsWith("retry: 2000\n\nid: 1790000000.9\n"));
  EXPECT_THAT(from("8"), StartsWith("retry: 2000\n\nid: 1790000000.9\n"));
  EXPECT_EQ(from("1790000000.10"), "retry: 2000\n\n");
  EXPECT_THAT(from("1780000000.8"), HasSubstr("id: 1790000000.1\n")) << "another daemon's number";
  EXPECT_THAT(from("11"), HasSubstr("id: 1790000000.1\n"));
  for (const char* bad : {"", ".", "1.", ".1", "a", "1.2.3", "-1", "1.-2", "99999999999999999999"})
    EXPECT_FALSE(control::parse_event_id(bad)) << bad;
}

TEST(EventFeed, OneTunnelsAlone) {
  EventFeed feed(kStarted);
  for (int i = 0; i < 6; ++i) say(feed, i % 2 == 0 ? "berlin" : "paris");
  const std::string text = pull(feed.open({control::EventPlace{}, "paris"}));
  EXPECT_THAT(text, HasSubstr("\"number\":6"));
  EXPECT_THAT(text, Not(HasSubstr("berlin")));
}

TEST(EventFeed, AnAccountsReaderLearnsOfNoOther) {
  EventFeed feed(kStarted);
  const auto happens = [&](const std::string& account) {
    feed.add(WallTime{1'790'000'001}, control::EventLevel::Info, "tunnel-up", {{"tunnel", account + "-tunnel"}},
             account);
  };
  const control::Reply blue = feed.open({control::EventPlace{}, "", "blue"});
  for (int i = 0; i < 50; ++i) happens("red");
  say(feed, "of nobody");
  happens("blue");
  for (std::size_t i = 0; i < control::EventRing::kLimit; ++i) happens("red");
  happens("blue");
  const std::string text = pull(blue);
  EXPECT_THAT(text, HasSubstr("id: 1790000000.1\n"));
  EXPECT_THAT(text, HasSubstr("id: 1790000000.2\n"))
      << "numbered by themselves: no gap tells how many others there are";
  EXPECT_THAT(text, Not(HasSubstr("gap")));
  EXPECT_THAT(text, Not(HasSubstr("red")));
  EXPECT_THAT(text, Not(HasSubstr("nobody")));
  EXPECT_EQ(feed.recent("blue").size(), 2U);
  EXPECT_EQ(feed.recent("green").size(), 0U);
}

TEST(EventFeed, ASlowReaderIsToldWhatItMissed) {
  EventFeed feed(kStarted);
  const control::Reply reply = feed.open({control::EventPlace{}, ""});
  for (std::size_t i = 0; i < control::EventRing::kLimit + 50; ++i) say(feed, "x");
  EXPECT_THAT(reply.stream->pull(1).octets, EndsWith("event: gap\ndata: {\"from\":1,\"to\":50}\n\n"))
      << "no more than it asked for";
  EXPECT_THAT(reply.stream->pull(1).octets, StartsWith("id: 1790000000.51\n"));
  std::string rest;
  while (true) {
    const std::string piece = reply.stream->pull(1000).octets;
    if (piece.empty()) break;
    EXPECT_LT(piece.size(), 1200U);
    rest += piece;
  }
  EXPECT_THAT(rest, HasSubstr("id: 1790000000.1050\n"));
}

TEST(EventFeed, ReadersComeAndGoWhileItIsWritten) {
  std::atomic<int> rung{0};
  control::Reply last;
  {
    EventFeed feed(kStarted);
    std::thread writer([&feed] {
      for (int i = 0; i < 2000; ++i) say(feed, "x");
    });
    for (int i = 0; i < 200; ++i) {
      last = feed.open({});
      last.stream->on_more([&rung] { ++rung; });
      (void)pull(last);
    }
    writer.join();
    say(feed, "end");
  }
  EXPECT_GT(rung, 0);
  EXPECT_THAT(pull(last), HasSubstr("end")) << "a stream outlives the feed";
}

}  // namespace
}  // namespace qanat::daemon
