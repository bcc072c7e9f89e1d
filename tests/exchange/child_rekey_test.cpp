// CREATE_CHILD_SA for Child SAs: successors without loss, additional ones, with and without key exchanges.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

class ChildRekey : public Peers {
 protected:
  // Our own side's rekey is due: the packet path's limit comes near.
  void rekey(char who) {
    side(who).endpoint->handle_plane(now, ipsec::SoftLimit{side(who).child().id});
    drain();
  }
  void first_inbound(Side& s, ChildSaId child) {
    s.endpoint->handle_plane(now, ipsec::FirstInbound{TunnelId{1}, child});
    drain();
  }
  void classical() { both_offer("aes256gcm16-prfsha384-x25519"); }
  [[nodiscard]] ChildSaId newest(const Side& s) const { return s.plane.outbound.rbegin()->first; }
  void delete_while_installing(FakePlane::Answer outbound);
  // Both tables agree, and nothing old is left after a while.
  void expect_settled(std::size_t children = 1) {
    run_for(70s);
    ASSERT_EQ(a.established().size(), 1U) << a.said() << b.said();
    ASSERT_EQ(b.established().size(), 1U) << a.said() << b.said();
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

// The whole schedule of retransmissions is longer than the 60 s for which the peer's DELETE is waited for.
TEST_F(Peers, TheOldChildSaStaysAsLongAsTheAnswerIsNotKnownToHaveArrived) {
  both_offer("aes256gcm16-prfsha384-x25519");
  handshake();
  const ChildSaId of_a = a.child().id;
  const ChildSaId of_b = b.child().id;
  a.endpoint->rekey_children(now, TunnelId{1});
  drain();
  for (int second = 0; second < 100; ++second) {
    while (!wire.empty()) wire.front().from == 'A' ? deliver() : drop();
    for (Side* s : {&a, &b}) {
      ipsec::Counters seen;  // traffic flows
      for (const auto& [child, sa] : s->plane.inbound)
        seen.sas.push_back({.child = child, .last_in = now, .last_out = now});
      s->endpoint->handle_plane(now, ipsec::Event{seen});
    }
    advance(1s);
    ASSERT_TRUE(a.plane.outbound.contains(of_a)) << second;
    ASSERT_TRUE(b.plane.outbound.contains(of_b)) << second;
  }
  run_for(70s);
  expect_tunnel();
  EXPECT_NE(a.child().id, of_a);
  EXPECT_FALSE(b.plane.outbound.contains(of_b));
}

TEST_F(ChildRekey, MakesBeforeItBreaks) {
  classical();
  handshake();
  const ChildSaId old_a = a.child().id;
  const ChildSaId old_b = b.child().id;
  rekey('A');
  a_sends("CREATE_CHILD_SA request 2");
  // The responder has its inbound SA before its answer leaves, and goes on sending on the old one.
  ASSERT_EQ(b.plane.inbound.size(), 2U);
  EXPECT_EQ(b.plane.current, old_b);
  EXPECT_EQ(a.plane.current, old_a);
  b_sends("CREATE_CHILD_SA response 2");
  const ChildSaId new_a = newest(a);
  EXPECT_NE(new_a, old_a);
  EXPECT_EQ(a.plane.current, new_a);
  EXPECT_EQ(a.plane.dummies, std::vector{new_a});
  EXPECT_FALSE(a.plane.outbound.contains(old_a));
  EXPECT_TRUE(a.plane.inbound.contains(old_a));
  EXPECT_EQ(b.plane.current, old_b);
  a_sends("INFORMATIONAL request 3");
  EXPECT_EQ(b.plane.current, newest(b));
  EXPECT_FALSE(b.plane.outbound.contains(old_b));
  EXPECT_TRUE(b.plane.inbound.contains(old_b));
  b_sends("INFORMATIONAL response 3");
  EXPECT_TRUE(wire.empty());
  expect_tunnel();
  EXPECT_EQ(a.child().key_exchanges, std::vector{KeId::CURVE25519});
  advance(5100ms);
  EXPECT_EQ(a.plane.inbound.size(), 1U);
  EXPECT_EQ(b.plane.inbound.size(), 1U);
  expect_settled();
}

TEST_F(ChildRekey, TheResponderSwitchesOnTheFirstPacket) {
  handshake();
  const ChildSaId old_b = b.child().id;
  rekey('A');
  while (a.plane.outbound.size() == 1 && !wire.empty() && b.plane.outbound.size() == 1) deliver();
  ASSERT_EQ(b.plane.outbound.size(), 2U);
  EXPECT_EQ(b.plane.current, old_b);
  first_inbound(b, newest(b));
  EXPECT_EQ(b.plane.current, newest(b));
  EXPECT_TRUE(b.plane.outbound.contains(old_b));
  run();
  expect_settled();
}

TEST_F(ChildRekey, RepeatsTheHybridKeyExchange) {
  handshake();
  rekey('B');
  b_sends("CREATE_CHILD_SA request 0");
  // The link of the responder is echoed exactly, and its last answer carries none.
  const Seen response = look(wire.front());
  const auto* first = wire::find_notify(response.payloads, NotifyType::ADDITIONAL_KEY_EXCHANGE);
  ASSERT_NE(first, nullptr);
  EXPECT_FALSE(first->data.empty());
  a_sends("CREATE_CHILD_SA response 0");
  while (name_of(wire.front()).find("IKE_FOLLOWUP_KE request") == std::string::npos) deliver();
  run();
  expect_tunnel();
  EXPECT_EQ(a.child().key_exchanges, (std::vector{KeId::CURVE25519, KeId::ML_KEM_768}));
  EXPECT_TRUE(a.child().verdict.hybrid);
  EXPECT_FALSE(a.child().verdict.inherited);
  std::vector<Bytes> ours;
  std::vector<Bytes> echoed;
  for (const Flight& f : sent) {
    const Seen seen = look(f);
    if (const auto* n = wire::find_notify(seen.payloads, NotifyType::ADDITIONAL_KEY_EXCHANGE))
      (f.from == 'A' ? ours : echoed).push_back(n->data);
  }
  EXPECT_EQ(ours.size(), 1U);
  EXPECT_EQ(echoed, ours);
  expect_settled();
}

TEST_F(ChildRekey, SevenRoundsOfFollowupKe) {
  for (Side* s : {&a, &b}) {
    s->tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519")};
    s->tunnel.esp = {
        esp_proposal("aes256gcm16-x25519-ke1_mlkem512-ke2_mlkem768-ke3_mlkem1024-ke4_ecp256-ke5_ecp384-"
                     "ke6_ecp521-ke7_modp2048")};
  }
  handshake();
  EXPECT_FALSE(a.child().verdict.hybrid);
  rekey('A');
  run();
  expect_tunnel();
  EXPECT_EQ(a.child().key_exchanges.size(), 8U);
  EXPECT_TRUE(a.child().verdict.hybrid);
  EXPECT_TRUE(b.child().verdict.hybrid);
  EXPECT_FALSE(a.sa().verdict.hybrid);
  expect_settled();
}

TEST_F(ChildRekey, WithoutKeyExchangeTheVerdictIsInherited) {
  a.tunnel.pfs = false;
  handshake();
  rekey('A');
  run();
  expect_tunnel();
  EXPECT_TRUE(a.child().key_exchanges.empty());
  EXPECT_TRUE(a.child().verdict.hybrid);
  EXPECT_TRUE(a.child().verdict.inherited);
  EXPECT_TRUE(b.child().verdict.inherited);
  expect_settled();
}

// rules.md "Proposals": all, then the classical one, then none; remembered for the tunnel.
TEST_F(ChildRekey, APeerWithoutPfsIsAskedWithLessEachTime) {
  handshake();
  const auto refuse = [&](std::uint32_t mid) {
    ASSERT_FALSE(wire.empty());
    drop();
    arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, mid, {notify(NotifyType::NO_PROPOSAL_CHOSEN)}, true));
  };
  const auto types = [&] {
    std::set<wire::TransformType> out;
    const Seen request = look(wire.front());
    for (const auto& t : wire::find<wire::SaPayload>(request.payloads)->proposals[0].transforms) out.insert(t.type);
    return out;
  };
  rekey('A');
  EXPECT_TRUE(types().contains(wire::TransformType::ADDKE1));
  refuse(3);
  EXPECT_FALSE(types().contains(wire::TransformType::ADDKE1));
  EXPECT_TRUE(types().contains(wire::TransformType::KE));
  refuse(4);
  EXPECT_FALSE(types().contains(wire::TransformType::KE));
  EXPECT_EQ(wire::find<wire::KePayload>(look(wire.front()).payloads), nullptr);
  EXPECT_EQ(a.count(Counter::create_refused), 2U);
  expect_next('A', "CREATE_CHILD_SA request 5");
}

