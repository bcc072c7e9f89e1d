// Post-quantum pre-shared keys (RFC 8784) in both roles: every row of its table 1, and beside RFC 9370.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

using model::PpkPolicy;

ike::Ppk ppk(const char* id, std::uint8_t fill) {
  return {to_bytes(id), model::PresharedKey{SecretBytes::copy_of(Bytes(32, fill))}};
}

class PpkConversation : public Conversation {
 public:
  using Conversation::Conversation;
  void policies(PpkPolicy of_a, PpkPolicy of_b) {
    a.tunnel.ppk_policy = of_a;
    b.tunnel.ppk_policy = of_b;
  }
  void keys(std::vector<ike::Ppk> of_a, std::vector<ike::Ppk> of_b) {
    a.tunnel.ppks = std::move(of_a);
    b.tunnel.ppks = std::move(of_b);
  }
  void expect_refused_by_b(const char* reason) {
    handshake();
    EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
    EXPECT_TRUE(b.has(Report::What::PeerRefused, reason)) << b.said();
    EXPECT_TRUE(a.has(Report::What::AttemptFailed, "AUTHENTICATION_FAILED")) << a.said();
    expect_nothing_installed();
  }
};
class PostQuantumKey : public ::testing::Test, public PpkConversation {};

TEST_F(PostQuantumKey, GoesIntoTheKeysOfBothSides) {
  for (const auto policy : {PpkPolicy::Prefer, PpkPolicy::Require}) {
    for (const char* ike_text : {"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"}) {
      PpkConversation w{3};
      w.policies(policy, policy);
      w.keys({ppk("key 1", 1), ppk("key 2", 2)}, {ppk("key 2", 2), ppk("key 1", 1)});
      w.both_offer(ike_text);
      w.begin();
      EXPECT_NE(wire::find_notify(w.look(w.wire.front()).payloads, NotifyType::USE_PPK), nullptr);
      w.deliver();
      EXPECT_NE(wire::find_notify(w.look(w.wire.front()).payloads, NotifyType::USE_PPK), nullptr);
      w.run();
      w.expect_tunnel();
      for (const Side* s : {&w.a, &w.b}) {
        EXPECT_TRUE(s->sa().verdict.ppk);
        EXPECT_TRUE(s->sa().children.front().verdict.ppk);
        EXPECT_THAT(s->sa().verdict.reason, ::testing::HasSubstr("PPK"));
      }
      // On the wire: PPK_ID with its type octet, NO_PPK_AUTH only when we can do without, an empty confirmation.
      for (const Flight& f : w.sent) {
        const Seen seen = w.look(f);
        if (seen.message.header.exchange != ExchangeType::IKE_AUTH) continue;
        const auto* identity = wire::find_notify(seen.payloads, NotifyType::PPK_IDENTITY);
        ASSERT_NE(identity, nullptr);
        const bool request = !seen.message.header.is_response();
        EXPECT_EQ(identity->data, request ? to_bytes("\x02key 1") : Bytes{});
        EXPECT_EQ(wire::find_notify(seen.payloads, NotifyType::NO_PPK_AUTH) != nullptr,
                  request && policy == PpkPolicy::Prefer);
      }
    }
  }
}

// The same conversation with another PPK has other ESP keys: it is in SK_d.
TEST_F(PostQuantumKey, IsNamedAfterTheIkeSaIsRekeyed) {
  policies(PpkPolicy::Require, PpkPolicy::Require);
  keys({ppk("key", 1)}, {ppk("key", 1)});
  both_offer("aes256gcm16-prfsha384-x25519-ke1_mlkem768");
  handshake();
  a.endpoint->rekey(now, TunnelId{1});
  drain();
  run();
  expect_tunnel();
  for (const Side* s : {&a, &b}) {
    EXPECT_TRUE(s->sa().verdict.ppk);
    EXPECT_THAT(s->sa().verdict.reason, ::testing::HasSubstr("PPK"));
  }
}

TEST_F(PostQuantumKey, ChangesTheKeysOfTheChildSa) {
  std::vector<Bytes> keymats;
  for (const std::uint8_t fill : std::initializer_list<std::uint8_t>{0, 1, 2}) {
    PpkConversation w{7};
    if (fill != 0) {
      w.policies(PpkPolicy::Require, PpkPolicy::Require);
      w.keys({ppk("k", fill)}, {ppk("k", fill)});
    }
    w.both_offer("aes256gcm16-prfsha384-x25519");
    w.handshake();
    w.expect_tunnel();
    keymats.push_back(to_bytes(w.a.plane.inbound.begin()->second.keymat.expose()));
  }
  EXPECT_NE(keymats[0], keymats[1]);
  EXPECT_NE(keymats[1], keymats[2]);
}

TEST_F(PostQuantumKey, ADifferentOneDoesNotAuthenticate) {
  policies(PpkPolicy::Prefer, PpkPolicy::Prefer);
  keys({ppk("k", 1)}, {ppk("k", 2)});
  expect_refused_by_b("and the PPK");
}

