// Rekeys under traffic (rules.md "Rekey without loss"): IKE's commands in its orders at any moment, a wire that delays,
// reorders and duplicates, and every packet arrives exactly once.
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_set>

#include <gtest/gtest.h>

#include "wan/path_test_support.hpp"

namespace qanat::wan {
namespace {

using namespace wan::testing;
using esp::DropReason;
constexpr TunnelId kT = TwoSites::kTunnel;

// Where udp() has the number of a packet.
constexpr std::size_t kNumberAt = 28;

// One sequence of Child SAs, each the rekey of the one before.
struct Lineage {
  Link link;
  const char* host_of_b = "10.2.0.9";
  std::uint64_t child = 0;
  int rekeys_left = 0;
};

class Storm {
 public:
  Storm(std::uint64_t seed, std::vector<Lineage> lineages) : rng_(seed), lineages_(std::move(lineages)) {
    for (Lineage& l : lineages_) {
      l.child = next_child_++;
      connect(net_.a, kT, net_.b, kT, l.link, l.child);
      at(after_ms(50), [this, &l] { rekey(l); });
    }
    for (Gateway* g : {&net_.a, &net_.b}) {
      settle(*g);
      at(0ms, [this, g] { traffic(*g); });
    }
  }

  void run() {
    while (!queue_.empty()) {
      net_.a.now = net_.b.now = now_ = queue_.begin()->first;
      const auto step = std::move(queue_.begin()->second);
      queue_.erase(queue_.begin());
      step();
      settle(net_.a);
      settle(net_.b);
    }
  }

  // Everything that is promised, once nothing moves any more.
  void check() {
    for (const Gateway* g : {&net_.a, &net_.b}) {
      const std::vector<std::uint8_t>& arrived = arrived_[g];
      EXPECT_GT(arrived.size(), 1000U);
      for (std::size_t i = 0; i < arrived.size(); ++i) ASSERT_EQ(arrived[i], 1U) << i;
      EXPECT_EQ(g->dropped(DropReason::Replay), duplicates_[g]);
      EXPECT_EQ(g->path.drops().total(), g->dropped(DropReason::Replay) + g->dropped(DropReason::Dummy));
      EXPECT_FALSE(g->path.next_timeout());
    }
    EXPECT_GT(net_.a.dropped(DropReason::Dummy) + net_.b.dropped(DropReason::Dummy), rekeyings_.size() / 4);
    EXPECT_GT(duplicates_[&net_.a], rekeyings_.size() / 4);
    for (Gateway* g : {&net_.a, &net_.b}) {
      g->post(ipsec::ReadCounters{RequestId{77}});
      EXPECT_EQ(g->event<ipsec::Counters>()->sas.size(), lineages_.size());
    }
  }

 private:
  struct Rekeying {
    Gateway* x = nullptr;  // who asks
    Gateway* y = nullptr;  // who answers
    ChildSaId fresh;
    ChildSaId old;
    Keyed k;
    bool y_installed_in = false;
    bool y_installed_out = false;
    bool y_switched = false;
    bool x_removed_out = false;
  };

  void at(Duration after, std::function<void()> step) { queue_.emplace(now_ + after, std::move(step)); }
  Duration after_ms(std::uint64_t most) {
    return std::chrono::microseconds(static_cast<std::int64_t>(rng_.below(1000 * most)));
  }
  Duration trip() { return 1ms + after_ms(20); }
  bool coin() { return rng_.below(2) == 0; }
  Gateway& other(const Gateway& g) { return &g == &net_.a ? net_.b : net_.a; }

  void traffic(Gateway& g) {
    if (std::all_of(lineages_.begin(), lineages_.end(), [](const Lineage& l) { return l.rekeys_left == 0; })) return;
    const Lineage& l = lineages_[rng_.below(lineages_.size())];
    PacketSpec s = &g == &net_.a ? a_to_b() : b_to_a();
    (&g == &net_.a ? s.destination : s.source) = ip(l.host_of_b);
    Bytes packet = udp(s);
    std::vector<std::uint8_t>& arrived = arrived_[&other(g)];
    store_be32(&packet[kNumberAt], static_cast<std::uint32_t>(arrived.size()));
    arrived.push_back(0);
    g.tun(packet);
    at(after_ms(2), [this, &g] { traffic(g); });
  }

