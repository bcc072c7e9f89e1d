// New keys for the IKE SA within itself: CREATE_CHILD_SA, IKE_FOLLOWUP_KE, and what the new IKE SA takes over.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

class IkeRekey : public Peers {
 protected:
  void rekey(char who) {
    side(who).endpoint->rekey(now, TunnelId{1});
    drain();
  }
};

TEST_F(IkeRekey, TheChildSasCarryOn) {
  handshake();
  const ChildSaId child = a.child().id;
  const auto old = a.sa();
  rekey('A');
  a_sends("CREATE_CHILD_SA request 3");
  run();
  expect_tunnel();
  EXPECT_NE(a.sa().spi_i, old.spi_i);
  EXPECT_NE(a.sa().spi_r, old.spi_r);
  EXPECT_TRUE(a.sa().initiator);
  EXPECT_EQ(a.child().id, child);
  EXPECT_EQ(a.plane.installs, 2U);
  EXPECT_EQ(a.sa().key_exchanges, (std::vector{KeId::CURVE25519, KeId::ML_KEM_768}));
  EXPECT_TRUE(a.sa().verdict.hybrid);
  EXPECT_FALSE(a.sa().verdict.inherited);
  EXPECT_FALSE(a.has(Report::What::Down));
  EXPECT_FALSE(a.has(Report::What::ChildGone));
  EXPECT_TRUE(b.has(Report::What::IkeRekeyed));
  run_for(40s);
  EXPECT_EQ(a.endpoint->sas().size(), 1U);
  EXPECT_EQ(b.endpoint->sas().size(), 1U);
  expect_tunnel();
  // Message IDs begin anew, and liveness is asked in the new one.
  EXPECT_TRUE(std::any_of(sent.begin(), sent.end(), [&](const Flight& f) {
    const Seen seen = look(f);
    return seen.message.header.spi_i == a.sa().spi_i && seen.message.header.message_id == 0 &&
           seen.message.header.exchange == ExchangeType::INFORMATIONAL;
  }));
}

TEST_F(IkeRekey, WhoThePeerIsStaysProved) {
  handshake();
  const std::string proof = a.sa().authenticated_by;
  ASSERT_FALSE(proof.empty());
  ASSERT_TRUE(a.sa().downgrade_excluded);
  a.endpoint->rekey(now, TunnelId{1});
  drain();
  run();
  for (Side* s : {&a, &b}) {
    EXPECT_EQ(s->sa().authenticated_by, proof);
    EXPECT_TRUE(s->sa().downgrade_excluded);
  }
}

// The peer's rekey meets ours, and the peer then ends both the new IKE SA and the old one for the sake of a third.
TEST_F(IkeRekey, WhatThePeerHasDeletedTakesNothingOver) {
  both_offer("aes256gcm16-prfsha384-x25519");
  handshake();
  advance(1s);
  rekey('A');
  a_sends_lost("CREATE_CHILD_SA request 2");
  ASSERT_TRUE(b.endpoint->initiate(now, TunnelId{1}).has_value());
  drain();
  b_sends("IKE_SA_INIT request 0");
  a_sends("IKE_SA_INIT response 0");
  rekey('B');
  b_sends("IKE_AUTH request 1");
  deliver(find("A->B IKE_AUTH response 1"));
  run();
  run_for(6s);  // old inbound keys are gone
  for (const auto& [child, sa] : a.plane.outbound) {
    EXPECT_TRUE(std::any_of(b.plane.inbound.begin(), b.plane.inbound.end(),
                            [&](const auto& in) { return in.second.spi == sa.spi; }))
        << "A sends on a Child SA that B does not have\n"
        << a.said() << b.said();
  }
  run_for(40s);
  expect_tunnel();
}

TEST_F(IkeRekey, EitherSideAndAgainAndAgain) {
  handshake();
  for (int i = 0; i < 30; ++i) {
    rekey(i % 3 == 0 ? 'B' : 'A');
    run();
    expect_tunnel();
    if (i % 5 == 0) {
      a.endpoint->handle_plane(now, ipsec::SoftLimit{a.child().id});
      drain();
      run();
      expect_tunnel();
    }
    run_for(40s);
    ASSERT_EQ(a.endpoint->sas().size(), 1U) << i;
    ASSERT_EQ(b.endpoint->sas().size(), 1U) << i;
  }
  EXPECT_FALSE(a.has(Report::What::Down)) << a.said();
}

TEST_F(IkeRekey, HappensByItself) {
  handshake();
  const std::uint64_t first = a.sa().spi_i;
  run_for(30h);  // the lifetime is four hours
  EXPECT_NE(a.sa().spi_i, first);
  expect_tunnel();
  EXPECT_FALSE(a.has(Report::What::RenewWanted)) << a.said();
  EXPECT_FALSE(a.has(Report::What::Down)) << a.said();
  EXPECT_EQ(a.endpoint->sas().size(), 1U);
}

