// How many Child SAs one IKE SA may have, and what that means for their new keys.
#include "exchange/peers.hpp"
#include "ike/child_sa.hpp"

namespace qanat::exchange {
namespace {

class ChildSas : public Peers {
 protected:
  void SetUp() override {
    a.tunnel.esp = b.tunnel.esp = {esp_proposal("aes256gcm16-x25519-ke1_mlkem768")};
    handshake();
  }
  // A's request, made by hand; B's answer.
  wire::Payloads create(ipsec::EspSpi spi, ipsec::EspSpi old = 0,
                        ipsec::KeyExchanges exchanges = ipsec::KeyExchanges::LeftOut) {
    wire::Payloads payloads;
    if (old != 0) {
      Bytes name(4);
      store_be32(name.data(), old);
      payloads.emplace_back(wire::NotifyPayload{wire::ProtocolId::ESP, std::move(name), NotifyType::REKEY_SA, {}});
    }
    payloads.emplace_back(ipsec::offer_esp(a.tunnel.esp, spi, a.tunnel.esn, exchanges));
    payloads.emplace_back(wire::NoncePayload{Bytes(32, static_cast<std::uint8_t>(spi))});
    if (exchanges == ipsec::KeyExchanges::Offered)
      payloads.emplace_back(wire::KePayload{KeId::CURVE25519, Bytes(32, 9)});
    payloads.emplace_back(wire::TsPayload{PayloadType::TSi, a.tunnel.local_ts});
    payloads.emplace_back(wire::TsPayload{PayloadType::TSr, a.tunnel.remote_ts});
    arrive(sealed('A', ExchangeType::CREATE_CHILD_SA, next_++, payloads));
    EXPECT_FALSE(wire.empty());
    wire::Payloads answer = wire.empty() ? wire::Payloads{} : look(wire.front()).payloads;
    wire.clear();
    return answer;
  }
  static bool says(const wire::Payloads& answer, NotifyType type) { return wire::find_notify(answer, type) != nullptr; }
  static bool made(const wire::Payloads& answer) { return wire::find<wire::SaPayload>(answer) != nullptr; }

 private:
  std::uint32_t next_ = 3;
};

TEST_F(ChildSas, AreLimitedAndTheirNewKeysAreNot) {
  for (ipsec::EspSpi i = 1; i < ike::kMaxChildren; ++i) ASSERT_TRUE(made(create(0x9000 + i))) << i;
  EXPECT_TRUE(says(create(0xa000), NotifyType::NO_ADDITIONAL_SAS));
  // Every one of them can be rekeyed, though none has been deleted yet.
  for (ipsec::EspSpi i = 1; i < ike::kMaxChildren; ++i) ASSERT_TRUE(made(create(0xb000 + i, 0x9000 + i))) << i;
  EXPECT_TRUE(says(create(0xa000), NotifyType::NO_ADDITIONAL_SAS));
  ASSERT_TRUE(made(create(0xc001, 0xb001)));
  EXPECT_TRUE(says(create(0xc002, 0xb002), NotifyType::TEMPORARY_FAILURE)) << "twice as many stand";
  EXPECT_EQ(b.established().size(), 1U);
}

// Sequences of key exchanges that the peer leaves unfinished make a rekey wait, and end no Child SA for good.
TEST_F(ChildSas, ThatArePendingMakeARekeyWait) {
  for (ipsec::EspSpi i = 1; i <= 5; ++i) ASSERT_TRUE(made(create(0x9000 + i)));
  for (ipsec::EspSpi i = 1; i <= 4; ++i)
    ASSERT_TRUE(
        says(create(0xb000 + i, 0x9000 + i, ipsec::KeyExchanges::Offered), NotifyType::ADDITIONAL_KEY_EXCHANGE));
  EXPECT_TRUE(says(create(0xb005, 0x9005), NotifyType::TEMPORARY_FAILURE));
  EXPECT_EQ(b.count(Counter::no_additional_sas), 0U);
  now = now + 21s;
  b.endpoint->handle_timeout(now);
  drain();
  wire.clear();
  EXPECT_EQ(b.count(Counter::followup_timeout), 4U);
  EXPECT_TRUE(made(create(0xb005, 0x9005)));
}

}  // namespace
}  // namespace qanat::exchange
