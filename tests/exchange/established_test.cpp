// After the handshake: Delete, liveness, lifetimes, limits.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

TEST_F(Peers, EitherSideDeletesTheIkeSa) {
  for (const char who : {'A', 'B'}) {
    Conversation w{40};
    w.handshake();
    const char other = who == 'A' ? 'B' : 'A';
    w.side(who).endpoint->terminate(w.now, TunnelId{1}, "you asked for it");
    w.drain();
    EXPECT_TRUE(w.side(who).plane.inbound.empty());
    EXPECT_TRUE(w.side(who).has(Report::What::Down, "you asked for it"));
    w.expect_next(who, who == 'A' ? "INFORMATIONAL request 3" : "INFORMATIONAL request 0");
    w.deliver();
    w.expect_next(other, who == 'A' ? "INFORMATIONAL response 3" : "INFORMATIONAL response 0");
    EXPECT_TRUE(w.side(other).has(Report::What::ChildGone));
    EXPECT_TRUE(w.side(other).has(Report::What::Down, "deleted the IKE SA"));
    w.run();
    EXPECT_TRUE(w.side(who).endpoint->sas().empty());
    w.run_for(31s);
    EXPECT_TRUE(w.side(other).endpoint->sas().empty());
    w.expect_no_tunnel();
    EXPECT_TRUE(w.a.plane.inbound.empty());
    EXPECT_TRUE(w.b.plane.inbound.empty());
  }
}

TEST_F(Peers, TheDeletedSidesInboundKeysStayFiveSeconds) {
  handshake();
  a.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  run();
  EXPECT_TRUE(b.plane.outbound.empty());
  advance(4900ms);
  EXPECT_EQ(b.plane.inbound.size(), 1U);
  advance(200ms);
  EXPECT_TRUE(b.plane.inbound.empty());
}

TEST_F(Peers, TheAnswerToADeleteIsRepeated) {
  handshake();
  a.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  a_sends("INFORMATIONAL request 3");
  const Bytes answer = wire.front().bytes;
  drop();
  advance(1200ms);
  a_sends("INFORMATIONAL request 3");
  EXPECT_EQ(wire.front().bytes, answer);
  run();
  EXPECT_TRUE(a.endpoint->sas().empty());
}

TEST_F(Peers, DeletesMayCross) {
  handshake();
  a.endpoint->terminate(now, TunnelId{1}, "bye");
  b.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  EXPECT_EQ(wire.size(), 2U);
  run();
  run_for(40s);
  EXPECT_TRUE(a.endpoint->sas().empty());
  EXPECT_TRUE(b.endpoint->sas().empty());
  expect_no_tunnel();
}

TEST_F(Peers, ADeleteThatIsNeverAnsweredEndsAllTheSame) {
  handshake();
  a.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  advance(31s);
  EXPECT_TRUE(a.endpoint->sas().empty());
  std::erase_if(wire, [](const Flight& f) { return f.from == 'B'; });
  EXPECT_LE(wire.size(), 8U);
}

// The window is 1: the Delete waits for the answer to the liveness check.
TEST_F(Peers, ADeleteWaitsForTheOutstandingRequest) {
  handshake();
  advance(11s);
  const std::size_t at = find("A->B INFORMATIONAL request 3");
  const Flight check = wire[at];
  wire.clear();
  a.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  EXPECT_TRUE(a.plane.inbound.empty());
  EXPECT_TRUE(wire.empty());
  arrive(check);
  b_sends("INFORMATIONAL response 3");
  a_sends("INFORMATIONAL request 4");
  b_sends("INFORMATIONAL response 4");
  EXPECT_TRUE(a.endpoint->sas().empty());
  EXPECT_TRUE(b.has(Report::What::Down, "deleted the IKE SA"));
}

TEST_F(Peers, ADeleteOfTheChildSaLeavesTheIkeSa) {
  handshake();
  const ipsec::EspSpi a_in = a.child().spi_in;
  const ipsec::EspSpi b_in = b.child().spi_in;
  const ChildSaId old = a.child().id;
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 0, {wire::DeletePayload{wire::ProtocolId::ESP, {b_in}}}));
  const Seen answer = look(wire[find("A->B INFORMATIONAL response 0")]);
  const auto* d = wire::find<wire::DeletePayload>(answer.payloads);
  ASSERT_NE(d, nullptr);
  EXPECT_EQ(d->spis, std::vector<std::uint32_t>{a_in});
  EXPECT_TRUE(a.plane.outbound.empty());
  EXPECT_TRUE(a.plane.inbound.contains(old));
  EXPECT_TRUE(a.has(Report::What::ChildGone, "deleted the Child SA")) << a.said();
  EXPECT_FALSE(a.has(Report::What::Down));
  EXPECT_EQ(a.established().size(), 1U);
  wire.clear();
  advance(5100ms);
  EXPECT_TRUE(a.plane.inbound.empty());
  // The tunnel is wanted: a new Child SA is made in the IKE SA that stands.
  ASSERT_TRUE(a.endpoint->initiate(now, TunnelId{1}).has_value());
  drain();
  a_sends("CREATE_CHILD_SA request 3");
}

