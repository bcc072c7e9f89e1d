// pq = "pin": a peer that has come up hybrid before does not come back with classical keys, in either role, by a
// handshake or by a rekey.
#include "exchange/peers.hpp"
#include "ike/negotiation.hpp"

namespace qanat::exchange {
namespace {

class Pin : public Peers {
 protected:
  static void classical_only(Side& s) {
    s.tunnel.pq = model::PqPolicy::Off;
    s.tunnel.ike = ipsec::default_classical_proposals();
  }
  static void pin(Side& s, bool known) {
    s.tunnel.pq = model::PqPolicy::Pin;
    s.tunnel.hybrid_known = known;
  }
  // The side's tunnel as it is in `tunnel` now.
  void update(Side& s) {
    s.endpoint->update_tunnel(now, std::make_shared<const ike::TunnelConfig>(s.tunnel), {});
    drain();
  }
  void rekey_children(Side& s) {
    s.endpoint->rekey_children(now, TunnelId{1});
    drain();
    run();
  }
  // The IKE SA classical, its Child SA with ML-KEM of its own.
  void only_the_child_hybrid() {
    both_offer("aes256gcm16-prfsha384-x25519");
    a.tunnel.esp = b.tunnel.esp = {esp_proposal("aes256gcm16-x25519-ke1_mlkem768")};
    handshake();
    rekey_children(a);
    run_for(10s);
    ASSERT_FALSE(a.sa().verdict.hybrid);
    ASSERT_TRUE(a.child().verdict.hybrid) << a.said();
  }
};

TEST_F(Pin, APeerThatNeverWasHybridMayBeClassicalInEitherRole) {
  for (const char begins : {'A', 'B'}) {
    Conversation w{61};
    pin(w.a, false);
    classical_only(w.b);
    w.handshake(begins);
    w.expect_tunnel();
    EXPECT_FALSE(w.a.sa().verdict.hybrid);
  }
}

TEST_F(Pin, WithTheSamePeerHybridNothingIsDifferent) {
  pin(a, true);
  pin(b, true);
  handshake();
  expect_tunnel();
  EXPECT_TRUE(a.sa().verdict.hybrid);
  a.endpoint->rekey(now, TunnelId{1});
  drain();
  run();
  rekey_children(b);
  run_for(10s);
  expect_tunnel();
  EXPECT_TRUE(b.sa().verdict.hybrid);
  EXPECT_FALSE(a.has(Report::What::PinRefused));
  EXPECT_FALSE(b.has(Report::What::PinRefused));
}

TEST_F(Pin, TheInitiatorTakesNoClassicalChoiceAndNamesTheLine) {
  pin(a, true);
  classical_only(b);
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  EXPECT_TRUE(wire.empty()) << "no identity leaves under such keys";
  EXPECT_TRUE(a.has(Report::What::PinRefused, "qanat posture forget")) << a.said();
  EXPECT_TRUE(a.has(Report::What::PinRefused, "set pq = \"prefer\"")) << a.said();
  run_for(15s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "pq = \"pin\" refuses")) << a.said();
  expect_nothing_installed();
}

TEST_F(Pin, TheResponderRefusesInIkeAuthOnceThePeerHasProvedWhoItIs) {
  pin(b, true);
  classical_only(a);
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  EXPECT_FALSE(b.has(Report::What::PinRefused));
  a_sends("IKE_AUTH request 1");
  const Seen answer = look(wire.front());
  EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::AUTHENTICATION_FAILED), nullptr);
  EXPECT_EQ(wire::find<wire::AuthPayload>(answer.payloads), nullptr);
  b_sends("IKE_AUTH response 1");
  EXPECT_TRUE(b.has(Report::What::PinRefused, "the peer does not support IKE_INTERMEDIATE")) << b.said();
  EXPECT_TRUE(b.has(Report::What::PinRefused, "qanat posture forget")) << b.said();
  EXPECT_EQ(b.reports.back().tunnel, TunnelId{1});
  EXPECT_FALSE(b.has(Report::What::IkeUp));
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "AUTHENTICATION_FAILED")) << a.said();
  EXPECT_TRUE(a.established().empty());
  EXPECT_TRUE(b.established().empty());
  expect_nothing_installed();
}

TEST_F(Pin, WithCertificatesToo) {
  pin(b, true);
  classical_only(a);
  use_certificate(a, b);
  use_certificate(b, a);
  handshake();
  EXPECT_TRUE(b.has(Report::What::PinRefused)) << b.said();
  expect_nothing_installed();
}