  // What a gateway has to say after a step.
  void settle(Gateway& g) {
    if (const auto due = g.path.next_timeout(); due && *due <= now_) g.timeout();
    while (auto event = g.path.poll_event()) {
      if (const auto* first = std::get_if<ipsec::FirstInbound>(&*event)) {
        ASSERT_TRUE(told_first_.insert({&g, first->child.value()}).second) << "told twice";
        const auto found = rekeyings_.find(first->child.value());
        if (found != rekeyings_.end() && found->second->y == &g)
          at(after_ms(3), [this, r = found->second] { switch_y(*r); });
      } else {
        ASSERT_TRUE(std::holds_alternative<ipsec::Done>(*event)) << event->index();
      }
    }
    while (!g.sink.sent.empty()) {
      const SentEsp sent = g.take_sent();
      const std::uint64_t number = (std::uint64_t{load_be32(sent.esp.data())} << 32) | load_be32(&sent.esp[4]);
      ASSERT_TRUE(numbers_[&g].insert(number).second) << "an SA used a sequence number twice";
      const auto wire = [this, &g, sent] { other(g).wire(sent); };
      at(trip(), wire);
      if (rng_.below(100) != 0) continue;
      at(trip(), wire);
      ++duplicates_[&other(g)];
    }
    for (; !g.sink.delivered.empty(); g.sink.delivered.pop_front()) {
      const std::uint32_t number = load_be32(&g.sink.delivered.front().packet[kNumberAt]);
      ASSERT_LT(number, arrived_[&g].size());
      ++arrived_[&g][number];
    }
  }

  ipsec::SaDirection in(const Lineage& l, const Rekeying& r, const Gateway& g) {
    return &g == &net_.a ? a_in(l.link, r.k, r.fresh, kT) : b_in(l.link, r.k, r.fresh, kT);
  }
  ipsec::SaDirection out(const Lineage& l, const Rekeying& r, const Gateway& g) {
    return &g == &net_.a ? a_out(l.link, r.k, r.fresh, kT) : b_out(l.link, r.k, r.fresh, kT);
  }
  void reserve(Rekeying& r, Gateway& g) { (&g == &net_.a ? r.k.spi_a : r.k.spi_b) = g.reserve(kT); }

  void rekey(Lineage& l) {
    const auto r = std::make_shared<Rekeying>();
    r->x = coin() ? &net_.a : &net_.b;
    r->y = &other(*r->x);
    r->old = ChildSaId{l.child};
    r->fresh = ChildSaId{next_child_++};
    r->k.seed_ab = 2 * r->fresh.value();
    r->k.seed_ba = r->k.seed_ab + 1;
    rekeyings_[r->fresh.value()] = r;
    lineage_of_[r->fresh.value()] = &l;
    reserve(*r, *r->x);
    at(trip(), [this, &l, r] {  // CREATE_CHILD_SA request
      reserve(*r, *r->y);
      // A plane that is slow to take keys: ESP for the new SPI has to wait.
      if (rng_.below(4) == 0) {
        at(after_ms(15), [this, r] { install_y(*r); });
      } else {
        install_y(*r);
      }
      at(trip(), [this, &l, r] { answered(l, *r, r); });
    });
  }
  void install_y(Rekeying& r) {
    const Lineage& l = *lineage_of_[r.fresh.value()];
    if (!r.y_installed_in) {
      r.y_installed_in = true;
      ASSERT_TRUE(r.y->install_inbound(in(l, r, *r.y)));
    }
    if (coin()) install_y_out(r);  // others do it only when they switch
  }
  void install_y_out(Rekeying& r) {
    if (std::exchange(r.y_installed_out, true)) return;
    ASSERT_TRUE(r.y->install_outbound(out(*lineage_of_[r.fresh.value()], r, *r.y)));
  }
  void switch_y(Rekeying& r) {
    install_y_out(r);
    if (!std::exchange(r.y_switched, true)) r.y->post(ipsec::SwitchOutbound{kT, r.fresh});
  }
  void remove_x_out(Rekeying& r) {
    if (!std::exchange(r.x_removed_out, true)) r.x->post(ipsec::RemoveOutbound{r.old});
  }
  void forget_inbound_later(Gateway& g, ChildSaId child) {
    at(5s, [&g, child] { g.post(ipsec::RemoveInbound{child}); });
  }

