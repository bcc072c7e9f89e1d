// Full transcript authentication (notify 16447), childless IKE SAs (RFC 6023), ML-KEM as the only key exchange, and
// nonces: what IKE_SA_INIT can say, and what somebody on the way can make of it.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

using model::DowngradePolicy;
constexpr auto kTranscript = NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH;

bool is_init(const Flight& f) {
  const auto header = wire::parse_header(f.bytes);
  return header && header->exchange == ExchangeType::IKE_SA_INIT;
}
void rewrite(Flight& f, const std::function<void(wire::Payloads&)>& change) {
  auto message = wire::parse_message(f.bytes);
  change(message->payloads);
  f.bytes = wire::write_clear_message(message->header, message->payloads);
}
void strip(Flight& f, NotifyType type) {
  rewrite(f, [&](wire::Payloads& payloads) {
    std::erase_if(payloads, [&](const wire::Payload& p) {
      const auto* n = std::get_if<wire::NotifyPayload>(&p);
      return n != nullptr && n->type == type;
    });
  });
}
// Cuts ML-KEM out of what A offers, in a way that A's own check of the answer cannot see: B takes a classical twin.
void cut_hybrid_out(Flight& f) {
  if (f.from != 'A' || !is_init(f)) return;
  rewrite(f, [](wire::Payloads& payloads) {
    for (wire::Payload& p : payloads) {
      if (auto* sa = std::get_if<wire::SaPayload>(&p)) sa->proposals.erase(sa->proposals.begin());
    }
  });
}
// Changes what B says, to no visible effect.
void change_response(Flight& f) {
  if (f.from == 'B' && is_init(f)) strip(f, NotifyType::CHILDLESS_IKEV2_SUPPORTED);
}

TEST_F(Peers, TheFullTranscriptIsAuthenticatedByDefault) {
  begin();
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, kTranscript), nullptr);
  deliver();
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, kTranscript), nullptr);
  run();
  expect_tunnel();
  for (const Side* s : {&a, &b}) {
    EXPECT_TRUE(s->sa().downgrade_excluded);
    EXPECT_TRUE(s->has(Report::What::IkeUp, "downgrade excluded")) << s->said();
  }
}

TEST_F(Peers, PoliciesForTheTranscriptMeet) {
  for (const auto of_a : {DowngradePolicy::Off, DowngradePolicy::Auto, DowngradePolicy::Require}) {
    for (const auto of_b : {DowngradePolicy::Off, DowngradePolicy::Auto, DowngradePolicy::Require}) {
      SCOPED_TRACE(static_cast<int>(of_a) * 3 + static_cast<int>(of_b));
      Conversation w{3};
      w.a.tunnel.downgrade = of_a;
      w.b.tunnel.downgrade = of_b;
      w.handshake();
      w.run_for(11s);
      if (of_a == DowngradePolicy::Off && of_b == DowngradePolicy::Require) {
        EXPECT_TRUE(w.b.has(Report::What::PeerRefused, "notify 16447")) << w.b.said();
        EXPECT_EQ(w.b.count(Counter::authentication_failed), 1U);
        w.expect_nothing_installed();
      } else if (of_a == DowngradePolicy::Require && of_b == DowngradePolicy::Off) {
        EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "notify 16447")) << w.a.said();
        w.expect_nothing_installed();
      } else {
        w.expect_tunnel();
        const bool excluded = of_a != DowngradePolicy::Off && of_b != DowngradePolicy::Off;
        for (const Side* s : {&w.a, &w.b}) {
          EXPECT_EQ(s->sa().downgrade_excluded, excluded);
          EXPECT_EQ(s->has(Report::What::IkeUp, "downgrade not excluded"), !excluded) << s->said();
        }
      }
    }
  }
}

TEST_F(Peers, TheNotifyCannotBeRemovedUnseen) {
  for (const char from : {'A', 'B'}) {
    for (const auto policy : {DowngradePolicy::Auto, DowngradePolicy::Require}) {
      Conversation w{4};
      w.a.tunnel.downgrade = w.b.tunnel.downgrade = policy;
      w.meddle = [from](Flight& f) {
        if (f.from == from && is_init(f)) strip(f, kTranscript);
      };
      w.handshake();
      w.run_for(60s);
      w.expect_nothing_installed();
      EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
    }
  }
}

