// Crash tokens (RFC 6290): a peer that has lost an IKE SA shows it, and the other side begins anew at once.
#include <gmock/gmock.h>

#include "exchange/peers.hpp"
#include "ike/crash_token.hpp"

namespace qanat::exchange {
namespace {

class Crash : public Peers {
 protected:
  Crash() {
    for (Side* s : {&a, &b}) keep_secret(*s, s == &a ? 1 : 2);
  }
  static void keep_secret(Side& s, std::uint8_t fill) {
    s.config.crash_secret = std::make_shared<const SecretBytes>(SecretBytes::adopt(Bytes(ike::kCrashSecretSize, fill)));
  }
  struct Spis {
    std::uint64_t spi_i = 0;
    std::uint64_t spi_r = 0;
  };
  static Spis spis(const World& w) { return {w.newest_keys().spi_i, w.newest_keys().spi_r}; }
  [[nodiscard]] const wire::NotifyPayload* token_in(const Flight& flight) {
    looked_ = look(flight);
    return ike::find_crash_token(looked_.payloads);
  }
  // A's liveness check finds B without the IKE SA.
  void expect_noticed_at_once() {
    a.reports.clear();
    advance(10s);
    ASSERT_EQ(wire.size(), 1U) << a.said();
    deliver();
    ASSERT_EQ(wire.size(), 1U) << b.said();
    const Seen answer = look(wire.front());
    EXPECT_TRUE(answer.message.header.is_response());
    EXPECT_FALSE(answer.message.encrypted);
    EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::INVALID_IKE_SPI), nullptr);
    EXPECT_NE(ike::find_crash_token(answer.payloads), nullptr);
    deliver();
    EXPECT_TRUE(wire.empty()) << "it is discarded without a word";
    EXPECT_TRUE(a.has(Report::What::Down, "crash token")) << a.said();
    EXPECT_TRUE(a.has(Report::What::PeerRestarted)) << a.said();
    EXPECT_TRUE(a.established().empty());
    EXPECT_TRUE(a.plane.outbound.empty());
    EXPECT_TRUE(a.plane.inbound.empty());
    EXPECT_EQ(a.count(Counter::crash_proved), 1U);
  }

  Seen looked_;
};

TEST_F(Crash, BothGiveATokenInIkeAuth) {
  both_offer("aes256gcm16-prfsha384-x25519");
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  const auto* of_a = token_in(wire.front());
  ASSERT_NE(of_a, nullptr);
  EXPECT_EQ(of_a->data.size(), 16U);
  const Bytes token_of_a = of_a->data;
  a_sends("IKE_AUTH request 1");
  const auto* of_b = token_in(wire.front());
  ASSERT_NE(of_b, nullptr);
  EXPECT_NE(of_b->data, token_of_a);
  // RFC 6290 4.2: behind AUTH, before what is about the Child SA.
  const auto at = [&](PayloadType type) {
    return std::find_if(looked_.payloads.begin(), looked_.payloads.end(),
                        [&](const wire::Payload& p) { return wire::type_of(p) == type; });
  };
  const auto token = std::find_if(looked_.payloads.begin(), looked_.payloads.end(), [](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == NotifyType::QUICK_CRASH_DETECTION;
  });
  EXPECT_LT(at(PayloadType::AUTH), token);
  EXPECT_LT(token, at(PayloadType::SA));
}

TEST_F(Crash, WithoutASecretNothingIsSaid) {
  a.config.crash_secret.reset();
  both_offer("aes256gcm16-prfsha384-x25519");
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  EXPECT_EQ(token_in(wire.front()), nullptr);
  run();
  crash(a);
  b.reports.clear();
  run_for(12s);
  EXPECT_FALSE(b.has(Report::What::PeerRestarted)) << b.said();
}

TEST_F(Crash, AResponderThatHasLostTheIkeSaIsNoticedAtOnce) {
  handshake('A');
  crash(b);
  expect_noticed_at_once();
}

TEST_F(Crash, AnInitiatorThatHasLostTheIkeSaIsNoticedAtOnce) {
  handshake('B');
  crash(b);
  expect_noticed_at_once();
}

TEST_F(Crash, AfterOurRekeyThereAreNewTokens) {
  handshake();
  a.endpoint->rekey(now, TunnelId{1});
  drain();
  run();
  expect_tunnel();
  crash(b);
  expect_noticed_at_once();
}