  void answered(Lineage& l, Rekeying& rekeying, const std::shared_ptr<Rekeying>& r) {
    Gateway& x = *rekeying.x;
    if (coin()) {
      ASSERT_TRUE(x.install_inbound(in(l, rekeying, x)));
      ASSERT_TRUE(x.install_outbound(out(l, rekeying, x)));
    } else {
      ASSERT_TRUE(x.install_outbound(out(l, rekeying, x)));
      ASSERT_TRUE(x.install_inbound(in(l, rekeying, x)));
    }
    at(coin() ? Duration{0} : after_ms(5), [this, &l, r] {
      r->x->post(ipsec::SwitchOutbound{kT, r->fresh});
      if (coin()) r->x->post(ipsec::SendDummy{r->fresh});
      if (coin()) remove_x_out(*r);
      at(trip(), [this, &l, r] {  // DELETE
        install_y(*r);
        switch_y(*r);
        r->y->post(ipsec::RemoveOutbound{r->old});
        forget_inbound_later(*r->y, r->old);
        at(trip(), [this, &l, r] {  // and its answer
          remove_x_out(*r);
          forget_inbound_later(*r->x, r->old);
          l.child = r->fresh.value();
          if (--l.rekeys_left > 0) at(after_ms(60), [this, &l] { rekey(l); });
        });
      });
    });
  }

  SeededRng rng_;
  std::vector<Lineage> lineages_;
  TwoSites net_;
  Instant now_ = at_ms(1000);
  std::multimap<Instant, std::function<void()>> queue_;
  std::uint64_t next_child_ = 1;
  std::map<std::uint64_t, std::shared_ptr<Rekeying>> rekeyings_;  // by the fresh Child SA
  std::map<std::uint64_t, Lineage*> lineage_of_;
  std::map<const Gateway*, std::vector<std::uint8_t>> arrived_;  // how often, by number
  std::map<const Gateway*, std::uint64_t> duplicates_;           // on their way to it
  std::map<const Gateway*, std::unordered_set<std::uint64_t>> numbers_;
  std::set<std::pair<const Gateway*, std::uint64_t>> told_first_;
};

TEST(RekeyStorm, AThousandRekeysLoseNothing) {
  Storm storm(1, {{.link = {.suite = kGcm256, .esn = true}, .rekeys_left = 1000}});
  storm.run();
  storm.check();
}

TEST(RekeyStorm, TwoChildSasWithOtherSelectorsRekeyEachOnItsOwn) {
  const auto of_b = [](const char* first, const char* last) {
    return std::vector{wire::TrafficSelector{.first = ip(first), .last = ip(last)}};
  };
  Link low{.suite = kChaCha};
  low.b_ts = of_b("10.2.0.0", "10.2.127.255");
  Link high{.suite = kCbc256};
  high.b_ts = of_b("10.2.128.0", "10.2.255.255");
  Storm storm(2, {{.link = low, .host_of_b = "10.2.0.9", .rekeys_left = 500},
                  {.link = high, .host_of_b = "10.2.200.9", .rekeys_left = 500}});
  storm.run();
  storm.check();
}

TEST(RekeyStorm, ManySeeds) {
  for (std::uint64_t seed = 10; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    Storm storm(seed, {{.link = {.esn = seed % 2 == 0}, .rekeys_left = 100}});
    storm.run();
    storm.check();
  }
}

TEST(Rekey, TheNextCarriesWhenTheNewestIsRemoved) {
  TwoSites net;
  net.up();
  const Keyed k = connect(net.a, kT, net.b, kT, net.link, 2);
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(load_be32(net.a.take_sent().esp.data()), k.spi_b);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{2}});
  net.a.tun(udp(a_to_b()));
  EXPECT_EQ(load_be32(net.a.take_sent().esp.data()), net.keyed.spi_b);
  net.a.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.a.tun(udp(a_to_b()));
  EXPECT_TRUE(net.a.sink.sent.empty());
  EXPECT_TRUE(net.a.event<ipsec::Acquire>());
  EXPECT_EQ(net.a.path.drops().total(), 0U);
}

