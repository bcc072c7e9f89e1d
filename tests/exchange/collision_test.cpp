// Rekeys that meet: the collision table of RFC 7296 2.8.1 and 2.25, with and without additional key exchanges. Whatever
// happens, both sides end with the same SAs and a tunnel that carries.
#include <algorithm>

#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

constexpr const char* kClassical = "aes256gcm16-prfsha384-x25519";
constexpr const char* kHybrid = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";

void rekey_child(World& w, char who) {
  const auto live = w.side(who).live_children();
  if (live.empty()) return;
  w.side(who).endpoint->handle_plane(w.now, ipsec::SoftLimit{live.back().id});
  w.drain();
}
void rekey_ike(World& w, char who) {
  w.side(who).endpoint->rekey(w.now, TunnelId{1});
  w.drain();
}
void delete_child(World& w, char who) {
  const auto live = w.side(who).live_children();
  if (live.empty()) return;
  w.side(who).endpoint->handle_plane(w.now, ipsec::HardLimit{live.back().id});
  w.drain();
}

// Who began the exchange with the lowest of the nonces that CREATE_CHILD_SA messages carried since `from`.
char loser(const World& w, std::size_t from) {
  std::optional<std::pair<Bytes, char>> lowest;
  for (std::size_t i = from; i < w.sent.size(); ++i) {
    const Seen seen = w.look(w.sent[i]);
    const auto* nonce = wire::find<wire::NoncePayload>(seen.payloads);
    if (seen.message.header.exchange != ExchangeType::CREATE_CHILD_SA || nonce == nullptr) continue;
    const char began = seen.message.header.is_response() ? (w.sent[i].from == 'A' ? 'B' : 'A') : w.sent[i].from;
    if (!lowest || nonce->data < lowest->first) lowest = {nonce->data, began};
  }
  return lowest ? lowest->second : '?';
}

class Settled : public Conversation {
 public:
  using Conversation::Conversation;
  // One IKE SA, and as many Child SAs, on both sides; nothing old is left.
  void expect_settled(std::size_t children = 1) {
    run_for(200s);
    ASSERT_EQ(a.established().size(), 1U) << a.said() << b.said();
    ASSERT_EQ(b.established().size(), 1U) << a.said() << b.said();
    EXPECT_EQ(a.endpoint->sas().size(), 1U) << a.said();
    EXPECT_EQ(b.endpoint->sas().size(), 1U) << b.said();
    EXPECT_EQ(a.sa().spi_i, b.sa().spi_i);
    EXPECT_EQ(a.sa().spi_r, b.sa().spi_r);
    EXPECT_EQ(a.sa().children.size(), children) << a.said() << b.said();
    EXPECT_EQ(b.sa().children.size(), children) << a.said() << b.said();
    EXPECT_EQ(a.plane.inbound.size(), children);
    EXPECT_EQ(b.plane.inbound.size(), children);
    EXPECT_EQ(a.plane.outbound.size(), children);
    EXPECT_EQ(b.plane.outbound.size(), children);
    EXPECT_FALSE(a.has(Report::What::Down)) << a.said();
    EXPECT_FALSE(b.has(Report::What::Down)) << b.said();
    if (children == 1) expect_tunnel();
  }
};

class Collision : public ::testing::TestWithParam<const char*> {
 protected:
  // `script` is run in many worlds, so that each of the four nonces is the lowest in some.
  template <typename Script>
  void in_many_worlds(Script script) {
    std::map<char, unsigned> losers;
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
      SCOPED_TRACE(fmt::format("seed {}", seed));
      Settled w{seed};
      w.both_offer(GetParam());
      w.handshake();
      const std::size_t from = w.sent.size();
      script(w);
      ++losers[loser(w, from)];
      w.expect_settled();
      if (::testing::Test::HasFailure()) return;
    }
    EXPECT_GT(losers['A'], 2U);
    EXPECT_GT(losers['B'], 2U);
  }
};

