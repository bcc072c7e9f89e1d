// More than one IKE SA of a tunnel: renewal, both sides beginning at once, INITIAL_CONTACT.
#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

bool carries(const World& w, const Flight& f, NotifyType type) {
  return wire::find_notify(w.look(f).payloads, type) != nullptr;
}
const Flight& auth_of(const World& w, char from, std::size_t nth = 0) {
  for (const Flight& f : w.sent) {
    if (f.from == from && w.name_of(f).find("IKE_AUTH request") != std::string::npos && nth-- == 0) return f;
  }
  throw std::runtime_error("no IKE_AUTH");
}

TEST_F(Peers, RenewalMakesBeforeItBreaks) {
  a.tunnel.reauth = 1000s;
  handshake();
  const ChildSaId old_a = a.child().id;
  const ChildSaId old_b = b.child().id;
  run_for(1001s);
  ASSERT_TRUE(a.has(Report::What::RenewWanted, "authenticate again"));
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{1}).has_value());
  drain();
  while (a.established().size() == 1 && a.child().id == old_a) {
    EXPECT_TRUE(a.plane.outbound.contains(old_a));
    EXPECT_TRUE(b.plane.inbound.contains(old_b));
    deliver();
  }
  // The new SA carries, the old one is left, its inbound keys stay for what is under way.
  EXPECT_NE(a.plane.current, old_a);
  EXPECT_FALSE(a.plane.outbound.contains(old_a));
  EXPECT_TRUE(a.plane.inbound.contains(old_a));
  run_for(499ms);
  EXPECT_EQ(b.established().size(), 2U) << "a Delete now would overtake packets under the old keys";
  run_for(1ms);
  expect_tunnel();
  EXPECT_TRUE(b.plane.inbound.contains(old_b));
  EXPECT_FALSE(b.plane.outbound.contains(old_b));
  run_for(5100ms);
  EXPECT_FALSE(a.plane.inbound.contains(old_a));
  EXPECT_FALSE(b.plane.inbound.contains(old_b));
  EXPECT_EQ(a.plane.inbound.size(), 1U);
  EXPECT_FALSE(a.has(Report::What::Down));
  run_for(35s);
  EXPECT_EQ(a.endpoint->sas().size(), 1U);
  EXPECT_EQ(b.endpoint->sas().size(), 1U);
}

// The peer began the new one and may not have our answer yet: what we send in it before is lost.
TEST_F(Peers, WhatThePeerRenewsCarriesOurPacketsOnceThePeerHasIt) {
  struct Row {
    const char* what;
    std::function<void(Conversation&, ChildSaId)> makes_it_carry;
  };
  const Row rows[] = {
      {"its first packet",
       [](Conversation& w, ChildSaId fresh) {
         w.b.endpoint->handle_plane(w.now, ipsec::FirstInbound{TunnelId{1}, fresh});
       }},
      {"its Delete of the old one", [](Conversation& w, ChildSaId) { w.run_for(600ms); }},
      {"two seconds", [](Conversation& w, ChildSaId) { w.advance(2s); }},
      {"the end of the old one by us",
       [](Conversation& w, ChildSaId) { w.b.endpoint->handle_plane(w.now, ipsec::HardLimit{*w.b.plane.current}); }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    Conversation w;
    w.handshake();
    const ChildSaId old = w.b.child().id;
    w.advance(1ms);
    ASSERT_TRUE(w.a.endpoint->initiate(w.now, TunnelId{1}).has_value());
    w.drain();
    while (w.b.established().size() == 1) w.deliver();  // B's answer to IKE_AUTH is on the wire
    const auto children = w.b.live_children();
    ASSERT_EQ(children.size(), 2U);
    const ChildSaId fresh = children.front().id == old ? children.back().id : children.front().id;
    EXPECT_EQ(w.b.plane.current, old);
    row.makes_it_carry(w, fresh);
    w.drain();
    EXPECT_EQ(w.b.plane.current, fresh);
    w.run_for(10s);
    w.expect_tunnel();
    EXPECT_EQ(w.b.plane.current, fresh);
  }
}

// What it sent under the old keys is to reach the peer before our answer does.
TEST_F(Peers, TheAnswerToTheDeleteOfWhatThePeerRenewedWaitsForPacketsAndNotForAnOperator) {
  for (const bool ended : {false, true}) {
    Conversation w;
    w.handshake();
    w.advance(1ms);
    ASSERT_TRUE(w.a.endpoint->initiate(w.now, TunnelId{1}).has_value());
    w.drain();
    w.run();
    w.advance(500ms);
    w.a_sends("INFORMATIONAL request 3");
    EXPECT_EQ(w.b.established().size(), 1U);
    EXPECT_TRUE(w.wire.empty());
    if (ended) {
      w.b.endpoint->terminate(w.now, TunnelId{1}, "down");
      w.drain();
    } else {
      w.advance(99ms);
      EXPECT_TRUE(w.wire.empty());
      w.advance(1ms);
    }
    w.b_sends("INFORMATIONAL response 3");
    w.run_for(40s);
    EXPECT_EQ(w.b.endpoint->sas().size(), ended ? 0U : 1U);
  }
}

// When both are configured alike; and many tunnels that came up together do not ask together.
TEST_F(Peers, OneSideAsksForReauthenticationAtATimeOfItsOwn) {
  a.tunnel.reauth = b.tunnel.reauth = 1000s;
  handshake();
  run_for(895s);
  EXPECT_FALSE(a.has(Report::What::RenewWanted));
  run_for(75s);
  EXPECT_TRUE(a.has(Report::What::RenewWanted, "authenticate again"));
  EXPECT_FALSE(b.has(Report::What::RenewWanted));
  run_for(35s);
  EXPECT_TRUE(b.has(Report::What::RenewWanted, "authenticate again")) << "the other one does when nobody has";
}

// Its Delete of the old one has to wait for the answer to what it asked before (window 1), perhaps for minutes.
TEST_F(Peers, WhatThePeerRenewedStaysHoweverLateTheOldOneIsDeleted) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {  // both orders of the SPIs
    Conversation w{seed};
    w.both_offer("aes256gcm16-prfsha384-x25519");
    w.handshake();
    w.run_for(700s);
    w.side('B').endpoint->rekey_children(w.now, TunnelId{1});
    w.drain();
    const auto of_old = [&](const Flight& f) { return w.name_of(f).find("CREATE_CHILD_SA") != std::string::npos; };
    const auto run_without_them = [&] {
      while (!w.wire.empty()) of_old(w.wire.front()) ? w.drop() : w.deliver();
    };
    run_without_them();
    ASSERT_TRUE(w.b.endpoint->initiate(w.now, TunnelId{1}).has_value());
    w.drain();
    run_without_them();
    ASSERT_EQ(w.b.established().size(), 1U);
    const std::uint64_t renewed = w.b.established().front().spi_i;
    for (int second = 0; second < 20; ++second) {
      w.advance(1s);
      run_without_them();
      ASSERT_EQ(w.b.established().size(), 1U) << "seed " << seed << ", second " << second << w.a.said() << w.b.said();
      ASSERT_EQ(w.b.established().front().spi_i, renewed);
    }
    w.run_for(60s);
    w.expect_tunnel();
  }
}

