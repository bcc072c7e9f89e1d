// Health and steering together: two tunnels to one site under 10,000 packets a second, one path cut and mended.
#include <map>

#include <gtest/gtest.h>

#include "esp/icmp.hpp"
#include "esp/packet_test_support.hpp"
#include "wan/health_board.hpp"
#include "wan/steering.hpp"

namespace qanat::wan {
namespace {

using namespace esp::testing;
using model::ProbeRate;

constexpr TunnelId kFirst{1};
constexpr TunnelId kSecond{2};
constexpr Duration kGap = 100us;  // between packets

struct Site {
  Site(ProbeRate rate, std::uint64_t seed) : rng(seed), board(rng) {
    std::uint8_t host = 0;
    for (const auto& [id, priority] : {std::pair{kFirst, 100U}, std::pair{kSecond, 200U}}) {
      const ProbePath path{.local = IpAddress::v4(0x0aff0000U + host), .remote = IpAddress::v4(0x0aff0001U + host)};
      host = static_cast<std::uint8_t>(host + 2);
      board.set(now, id, {.rate = rate, .path = path});
      board.handle_liveness(now, id, TunnelHealth::Liveness::HasSa);
      hops.push_back({.tunnel = id, .priority = priority});
      states.set(id, "path-" + std::to_string(id.value()), {.keys = KeySafety::Hybrid});
    }
    packet.source = ip("10.1.0.1");
    packet.destination = ip("10.2.0.1");
    packet.protocol = 17;
    packet.has_ports = true;
    packet.ports = {4000, 5000};
    drain();
  }

  void drain() {
    while (const auto probe = board.poll_probe()) {
      if (probe->tunnel == kFirst && cut) continue;
      const auto p = esp::parse_inner(probe->packet);
      answers.emplace(now + 15ms, std::pair{probe->tunnel, esp::make_echo_reply(probe->packet, *p)});
    }
    while (const auto change = board.poll_change()) {
      states.set(change->tunnel, "path-" + std::to_string(change->tunnel.value()),
                 {.health = change->change.to, .keys = KeySafety::Hybrid});
    }
  }
  // With traffic all the while: who takes it, and what is lost.
  void run(Duration how_long) {
    for (const Instant end = now + how_long; now < end; now = now + kGap) {
      while (!answers.empty() && answers.begin()->first <= now) {
        const auto [tunnel, answer] = answers.begin()->second;
        answers.erase(answers.begin());
        if (tunnel == kFirst && cut) continue;
        (void)board.handle_packet(now, tunnel, answer, *esp::parse_inner(answer));
      }
      if (const auto due = board.next_timeout(); due && *due <= now) board.handle_timeout(now);
      drain();
      const TunnelId taken = choose(hops, states, packet).hop->tunnel;
      if (taken != last) {
        ++moves;
        moved_at = now;
        last = taken;
      }
      if (taken == kFirst && cut) ++lost;
    }
  }

  SeededRng rng;
  HealthBoard board;
  Instant now = Instant::from_ns(0) + 1000s;
  TunnelStates states;
  std::vector<Hop> hops;
  esp::InnerPacket packet;
  std::multimap<Instant, std::pair<TunnelId, Bytes>> answers;
  bool cut = false;
  TunnelId last = kFirst;
  int moves = 0;
  Instant moved_at;
  std::uint64_t lost = 0;
};

TEST(Failover, InTimeAndBackWithoutFlapping) {
  for (const auto& [rate, limit] :
       {std::pair<ProbeRate, Duration>{ProbeRate::Mid, 1800ms}, {ProbeRate::High, 1000ms}}) {
    std::uint64_t worst = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      Site site{rate, seed};
      site.run(3s);
      ASSERT_EQ(site.moves, 0);
      site.cut = true;
      site.run(2500ms);
      EXPECT_EQ(site.moves, 1);
      EXPECT_EQ(site.last, kSecond);
      EXPECT_LE(site.lost * kGap, limit);
      worst = std::max(worst, site.lost);
    }
    RecordProperty("most_lost_" + std::string{model::to_string(rate)}, static_cast<int>(worst));
    EXPECT_GT(worst * kGap, limit / 2);
  }
  Site site{ProbeRate::Mid, 1};
  site.run(3s);
  site.cut = true;
  site.run(10s);
  const Instant mended = site.now;
  site.cut = false;
  site.run(320s);
  EXPECT_EQ(site.last, kFirst) << "the better path has its traffic back";
  EXPECT_EQ(site.moves, 2) << "once there and once back";
  EXPECT_GE(site.moved_at - mended, 300s - 2s) << "when 5 minutes were clear";
}

}  // namespace
}  // namespace qanat::wan