TEST_F(Crash, AfterThePeersRekeyThereAreNewTokens) {
  handshake();
  b.endpoint->rekey(now, TunnelId{1});
  drain();
  run();
  expect_tunnel();
  crash(b);
  expect_noticed_at_once();
}

TEST_F(Crash, AnotherSecretProvesNothing) {
  handshake();
  keep_secret(b, 77);
  crash(b);
  run_for(12s);
  EXPECT_FALSE(a.has(Report::What::PeerRestarted)) << a.said();
  EXPECT_EQ(a.established().size(), 1U) << "it is a hint only";
  EXPECT_GE(a.count(Counter::error_hint), 1U);
  run_for(60s);
  EXPECT_TRUE(a.established().empty()) << "liveness decides";
}

// Four generations of the peer's secret at most; none of an odd size.
TEST_F(Crash, OneOfFourTokensIsEnough) {
  handshake();
  const auto keys = spis(*this);
  const Bytes good = ike::crash_token(*b.config.crash_secret, keys.spi_i, keys.spi_r).data;
  wire::IkeHeader header;
  header.spi_i = keys.spi_i;
  header.spi_r = keys.spi_r;
  header.exchange = ExchangeType::INFORMATIONAL;
  header.flags = wire::kFlagResponse;
  const auto shown = [&](std::size_t before, std::size_t size) {
    wire::Payloads payloads{notify(NotifyType::INVALID_IKE_SPI)};
    for (std::size_t i = 0; i < before; ++i)
      payloads.emplace_back(notify(NotifyType::QUICK_CRASH_DETECTION, Bytes(size, static_cast<std::uint8_t>(i))));
    payloads.emplace_back(notify(NotifyType::QUICK_CRASH_DETECTION, good));
    arrive(clear('B', header, payloads));
    return a.has(Report::What::PeerRestarted);
  };
  arrive(clear('B', header, {notify(NotifyType::INVALID_IKE_SPI), notify(NotifyType::QUICK_CRASH_DETECTION)}));
  EXPECT_FALSE(a.has(Report::What::PeerRestarted));
  EXPECT_FALSE(shown(4, 16)) << "the fifth is not looked at";
  EXPECT_TRUE(shown(3, 128));
}

// Whoever sees the SPIs of an IKE SA that lives must not get us to give its token away.
TEST_F(Crash, TheTokenOfAnIkeSaThatLivesIsNotShown) {
  for (const char who : {'A', 'B'}) {
    World w{7};
    keep_secret(w.a, 1);
    keep_secret(w.b, 2);
    w.handshake(who);
    const auto keys = spis(w);
    for (const std::uint8_t flags : {std::uint8_t{0}, std::uint8_t{wire::kFlagInitiator}}) {
      for (const bool swapped : {false, true}) {
        wire::IkeHeader header;
        header.spi_i = swapped ? keys.spi_r : keys.spi_i;
        header.spi_r = swapped ? keys.spi_i : keys.spi_r;
        header.exchange = ExchangeType::INFORMATIONAL;
        header.flags = flags;
        header.message_id = 9;
        w.arrive(w.clear('A', header, {notify(NotifyType::COOKIE, Bytes(200, 1))}));
        for (const Flight& f : w.wire) {
          const Bytes live = ike::crash_token(*b.config.crash_secret, keys.spi_i, keys.spi_r).data;
          EXPECT_EQ(std::search(f.bytes.begin(), f.bytes.end(), live.begin(), live.end()), f.bytes.end());
        }
        w.wire.clear();
      }
    }
    EXPECT_EQ(w.b.established().size(), 1U);
  }
}

// Nobody gains octets by a forged source: a little more than the shortest message that there is.
TEST_F(Crash, TheAnswerIsHardlyLongerThanTheQuestion) {
  handshake();
  crash(b);
  advance(10s);
  const std::size_t asked = wire.front().bytes.size();
  deliver();
  EXPECT_LE(wire.front().bytes.size(), asked + 8);
}

