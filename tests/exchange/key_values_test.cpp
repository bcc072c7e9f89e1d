// Key exchange values that fail their checks, and the one that fails none.
#include "crypto/key_exchange.hpp"
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

void until_intermediate(Conversation& w) {
  w.begin();
  w.deliver();
  w.deliver();
}

TEST_F(Peers, ABadMlKemEncapsulationKeyIsAnsweredWithInvalidSyntax) {
  Bytes not_reduced(1184, 0xff);  // coefficients of 4,095: FIPS 203 7.2
  std::vector<std::pair<KeId, Bytes>> values{{KeId::ML_KEM_768, not_reduced},     {KeId::ML_KEM_768, Bytes(1183, 0)},
                                             {KeId::ML_KEM_768, Bytes(1185, 0)},  {KeId::ML_KEM_768, Bytes(1, 0)},
                                             {KeId::ML_KEM_768, Bytes(1088, 0)},  // a ciphertext's length: pitfall 7
                                             {KeId::ML_KEM_1024, Bytes(1568, 0)}, {KeId::CURVE25519, Bytes(32, 9)}};
  for (const auto& [id, value] : values) {
    SCOPED_TRACE(value.size());
    Conversation w{60};
    until_intermediate(w);
    w.drop();
    w.arrive(w.sealed('A', ExchangeType::IKE_INTERMEDIATE, 1, {wire::KePayload{id, value}}));
    ASSERT_EQ(w.wire.size(), 1U);
    EXPECT_NE(wire::find_notify(w.look(w.wire.front()).payloads, NotifyType::INVALID_SYNTAX), nullptr);
    EXPECT_EQ(w.b.count(Counter::bad_key_exchange), 1U);
    w.run();
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "INVALID_SYNTAX")) << w.a.said();
    w.expect_nothing_installed();
    w.advance(31s);
    EXPECT_TRUE(w.b.endpoint->sas().empty());
  }
}

TEST_F(Peers, ABadMlKemCiphertextEndsTheAttemptWithoutAnAnswer) {
  std::vector<std::pair<KeId, Bytes>> values{{KeId::ML_KEM_768, Bytes(1087, 0)},
                                             {KeId::ML_KEM_768, Bytes(1184, 0)},
                                             {KeId::ML_KEM_512, Bytes(768, 0)},
                                             {KeId::ML_KEM_768, Bytes(32, 0)}};
  for (const auto& [id, value] : values) {
    Conversation w{61};
    until_intermediate(w);
    w.deliver();
    w.drop();
    w.arrive(w.sealed('B', ExchangeType::IKE_INTERMEDIATE, 1, {wire::KePayload{id, value}}, true));
    EXPECT_TRUE(w.wire.empty());
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    w.expect_nothing_installed();
  }
}

// Implicit rejection: the length is right, the content is not. No error shows; the next exchange never verifies.
TEST_F(Peers, ADamagedCiphertextOfTheRightLengthLooksLikeATimeout) {
  until_intermediate(*this);
  deliver();
  const Seen answer = look(wire.front());
  auto ke = *wire::find<wire::KePayload>(answer.payloads);
  ke.data[100] ^= 1;
  drop();
  arrive(sealed('B', ExchangeType::IKE_INTERMEDIATE, 1, {ke}, true));
  EXPECT_FALSE(a.has(Report::What::AttemptFailed));
  a_sends("IKE_AUTH request 2");
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.count(Counter::icv_failed), 1U);
  run_for(400s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "does not know this attempt")) << a.said();  // B has given it up
  expect_nothing_installed();
  EXPECT_TRUE(b.endpoint->sas().empty());
}

TEST_F(Peers, BadValuesInIkeSaInitAreDropped) {
  struct Value {
    KeId id;
    Bytes data;
  };
  Bytes off_curve(64, 1);
  std::vector<Value> values{{KeId::CURVE25519, Bytes(32, 0)},  // low order: the all-zero secret
                            {KeId::CURVE25519, Bytes(31, 9)}, {KeId::CURVE25519, Bytes(33, 9)},
                            {KeId::ECP_256, off_curve},       {KeId::ECP_256, Bytes(64, 0)},
                            {KeId::ECP_256, Bytes(63, 1)},    {KeId::ECP_384, Bytes(96, 2)}};
  for (const Value& v : values) {
    SCOPED_TRACE(to_string(v.id));
    Conversation w{62};
    w.both_offer("aes256gcm16-prfsha384-x25519-ecp256-ecp384-ke1_mlkem768");
    w.begin();
    wire::Payloads payloads = w.look(w.wire.front()).payloads;
    for (wire::Payload& p : payloads) {
      if (auto* ke = std::get_if<wire::KePayload>(&p)) *ke = {v.id, v.data};
    }
    wire::IkeHeader h = w.look(w.wire.front()).message.header;
    h.spi_i ^= 0xff00;  // the attacker's own
    w.arrive(w.clear('A', h, payloads));
    EXPECT_EQ(w.wire.size(), 1U);
    EXPECT_EQ(w.b.count(Counter::bad_key_exchange), 1U);
    EXPECT_EQ(w.b.endpoint->half_open(), 0U);

    // And in an answer: dropped, and the true answer still counts (RFC 6989 2.5).
    w.deliver();
    const Seen answer = w.look(w.wire.front());
    payloads = answer.payloads;
    const auto* true_ke = wire::find<wire::KePayload>(payloads);
    if (v.id != true_ke->method) continue;
    for (wire::Payload& p : payloads) {
      if (auto* ke = std::get_if<wire::KePayload>(&p)) ke->data = v.data;
    }
    w.arrive(w.clear('B', answer.message.header, payloads));
    EXPECT_TRUE(w.a.has(Report::What::Hint, "invalid")) << w.a.said();
    w.run();
    w.expect_tunnel();
  }
}

}  // namespace
}  // namespace qanat::exchange