TEST_P(Collision, RegularChildRekey) {
  in_many_worlds([](Settled& w) {
    const ChildSaId old = w.a.child().id;
    rekey_child(w, 'A');
    w.run();
    EXPECT_NE(w.a.child().id, old);
    rekey_child(w, 'B');
    w.run();
  });
}

TEST_P(Collision, BothRekeyTheChildSa) {
  in_many_worlds([](Settled& w) {
    const std::size_t from = w.sent.size();
    rekey_child(w, 'A');
    rekey_child(w, 'B');
    ASSERT_GE(w.wire.size(), 2U);
    w.run();
    // The winner's Child SA is the one that stays.
    const char winner = loser(w, from) == 'A' ? 'B' : 'A';
    w.run_for(10s);
    const auto live = w.side(winner).child();
    EXPECT_EQ(w.side(winner).plane.dummies.back(), live.id);
  });
}

TEST_P(Collision, BothRekeyTheIkeSa) {
  in_many_worlds([](Settled& w) {
    const ChildSaId child = w.a.child().id;
    const std::uint64_t old = w.a.sa().spi_i;
    const std::size_t from = w.sent.size();
    rekey_ike(w, 'A');
    rekey_ike(w, 'B');
    w.run();
    w.run_for(10s);
    const char winner = loser(w, from) == 'A' ? 'B' : 'A';
    EXPECT_NE(w.a.sa().spi_i, old);
    EXPECT_TRUE(w.side(winner).sa().initiator);
    EXPECT_EQ(w.a.child().id, child);
  });
}

// The peer's answer comes last of all.
TEST_P(Collision, ChildRekeyWithADelayedResponse) {
  in_many_worlds([](Settled& w) {
    rekey_child(w, 'A');
    rekey_child(w, 'B');
    std::optional<Flight> late;
    for (int i = 0; i < 400 && !w.wire.empty(); ++i) {
      if (!late && w.name_of(w.wire.front()).starts_with("B->A CREATE_CHILD_SA response")) {
        late = w.wire.front();
        w.drop();
      } else {
        w.deliver();
      }
    }
    ASSERT_TRUE(late.has_value());
    w.arrive(*late);
    w.run();
  });
}

TEST_P(Collision, IkeRekeyWithADelayedResponse) {
  in_many_worlds([](Settled& w) {
    rekey_ike(w, 'A');
    rekey_ike(w, 'B');
    std::optional<Flight> late;
    for (int i = 0; i < 400 && !w.wire.empty(); ++i) {
      if (!late && w.name_of(w.wire.front()).starts_with("B->A CREATE_CHILD_SA response")) {
        late = w.wire.front();
        w.drop();
      } else {
        w.deliver();
      }
    }
    ASSERT_TRUE(late.has_value());
    w.arrive(*late);
    w.run();
  });
}

// The request is lost at first; the peer's own rekey is over when it comes.
TEST_P(Collision, ADroppedRequestComesTooLate) {
  for (const bool ike : {false, true}) {
    Settled w{77};
    w.both_offer(GetParam());
    w.handshake();
    ike ? rekey_ike(w, 'A') : rekey_child(w, 'A');
    ASSERT_FALSE(w.wire.empty());
    w.wire.clear();
    ike ? rekey_ike(w, 'B') : rekey_child(w, 'B');
    w.run();
    w.expect_settled();
  }
}

TEST_P(Collision, ChildRekeyMeetsIkeRekey) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    for (const char first : {'A', 'B'}) {
      SCOPED_TRACE(seed);
      Settled w{seed};
      w.both_offer(GetParam());
      w.handshake();
      if (first == 'A') rekey_child(w, 'A');
      rekey_ike(w, 'B');
      if (first == 'B') rekey_child(w, 'A');
      ASSERT_GE(w.wire.size(), 2U);
      w.run();
      EXPECT_GE(w.a.count(Counter::temporary_failure) + w.b.count(Counter::temporary_failure), 1U);
      w.expect_settled();
      EXPECT_FALSE(w.a.has(Report::What::ChildGone, "deleted")) << "nothing but rekeys";
    }
  }
}

