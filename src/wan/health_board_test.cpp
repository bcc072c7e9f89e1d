// Probes as packets, and many tunnels behind one timer.
#include "wan/health_board.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "esp/checksum.hpp"
#include "esp/icmp.hpp"
#include "esp/packet_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace esp::testing;
using model::HealthCheck;
using model::ProbeDirection;
using model::ProbeRate;
using model::ProbeType;
using Liveness = TunnelHealth::Liveness;

const Instant kBegin = Instant::from_ns(0) + 1000s;

ProbePath path4(ProbeType type = ProbeType::Request) {
  return {.local = ip("10.255.0.0"), .remote = ip("10.255.0.1"), .type = type};
}
ProbePath path6(ProbeType type = ProbeType::Request) {
  return {.local = ip("fd00::"), .remote = ip("fd00::1"), .type = type};
}
ProbeAddresses addresses() {
  return {.interface4 = ip("10.255.0.0"),
          .peer_interface4 = ip("10.255.0.1"),
          .interface6 = ip("fd00::"),
          .peer_interface6 = ip("fd00::1"),
          .outer_local = ip("203.0.113.1"),
          .outer_peer = ip("198.51.100.7")};
}
esp::InnerPacket parsed(ByteView packet) {
  return esp::parse_inner(packet).value();
}
// What the peer makes of a probe.
Bytes answer_to(const Bytes& probe, ProbeType type) {
  return type == ProbeType::Request ? esp::make_echo_reply(probe, parsed(probe)) : probe;
}
bool checksums_hold(const Bytes& packet) {
  const auto p = parsed(packet);
  const ByteView icmp = ByteView{packet}.subspan(p.transport_offset);
  if (p.is_v6()) return esp::transport_checksum(p.source, p.destination, esp::kProtocolIcmpv6, icmp) == 0;
  return esp::checksum(ByteView{packet}.first(20)) == 0 && esp::checksum(icmp) == 0;
}