TEST_F(ChildRekey, HappensByItselfForDays) {
  a.tunnel.ike_lifetime = b.tunnel.ike_lifetime = 400h;
  handshake();
  const ChildSaId first = a.child().id;
  for (int hour = 0; hour < 72; ++hour) {
    run_for(1h);
    ASSERT_EQ(a.live_children().size(), 1U) << hour << a.said();
    expect_tunnel();
  }
  EXPECT_NE(a.child().id, first);
  EXPECT_FALSE(a.has(Report::What::RenewWanted));
  EXPECT_FALSE(b.has(Report::What::RenewWanted));
  EXPECT_GE(std::count_if(a.reports.begin(), a.reports.end(),
                          [](const Report& r) { return r.what == Report::What::ChildUp; }),
            72);
  expect_settled();
}

TEST_F(ChildRekey, LostMessagesAreRepeated) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Conversation w{seed};
    SeededRng dice{seed};
    w.handshake();
    for (int i = 0; i < 6; ++i) {
      Side& s = dice.below(2) == 0 ? w.a : w.b;
      if (!s.live_children().empty()) {
        s.endpoint->handle_plane(w.now, ipsec::SoftLimit{s.live_children().back().id});
        w.drain();
      }
      for (int j = 0; j < 40; ++j) {
        while (!w.wire.empty()) {
          const std::size_t pick = dice.below(w.wire.size());
          if (dice.below(4) == 0) {
            w.drop(pick);
          } else {
            w.deliver(pick);
          }
        }
        w.advance(400ms);
      }
    }
    w.run_for(100s);
    w.expect_tunnel();
    EXPECT_EQ(w.a.sa().children.size(), 1U) << w.a.said() << w.b.said();
    EXPECT_EQ(w.b.sa().children.size(), 1U) << w.a.said() << w.b.said();
  }
}