class LostSas : public Crash {
 protected:
  // B's packet path has got a packet for an SPI that is nobody's.
  void packet_to_b(ipsec::EspSpi spi, ipsec::Encapsulation how = ipsec::Encapsulation::Udp) {
    const std::uint16_t port = how == ipsec::Encapsulation::Udp ? 4500 : 0;
    const ipsec::OuterPath arrived{.local = {b.address, port}, .peer = {a.address, port}, .encapsulation = how};
    b.endpoint->handle_plane(now, ipsec::UnknownSpi{arrived, spi});
    drain();
  }
};

// RFC 7296 1.5: with traffic nobody waits for a liveness check.
TEST_F(LostSas, AWordInTheClearMakesTheSenderAskAtOnce) {
  handshake();
  crash(b);
  a.reports.clear();
  packet_to_b(a.child().spi_out);
  ASSERT_EQ(wire.size(), 1U);
  const Seen word = look(wire.front());
  EXPECT_EQ(word.message.header.exchange, ExchangeType::INFORMATIONAL);
  EXPECT_FALSE(word.message.header.is_response());
  EXPECT_TRUE(word.message.header.from_initiator());
  EXPECT_EQ(word.message.header.spi_i, 0U);
  EXPECT_EQ(word.message.header.spi_r, 0U);
  const auto* notice = wire::find_notify(word.payloads, NotifyType::INVALID_SPI);
  ASSERT_NE(notice, nullptr);
  EXPECT_EQ(load_be32(notice->data.data()), a.child().spi_out);
  EXPECT_EQ(wire.front().path.remote.port, 4500);
  run();
  EXPECT_TRUE(a.has(Report::What::PeerRestarted)) << a.said();
  EXPECT_TRUE(a.established().empty());
}

TEST_F(LostSas, NativeEspIsAnsweredOnPort500) {
  handshake();
  const ipsec::EspSpi spi = a.child().spi_out;
  crash(b);
  packet_to_b(spi, ipsec::Encapsulation::Native);
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire.front().path.remote.port, 500);
  run();
  EXPECT_TRUE(a.has(Report::What::PeerRestarted)) << a.said();
}

TEST_F(LostSas, WhoeverHasAnIkeSaHereHearsOfItsChildSasByThat) {
  handshake();
  packet_to_b(0x12345678);
  EXPECT_TRUE(wire.empty());
}

TEST_F(LostSas, StrangersAreNotToldAndNobodyTooOften) {
  handshake();
  const ipsec::EspSpi spi = a.child().spi_out;
  crash(b);
  const ipsec::OuterPath elsewhere{.local = {b.address, 4500},
                                   .peer = {*IpAddress::parse("203.0.113.9"), 4500},
                                   .encapsulation = ipsec::Encapsulation::Udp};
  b.endpoint->handle_plane(now, ipsec::UnknownSpi{elsewhere, spi});
  drain();
  EXPECT_TRUE(wire.empty());
  for (int i = 0; i < 100; ++i) packet_to_b(spi);
  EXPECT_LE(wire.size(), 20U);
  EXPECT_EQ(b.count(Counter::invalid_spi_sent), wire.size());
}

// It is a hint: it is never answered, and one about an SA that we do not send on changes nothing.
TEST_F(LostSas, AForgedWordCostsOneQuestionAtMost) {
  handshake();
  const auto word = [&](std::uint32_t spi) {
    wire::IkeHeader header;
    header.exchange = ExchangeType::INFORMATIONAL;
    header.flags = wire::kFlagInitiator;
    Bytes data(4);
    store_be32(data.data(), spi);
    arrive(clear('B', header, {notify(NotifyType::INVALID_SPI, data)}));
  };
  word(0xdeadbeef);
  EXPECT_TRUE(wire.empty());
  for (int i = 0; i < 50; ++i) word(a.child().spi_out);
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire.front().from, 'A');
  run();
  expect_tunnel();
}

TEST(CrashToken, IsOfTheSpisAndTheSecret) {
  const SecretBytes one = SecretBytes::adopt(Bytes(32, 1));
  const SecretBytes other = SecretBytes::adopt(Bytes(32, 2));
  const Bytes token = ike::crash_token(one, 1, 2).data;
  EXPECT_EQ(ike::crash_token(one, 1, 2).data, token);
  EXPECT_NE(ike::crash_token(one, 2, 1).data, token);
  EXPECT_NE(ike::crash_token(other, 1, 2).data, token);
}

}  // namespace
}  // namespace qanat::exchange
