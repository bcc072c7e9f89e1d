// pq = require | prefer | off, against peers of every kind, in both roles.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

void classical_only(Side& s) {
  s.tunnel.pq = model::PqPolicy::Off;
  s.tunnel.ike = ipsec::default_classical_proposals();
}
void hybrid_only(Side& s) {
  s.tunnel.pq = model::PqPolicy::Require;
  s.tunnel.ike = ipsec::default_hybrid_proposals();
}
// A peer that has never heard of RFC 9242: its notification does not reach the other side.
Bytes without_notify(const Flight& flight, NotifyType type) {
  auto message = wire::parse_message(flight.bytes);
  std::erase_if(message->payloads, [&](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == type;
  });
  return wire::write_clear_message(message->header, message->payloads);
}

bool is_init(const Flight& f) {
  return f.bytes.size() > 18 && f.bytes[18] == static_cast<std::uint8_t>(ExchangeType::IKE_SA_INIT);
}

TEST_F(Peers, RequireMeetsRequire) {
  hybrid_only(a);
  hybrid_only(b);
  handshake();
  expect_tunnel();
  EXPECT_TRUE(a.sa().verdict.hybrid);
}

TEST_F(Peers, AResponderThatRequiresPqRefusesAClassicalInitiatorAndSaysWhichSetting) {
  classical_only(a);
  hybrid_only(b);
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  run_for(15s);
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "pq = \"prefer\"")) << b.said();
  EXPECT_TRUE(a.has(Report::What::Hint, "NO_PROPOSAL_CHOSEN"));
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "NO_PROPOSAL_CHOSEN"));
  EXPECT_GE(b.count(Counter::no_proposal), 1U);
  expect_nothing_installed();
}

TEST_F(Peers, AnInitiatorThatRequiresPqIsRefusedByAClassicalResponder) {
  hybrid_only(a);
  classical_only(b);
  handshake();
  run_for(15s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "NO_PROPOSAL_CHOSEN")) << a.said();
  expect_nothing_installed();
}

// The proposals would allow it, the policy does not: somebody on the way has rewritten the answer's offer.
TEST_F(Peers, AnInitiatorThatRequiresPqDoesNotTakeAClassicalChoice) {
  a.tunnel.pq = model::PqPolicy::Require;  // with the classical twins still in its list
  classical_only(b);
  handshake();
  run_for(15s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "pq = \"require\"")) << a.said();
  expect_nothing_installed();
}

TEST_F(Peers, PreferMeetsAClassicalResponderAndNamesTheReason) {
  classical_only(b);
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_AUTH request 1");
  b_sends("IKE_AUTH response 1");
  expect_tunnel();
  EXPECT_FALSE(a.sa().verdict.hybrid);
  EXPECT_EQ(a.sa().verdict.reason, "the peer does not support IKE_INTERMEDIATE (RFC 9242)");
  EXPECT_EQ(b.sa().verdict.reason, "local policy: pq = \"off\"");
  EXPECT_EQ(a.sa().verdict.code, "no_intermediate");
  EXPECT_EQ(b.sa().verdict.code, "local_policy");
  EXPECT_EQ(a.sa().children.at(0).verdict.code, "no_intermediate");
}

TEST_F(Peers, PreferMeetsAClassicalInitiatorAndNamesTheReason) {
  classical_only(a);
  handshake();
  expect_tunnel();
  EXPECT_FALSE(b.sa().verdict.hybrid);
  EXPECT_EQ(b.sa().verdict.reason, "the peer does not support IKE_INTERMEDIATE (RFC 9242)");
  EXPECT_EQ(a.sa().verdict.reason, "local policy: pq = \"off\"");
}

TEST_F(Peers, PreferMeetsAPeerWithIntermediateButWithoutMlKem) {
  a.tunnel.ike = ipsec::default_classical_proposals();
  handshake();
  expect_tunnel();
  EXPECT_EQ(b.sa().verdict.reason, "the peer offered no additional key exchange");
  EXPECT_EQ(b.sa().verdict.code, "no_addke");
}

// What is in the field before ML-KEM has its numbers everywhere: Kyber, Frodo, BIKE and HQC under private ones.
TEST_F(Peers, PrivateKeyExchangesAreNamed) {
  ipsec::IkeProposal kyber = ipsec::default_classical_proposals().front();
  kyber.addke[0] = {KeId{1081}, KeId{1092}};
  a.tunnel.ike = ipsec::default_classical_proposals();
  a.tunnel.ike.insert(a.tunnel.ike.begin(), kyber);
  handshake();
  expect_tunnel();
  EXPECT_EQ(b.sa().verdict.code, "private_key_exchanges");
  EXPECT_NE(b.sa().verdict.reason.find("kyber768"), std::string::npos) << b.sa().verdict.reason;
  EXPECT_NE(b.sa().verdict.reason.find("hqc-128"), std::string::npos);
  EXPECT_NE(b.sa().offered.find("(kyber768)"), std::string::npos) << b.sa().offered;
  EXPECT_LE(b.sa().offered.size(), 410U);
}