TEST_F(ChildRekey, APacketOutsideTheSelectorsMakesAnotherChildSa) {
  // B takes one pair of prefixes for each Child SA: here, by a change of its configuration in between.
  b.tunnel.local_ts = {ipsec::selector_of(*Prefix::parse("10.2.0.0/16"))};
  handshake();
  b.tunnel.local_ts = {ipsec::selector_of(*Prefix::parse("10.3.0.0/16"))};
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(b.tunnel));
  const auto packet = [&](const char* to) {
    a.endpoint->handle_plane(now, ipsec::Acquire{TunnelId{1}, ipsec::selector_of(*Prefix::parse("10.1.0.9/32")),
                                                 ipsec::selector_of(*Prefix::parse(to))});
    drain();
  };
  packet("10.2.0.9/32");
  EXPECT_TRUE(wire.empty()) << "a Child SA takes it";
  packet("10.3.0.9/32");
  expect_next('A', "CREATE_CHILD_SA request 3");
  const Seen request = look(wire.front());
  const auto* tsr = wire::find_ts(request.payloads, PayloadType::TSr);
  ASSERT_NE(tsr, nullptr);
  EXPECT_EQ(ipsec::to_string(tsr->selectors.front()), "10.3.0.9/32");
  packet("10.3.0.9/32");
  EXPECT_EQ(wire.size(), 1U) << "once is enough";
}

TEST_F(ChildRekey, AnUnknownChildIsNotFound) {
  handshake();
  arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, 0,
                {wire::NotifyPayload{wire::ProtocolId::ESP, {9, 9, 9, 9}, NotifyType::REKEY_SA, {}},
                 ipsec::offer_esp(b.tunnel.esp, 0x7777, b.tunnel.esn), wire::NoncePayload{Bytes(32, 1)},
                 wire::TsPayload{PayloadType::TSi, {ipsec::any_selector_v4()}},
                 wire::TsPayload{PayloadType::TSr, {ipsec::any_selector_v4()}}}));
  const Seen answer = look(wire.front());
  const auto* n = wire::find_notify(answer.payloads, NotifyType::CHILD_SA_NOT_FOUND);
  ASSERT_NE(n, nullptr);
  EXPECT_EQ(n->spi, (Bytes{9, 9, 9, 9}));
  EXPECT_EQ(a.count(Counter::child_sa_not_found), 1U);
  wire.clear();
  expect_tunnel();
}

TEST_F(ChildRekey, AFollowupThatCarriesNothingOnIsNotFound) {
  handshake();
  arrive(
      sealed('B', ExchangeType::IKE_FOLLOWUP_KE, 0,
             {wire::KePayload{KeId::ML_KEM_768, Bytes(1184, 1)}, notify(NotifyType::ADDITIONAL_KEY_EXCHANGE, {0x42})}));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::STATE_NOT_FOUND), nullptr);
  EXPECT_EQ(a.count(Counter::state_not_found), 1U);
  wire.clear();
  expect_tunnel();
}

