// Certificates in IKE_AUTH: both roles, mixed with PSK, and everything that a worker, a peer or the wire can do to
// them.
#include "exchange/peers.hpp"
#include "ike/auth_agreement.hpp"

namespace qanat::exchange {
namespace {

using Mode = FakeAuth::Answer;

template <typename T>
T* get(wire::Payloads& payloads) {
  for (wire::Payload& p : payloads) {
    if (T* found = std::get_if<T>(&p)) return found;
  }
  return nullptr;
}

class SignedConversation : public Conversation {
 public:
  using Conversation::Conversation;
  void both() {
    use_certificate(a, b);
    use_certificate(b, a);
    for (Side* s : {&a, &b}) s->tunnel.psk = {};
  }
  // Until A's IKE_AUTH request is the next on the wire.
  void until_auth() {
    begin();
    for (int i = 0; i < 4; ++i) deliver();
  }
  // The IKE_AUTH message on the wire, changed.
  void change_next(const std::function<void(wire::Payloads&)>& change) {
    const Seen seen = look(wire.front());
    wire::Payloads payloads = seen.payloads;
    change(payloads);
    const Flight changed = sealed(wire.front().from, ExchangeType::IKE_AUTH, seen.message.header.message_id, payloads,
                                  seen.message.header.is_response());
    drop();
    arrive(changed);
  }
  void expect_refused_by_b(const char* reason) {
    expect_next('B', "IKE_AUTH response 2");
    const Seen answer = look(wire.front());
    EXPECT_EQ(answer.payloads.size(), 1U);
    EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::AUTHENTICATION_FAILED), nullptr);
    EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
    EXPECT_TRUE(b.has(Report::What::PeerRefused, reason)) << b.said();
    run();
    EXPECT_TRUE(a.has(Report::What::AttemptFailed, "AUTHENTICATION_FAILED")) << a.said();
    expect_nothing_installed();
    advance(31s);
    EXPECT_TRUE(a.endpoint->sas().empty());
    EXPECT_TRUE(b.endpoint->sas().empty());
  }
  // B's answer is no good: A says so in an INFORMATIONAL, and B's SA is gone.
  void expect_refused_by_a(const char* reason) {
    EXPECT_EQ(a.count(Counter::authentication_failed), 1U);
    EXPECT_TRUE(a.has(Report::What::AttemptFailed, reason)) << a.said();
    EXPECT_EQ(a.plane.installs, 0U);
    expect_next('A', "INFORMATIONAL request 3");
    EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::AUTHENTICATION_FAILED), nullptr);
    run();
    EXPECT_TRUE(b.has(Report::What::Down, "AUTHENTICATION_FAILED")) << b.said();
    expect_no_tunnel();
  }
};
class Certificates : public ::testing::Test, public SignedConversation {};

TEST_F(Certificates, BothSidesProveThemselvesByThem) {
  both();
  handshake();
  expect_tunnel();
  EXPECT_EQ(a.sa().authenticated_by, "toy certificate of b.example");
  EXPECT_EQ(b.sa().authenticated_by, "toy certificate of a.example");
  EXPECT_TRUE(a.sa().auth_quantum_safe);
  EXPECT_TRUE(a.has(Report::What::IkeUp, "authenticated by toy certificate of b.example"));
  // Everybody was asked once, over the octets that the other signed.
  ASSERT_EQ(a.auth.sign_questions.size(), 1U);
  ASSERT_EQ(b.auth.verify_questions.size(), 1U);
  EXPECT_EQ(a.auth.sign_questions[0].octets, b.auth.verify_questions[0].octets);
  ASSERT_EQ(b.auth.sign_questions.size(), 1U);
  ASSERT_EQ(a.auth.verify_questions.size(), 1U);
  EXPECT_EQ(b.auth.sign_questions[0].octets, a.auth.verify_questions[0].octets);
  EXPECT_NE(a.auth.sign_questions[0].octets, b.auth.sign_questions[0].octets);
  // Hashes, authorities and announcements came across, Identity among the hashes (RFC 8420).
  for (const Side* s : {&a, &b}) {
    const ike::SignQuestion& q = s->auth.sign_questions[0];
    EXPECT_TRUE(q.digital_signature);
    EXPECT_EQ(q.peer_hashes, (std::vector<std::uint16_t>{5, 2, 3, 4}));
    EXPECT_EQ(q.peer_authorities, (std::vector<Bytes>{Bytes(20, 0xca)}));
    EXPECT_EQ(q.peer_announced, s->tunnel.announced);
  }
}