// Both can do ML-KEM, and their lists do not meet: that is for the operator of either to mend.
TEST_F(Peers, MlKemOfOtherSizesIsLocalPolicy) {
  ipsec::IkeProposal small = ipsec::default_classical_proposals().front();
  ipsec::IkeProposal large = small;
  small.addke[0] = {KeId::ML_KEM_512};
  large.addke[0] = {KeId::ML_KEM_1024};
  a.tunnel.ike = ipsec::default_classical_proposals();
  b.tunnel.ike = a.tunnel.ike;
  a.tunnel.ike.insert(a.tunnel.ike.begin(), small);
  b.tunnel.ike.insert(b.tunnel.ike.begin(), large);
  handshake();
  expect_tunnel();
  EXPECT_EQ(b.sa().verdict.code, "local_policy");
}

// Pitfall 4: INTERMEDIATE negotiated, no round took place: AUTH has no IntAuth.
TEST_F(Peers, IntermediateThatIsNegotiatedAndNotUsedLeavesAuthPlain) {
  a.tunnel.ike = b.tunnel.ike = ipsec::default_classical_proposals();
  begin();
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED), nullptr);
  a_sends("IKE_SA_INIT request 0");
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED), nullptr);
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_AUTH request 1");
  b_sends("IKE_AUTH response 1");
  expect_tunnel();
  EXPECT_EQ(a.sa().verdict.reason, "the peer chose a proposal without an additional key exchange");
}

TEST_F(Peers, OffMeetsOff) {
  classical_only(a);
  classical_only(b);
  begin();
  EXPECT_EQ(wire::find_notify(look(wire.front()).payloads, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED), nullptr);
  run();
  expect_tunnel();
  EXPECT_EQ(a.sa().verdict.reason, "local policy: pq = \"off\"");
}

// Rewriting IKE_SA_INIT does not get a downgrade past AUTH: each side signs what it sent or received.
TEST_F(Peers, StrippingIntermediateFromTheRequestEndsInAuthenticationFailed) {
  meddle = [](Flight& f) {
    if (f.from == 'A' && is_init(f)) f.bytes = without_notify(f, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED);
  };
  handshake();
  run_for(60s);
  EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "AUTHENTICATION_FAILED")) << a.said();
  expect_nothing_installed();
}

TEST_F(Peers, StrippingIntermediateFromTheResponseNeverEstablishes) {
  for (const auto policy : {model::PqPolicy::Prefer, model::PqPolicy::Require}) {
    Conversation w{3};
    w.a.tunnel.pq = policy;
    w.meddle = [](Flight& f) {
      if (f.from == 'B' && is_init(f)) f.bytes = without_notify(f, NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED);
    };
    w.handshake();
    w.run_for(400s);
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "IKE_INTERMEDIATE")) << w.a.said();
    w.expect_nothing_installed();
  }
}

TEST_F(Peers, StrippingMlKemFromTheOfferNeverEstablishes) {
  for (const auto policy : {model::PqPolicy::Prefer, model::PqPolicy::Require}) {
    Conversation w{3};
    w.a.tunnel.pq = w.b.tunnel.pq = policy;
    w.meddle = [](Flight& f) {
      if (f.from != 'A' || !is_init(f)) return;
      auto message = wire::parse_message(f.bytes);
      for (wire::Payload& p : message->payloads) {
        if (auto* sa = std::get_if<wire::SaPayload>(&p)) {
          for (auto& proposal : sa->proposals)
            std::erase_if(proposal.transforms,
                          [](const wire::Transform& t) { return t.type >= wire::TransformType::ADDKE1; });
        }
      }
      f.bytes = wire::write_clear_message(message->header, message->payloads);
    };
    w.handshake();
    w.run_for(400s);
    w.expect_nothing_installed();
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
  }
}

// The first proposal is cut out of the offer: B chooses a classical twin, and its AUTH covers what it received.
TEST_F(Peers, CuttingTheHybridProposalsOutEndsInAuthenticationFailed) {
  meddle = [](Flight& f) {
    if (f.from != 'A' || !is_init(f)) return;
    auto message = wire::parse_message(f.bytes);
    for (wire::Payload& p : message->payloads) {
      if (auto* sa = std::get_if<wire::SaPayload>(&p)) sa->proposals.erase(sa->proposals.begin());
    }
    f.bytes = wire::write_clear_message(message->header, message->payloads);
  };
  handshake();
  EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "AUTHENTICATION_FAILED")) << a.said();
  expect_nothing_installed();
}

}  // namespace
}  // namespace qanat::exchange