TEST_F(Peers, DeletesOfOtherSpisChangeNothing) {
  handshake();
  std::vector<std::uint32_t> many;
  for (std::uint32_t i = 0; i < 10000; ++i) many.push_back(0x70000000 + i);
  const ipsec::EspSpi own = a.child().spi_in;
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 0, {wire::DeletePayload{wire::ProtocolId::ESP, {own}}}));
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 1, {wire::DeletePayload{wire::ProtocolId::ESP, many}}));
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 2, {wire::DeletePayload{wire::ProtocolId::AH, {b.child().spi_in}}}));
  EXPECT_EQ(wire.size(), 3U);
  wire.clear();
  expect_tunnel();
}

TEST_F(Peers, AnUnauthenticatedDeleteChangesNothing) {
  handshake();
  wire::IkeHeader h;
  h.spi_i = a.sa().spi_i;
  h.spi_r = a.sa().spi_r;
  h.exchange = ExchangeType::INFORMATIONAL;
  arrive(clear('B', h, {wire::DeletePayload{wire::ProtocolId::IKE, {}}}));
  World::Sealing bad;
  bad.first = PayloadType::D;
  bad.plaintext = {0, 0, 0, 8, 1, 0, 0, 0};
  bad.break_icv = true;
  arrive(sealed('B', bad));
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(a.count(Counter::not_encrypted), 1U);
  EXPECT_EQ(a.count(Counter::icv_failed), 1U);
  expect_tunnel();
}

TEST_F(Peers, AnIdlePeerIsAskedAfterTenSeconds) {
  handshake();
  advance(9900ms);
  EXPECT_TRUE(wire.empty());
  advance(200ms);
  ASSERT_FALSE(wire.empty());
  a_sends("INFORMATIONAL request 3");
  run_for(60s);
  expect_tunnel();
}

TEST_F(Peers, ADeadPeerIsDownAtTheDeadline) {
  a.tunnel.dpd_idle = 10s;
  a.tunnel.dpd_timeout = 30s;
  handshake();
  const Instant start = now;
  while (a.plane.outbound.size() == 1 && now < start + 100s) {
    advance(100ms);
    wire.clear();
  }
  EXPECT_GE(now - start, 29900ms);
  EXPECT_LE(now - start, 30100ms);
  EXPECT_TRUE(a.has(Report::What::Down, "has not answered for 30 s")) << a.said();
  EXPECT_TRUE(a.endpoint->sas().empty());
}

TEST_F(Peers, AuthenticatedPacketsAreProofOfLife) {
  handshake();
  for (int second = 0; second < 60; ++second) {
    advance(1s);
    wire.clear();  // IKE never gets through
    a.endpoint->handle_plane(
        now, ipsec::Counters{RequestId{}, {ipsec::SaCounters{a.child().id, 1, 1, 1, 1, now, now}}, {}, {}, {}});
    drain();
  }
  EXPECT_FALSE(a.has(Report::What::Down));
}

// The question is open, its answer lost, and traffic flows: the verdict is put off.
TEST_F(Peers, PacketsThatComeDuringACheckPutOffTheVerdict) {
  handshake();
  advance(11s);
  for (int second = 0; second < 60; ++second) {
    advance(1s);
    wire.clear();
    a.endpoint->handle_plane(
        now, ipsec::Counters{RequestId{}, {ipsec::SaCounters{a.child().id, 1, 1, 1, 1, now, now}}, {}, {}, {}});
    drain();
  }
  EXPECT_FALSE(a.has(Report::What::Down)) << a.said();
}

TEST_F(Peers, ALivenessCheckIsRepeatedBitwise) {
  handshake();
  const std::size_t before = sent.size();
  advance(13s);
  wire.clear();
  std::map<std::string, Bytes> first;
  for (std::size_t i = before; i < sent.size(); ++i) {
    const auto [at, fresh] = first.emplace(name_of(sent[i]), sent[i].bytes);
    EXPECT_EQ(at->second, sent[i].bytes);
  }
  EXPECT_GE(sent.size() - before, 2U);
}