TEST_P(Collision, ChildRekeyMeetsDelete) {
  for (const char who : {'A', 'B'}) {
    Settled w{91};
    w.both_offer(GetParam());
    w.handshake();
    rekey_child(w, who);
    delete_child(w, who == 'A' ? 'B' : 'A');
    w.run();
    w.run_for(70s);
    EXPECT_EQ(w.a.live_children().size(), w.b.live_children().size());
    EXPECT_EQ(w.a.plane.inbound.size(), w.b.plane.inbound.size());
    EXPECT_EQ(w.a.established().size(), 1U);
    EXPECT_EQ(w.b.established().size(), 1U);
  }
}

TEST_P(Collision, DeletesMeet) {
  Settled w{92};
  w.both_offer(GetParam());
  w.handshake();
  delete_child(w, 'A');
  delete_child(w, 'B');
  w.run();
  for (const Flight& f : w.sent) {
    const Seen seen = w.look(f);
    if (seen.message.header.exchange != ExchangeType::INFORMATIONAL || !seen.message.header.is_response()) continue;
    EXPECT_EQ(wire::find<wire::DeletePayload>(seen.payloads), nullptr) << "RFC 7296 2.25.1";
  }
  w.run_for(10s);
  EXPECT_TRUE(w.a.plane.inbound.empty());
  EXPECT_TRUE(w.b.plane.inbound.empty());
  ASSERT_TRUE(w.a.endpoint->initiate(w.now, TunnelId{1}).has_value());
  w.drain();
  w.run();
  w.expect_settled();
}

TEST_P(Collision, IkeRekeyMeetsTheEndOfTheIkeSa) {
  for (const char who : {'A', 'B'}) {
    Settled w{93};
    w.both_offer(GetParam());
    w.handshake();
    rekey_ike(w, who);
    w.side(who == 'A' ? 'B' : 'A').endpoint->terminate(w.now, TunnelId{1}, "the end");
    w.drain();
    w.run();
    w.run_for(200s);
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    EXPECT_TRUE(w.b.endpoint->sas().empty());
    w.expect_no_tunnel();
    EXPECT_TRUE(w.a.plane.inbound.empty());
    EXPECT_TRUE(w.b.plane.inbound.empty());
  }
}

// Any operations on both sides, in any order of delivery, with losses: the tables agree in the end.
TEST_P(Collision, WhateverHappensBothTablesAgree) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Settled w{seed};
    w.both_offer(GetParam());
    SeededRng dice{seed};
    w.handshake();
    for (int round = 0; round < 4; ++round) {
      for (std::uint64_t n = 1 + dice.below(3); n > 0; --n) {
        const char who = dice.below(2) == 0 ? 'A' : 'B';
        switch (dice.below(7)) {
          case 0:
          case 1:
          case 2:
            rekey_child(w, who);
            break;
          case 3:
          case 4:
          case 5:
            rekey_ike(w, who);
            break;
          default:
            delete_child(w, who);
            break;
        }
        for (std::uint64_t some = dice.below(4); some > 0 && !w.wire.empty(); --some)
          w.deliver(dice.below(w.wire.size()));
      }
      for (int step = 0; step < 30; ++step) {
        while (!w.wire.empty()) {
          const std::size_t pick = dice.below(w.wire.size());
          dice.below(6) == 0 ? w.drop(pick) : w.deliver(pick);
        }
        w.advance(300ms);
      }
    }
    w.run_for(30s);
    // As the Director does for a tunnel that is wanted and has none.
    if (w.a.live_children().empty()) {
      ASSERT_TRUE(w.a.endpoint->initiate(w.now, TunnelId{1}).has_value());
      w.drain();
      w.run();
    }
    w.run_for(200s);
    const std::size_t children = w.a.live_children().size();
    EXPECT_GE(children, 1U);
    w.expect_settled(children);
    if (::testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, Collision, ::testing::Values(kClassical, kHybrid), [](const auto& p) {
  return std::string{p.param} == kClassical ? "one_exchange" : "with_followup_ke";
});

}  // namespace
}  // namespace qanat::exchange