TEST_F(ChildRekey, AnAbandonedSequenceIsDropped) {
  handshake();
  rekey('A');
  while (!wire.empty() && name_of(wire.front()).find("IKE_FOLLOWUP_KE") == std::string::npos) deliver();
  const Flight late = wire.front();
  wire.clear();
  EXPECT_EQ(b.plane.reserved.size(), 1U);
  for (int i = 0; i < 21; ++i) {
    advance(1s);
    std::erase_if(wire, [&](const Flight& f) { return name_of(f).find("IKE_FOLLOWUP_KE") != std::string::npos; });
    run();
  }
  EXPECT_TRUE(b.plane.reserved.empty());
  EXPECT_EQ(b.count(Counter::followup_timeout), 1U);
  arrive(late);
  run();
  run_for(30s);
  EXPECT_GE(b.count(Counter::state_not_found), 1U);
  expect_settled();
}

TEST_F(ChildRekey, WhatThePeerCannotTakeNowIsAskedForLater) {
  handshake();
  const ChildSaId old = a.child().id;
  rekey('A');
  drop();
  arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, 3, {notify(NotifyType::TEMPORARY_FAILURE)}, true));
  EXPECT_TRUE(wire.empty()) << "not at once";
  advance(1900ms);
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(a.child().id, old);
  advance(1200ms);
  expect_next('A', "CREATE_CHILD_SA request 4");
}

TEST_F(ChildRekey, AChildSaThatThePeerNoLongerHasIsMadeAnew) {
  handshake();
  const ChildSaId old = a.child().id;
  rekey('A');
  drop();
  arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, 3,
                {wire::NotifyPayload{wire::ProtocolId::ESP, {0, 0, 0x10, 1}, NotifyType::CHILD_SA_NOT_FOUND, {}}},
                true));
  EXPECT_FALSE(a.plane.outbound.contains(old));
  EXPECT_TRUE(a.has(Report::What::ChildGone, "no longer has")) << a.said();
  expect_next('A', "CREATE_CHILD_SA request 4");
  EXPECT_EQ(wire::find_notify(look(wire.front()).payloads, NotifyType::REKEY_SA), nullptr);
}

// strongSwan issue 2945 was a crash.
TEST_F(ChildRekey, APeerThatRekeysOneChildSaTwiceGetsOneSuccessor) {
  handshake();
  Bytes spi(4);
  store_be32(spi.data(), b.child().spi_in);
  const auto request = [&](std::uint32_t mid) {
    arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, mid,
                  {wire::NotifyPayload{wire::ProtocolId::ESP, spi, NotifyType::REKEY_SA, {}},
                   ipsec::offer_esp(b.tunnel.esp, 0x7000 + mid, b.tunnel.esn), wire::NoncePayload{Bytes(32, 1)},
                   wire::TsPayload{PayloadType::TSi, {ipsec::any_selector_v4()}},
                   wire::TsPayload{PayloadType::TSr, {ipsec::any_selector_v4()}}}));
    Seen answer = look(wire.back());
    wire.clear();
    return answer;
  };
  EXPECT_NE(wire::find<wire::SaPayload>(request(0).payloads), nullptr);
  EXPECT_NE(wire::find_notify(request(1).payloads, NotifyType::TEMPORARY_FAILURE), nullptr);
  EXPECT_EQ(a.plane.inbound.size(), 2U);
  EXPECT_EQ(a.count(Counter::temporary_failure), 1U);
}

// Nothing of ours may wait for ever for a Child SA that the peer has taken away in the meantime.
void ChildRekey::delete_while_installing(FakePlane::Answer outbound) {
  classical();
  handshake();
  const ChildSaId old = a.child().id;
  a.plane.inbound_answer = FakePlane::Answer::Later;
  a.plane.outbound_answer = outbound;
  rekey('A');
  a_sends("CREATE_CHILD_SA request 2");
  b_sends("CREATE_CHILD_SA response 2");
  const std::uint32_t taken = b.plane.inbound.rbegin()->second.spi;
  arrive(sealed('B', wire::ExchangeType::INFORMATIONAL, 0, {wire::DeletePayload{wire::ProtocolId::ESP, {taken}}}));
  ASSERT_EQ(wire.size(), 1U);  // A's answer
  EXPECT_NE(wire::find<wire::DeletePayload>(look(wire.front()).payloads), nullptr);
  wire.clear();
  a.plane.give_late_answers();
  drain();
  advance(3s);  // a packet path that never answers has been given up
  a.plane.inbound_answer = a.plane.outbound_answer = FakePlane::Answer::AtOnce;
  EXPECT_TRUE(a.plane.inbound.contains(old));
  EXPECT_EQ(a.plane.current, old);
  const auto asked = [&] {
    return std::any_of(wire.begin(), wire.end(), [](const Flight& f) { return f.from == 'A'; });
  };
  for (int i = 0; i < 120 && !asked(); ++i) advance(1s);
  EXPECT_TRUE(asked()) << "A asks nothing any more: not for keys, not for signs of life";
}