TEST_F(Certificates, GoWithAPskOfTheOtherSide) {
  for (const bool a_signs : {true, false}) {
    for (const char who : {'A', 'B'}) {
      SCOPED_TRACE(a_signs);
      Conversation w{5};
      Side& signer = a_signs ? w.a : w.b;
      Side& other = a_signs ? w.b : w.a;
      use_certificate(signer, other);
      w.handshake(who);
      w.expect_tunnel();
      EXPECT_THAT(other.sa().authenticated_by, ::testing::HasSubstr("toy certificate"));
      EXPECT_EQ(signer.sa().authenticated_by, "PSK");
      EXPECT_FALSE(signer.sa().auth_quantum_safe) << "this PSK was not generated";
      EXPECT_EQ(signer.auth.sign_questions.size(), 1U);
      EXPECT_EQ(other.auth.sign_questions.size(), 0U);
    }
  }
}

TEST_F(Certificates, AGeneratedPskIsQuantumSafe) {
  const std::string text = model::generated_psk_text(Bytes(32, 7));
  for (Side* s : {&a, &b}) s->tunnel.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes(text))};
  handshake();
  expect_tunnel();
  EXPECT_TRUE(a.sa().auth_quantum_safe);
  EXPECT_TRUE(b.sa().auth_quantum_safe);
}

// Without SIGNATURE_HASH_ALGORITHMS the methods of RFC 7296 and 4754 are used.
TEST_F(Certificates, MethodFourteenIsUsedOnlyWhenBothSaidHashes) {
  both();
  a.tunnel.signature_hashes.clear();
  handshake();
  expect_tunnel();
  EXPECT_FALSE(a.auth.sign_questions[0].digital_signature);
  EXPECT_FALSE(b.auth.sign_questions[0].digital_signature);
  EXPECT_EQ(b.auth.verify_questions[0].auth.method, wire::AuthMethod::EcdsaSha256P256);
}

TEST_F(Certificates, AnOldMethodIsRefusedWhereFourteenWasNegotiated) {
  both();
  until_auth();
  change_next([](wire::Payloads& p) { get<wire::AuthPayload>(p)->method = wire::AuthMethod::RsaDigitalSignature; });
  EXPECT_TRUE(b.auth.verify_questions.empty());
  expect_refused_by_b("method 14");
}

// ---- a worker takes its time ------------------------------------------------------------------------------------

TEST_F(Certificates, NothingLeavesBeforeOurSignatureIsMade) {
  both();
  a.auth.sign = Mode::Later;
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  EXPECT_TRUE(wire.empty());
  advance(5s);
  EXPECT_TRUE(wire.empty());
  a.auth.give_late_answers();
  drain();
  a_sends("IKE_AUTH request 2");
  run();
  expect_tunnel();
}

TEST_F(Certificates, RetransmissionsAreDroppedAndCountedWhileTheResponderWorks) {
  both();
  for (const bool signing : {false, true}) {
    Conversation w{9};
    use_certificate(w.a, w.b);
    use_certificate(w.b, w.a);
    (signing ? w.b.auth.sign : w.b.auth.verify) = Mode::Later;
    w.begin();
    for (int i = 0; i < 4; ++i) w.deliver();
    const Flight request = w.wire.front();
    w.deliver();
    EXPECT_TRUE(w.wire.empty());
    EXPECT_EQ(w.b.plane.installs, 0U);
    EXPECT_EQ(w.b.auth.sign_questions.size(), signing ? 1U : 0U) << "theirs is judged before ours is made";
    w.arrive(request);
    w.arrive(request);
    EXPECT_TRUE(w.wire.empty());
    EXPECT_EQ(w.b.count(Counter::in_progress), 2U);
    EXPECT_EQ(w.b.auth.verify_questions.size(), 1U);
    // Nothing else gets in between either.
    w.arrive(w.sealed('A', ExchangeType::CREATE_CHILD_SA, 3, {wire::NoncePayload{Bytes(32, 1)}}));
    w.arrive(w.sealed('A', ExchangeType::INFORMATIONAL, 3, {}));
    EXPECT_EQ(w.b.count(Counter::exchange_not_allowed), 2U);
    EXPECT_TRUE(w.wire.empty());
    w.b.auth.give_late_answers();
    w.drain();
    ASSERT_EQ(w.wire.size(), 1U);
    const Bytes answer = w.wire.front().bytes;
    w.arrive(request);  // now the stored bytes answer
    EXPECT_EQ(w.wire.back().bytes, answer);
    w.run();
    w.expect_tunnel();
  }
}

TEST_F(Certificates, TheInitiatorInstallsNothingBeforeTheVerdict) {
  both();
  a.auth.verify = Mode::Later;
  begin();
  for (int i = 0; i < 6; ++i) deliver();
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(a.plane.installs, 0U);
  EXPECT_TRUE(a.established().empty());
  const std::size_t before = sent.size();
  arrive(sent.back());  // the response once more
  EXPECT_EQ(a.count(Counter::unexpected_response), 1U);
  EXPECT_EQ(a.auth.verify_questions.size(), 1U);
  EXPECT_EQ(sent.size(), before);
  a.auth.give_late_answers();
  drain();
  run();
  expect_tunnel();
}