// An attacker who holds one side's key makes the other believe it. Without the full transcript that is enough to take
// ML-KEM away; with it, the side whose message was changed does not accept what the honest key has signed.
TEST_F(Peers, OneStolenKeyIsNotEnoughForADowngrade) {
  for (const bool full : {false, true}) {
    for (const bool stolen_from_a : {true, false}) {
      SCOPED_TRACE(full);
      SCOPED_TRACE(stolen_from_a);
      Conversation w{8};
      use_certificate(w.a, w.b);
      use_certificate(w.b, w.a);
      if (!full) w.a.tunnel.downgrade = w.b.tunnel.downgrade = DowngradePolicy::Off;
      (stolen_from_a ? w.b : w.a).auth.verify = FakeAuth::Answer::Fooled;
      w.meddle = stolen_from_a ? cut_hybrid_out : change_response;
      w.handshake();
      w.run_for(31s);
      if (!full) {
        w.expect_tunnel();
        EXPECT_EQ(w.a.sa().verdict.hybrid, !stolen_from_a);
        EXPECT_FALSE(w.a.sa().downgrade_excluded);
        EXPECT_TRUE(w.a.has(Report::What::IkeUp, "downgrade not excluded")) << w.a.said();
      } else {
        Side& honest = stolen_from_a ? w.a : w.b;
        EXPECT_TRUE(honest.established().empty());
        EXPECT_EQ(honest.plane.installs, 0U);
        EXPECT_EQ(honest.count(Counter::authentication_failed), 1U);
        EXPECT_TRUE(honest.has(stolen_from_a ? Report::What::AttemptFailed : Report::What::PeerRefused,
                               "signature does not verify"))
            << honest.said();
        w.expect_no_tunnel();
      }
    }
  }
}

TEST_F(Peers, TheTranscriptIsTheOneWithTheCookie) {
  b.config.cookie_threshold = 0;
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-ecp384-ke1_mlkem768")};
  handshake();
  expect_tunnel();
  EXPECT_TRUE(a.sa().downgrade_excluded);
}

// ---- RFC 6023 ---------------------------------------------------------------------------------------------------

TEST_F(Peers, AnIkeSaComesUpWithoutAChildSa) {
  a.tunnel.childless = true;
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  const Seen request = look(wire.front());
  EXPECT_EQ(wire::find<wire::SaPayload>(request.payloads), nullptr);
  EXPECT_EQ(wire::find_ts(request.payloads, PayloadType::TSi), nullptr);
  EXPECT_EQ(wire::find_ts(request.payloads, PayloadType::TSr), nullptr);
  deliver();
  const Seen answer = look(wire.front());
  EXPECT_NE(wire::find<wire::AuthPayload>(answer.payloads), nullptr);
  EXPECT_EQ(wire::find<wire::SaPayload>(answer.payloads), nullptr);
  EXPECT_EQ(wire::find_notify(answer.payloads, NotifyType::NO_ADDITIONAL_SAS), nullptr);
  EXPECT_TRUE(a.plane.reserved.empty());
  EXPECT_TRUE(b.plane.reserved.empty());
  run();
  EXPECT_FALSE(a.sa().authenticated_by.empty());
  // The first Child SA follows at once, with key exchanges of its own.
  expect_tunnel();
  for (const Side* s : {&a, &b}) {
    EXPECT_TRUE(s->sa().verdict.hybrid);
    EXPECT_TRUE(s->child().verdict.hybrid);
    EXPECT_FALSE(s->child().verdict.inherited);
  }
}