TEST(Rekey, TheFirstPacketIsToldOnceWhateverItCarries) {
  TwoSites net;
  net.up();
  HostileA a(net);
  a.send(udp(a_to_b()), 6);  // authenticated; the trailer is wrong
  EXPECT_EQ(net.b.dropped(DropReason::NextHeader), 1U);
  EXPECT_EQ(net.b.event<ipsec::FirstInbound>()->child, ChildSaId{1});
  a.send(udp(a_to_b()));
  a.send({}, 59);
  EXPECT_EQ(net.b.count_events<ipsec::FirstInbound>(), 0U);

  // A dummy of an SA that carries nothing yet; a forged packet before it is none.
  const Keyed k = key_up(net.a, kT, net.b, kT, 2);
  ASSERT_TRUE(net.b.install_inbound(b_in(net.link, k, ChildSaId{2}, kT)));
  ASSERT_TRUE(net.a.install_outbound(a_out(net.link, k, ChildSaId{2}, kT)));
  net.a.post(ipsec::SendDummy{ChildSaId{2}});
  net.a.timeout();
  const SentEsp dummy = net.a.take_sent();
  SentEsp forged = dummy;
  forged.esp.back() ^= 1;
  net.b.wire(forged);
  EXPECT_EQ(net.b.count_events<ipsec::FirstInbound>(), 0U);
  net.b.wire(dummy);
  EXPECT_EQ(net.b.event<ipsec::FirstInbound>()->child, ChildSaId{2});
  net.b.wire(dummy);
  EXPECT_EQ(net.b.dropped(DropReason::Replay), 1U);
  EXPECT_EQ(net.b.count_events<ipsec::FirstInbound>(), 0U);
  EXPECT_EQ(net.b.dropped(DropReason::Dummy), 2U);
  EXPECT_EQ(net.b.sink.delivered.size(), 1U);
}

TEST(Rekey, OldInboundKeysOpenUntilTheyAreRemovedAndTheirSpiRests) {
  TwoSites net;
  net.up();
  std::vector<SentEsp> late;
  for (int i = 0; i < 3; ++i) {
    net.a.tun(udp(a_to_b()));
    late.push_back(net.a.take_sent());
  }
  connect(net.a, kT, net.b, kT, net.link, 2);
  net.b.post(ipsec::RemoveOutbound{ChildSaId{1}});
  net.b.now = net.b.now + 4900ms;
  net.b.wire(late[0]);
  EXPECT_EQ(net.b.sink.delivered.size(), 1U);
  // A straggler from an old address says nothing about where the peer is now.
  late[1].path.local.port = 999;
  net.b.wire(late[1]);
  EXPECT_EQ(net.b.sink.delivered.size(), 2U);
  EXPECT_EQ(net.b.count_events<ipsec::PeerMoved>(), 0U);
  net.b.post(ipsec::RemoveInbound{ChildSaId{1}});
  net.b.wire(late[2]);
  EXPECT_EQ(net.b.dropped(DropReason::NoSa), 1U);
  for (int i = 0; i < 200; ++i) {
    const auto spi = net.b.reserve(kT);
    EXPECT_NE(ipsec::spi_slot(spi), ipsec::spi_slot(net.keyed.spi_b));
    EXPECT_EQ(ipsec::spi_bucket(spi), ipsec::spi_bucket(net.keyed.spi_b));
  }
  net.b.now = net.b.now + 60s;
  const auto again = net.b.reserve(kT);
  EXPECT_EQ(ipsec::spi_slot(again), ipsec::spi_slot(net.keyed.spi_b));
  EXPECT_NE(again, net.keyed.spi_b);
}

TEST(Limits, ExtendedNumbersPassTheWrapBothWays) {
  for (const CipherSuite& suite : kSuites) {
    TwoSites net({.suite = suite, .esn = true, .last_sequence = (std::uint64_t{1} << 32) - 51});
    net.up();
    std::set<Bytes> ivs;
    SeededRng rng(5);
    const std::size_t iv = esp::esp_layout(suite).iv;
    for (int i = 0; i < 100; ++i) {
      net.a.tun(udp(a_to_b()));
      net.b.tun(udp(b_to_a()));
    }
    for (Gateway* g : {&net.a, &net.b}) {
      EXPECT_EQ(load_be32(&g->sink.sent[49].esp[4]), 0xffffffffU);
      EXPECT_EQ(load_be32(&g->sink.sent[50].esp[4]), 0U);
      ivs.clear();
      for (const SentEsp& s : g->sink.sent) ASSERT_TRUE(ivs.insert(to_bytes(ByteView{s.esp}.subspan(8, iv))).second);
      auto& sent = g->sink.sent;
      const std::deque<SentEsp> copies = sent;
      for (std::size_t i = sent.size(); i > 1; --i) std::swap(sent[i - 1], sent[rng.below(i)]);
      Gateway& other = g == &net.a ? net.b : net.a;
      while (!sent.empty()) other.wire(g->take_sent());
      EXPECT_EQ(other.sink.delivered.size(), 100U);
      for (const SentEsp& s : copies) other.wire(s);
      EXPECT_EQ(other.dropped(DropReason::Replay), 100U);
      EXPECT_EQ(other.path.drops().total(), 100U);
    }
  }
}