TEST_F(Certificates, AWorkerThatNeverAnswersEndsTheAttemptAfterTenSeconds) {
  for (int who = 0; who < 4; ++who) {
    SCOPED_TRACE(who);
    Conversation w{10};
    use_certificate(w.a, w.b);
    use_certificate(w.b, w.a);
    Side& busy = who < 2 ? w.a : w.b;
    (who % 2 == 0 ? busy.auth.sign : busy.auth.verify) = Mode::Never;
    w.begin();
    w.run();
    w.run_for(9900ms);
    EXPECT_EQ(busy.count(Counter::worker_timeout), 0U);
    w.run_for(5s);
    EXPECT_EQ(busy.count(Counter::worker_timeout), 1U);
    EXPECT_EQ(busy.plane.installs, 0U);
    EXPECT_TRUE(busy.has(who < 2 ? Report::What::AttemptFailed : Report::What::PeerRefused, "within 10 s"))
        << busy.said();
    w.run_for(60s);
    w.expect_no_tunnel();
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    EXPECT_TRUE(w.b.endpoint->sas().empty());
  }
}

TEST_F(Certificates, AnAnswerThatComesTooLateOrTwiceChangesNothing) {
  both();
  b.auth.verify = Mode::Later;
  until_auth();
  deliver();
  advance(11s);
  wire.clear();
  b.auth.give_late_answers();
  drain();
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.plane.installs, 0U);
  b.endpoint->handle_auth(now, ike::VerifyAnswer{RequestId{1}, {}, "x", true});
  b.endpoint->handle_auth(now, ike::SignAnswer{RequestId{99}, {}, {}, {}, {}});
  drain();
  EXPECT_EQ(b.plane.installs, 0U);
}

TEST_F(Certificates, WhatWasAskedForATunnelThatChangedIsNotUsed) {
  both();
  b.auth.verify = Mode::Later;
  until_auth();
  deliver();
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(b.tunnel));  // other anchors, perhaps
  b.auth.give_late_answers();
  drain();
  expect_refused_by_b("changed meanwhile");
}

// ---- refusals ---------------------------------------------------------------------------------------------------

TEST_F(Certificates, AWorkerThatCannotSignEndsTheInitiatorsAttempt) {
  both();
  a.auth.sign = Mode::Refuse;
  handshake();
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "the key is not there")) << a.said();
  expect_nothing_installed();
  advance(61s);
  EXPECT_TRUE(b.endpoint->sas().empty());
}

TEST_F(Certificates, AResponderThatCannotSignAnswersLikeForEveryReason) {
  both();
  b.auth.sign = Mode::Refuse;
  until_auth();
  deliver();
  expect_refused_by_b("the key is not there");
}

TEST_F(Certificates, AStrangersCertificateIsRefusedByTheResponder) {
  both();
  a.auth.ca = "Another CA";
  until_auth();
  deliver();
  EXPECT_TRUE(b.auth.sign_questions.empty()) << "we sign for nobody whom we do not know";
  expect_refused_by_b("no anchor of ours");
}

TEST_F(Certificates, AStrangersCertificateIsRefusedByTheInitiator) {
  both();
  b.auth.ca = "Another CA";
  begin();
  for (int i = 0; i < 6; ++i) deliver();
  expect_refused_by_a("no anchor of ours");
}

TEST_F(Certificates, ACertificateOfAnotherIdentityIsRefused) {
  both();
  a.auth.owner = "c.example";
  until_auth();
  deliver();
  expect_refused_by_b("somebody else's");
}

TEST_F(Certificates, TheInitiatorWantsTheIdentityThatItKnows) {
  both();
  begin();
  for (int i = 0; i < 5; ++i) deliver();
  change_next([](wire::Payloads& p) { get<wire::IdPayload>(p)->identity.data = to_bytes("c.example"); });
  EXPECT_TRUE(a.auth.verify_questions.empty());
  expect_refused_by_a("c.example, not");
}

TEST_F(Certificates, AnUnknownAlgorithmIdentifierIsAuthenticationFailed) {
  both();
  until_auth();
  change_next([](wire::Payloads& p) { get<wire::AuthPayload>(p)->data[13] = 0x7f; });
  expect_refused_by_b("unknown AlgorithmIdentifier");
}