TEST_F(Peers, AChildlessSideTakesAChildSaFromAPeerThatCannotDoWithout) {
  a.tunnel.childless = true;
  a.tunnel.downgrade = DowngradePolicy::Off;
  begin();
  deliver();
  // What an older peer would have answered: B's AUTH covers it.
  const Seen answer = look(wire.front());
  EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::CHILDLESS_IKEV2_SUPPORTED), nullptr);
  strip(wire.front(), NotifyType::CHILDLESS_IKEV2_SUPPORTED);
  for (int i = 0; i < 3; ++i) deliver();
  EXPECT_NE(wire::find<wire::SaPayload>(look(wire.front()).payloads), nullptr);
}

// ---- ML-KEM alone -----------------------------------------------------------------------------------------------

TEST_F(Peers, MlKemMayBeTheOnlyKeyExchange) {
  for (const auto& [text, ke] : {std::pair{"aes256gcm16-prfsha384-mlkem512", KeId::ML_KEM_512},
                                 std::pair{"aes256gcm16-prfsha384-mlkem1024", KeId::ML_KEM_1024},
                                 std::pair{"aes128gcm16-prfsha256-mlkem512-ke1_x25519", KeId::ML_KEM_512}}) {
    Conversation w{6};
    w.both_offer(text);
    w.a.tunnel.pq = w.b.tunnel.pq = model::PqPolicy::Require;
    w.handshake();
    w.expect_tunnel();
    EXPECT_EQ(w.a.sa().key_exchanges.front(), ke);
    EXPECT_TRUE(w.a.sa().verdict.hybrid);
    EXPECT_THAT(w.a.sa().verdict.reason, ::testing::HasSubstr(to_string(ke)));
  }
}

TEST_F(Peers, AnMlKemKeyThatIsNoneGetsNoIkeSa) {
  both_offer("aes256gcm16-prfsha384-mlkem512");
  meddle = [](Flight& f) {
    if (f.from != 'A' || !is_init(f)) return;
    rewrite(f, [](wire::Payloads& payloads) {
      for (wire::Payload& p : payloads) {
        if (auto* ke = std::get_if<wire::KePayload>(&p)) std::fill_n(ke->data.begin(), 300, std::uint8_t{0xff});
      }
    });
  };
  begin();
  deliver();
  EXPECT_EQ(b.count(Counter::bad_key_exchange), 1U);
  EXPECT_TRUE(b.endpoint->sas().empty());
}

// ---- nonces -----------------------------------------------------------------------------------------------------

Bytes* nonce_of(wire::Payloads& payloads) {
  for (wire::Payload& p : payloads) {
    if (auto* nonce = std::get_if<wire::NoncePayload>(&p)) return &nonce->data;
  }
  return nullptr;
}

// RFC 7296 2.10: at least half the PRF's key, 24 octets for SHA2-384, although 16 are a nonce.
TEST_F(Peers, AShortNonceOfTheInitiatorIsRefused) {
  for (const std::size_t size : {16U, 23U, 24U}) {
    Conversation w{2};
    w.both_offer("aes256gcm16-prfsha384-x25519");
    w.meddle = [size](Flight& f) {
      if (f.from == 'A' && is_init(f)) rewrite(f, [size](wire::Payloads& p) { nonce_of(p)->resize(size); });
    };
    w.begin();
    w.deliver();
    EXPECT_EQ(w.b.endpoint->sas().size(), size < 24 ? 0U : 1U);
    EXPECT_EQ(w.b.count(Counter::malformed), size < 24 ? 1U : 0U);
    EXPECT_EQ(wire::find_notify(w.look(w.wire.front()).payloads, NotifyType::INVALID_SYNTAX) != nullptr, size < 24);
  }
}

TEST_F(Peers, AShortNonceOfTheResponderIsRefused) {
  both_offer("aes256gcm16-prfsha384-x25519");
  meddle = [](Flight& f) {
    if (f.from == 'B' && is_init(f)) rewrite(f, [](wire::Payloads& p) { nonce_of(p)->resize(23); });
  };
  handshake();
  EXPECT_EQ(a.count(Counter::bad_answer), 1U);
  EXPECT_TRUE(a.has(Report::What::Hint, "nonce is shorter")) << a.said();
  expect_nothing_installed();
}

}  // namespace
}  // namespace qanat::exchange