TEST_F(Pin, AStrangerIsNoDowngrade) {
  pin(b, true);
  classical_only(a);
  a.tunnel.psk = model::PresharedKey{SecretBytes::adopt(Bytes(32, 9))};
  handshake();
  EXPECT_FALSE(b.has(Report::What::PinRefused)) << b.said();
  EXPECT_TRUE(b.has(Report::What::PeerRefused)) << b.said();
  expect_nothing_installed();
}

// Both begin, and the pin is set while the other, classical handshake is on its way.
TEST_F(Pin, AHandshakeThatWasBegunBeforeIsJudgedByWhatIsKnownNow) {
  pin(a, false);
  classical_only(b);
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a.tunnel.hybrid_known = true;
  update(a);
  a_sends("IKE_AUTH request 1");
  b_sends("IKE_AUTH response 1");
  EXPECT_TRUE(a.has(Report::What::PinRefused)) << a.said();
  run();
  EXPECT_TRUE(a.established().empty());
  EXPECT_TRUE(b.established().empty()) << "it is told";
  expect_no_tunnel();
}

TEST_F(Pin, ARekeyOfTheIkeSaWithoutMlKemIsRefused) {
  pin(b, false);  // that this IKE SA is hybrid is enough
  handshake();
  const wire::SaPayload offer = ipsec::offer_ike({ike_proposal("aes256gcm16-prfsha384-x25519")});
  const auto mine = crypto::KeyExchange::create(KeId::CURVE25519, a.rng);
  arrive(sealed('A', ExchangeType::CREATE_CHILD_SA, 3,
                {ike::with_ike_spi(offer, 0x1122334455667788), wire::NoncePayload{Bytes(32, 7)},
                 wire::KePayload{KeId::CURVE25519, to_bytes((*mine)->public_value())}}));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::NO_PROPOSAL_CHOSEN), nullptr);
  EXPECT_EQ(b.sa().spi_i, a.sa().spi_i);
  EXPECT_FALSE(b.has(Report::What::Weakened)) << b.said();
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "ML-KEM")) << b.said();
}

TEST_F(Pin, OurOwnRekeyOfTheIkeSaTakesNoClassicalAnswer) {
  pin(a, false);
  handshake();
  const std::uint64_t before = a.sa().spi_i;
  b.tunnel.ike = ipsec::default_classical_proposals();
  update(b);
  a.endpoint->rekey(now, TunnelId{1});
  drain();
  run();
  EXPECT_EQ(a.sa().spi_i, before);
  EXPECT_FALSE(a.sa().verdict.inherited);
  EXPECT_GE(a.count(Counter::bad_create_answer), 1U);
}

TEST_F(Pin, ARekeyOfAChildSaThatGivesUpMlKemIsRefused) {
  only_the_child_hybrid();
  pin(b, true);
  update(b);
  a.tunnel.esp = {esp_proposal("aes256gcm16-x25519")};
  b.tunnel.esp.push_back(a.tunnel.esp.front());
  update(a);
  update(b);
  const std::uint64_t refused = b.count(Counter::child_no_proposal);
  rekey_children(a);
  EXPECT_GT(b.count(Counter::child_no_proposal), refused) << b.said();
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "give up ML-KEM")) << b.said();
  for (const ike::ChildInfo& child : b.live_children()) EXPECT_TRUE(child.verdict.hybrid) << b.said();
}

TEST_F(Pin, OurOwnRekeyOfAChildSaTakesNoAnswerThatGivesUpMlKem) {
  only_the_child_hybrid();
  pin(a, true);
  update(a);
  b.tunnel.esp = {esp_proposal("aes256gcm16-x25519")};
  update(b);
  rekey_children(a);
  run_for(5s);
  EXPECT_TRUE(a.has(Report::What::Hint, "give up ML-KEM")) << a.said();
  for (const ike::ChildInfo& child : a.live_children()) EXPECT_TRUE(child.verdict.hybrid) << a.said();
}

TEST_F(Pin, TightenedByAReloadWhatIsClassicalIsDeleted) {
  both_offer("aes256gcm16-prfsha384-x25519");
  handshake();
  expect_tunnel();
  pin(a, true);
  a.endpoint->update_tunnel(now, std::make_shared<const ike::TunnelConfig>(a.tunnel), {.enforce = true});
  drain();
  run();
  EXPECT_TRUE(a.has(Report::What::Down, "no ML-KEM")) << a.said();
  EXPECT_TRUE(a.established().empty());
}

}  // namespace
}  // namespace qanat::exchange