TEST_F(Certificates, ASignatureOverOtherOctetsIsRefused) {
  both();
  until_auth();
  change_next([&](wire::Payloads& p) {
    ike::SignQuestion other = a.auth.sign_questions[0];
    other.octets[100] ^= 1;
    get<wire::AuthPayload>(p)->data = a.auth.signed_answer(other).auth.data;
  });
  expect_refused_by_b("the signature does not verify");
}

TEST_F(Certificates, TheRespondersSignatureIsNoAnswerOfItsOwn) {
  both();
  begin();
  for (int i = 0; i < 5; ++i) deliver();
  // The initiator's own signature, reflected with B's certificate.
  change_next([&](wire::Payloads& p) {
    get<wire::AuthPayload>(p)->data = b.auth.signed_answer(a.auth.sign_questions[0]).auth.data;
  });
  expect_refused_by_a("does not verify");
}

TEST_F(Certificates, APskIsNoSubstitute) {
  use_certificate(a, b);
  a.tunnel.local_auth = ike::AuthKind::Psk;
  until_auth();
  deliver();
  expect_refused_by_b("wants a certificate");
}

TEST_F(Certificates, ACertificateIsNoSubstituteForAPsk) {
  use_certificate(a, b);
  b.tunnel.remote_auth = ike::AuthKind::Psk;
  until_auth();
  deliver();
  EXPECT_TRUE(b.auth.verify_questions.empty());
  expect_refused_by_b("takes only a PSK");
}

TEST_F(Certificates, UrlsAreNotFollowed) {
  for (const std::uint8_t encoding : {ike::kHashAndUrlCertificate, ike::kHashAndUrlBundle}) {
    SignedConversation w{14};
    w.both();
    w.until_auth();
    w.change_next([&](wire::Payloads& p) { get<wire::CertPayload>(p)->encoding = encoding; });
    EXPECT_TRUE(w.b.auth.verify_questions.empty());
    w.expect_refused_by_b("URL");
  }
}

TEST_F(Certificates, AChainIsBounded) {
  both();
  until_auth();
  change_next([](wire::Payloads& p) {
    const wire::CertPayload cert = *get<wire::CertPayload>(p);
    p.insert(p.begin() + 1, ike::kMaxCertificates, wire::Payload{cert});
  });
  EXPECT_TRUE(b.auth.verify_questions.empty());
  expect_refused_by_b("more than 8");
}

TEST_F(Certificates, OtherEncodingsAreLeftOut) {
  both();
  until_auth();
  change_next([](wire::Payloads& p) { p.emplace_back(wire::CertPayload{7, Bytes(100, 1)}); });  // a CRL
  run();
  expect_tunnel();
  EXPECT_EQ(b.auth.verify_questions[0].certificates.size(), 1U);
}

TEST_F(Certificates, WithoutOneTheWorkerDecides) {
  both();
  until_auth();
  change_next([](wire::Payloads& p) {
    std::erase_if(p, [](const wire::Payload& x) { return std::holds_alternative<wire::CertPayload>(x); });
  });
  expect_refused_by_b("no certificate came");
}

// ---- sizes ------------------------------------------------------------------------------------------------------

// ML-DSA-87: a signature of 4,627 octets and three certificates of 7.5 kB, in both directions.
TEST_F(Certificates, ChainsOfMlDsa87Fit) {
  for (const std::size_t datagram : {0U, 576U}) {
    Conversation w{12};
    use_certificate(w.a, w.b);
    use_certificate(w.b, w.a);
    for (Side* s : {&w.a, &w.b}) {
      s->auth.certificate_size = 7500;
      s->auth.signature_size = 14 + 4627;
      s->auth.intermediates = 2;
      s->tunnel.fragment_size = datagram;
      // The most that there is: the signature twice.
      s->tunnel.ppk_policy = model::PpkPolicy::Prefer;
      s->tunnel.ppks = {{to_bytes("id"), model::PresharedKey{SecretBytes::copy_of(Bytes(32, 1))}}};
    }
    w.handshake();
    w.expect_tunnel();
    EXPECT_GT(w.a.sa().handshake.back().request_datagrams, 20U);
    EXPECT_GT(w.a.sa().handshake.back().request_octets, 31'000U);
    EXPECT_LT(w.a.sa().handshake.back().request_octets, 64U * 1024);
  }
}

TEST_F(Certificates, TheyFitIntoOneDatagramToo) {
  both();
  for (Side* s : {&a, &b}) {
    s->auth.certificate_size = 7500;
    s->auth.signature_size = 14 + 4627;
    s->auth.intermediates = 2;
  }
  a.tunnel.fragment_size = b.tunnel.fragment_size = 65'000;
  handshake();
  expect_tunnel();
  EXPECT_EQ(a.sa().handshake.back().request_datagrams, 1U);
}

}  // namespace
}  // namespace qanat::exchange