TEST_F(Peers, AHundredRenewalsLeaveNothingBehind) {
  handshake();
  for (int i = 0; i < 100; ++i) {
    const char who = i % 3 == 0 ? 'B' : 'A';
    advance(1ms);  // what begins at one instant counts as begun at once
    ASSERT_TRUE(side(who).endpoint->initiate(now, TunnelId{1}).has_value());
    drain();
    run_for(1s);
    expect_tunnel();
    run_for(40s);
    ASSERT_EQ(a.endpoint->sas().size(), 1U) << i;
    ASSERT_EQ(b.endpoint->sas().size(), 1U) << i;
    ASSERT_EQ(a.plane.inbound.size(), 1U);
    ASSERT_EQ(b.plane.inbound.size(), 1U);
  }
}

TEST_F(Peers, ARenewalThatFailsLeavesTheOldSaInPlace) {
  handshake();
  b.tunnel.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("other"))};
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(b.tunnel));
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{1}).has_value());
  drain();
  run();
  EXPECT_TRUE(a.has(Report::What::AttemptFailed));
  expect_tunnel();
  EXPECT_FALSE(a.has(Report::What::Down));
}

// Whichever order the messages of both handshakes take, one IKE SA remains on both sides and traffic flows in it.
TEST_F(Peers, BothSidesBeginAtOnceAndOneSaRemains) {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Conversation w{seed};
    SeededRng dice{seed};
    if (seed % 4 == 0) w.a.plane.inbound_answer = FakePlane::Answer::Later;
    w.begin('A');
    for (std::uint64_t head_start = dice.below(8); head_start > 0 && !w.wire.empty(); --head_start) w.deliver();
    w.begin('B');
    for (int i = 0; i < 3000 && (!w.wire.empty() || i < 100); ++i) {
      if (!w.wire.empty()) {
        // The network keeps the order of neither direction, and loses some.
        const std::size_t pick = dice.below(w.wire.size());
        if (dice.below(20) == 0) {
          w.drop(pick);
        } else {
          w.deliver(pick);
        }
      }
      if (dice.below(4) == 0) w.a.plane.give_late_answers();
      w.drain();
      if (i % 5 == 0) w.advance(20ms);
    }
    for (int i = 0; i < 60; ++i) {
      w.a.plane.give_late_answers();
      w.drain();
      w.run_for(1s);
    }
    w.expect_tunnel();
    EXPECT_EQ(w.a.plane.inbound.size(), 1U);
    EXPECT_EQ(w.b.plane.inbound.size(), 1U);
    EXPECT_EQ(w.a.endpoint->sas().size(), 1U);
    EXPECT_EQ(w.b.endpoint->sas().size(), 1U);
  }
}