TEST_F(IkeRekey, TheOldOneAnswersARetransmission) {
  both_offer("aes256gcm16-prfsha384-x25519");
  handshake();
  rekey('A');
  a_sends("CREATE_CHILD_SA request 2");
  const Bytes answer = wire.front().bytes;
  drop();
  advance(1200ms);
  a_sends("CREATE_CHILD_SA request 2");
  ASSERT_FALSE(wire.empty());
  EXPECT_TRUE(std::any_of(wire.begin(), wire.end(), [&](const Flight& f) { return f.bytes == answer; }));
  run();
  expect_tunnel();
}

TEST_F(IkeRekey, AnotherGroupIsTriedWhenThePeerNamesIt) {
  a.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ecp384")};
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ecp384")};
  handshake();
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-ecp384")};
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 0, {}));
  wire.clear();
  rekey('A');
  drop();
  arrive(sealed('B', ExchangeType::CREATE_CHILD_SA, 2, {notify(NotifyType::INVALID_KE_PAYLOAD, {0, 20})}, true));
  const Seen again = look(wire.front());
  EXPECT_EQ(wire::find<wire::KePayload>(again.payloads)->method, KeId::ECP_384);
}

// rules.md "How safe an SA is".
TEST_F(IkeRekey, WithoutMlKemItIsRefusedOrNamed) {
  for (const bool require : {true, false}) {
    Conversation w{51};
    w.b.tunnel.pq = require ? model::PqPolicy::Require : model::PqPolicy::Prefer;
    if (require) w.b.tunnel.ike = ipsec::default_hybrid_proposals();
    w.handshake();
    const wire::SaPayload offer = ipsec::offer_ike({ike_proposal("aes256gcm16-prfsha384-x25519")});
    const auto mine = crypto::KeyExchange::create(KeId::CURVE25519, w.a.rng);
    w.arrive(w.sealed('A', ExchangeType::CREATE_CHILD_SA, 3,
                      {ike::with_ike_spi(offer, 0x1122334455667788), wire::NoncePayload{Bytes(32, 7)},
                       wire::KePayload{KeId::CURVE25519, to_bytes((*mine)->public_value())}}));
    const Seen answer = w.look(w.wire.front());
    if (require) {
      EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::NO_PROPOSAL_CHOSEN), nullptr);
      EXPECT_EQ(w.b.sa().spi_i, w.a.sa().spi_i);
      EXPECT_FALSE(w.b.sa().verdict.inherited);
    } else {
      EXPECT_NE(wire::find<wire::SaPayload>(answer.payloads), nullptr);
      EXPECT_TRUE(w.b.sa().verdict.hybrid);
      EXPECT_TRUE(w.b.sa().verdict.inherited);
      EXPECT_EQ(w.b.sa().spi_i, 0x1122334455667788U);
      EXPECT_TRUE(w.b.has(Report::What::Weakened)) << w.b.said();
    }
  }
}

TEST_F(IkeRekey, PureMlKemStandsAlone) {
  handshake();
  ipsec::IkeProposal pure = ike_proposal("aes256gcm16-prfsha384-x25519");
  pure.ke = {KeId::ML_KEM_768};
  const auto mine = crypto::KeyExchange::create(KeId::ML_KEM_768, a.rng);
  arrive(sealed('A', ExchangeType::CREATE_CHILD_SA, 3,
                {ike::with_ike_spi(ipsec::offer_ike({pure}), 0x1122334455667788), wire::NoncePayload{Bytes(32, 7)},
                 wire::KePayload{KeId::ML_KEM_768, to_bytes((*mine)->public_value())}}));
  EXPECT_EQ(b.sa().key_exchanges, std::vector{KeId::ML_KEM_768});
  EXPECT_TRUE(b.sa().verdict.hybrid);
  EXPECT_FALSE(b.sa().verdict.inherited);
}

TEST_F(IkeRekey, AChildSaOfAClassicalIkeSaStaysClassical) {
  both_offer("aes256gcm16-prfsha384-x25519");
  handshake();
  for (Side* s : {&a, &b}) s->tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768")};
  EXPECT_FALSE(a.child().verdict.hybrid);
  rekey('A');
  run();
  EXPECT_FALSE(a.child().verdict.hybrid);
}

TEST_F(IkeRekey, ABadValueEndsTheIkeSa) {
  handshake();
  arrive(sealed('A', ExchangeType::CREATE_CHILD_SA, 3,
                {ike::with_ike_spi(ipsec::offer_ike({ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768")}), 99),
                 wire::NoncePayload{Bytes(32, 7)}, wire::KePayload{KeId::CURVE25519, Bytes(32, 0)}}));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INVALID_SYNTAX), nullptr);
  EXPECT_TRUE(b.has(Report::What::Down)) << b.said();
  EXPECT_TRUE(b.plane.outbound.empty());
}

}  // namespace
}  // namespace qanat::exchange