TEST(Limits, NumbersStopAtTheirEndAndARekeyGoesOn) {
  for (const bool esn : {false, true}) {
    const std::uint64_t end = esn ? ~std::uint64_t{0} : 0xffffffffU;
    TwoSites net({.esn = esn, .last_sequence = end - 3});
    net.up();
    std::size_t soft = 0;
    std::size_t hard = 0;
    for (int i = 0; i < 10; ++i) {
      net.a.tun(udp(a_to_b()));
      while (auto e = net.a.path.poll_event()) {
        soft += std::holds_alternative<ipsec::SoftLimit>(*e) ? 1U : 0U;
        hard += std::holds_alternative<ipsec::HardLimit>(*e) ? 1U : 0U;
      }
    }
    EXPECT_EQ(soft, 1U);
    EXPECT_EQ(hard, 1U);
    ASSERT_EQ(net.a.sink.sent.size(), 3U);
    EXPECT_EQ(load_be32(&net.a.sink.sent.back().esp[4]), 0xffffffffU);
    EXPECT_EQ(net.a.dropped(DropReason::SeqExhausted), 7U);
    net.a.post(ipsec::SendDummy{ChildSaId{1}});  // not even this
    net.a.timeout();
    EXPECT_EQ(net.a.sink.sent.size(), 3U);
    net.carry();
    EXPECT_EQ(net.b.sink.delivered.size(), 3U);
    net.link.last_sequence = 0;
    connect(net.a, kT, net.b, kT, net.link, 2);
    net.a.tun(udp(a_to_b()));
    net.carry();
    EXPECT_EQ(net.b.sink.delivered.size(), 4U);
  }
}

TEST(Limits, BytesAndPacketsStopEitherHalf) {
  const std::uint64_t size = udp(a_to_b()).size();
  for (const ipsec::SaLimits& limits : {ipsec::SaLimits{.soft_packets = 4, .hard_packets = 8},
                                        ipsec::SaLimits{.soft_bytes = 4 * size, .hard_bytes = 8 * size},
                                        ipsec::SaLimits{.soft_packets = 9, .hard_packets = 8}}) {
    TwoSites net({.limits = limits});
    net.up();
    auto sealer = net.link;
    sealer.limits = {};
    esp::KeyCache keys(1);
    auto endless = *esp::OutboundSa::create(a_out(sealer, net.keyed, ChildSaId{1}, kT), keys);
    SeededRng rng(6);
    std::vector<std::size_t> soft_at;
    std::vector<std::size_t> hard_at;
    for (std::size_t i = 1; i <= 12; ++i) {
      net.a.tun(udp(a_to_b()));
      Bytes datagram(endless.layout().sealed_size(size));
      ASSERT_TRUE(endless.seal(udp(a_to_b()), 4, datagram, rng));
      net.b.wire(net.link.path_of_b(), 0, datagram);
      for (Gateway* g : {&net.a, &net.b}) {
        while (auto e = g->path.poll_event()) {
          if (std::holds_alternative<ipsec::SoftLimit>(*e)) soft_at.push_back(i);
          if (std::holds_alternative<ipsec::HardLimit>(*e)) hard_at.push_back(i);
        }
      }
    }
    // A soft limit beyond the hard one asks in time all the same.
    const std::size_t soft = limits.soft_packets == 9 ? 7 : 4;
    EXPECT_EQ(soft_at, (std::vector<std::size_t>{soft, soft}));
    EXPECT_EQ(hard_at, (std::vector<std::size_t>{8, 8}));
    EXPECT_EQ(net.a.sink.sent.size(), 8U);
    EXPECT_EQ(net.b.sink.delivered.size(), 8U);
    EXPECT_EQ(net.a.dropped(DropReason::HardLimit), 4U);
    EXPECT_EQ(net.b.dropped(DropReason::HardLimit), 4U);
  }
}

}  // namespace
}  // namespace qanat::wan