TEST_F(Peers, InitialContactIsInTheFirstIkeAuthOnly) {
  handshake();
  EXPECT_TRUE(carries(*this, auth_of(*this, 'A'), NotifyType::INITIAL_CONTACT));
  a.endpoint->terminate(now, TunnelId{1}, "");
  drain();
  run_for(40s);
  begin();
  run();
  expect_tunnel();
  EXPECT_FALSE(carries(*this, auth_of(*this, 'A', 1), NotifyType::INITIAL_CONTACT));
}

TEST_F(Peers, InitialContactIsNotSentWhileAnotherSaLives) {
  handshake('B');
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{1}).has_value());
  drain();
  run();
  EXPECT_FALSE(carries(*this, auth_of(*this, 'A'), NotifyType::INITIAL_CONTACT));
  run_for(40s);
  expect_tunnel();
}

// A restarts and knows nothing of the old SA; B drops it as soon as A has authenticated.
TEST_F(Peers, APeerThatBeganAnewTakesItsOldSaAway) {
  handshake();
  const ChildSaId old = b.child().id;
  advance(1ms);
  a.plane = {};
  a.plane.next_spi = 0x5001;
  a.keys.clear();
  a.endpoint = std::make_unique<ike::IkeEndpoint>(a.config, a.rng);
  a.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(a.tunnel));
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  EXPECT_TRUE(b.plane.inbound.contains(old));
  run();
  EXPECT_FALSE(b.plane.inbound.contains(old));
  EXPECT_TRUE(b.has(Report::What::Down, "INITIAL_CONTACT"));
  EXPECT_EQ(b.plane.current, b.child().id) << "the old one leads nowhere: nothing waits for the peer's first packet";
  expect_tunnel();
}

TEST_F(Peers, AForgedInitialContactDoesNothing) {
  handshake();
  wire::IkeHeader h;
  h.spi_i = a.sa().spi_i;
  h.spi_r = a.sa().spi_r;
  h.exchange = ExchangeType::IKE_AUTH;
  h.flags = wire::kFlagInitiator;
  h.message_id = 2;
  arrive(clear('A', h, {notify(NotifyType::INITIAL_CONTACT)}));
  h.exchange = ExchangeType::IKE_SA_INIT;
  h.spi_r = 0;
  h.spi_i = 12345;
  h.message_id = 0;
  wire::Payloads init = look(sent.front()).payloads;
  init.insert(init.begin(), notify(NotifyType::INITIAL_CONTACT));
  arrive(clear('A', h, init));
  run();
  expect_tunnel();
}

// Somebody who knows the PSK's tunnel but fails AUTH takes nothing away.
TEST_F(Peers, InitialContactWithAWrongAuthDoesNothing) {
  handshake();
  const auto before = b.sa().spi_r;
  a.plane = {};
  a.tunnel.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("guess"))};
  a.endpoint = std::make_unique<ike::IkeEndpoint>(a.config, a.rng);
  a.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(a.tunnel));
  begin();
  for (int i = 0; i < 5; ++i) deliver();
  EXPECT_EQ(b.sa().spi_r, before);
  EXPECT_EQ(b.plane.outbound.size(), 1U);
}

// rules.md "Which tunnel a message belongs to".
TEST_F(Peers, TwoTunnelsWithTheSameIdentitiesSurviveTenReconnects) {
  open();
  const IpAddress a2 = IpAddress::v4(0xc0000211);
  const IpAddress b2 = IpAddress::v4(0xc6336412);
  for (Side* s : {&a, &b}) {
    ike::TunnelConfig second = s->tunnel;
    second.id = TunnelId{2};
    second.name += "-2";
    second.local = s == &a ? a2 : b2;
    second.peer = s == &a ? b2 : a2;
    s->endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(second));
  }
  begin();
  run();
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{2}).has_value());
  drain();
  run();
  for (int i = 0; i < 10; ++i) {
    const TunnelId again{i % 2 == 0 ? 1U : 2U};
    a.endpoint->terminate(now, again, "again");
    drain();
    run_for(35s);
    EXPECT_EQ(a.established().size(), 1U);
    ASSERT_TRUE(a.endpoint->initiate(now, again).has_value());
    drain();
    run();
    ASSERT_EQ(a.established().size(), 2U) << i;
    ASSERT_EQ(b.established().size(), 2U) << i;
  }
  for (const Flight& f : sent) {
    EXPECT_FALSE(carries(*this, f, NotifyType::INITIAL_CONTACT)) << name_of(f);
  }
  EXPECT_FALSE(b.has(Report::What::Down, "INITIAL_CONTACT"));
}

}  // namespace
}  // namespace qanat::exchange