TEST_F(Peers, AuthenticationFailedInAnInformationalEndsTheSa) {
  handshake();
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 0, {notify(NotifyType::AUTHENTICATION_FAILED)}));
  EXPECT_EQ(wire.size(), 1U);
  EXPECT_TRUE(a.has(Report::What::Down, "AUTHENTICATION_FAILED"));
  EXPECT_TRUE(a.plane.inbound.empty());
}

TEST_F(Peers, OtherNotificationsInAnInformationalAreAnsweredAndIgnored) {
  handshake();
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 0,
                {notify(NotifyType::INVALID_SELECTORS), notify(static_cast<NotifyType>(9999)),
                 notify(NotifyType::INITIAL_CONTACT)}));
  a_sends("INFORMATIONAL response 0");
  expect_tunnel();
}

TEST_F(Peers, AHardLimitEndsTheChildSa) {
  handshake();
  const ChildSaId old = a.child().id;
  a.endpoint->handle_plane(now, ipsec::HardLimit{old});
  drain();
  EXPECT_TRUE(a.plane.outbound.empty());
  EXPECT_TRUE(a.has(Report::What::ChildGone, "limit")) << a.said();
  a_sends("INFORMATIONAL request 3");
  EXPECT_TRUE(b.plane.outbound.empty());
  run();
  EXPECT_EQ(a.established().size(), 1U);
  a.endpoint->handle_plane(now, ipsec::HardLimit{ChildSaId{999}});
  a.endpoint->handle_plane(now, ipsec::SoftLimit{ChildSaId{999}});
  a.endpoint->handle_plane(now, ipsec::FirstInbound{TunnelId{1}, ChildSaId{999}});
  a.endpoint->handle_plane(now, ipsec::Done{RequestId{999}, 0, {}});
  drain();
  EXPECT_TRUE(wire.empty());
}

TEST_F(Peers, WithoutRenewalTheSaEndsWithItsLifetime) {
  a.tunnel.ike_lifetime = b.tunnel.ike_lifetime = 100s;
  handshake();
  // Neither side's CREATE_CHILD_SA ever arrives; all else does.
  const auto lose_create = [&] {
    std::erase_if(wire, [&](const Flight& f) { return name_of(f).find("CREATE_CHILD_SA") != std::string::npos; });
  };
  const auto without_rekeys = [&](Duration by) {
    for (const Instant until = now + by; now < until;) {
      advance(500ms);
      lose_create();
      while (!wire.empty()) {
        deliver();
        lose_create();
      }
    }
  };
  without_rekeys(99s);
  EXPECT_TRUE(a.has(Report::What::RenewWanted));
  EXPECT_TRUE(b.has(Report::What::RenewWanted));
  expect_tunnel();
  without_rekeys(2s);
  EXPECT_TRUE(a.has(Report::What::Down, "lifetime")) << a.said();
  without_rekeys(60s);
  EXPECT_TRUE(a.endpoint->sas().empty());
  EXPECT_TRUE(b.endpoint->sas().empty());
}

TEST_F(Peers, ATunnelThatIsTakenDownDuringTheInstallTellsThePeer) {
  a.plane.outbound_answer = FakePlane::Answer::Later;
  begin();
  run();
  a.endpoint->terminate(now, TunnelId{1}, "bye");
  drain();
  EXPECT_TRUE(a.plane.inbound.empty());
  run();
  EXPECT_TRUE(b.has(Report::What::Down, "deleted the IKE SA")) << b.said();
}

TEST_F(Peers, EveryStateCanBeTakenDown) {
  for (std::size_t steps = 0; steps < 7; ++steps) {
    for (const char who : {'A', 'B'}) {
      SCOPED_TRACE(steps);
      Conversation w{41};
      w.begin();
      for (std::size_t i = 0; i < steps && !w.wire.empty(); ++i) w.deliver();
      w.side(who).endpoint->remove_tunnel(w.now, TunnelId{1});
      w.drain();
      EXPECT_TRUE(w.side(who).plane.inbound.empty());
      w.run();
      w.run_for(700s);
      EXPECT_TRUE(w.a.endpoint->sas().empty());
      EXPECT_TRUE(w.b.endpoint->sas().empty());
      w.expect_no_tunnel();
      EXPECT_EQ(w.b.endpoint->half_open(), 0U);
    }
  }
}

}  // namespace
}  // namespace qanat::exchange