TEST(Probe, IsAnEchoThatComesBack) {
  SeededRng rng{1};
  const ProbeCodec codec{rng};
  for (const ProbeType type : {ProbeType::Request, ProbeType::Reply}) {
    for (const ProbePath& path : {path4(type), path6(type)}) {
      const Bytes probe = codec.make(TunnelId{70'000}, path, 4711);
      const auto p = parsed(probe);
      EXPECT_EQ(p.size, probe.size());
      EXPECT_EQ(p.size, path.local.is_v6() ? 84U : 64U);
      EXPECT_TRUE(checksums_hold(probe));
      const bool request = type == ProbeType::Request;
      EXPECT_EQ(esp::is_echo_request(probe, p), request);
      EXPECT_EQ(p.source, request ? path.local : path.remote);
      EXPECT_EQ(p.destination, request ? path.remote : path.local);
      const Bytes answer = answer_to(probe, type);
      EXPECT_EQ(codec.read(answer, parsed(answer)), (ProbeAnswer{.tunnel = TunnelId{70'000}, .sequence = 4711}));
      EXPECT_EQ(codec.read(probe, p).has_value(), !request) << "a request is no answer";
    }
  }
}

TEST(Probe, AnswersCannotBeInvented) {
  SeededRng rng{2};
  const ProbeCodec codec{rng};
  const ProbeCodec other{rng};
  const Bytes good = answer_to(codec.make(TunnelId{1}, path4(), 9), ProbeType::Request);
  EXPECT_FALSE(other.read(good, parsed(good)));
  // Every bit of what is named and of the token counts: 32 octets behind the ICMP header.
  for (std::size_t bit = 0; bit < 32 * 8; ++bit) {
    Bytes bad = good;
    bad[28 + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(codec.read(bad, parsed(bad))) << bit;
  }
  // The identifier and the ICMP sequence number are others' to change: some NATs do.
  Bytes renumbered = good;
  store_be32(&renumbered[24], 0x12345678);
  EXPECT_TRUE(codec.read(renumbered, parsed(renumbered)));
  for (std::size_t size = 20; size < good.size() - 4; ++size) {
    Bytes cut{good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)};
    store_be16(&cut[2], static_cast<std::uint16_t>(size));
    EXPECT_FALSE(codec.read(cut, parsed(cut))) << size;
  }
}

// We are the far router of somebody else's check.
TEST(Probe, ThePeersOwnReplyProbesAreRecognised) {
  SeededRng rng{4};
  const ProbeCodec peer{rng};
  for (const ProbePath& path : {path4(ProbeType::Reply), path6(ProbeType::Reply)}) {
    // Seen from here, the peer's `remote` is our interface address.
    const Bytes probe = peer.make(TunnelId{1}, path, 1);
    EXPECT_TRUE(is_peers_reply_probe(probe, parsed(probe), path.remote, path.local));
    EXPECT_FALSE(is_peers_reply_probe(probe, parsed(probe), path.local, path.remote));
    EXPECT_FALSE(is_peers_reply_probe(probe, parsed(probe), path.remote, path.remote));
    EXPECT_FALSE(is_peers_reply_probe(probe, parsed(probe), path.local, path.local));
    Bytes other = probe;
    other[path.local.is_v6() ? 40 : 20] ^= 1;  // another type
    EXPECT_FALSE(is_peers_reply_probe(other, parsed(other), path.remote, path.local));
  }
  ProbePath forged = path4(ProbeType::Request);
  std::swap(forged.local, forged.remote);
  const Bytes request = peer.make(TunnelId{1}, forged, 1);
  EXPECT_FALSE(is_peers_reply_probe(request, parsed(request), ip("10.255.0.1"), ip("10.255.0.0")));
}

TEST(Probe, RandomPacketsAreNoAnswers) {
  SeededRng rng{3};
  const ProbeCodec codec{rng};
  int seen = 0;
  for (int i = 0; i < 20'000; ++i) {
    Bytes packet = rng.bytes(20 + rng.below(100));
    packet[0] = rng.below(2) == 0 ? 0x45 : 0x60;
    if (packet[0] == 0x45) {
      store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
      packet[9] = 1;
    } else if (packet.size() > 40) {
      store_be16(&packet[4], static_cast<std::uint16_t>(packet.size() - 40));
      packet[6] = 58;
    }
    const auto p = esp::parse_inner(packet);
    if (!p) continue;
    ++seen;
    EXPECT_FALSE(codec.read(packet, *p));
  }
  EXPECT_GT(seen, 1000);
}

TEST(Probe, PathOfACheck) {
  HealthCheck check;
  EXPECT_EQ(std::get<ProbePath>(probe_path(check, addresses())), path4());
  check.type = ProbeType::Reply;
  EXPECT_EQ(std::get<ProbePath>(probe_path(check, addresses())), path4(ProbeType::Reply));
  check.type = ProbeType::Request;
  ProbeAddresses only6 = addresses();
  only6.interface4.reset();
  EXPECT_EQ(std::get<ProbePath>(probe_path(check, only6)), path6());
  check.target = ip("10.1.0.1");
  EXPECT_EQ(std::get<ProbePath>(probe_path(check, addresses())).remote, ip("10.1.0.1"));
  EXPECT_EQ(std::get<HealthCode>(probe_path(check, only6)), HealthCode::NoAddress) << "not of one family";
  check.target = ip("2001:db8::1");
  EXPECT_EQ(std::get<ProbePath>(probe_path(check, addresses())).local, ip("fd00::"));
  check.target.reset();
  EXPECT_EQ(std::get<HealthCode>(probe_path(check, {})), HealthCode::NoAddress);
  check.direction = ProbeDirection::Unidirectional;
  const auto outer = std::get<ProbePath>(probe_path(check, addresses()));
  EXPECT_EQ(outer.local, ip("203.0.113.1"));
  EXPECT_EQ(outer.remote, ip("198.51.100.7"));
  check.enabled = false;
  EXPECT_EQ(std::get<HealthCode>(probe_path(check, addresses())), HealthCode::Disabled);
}

wire::TrafficSelector selector(std::string_view prefix, std::uint8_t protocol = 0) {
  const Prefix p = net(prefix);
  return {.first = p.first(), .last = p.last(), .protocol = protocol};
}

TEST(Probe, SelectorsMustCarryProbeAndAnswer) {
  const std::vector any = {selector("0.0.0.0/0"), selector("::/0")};
  const std::vector ours = {selector("10.255.0.0/32")};
  const std::vector theirs = {selector("10.255.0.1/32")};
  const std::vector both = {selector("10.255.0.0/31")};
  const std::vector elsewhere = {selector("10.1.0.0/16")};
  const std::vector tcp = {selector("0.0.0.0/0", 6)};
  EXPECT_TRUE(selectors_carry(path4(), any, any));
  EXPECT_TRUE(selectors_carry(path6(), any, any));
  EXPECT_TRUE(selectors_carry(path4(), ours, theirs));
  EXPECT_FALSE(selectors_carry(path4(), ours, elsewhere));
  EXPECT_FALSE(selectors_carry(path4(), elsewhere, theirs));
  EXPECT_FALSE(selectors_carry(path4(), tcp, tcp));
  EXPECT_FALSE(selectors_carry(path6(), ours, theirs));
  // Only requests pass: the answer would not come back.
  std::vector requests = {selector("0.0.0.0/0", 1)};
  requests[0].port_first = requests[0].port_last = 8 << 8;
  EXPECT_FALSE(selectors_carry(path4(), requests, requests));
  ProbePath one_way = path4();
  one_way.direction = ProbeDirection::Unidirectional;
  EXPECT_TRUE(selectors_carry(one_way, requests, requests));
  // A reply leaves with the peer's address as its source.
  EXPECT_FALSE(selectors_carry(path4(ProbeType::Reply), ours, theirs));
  EXPECT_TRUE(selectors_carry(path4(ProbeType::Reply), both, both));
  // One way: the answer takes another.
  ProbePath out_only = path4(ProbeType::Reply);
  out_only.direction = ProbeDirection::Unidirectional;
  EXPECT_TRUE(selectors_carry(out_only, theirs, ours));
}

struct Fleet {
  SeededRng rng{1};
  HealthBoard board{rng};
  Instant now = kBegin;
  std::multimap<Instant, std::pair<TunnelId, Bytes>> answers;
  std::set<TunnelId> cut;
  std::vector<std::pair<Instant, TunnelId>> sent;
  std::vector<HealthBoard::Change> changes;

  void add(std::uint32_t id, const HealthBoard::Plan& plan) {
    board.set(now, TunnelId{id}, plan);
    board.handle_liveness(now, TunnelId{id}, Liveness::HasSa);
    drain();
  }
  void drain() {
    while (const auto probe = board.poll_probe()) {
      sent.emplace_back(now, probe->tunnel);
      const ProbeType type =
          esp::is_echo_request(probe->packet, parsed(probe->packet)) ? ProbeType::Request : ProbeType::Reply;
      if (!cut.contains(probe->tunnel))
        answers.emplace(now + 20ms, std::pair{probe->tunnel, answer_to(probe->packet, type)});
    }
    while (const auto change = board.poll_change()) changes.push_back(*change);
  }
  void run(Duration how_long) {
    const Instant end = now + how_long;
    while (true) {
      auto next = board.next_timeout();
      if (!answers.empty() && (!next || answers.begin()->first < *next)) next = answers.begin()->first;
      if (!next || *next > end) break;
      now = std::max(now, *next);
      while (!answers.empty() && answers.begin()->first <= now) {
        const auto [tunnel, packet] = answers.begin()->second;
        answers.erase(answers.begin());
        if (board.find(tunnel) == nullptr) continue;
        EXPECT_EQ(board.handle_packet(now, tunnel, packet, parsed(packet)), HealthBoard::Taken::Answer);
      }
      board.handle_timeout(now);
      drain();
    }
    now = end;
  }
};

TEST(HealthBoard, AThousandTunnelsDoNotProbeInOneInstant) {
  Fleet f;
  for (std::uint32_t id = 1; id <= 1000; ++id)
    f.add(id, {.rate = ProbeRate::Mid, .path = path4(id % 2 == 0 ? ProbeType::Reply : ProbeType::Request)});
  f.run(10s);
  EXPECT_EQ(f.sent.size(), 10'000U);
  std::map<std::int64_t, int> by_10ms;
  for (const auto& [at, tunnel] : f.sent) ++by_10ms[(at - kBegin) / 10ms];
  EXPECT_GT(by_10ms.size(), 900U);
  for (const auto& [when, count] : by_10ms) EXPECT_LT(count, 40);
  EXPECT_TRUE(std::all_of(f.changes.end() - 1000, f.changes.end(),
                          [](const auto& c) { return c.change.to == HealthState::Healthy; }));
  f.changes.clear();

  f.cut = {TunnelId{7}, TunnelId{8}};
  f.run(2s);
  EXPECT_EQ(f.board.find(TunnelId{7})->health.state(), HealthState::Down);
  EXPECT_EQ(f.board.find(TunnelId{8})->health.state(), HealthState::Down);
  EXPECT_EQ(f.board.find(TunnelId{9})->health.state(), HealthState::Healthy);
  for (const auto& c : f.changes) EXPECT_TRUE(f.cut.contains(c.tunnel));
}

TEST(HealthBoard, AnswersCountOnlyTheWayTheyShouldCome) {
  SeededRng rng{5};
  HealthBoard board{rng};
  const TunnelId one{1};
  const TunnelId two{2};
  ProbePath outer = path4();
  outer.direction = ProbeDirection::Unidirectional;
  board.set(kBegin, one, {.rate = ProbeRate::Mid, .path = path4()});
  board.set(kBegin, two, {.rate = ProbeRate::Mid, .path = outer});
  for (const TunnelId id : {one, two}) board.handle_liveness(kBegin, id, Liveness::HasSa);
  const Instant now = kBegin + 1s;
  board.handle_timeout(now);
  std::map<TunnelId, Bytes> replies;
  while (const auto probe = board.poll_probe()) replies[probe->tunnel] = answer_to(probe->packet, ProbeType::Request);
  ASSERT_EQ(replies.size(), 2U);
  const auto show = [&](std::optional<TunnelId> through, const Bytes& packet) {
    return board.handle_packet(now, through, packet, parsed(packet));
  };
  using Taken = HealthBoard::Taken;
  EXPECT_EQ(show(two, replies[one]), Taken::NoSample);
  EXPECT_EQ(show(std::nullopt, replies[one]), Taken::NoSample);
  Bytes elsewhere = replies[one];
  elsewhere[15] = 9;  // another source
  EXPECT_EQ(show(one, elsewhere), Taken::NoSample);
  elsewhere = replies[one];
  elsewhere[19] = 9;  // to another destination
  EXPECT_EQ(show(one, elsewhere), Taken::NoSample);
  EXPECT_EQ(show(one, replies[one]), Taken::Answer);
  EXPECT_EQ(show(one, replies[one]), Taken::NoSample) << "a copy";
  EXPECT_EQ(board.find(one)->no_samples, 5U);
  EXPECT_EQ(show(std::nullopt, replies[two]), Taken::Answer) << "back over the Internet";

  Bytes ping = replies[two];
  ping[28] ^= 1U;
  EXPECT_EQ(show(one, ping), Taken::NotOurs) << "the host's own ping goes to the host";
  board.remove(one);
  EXPECT_EQ(show(one, replies[one]), Taken::NoSample);
  EXPECT_EQ(board.find(one), nullptr);
}

TEST(HealthBoard, PlansChangeInPlace) {
  Fleet f;
  f.add(1, {.rate = ProbeRate::Mid, .path = path4()});
  f.run(60s);
  EXPECT_EQ(f.board.find(TunnelId{1})->health.state(), HealthState::Healthy);
  f.changes.clear();

  f.board.set(f.now, TunnelId{1}, {.rate = ProbeRate::Mid, .path = path4()});
  f.board.set(f.now, TunnelId{1}, {.rate = ProbeRate::High, .path = path4()});
  f.drain();
  f.sent.clear();
  f.run(10s);
  EXPECT_EQ(f.sent.size(), 50U);
  EXPECT_TRUE(f.changes.empty());

  f.board.set(f.now, TunnelId{1}, {.rate = ProbeRate::High, .path = path6()});
  f.drain();
  EXPECT_EQ(f.changes.back().change.code, HealthCode::NoAnswerYet);
  f.run(1s);
  EXPECT_EQ(f.board.find(TunnelId{1})->health.state(), HealthState::Healthy);

  f.board.set(f.now, TunnelId{1}, {.rate = ProbeRate::High, .path = HealthCode::OutsideSelectors});
  f.drain();
  EXPECT_EQ(f.changes.back().change.code, HealthCode::OutsideSelectors);
  EXPECT_EQ(f.board.next_timeout(), std::nullopt);
  f.sent.clear();
  f.run(60s);
  EXPECT_TRUE(f.sent.empty());

  f.board.set(f.now, TunnelId{1}, {.rate = ProbeRate::Mid, .path = path4()});
  f.drain();
  f.run(2s);
  EXPECT_EQ(f.board.find(TunnelId{1})->health.state(), HealthState::Healthy);
  f.board.remove(TunnelId{1});
  f.board.remove(TunnelId{1});
  EXPECT_EQ(f.board.next_timeout(), std::nullopt);
  EXPECT_EQ(f.board.size(), 0U);
}

}  // namespace
}  // namespace qanat::wan