TEST_F(PostQuantumKey, AnUnknownIdGoesOnWithoutWhereBothPrefer) {
  for (const bool certificates : {false, true}) {
    PpkConversation w{4};
    w.policies(PpkPolicy::Prefer, PpkPolicy::Prefer);
    w.keys({ppk("mine", 1)}, {ppk("yours", 1)});
    if (certificates) {
      use_certificate(w.a, w.b);
      use_certificate(w.b, w.a);
    }
    w.handshake();
    w.expect_tunnel();
    EXPECT_FALSE(w.a.sa().verdict.ppk);
    EXPECT_FALSE(w.b.sa().verdict.ppk);
    // A's worker signed twice, with and without the PPK; B's judged the one without.
    if (certificates) {
      ASSERT_EQ(w.a.auth.sign_questions.size(), 2U);
      EXPECT_NE(w.a.auth.sign_questions[0].octets, w.a.auth.sign_questions[1].octets);
      EXPECT_EQ(w.b.auth.verify_questions[0].octets, w.a.auth.sign_questions[1].octets);
    }
  }
}

TEST_F(PostQuantumKey, WorksWithCertificates) {
  policies(PpkPolicy::Prefer, PpkPolicy::Prefer);
  keys({ppk("k", 1)}, {ppk("k", 1)});
  use_certificate(a, b);
  use_certificate(b, a);
  handshake();
  expect_tunnel();
  EXPECT_TRUE(a.sa().verdict.ppk);
  EXPECT_EQ(b.auth.verify_questions[0].octets, a.auth.sign_questions[0].octets);
}

TEST_F(PostQuantumKey, ARespondersRequireRefusesAnUnknownId) {
  policies(PpkPolicy::Prefer, PpkPolicy::Require);
  keys({ppk("mine", 1)}, {ppk("yours", 1)});
  expect_refused_by_b("has not");
}

TEST_F(PostQuantumKey, AnInitiatorsRequireLeavesNoWayWithout) {
  policies(PpkPolicy::Require, PpkPolicy::Prefer);
  keys({ppk("mine", 1)}, {ppk("yours", 1)});
  expect_refused_by_b("does not go on without");
}

TEST_F(PostQuantumKey, ARespondersRequireRefusesAPeerWithout) {
  policies(PpkPolicy::Off, PpkPolicy::Require);
  keys({}, {ppk("k", 1)});
  expect_refused_by_b("uses no PPK");
}

TEST_F(PostQuantumKey, AnInitiatorsRequireFailsAgainstAPeerWithout) {
  policies(PpkPolicy::Require, PpkPolicy::Off);
  keys({ppk("k", 1)}, {});
  handshake();
  run_for(11s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "uses no PPK")) << a.said();
  expect_nothing_installed();
}

TEST_F(PostQuantumKey, OneSidedPreferenceIsNoHindrance) {
  for (const bool of_a : {true, false}) {
    PpkConversation w{5};
    w.policies(of_a ? PpkPolicy::Prefer : PpkPolicy::Off, of_a ? PpkPolicy::Off : PpkPolicy::Prefer);
    w.keys({ppk("k", 1)}, {ppk("k", 1)});
    w.handshake();
    w.expect_tunnel();
    EXPECT_FALSE(w.a.sa().verdict.ppk);
    EXPECT_FALSE(w.b.sa().verdict.ppk);
  }
}

// Until IKE_AUTH: what is changed there is authentic but not what the peers agreed on.
TEST_F(PostQuantumKey, MustBeNamedWhenItWasAgreed) {
  policies(PpkPolicy::Prefer, PpkPolicy::Prefer);
  keys({ppk("k", 1)}, {ppk("k", 1)});
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  wire::Payloads payloads = look(wire.front()).payloads;
  std::erase_if(payloads, [](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == NotifyType::PPK_IDENTITY;
  });
  drop();
  arrive(sealed('A', ExchangeType::IKE_AUTH, 2, payloads));
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::AUTHENTICATION_FAILED), nullptr);
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "names none")) << b.said();
  run();
  expect_nothing_installed();
}

TEST_F(PostQuantumKey, AnAnswerWithoutItIsRefusedWhereItIsRequired) {
  policies(PpkPolicy::Require, PpkPolicy::Prefer);
  keys({ppk("k", 1)}, {ppk("k", 1)});
  begin();
  for (int i = 0; i < 5; ++i) deliver();
  wire::Payloads payloads = look(wire.front()).payloads;
  std::erase_if(payloads, [](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == NotifyType::PPK_IDENTITY;
  });
  drop();
  arrive(sealed('B', ExchangeType::IKE_AUTH, 2, payloads, true));
  EXPECT_EQ(a.count(Counter::authentication_failed), 1U);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "went on without the PPK")) << a.said();
  EXPECT_EQ(a.plane.installs, 0U);
  a_sends("INFORMATIONAL request 3");
  EXPECT_TRUE(b.has(Report::What::Down, "AUTHENTICATION_FAILED")) << b.said();
}

// Another type of PPK_ID than FIXED is none of ours.
TEST_F(PostQuantumKey, AnOpaqueIdIsUnknown) {
  policies(PpkPolicy::Prefer, PpkPolicy::Prefer);
  keys({ppk("k", 1)}, {ppk("k", 1)});
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  wire::Payloads payloads = look(wire.front()).payloads;
  for (wire::Payload& p : payloads) {
    auto* n = std::get_if<wire::NotifyPayload>(&p);
    if (n != nullptr && n->type == NotifyType::PPK_IDENTITY) n->data[0] = 1;
  }
  drop();
  arrive(sealed('A', ExchangeType::IKE_AUTH, 2, payloads));
  run();
  EXPECT_FALSE(a.sa().verdict.ppk) << "NO_PPK_AUTH was used";
  expect_tunnel();
}

}  // namespace
}  // namespace qanat::exchange