TEST_F(ChildRekey, APeerMayDeleteItWhileItIsInstalled) {
  delete_while_installing(FakePlane::Answer::Later);
}

TEST_F(ChildRekey, APeerMayDeleteItWhileItsInstallationFails) {
  delete_while_installing(FakePlane::Answer::Never);
}

TEST_F(ChildRekey, ANarrowerRekeyIsRefused) {
  handshake();
  Bytes spi(4);
  store_be32(spi.data(), b.child().spi_in);
  arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, 0,
                {wire::NotifyPayload{wire::ProtocolId::ESP, spi, NotifyType::REKEY_SA, {}},
                 ipsec::offer_esp(b.tunnel.esp, 0x7000, b.tunnel.esn), wire::NoncePayload{Bytes(32, 1)},
                 wire::TsPayload{PayloadType::TSi, {ipsec::selector_of(*Prefix::parse("10.2.0.0/16"))}},
                 wire::TsPayload{PayloadType::TSr, {ipsec::any_selector_v4()}}}));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::TS_UNACCEPTABLE), nullptr);
  EXPECT_EQ(a.count(Counter::ts_unacceptable), 1U);
  EXPECT_EQ(a.plane.inbound.size(), 1U);
}

TEST_F(ChildRekey, APacketPathThatFailsLeavesTheOldSaInPlace) {
  using Answer = FakePlane::Answer;
  for (const char who : {'A', 'B'}) {
    for (const Answer how : {Answer::Refuse, Answer::Never}) {
      for (int what = 0; what < 3; ++what) {
        SCOPED_TRACE(what);
        Conversation w{31};
        w.handshake();
        const ipsec::EspSpi old = w.a.child().spi_in;
        FakePlane& plane = w.side(who).plane;
        (what == 0 ? plane.reserve : what == 1 ? plane.inbound_answer : plane.outbound_answer) = how;
        w.a.endpoint->handle_plane(w.now, ipsec::SoftLimit{w.a.child().id});
        w.drain();
        w.run_for(4s);
        EXPECT_EQ(w.a.child().spi_in, old);
        EXPECT_GE(w.side(who).count(Counter::plane_refused), 1U);
        plane.reserve = plane.inbound_answer = plane.outbound_answer = Answer::AtOnce;
        w.run_for(120s);
        w.expect_tunnel();
        EXPECT_NE(w.a.child().spi_in, old);
        EXPECT_EQ(w.a.sa().children.size(), 1U);
        EXPECT_EQ(w.b.sa().children.size(), 1U);
        EXPECT_EQ(w.a.plane.inbound.size(), 1U);
        EXPECT_EQ(w.b.plane.inbound.size(), 1U);
      }
    }
  }
}

TEST_F(ChildRekey, ABadValueInOurRequestOrInTheAnswerEndsTheIkeSa) {
  handshake();
  rekey('A');
  const Flight request = wire.front();
  wire::Payloads payloads = look(request).payloads;
  for (auto& p : payloads) {
    if (auto* ke = std::get_if<wire::KePayload>(&p)) ke->data.assign(ke->data.size(), 0);
  }
  wire.clear();
  arrive(sealed('A', ExchangeType::CREATE_CHILD_SA, 3, payloads));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INVALID_SYNTAX), nullptr);
  EXPECT_TRUE(b.has(Report::What::Down)) << b.said();
  EXPECT_TRUE(b.plane.outbound.empty());
  EXPECT_TRUE(b.plane.reserved.empty());
  run();
  EXPECT_TRUE(a.has(Report::What::Down, "INVALID_SYNTAX")) << a.said();
  EXPECT_TRUE(a.plane.reserved.empty());
}

}  // namespace
}  // namespace qanat::exchange
