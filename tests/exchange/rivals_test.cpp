// Well-formed, forged IKE_SA_INIT answers, from somebody who sees the request and is faster than the peer.
#include "crypto/key_exchange.hpp"
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

class Observer : public Conversation {
 public:
  using Conversation::Conversation;
  unsigned forgeries = 0;

  // An answer that is right in everything but who made it.
  void forge(const Flight& request) {
    ++forgeries;
    const auto message = wire::parse_message(request.bytes);
    ipsec::IkeChoiceRules rules;
    rules.intermediate = true;
    rules.hybrid_first = true;
    const auto& ke = *wire::find<wire::KePayload>(message->payloads);
    rules.sent_ke = ke.method;
    const auto choice = ipsec::choose_ike(*wire::find<wire::SaPayload>(message->payloads), a.tunnel.ike, rules);
    const auto reply = crypto::respond(ke.method, ke.data, rng_);
    wire::IkeHeader h;
    h.spi_i = message->header.spi_i;
    h.spi_r = 0xbad00 + forgeries;
    h.exchange = ExchangeType::IKE_SA_INIT;
    h.flags = wire::kFlagResponse;
    const wire::Payloads lies{
        ipsec::accept_ike(*choice),
        wire::KePayload{ke.method, reply->public_value},
        wire::NoncePayload{Bytes(32, static_cast<std::uint8_t>(forgeries))},
        notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED),
        notify(NotifyType::IKE_SA_INIT_FULL_TRANSCRIPT_AUTH),
    };
    arrive('A', {request.path.local, request.path.remote}, wire::write_clear_message(h, lies));
  }
  [[nodiscard]] bool is_request(const Flight& f) const { return name_of(f) == "A->B IKE_SA_INIT request 0"; }
  // Delivers everything for a while; the observer answers every request before the peer can, `limit` times.
  void live(Duration duration, unsigned limit) {
    const Instant until = now + duration;
    while (now < until) {
      while (!wire.empty()) {
        if (is_request(wire.front()) && forgeries < limit) forge(wire.front());
        deliver();
      }
      advance(100ms);
    }
  }

 private:
  SeededRng rng_{77};
};
class Rivals : public ::testing::Test, public Observer {};

TEST_F(Rivals, OneForgedAnswerCostsSecondsNotTheAttempt) {
  begin();
  live(10s, 1);
  expect_tunnel();
  EXPECT_EQ(forgeries, 1U);
  EXPECT_EQ(a.count(Counter::rival_answer), 1U);
  EXPECT_FALSE(a.has(Report::What::AttemptFailed)) << a.said();
  EXPECT_TRUE(a.sa().downgrade_excluded);
  EXPECT_TRUE(a.sa().verdict.hybrid);
  EXPECT_FALSE(a.sa().nat_remote);
  run_for(31s);
  EXPECT_EQ(b.endpoint->sas().size(), 1U) << "the peer's half-open SA of the first try is gone";
}

TEST_F(Rivals, AnObserverWhoAnswersEveryRequestOnlyDelaysTheTunnel) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Observer w{seed};
    w.begin();
    w.live(120s, 1000);
    w.expect_tunnel();
    EXPECT_GE(w.forgeries, 1U);
    EXPECT_FALSE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
  }
}

TEST_F(Rivals, ItHoldsForClassicalKeysAndCertificates) {
  for (const char* text : {"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"}) {
    Observer w{6};
    use_certificate(w.a, w.b);
    use_certificate(w.b, w.a);
    w.both_offer(text);
    w.begin();
    w.live(10s, 1);
    w.expect_tunnel();
    EXPECT_EQ(w.a.count(Counter::rival_answer), 1U);
    EXPECT_EQ(w.b.count(Counter::authentication_failed), 0U);
  }
}

// Without a second answer there is nothing to doubt: a slow peer is waited for.
TEST_F(Rivals, ASlowPeerIsNoReasonToBeginAnew) {
  begin();
  deliver();
  deliver();
  wire.clear();
  const ike::SaInfo before = a.endpoint->sas().front();
  for (int i = 0; i < 4; ++i) {
    advance(3s);
    wire.clear();
  }
  EXPECT_EQ(a.count(Counter::rival_answer), 0U);
  EXPECT_EQ(a.endpoint->sas().front().spi_r, before.spi_r);
  run_for(20s);
  expect_tunnel();
}

// A rival that comes when the peer has already proved to have the keys changes nothing.
TEST_F(Rivals, AfterAnAuthenticAnswerNothingElseCounts) {
  begin();
  const Flight request = wire.front();
  for (int i = 0; i < 4; ++i) deliver();
  forge(request);
  wire.clear();
  for (int i = 0; i < 4; ++i) {
    advance(3s);
    wire.clear();
  }
  EXPECT_EQ(a.count(Counter::rival_answer), 0U);
  run_for(20s);
  expect_tunnel();
}

TEST_F(Rivals, ManyAnswersAreBounded) {
  begin();
  const Flight first = wire.front();
  forge(first);
  deliver();  // the true request: B's answer is the rival
  for (int i = 0; i < 60 && a.count(Counter::rival_answer) == 0; ++i) {
    while (!wire.empty()) deliver();
    advance(200ms);
  }
  ASSERT_EQ(a.count(Counter::rival_answer), 1U);
  const Flight again = wire.back();
  ASSERT_TRUE(is_request(again));
  for (int i = 0; i < 1000; ++i) forge(again);
  EXPECT_EQ(a.endpoint->sas().size(), 1U);
  EXPECT_EQ(a.endpoint->sas().front().spi_r, 0U) << "none is taken before the moment is over";
  live(300s, 0);
  expect_tunnel();
}

}  // namespace
}  // namespace qanat::exchange
