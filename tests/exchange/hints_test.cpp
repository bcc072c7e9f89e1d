// Cookies, INVALID_KE_PAYLOAD, and answers in the clear that anybody could have sent.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

// What an attacker who saw the request can answer.
Flight forged(const World& w, const Flight& request, const wire::Payloads& payloads,
              std::optional<std::uint64_t> spi_r = std::nullopt) {
  const wire::IkeHeader asked = w.look(request).message.header;
  wire::IkeHeader h;
  h.spi_i = asked.spi_i;
  h.spi_r = spi_r.value_or(asked.spi_r);
  h.exchange = asked.exchange;
  h.message_id = asked.message_id;
  h.flags = wire::kFlagResponse;
  Flight out = w.clear(request.from == 'A' ? 'B' : 'A', h, payloads);
  out.path = {request.path.remote, request.path.local};
  return out;
}
Bytes group(KeId id) {
  Bytes out(2);
  store_be16(out.data(), static_cast<std::uint16_t>(id));
  return out;
}

TEST_F(Peers, TheResponderDemandsACookieAndKeepsNoState) {
  b.config.cookie_threshold = 0;
  begin();
  a_sends("IKE_SA_INIT request 0");
  EXPECT_EQ(b.endpoint->half_open(), 0U);
  EXPECT_TRUE(b.endpoint->sas().empty());
  EXPECT_EQ(b.count(Counter::cookie_demanded), 1U);
  EXPECT_LT(wire.front().bytes.size(), sent.front().bytes.size());
  b_sends("IKE_SA_INIT response 0");
  // RFC 7296 2.6: the cookie first, all else unchanged.
  const Seen again = look(wire.front());
  ASSERT_TRUE(std::holds_alternative<wire::NotifyPayload>(again.payloads.front()));
  wire::Payloads rest{again.payloads.begin() + 1, again.payloads.end()};
  EXPECT_EQ(rest, look(sent.front()).payloads);
  run();
  expect_tunnel();
  EXPECT_EQ(b.count(Counter::cookie_bad), 0U);
}

TEST_F(Peers, CookiesWorkInTheOtherDirection) {
  a.config.cookie_threshold = 0;
  handshake('B');
  expect_tunnel();
  EXPECT_EQ(a.count(Counter::cookie_demanded), 1U);
}

TEST_F(Peers, ACookieAndAnotherGroupAreDemandedTogether) {
  b.config.cookie_threshold = 0;
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-ecp384-ke1_mlkem768")};
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");  // COOKIE
  a_sends("IKE_SA_INIT request 0");
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INVALID_KE_PAYLOAD), nullptr);
  b_sends("IKE_SA_INIT response 0");  // INVALID_KE_PAYLOAD
  a_sends("IKE_SA_INIT request 0");
  EXPECT_NE(wire::find<wire::SaPayload>(look(wire.front()).payloads), nullptr);
  run();
  expect_tunnel();
  EXPECT_EQ(a.sa().key_exchanges.front(), KeId::ECP_384);
}

TEST_F(Peers, AWrongCookieIsAnsweredWithAnother) {
  b.config.cookie_threshold = 0;
  begin();
  arrive(forged(*this, wire.front(), {notify(NotifyType::COOKIE, Bytes(20, 7))}));
  ASSERT_EQ(wire.size(), 2U);
  drop();
  a_sends("IKE_SA_INIT request 0");
  EXPECT_EQ(b.count(Counter::cookie_bad), 1U);
  run();
  expect_tunnel();
}

TEST_F(Peers, CookiesWithoutEndAreNotFollowed) {
  begin();
  drop();
  for (std::uint8_t i = 1; i < 30; ++i) arrive(forged(*this, sent.front(), {notify(NotifyType::COOKIE, Bytes(20, i))}));
  EXPECT_LE(sent.size(), 7U);
  arrive(forged(*this, sent.front(), {notify(NotifyType::COOKIE, Bytes(65, 1))}));
  arrive(forged(*this, sent.front(), {notify(NotifyType::COOKIE, {})}));
  run();
  expect_tunnel();
}

TEST_F(Peers, AnotherGroupIsTriedWhenThePeerWantsIt) {
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-ecp256-ke1_mlkem768")};
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  a_sends("IKE_SA_INIT request 0");
  run();
  expect_tunnel();
  EXPECT_EQ(a.sa().key_exchanges.front(), KeId::ECP_256);
  EXPECT_EQ(b.count(Counter::invalid_ke), 1U);
}

TEST_F(Peers, AGroupThatWasNotOfferedIsNotFollowed) {
  begin();
  arrive(forged(*this, wire.front(), {notify(NotifyType::INVALID_KE_PAYLOAD, group(KeId::MODP_1024))}));
  arrive(forged(*this, wire.front(), {notify(NotifyType::INVALID_KE_PAYLOAD, {1})}));
  arrive(forged(*this, wire.front(), {notify(NotifyType::INVALID_KE_PAYLOAD, {})}));
  EXPECT_EQ(sent.size(), 1U);
  EXPECT_EQ(a.count(Counter::error_hint), 3U);
  run();
  expect_tunnel();
}

// Hints only (RFC 7296 2.21.1): whichever of them comes before it, the true answer completes the handshake.
class ForgedAnswer : public ::testing::TestWithParam<NotifyType>, public Conversation {};

TEST_P(ForgedAnswer, DoesNotStopTheTrueOne) {
  begin();
  Bytes data;
  if (GetParam() == NotifyType::INVALID_KE_PAYLOAD) data = group(KeId::ECP_384);
  if (GetParam() == NotifyType::COOKIE) data = Bytes(24, 9);
  arrive(forged(*this, wire.front(), {notify(GetParam(), data)}));
  run();
  expect_tunnel();
  EXPECT_EQ(b.count(Counter::authentication_failed), 0U);
}

TEST_P(ForgedAnswer, ArrivingTwiceWhileTheRequestIsLostDoesNotStopTheTrueOne) {
  begin();
  Bytes data;
  if (GetParam() == NotifyType::INVALID_KE_PAYLOAD) data = group(KeId::ECP_384);
  if (GetParam() == NotifyType::COOKIE) data = Bytes(24, 9);
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-x25519-ke1_mlkem768")};
  b.endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(b.tunnel));
  const Flight first = wire.front();
  drop();
  arrive(forged(*this, first, {notify(GetParam(), data)}));
  arrive(forged(*this, first, {notify(GetParam(), data)}));
  run_for(5s);
  expect_tunnel();
}
INSTANTIATE_TEST_SUITE_P(Each, ForgedAnswer,
                         ::testing::Values(NotifyType::INVALID_KE_PAYLOAD, NotifyType::NO_PROPOSAL_CHOSEN,
                                           NotifyType::COOKIE, NotifyType::INVALID_MAJOR_VERSION,
                                           NotifyType::INVALID_SYNTAX, NotifyType::AUTHENTICATION_FAILED,
                                           NotifyType::REDIRECT),
                         [](const auto& p) { return wire::to_string(p.param); });

TEST_F(Peers, AForgedChoiceIsDroppedAndTheTrueOneTaken) {
  begin();
  const Flight request = wire.front();
  wire::SaPayload choice{
      {wire::Proposal{1, wire::ProtocolId::IKE, {}, {{wire::TransformType::ENCR, 3, std::nullopt, false}}}}};
  arrive(forged(*this, request,
                {choice, wire::KePayload{KeId::CURVE25519, Bytes(32, 1)}, wire::NoncePayload{Bytes(32, 2)}}, 77));
  arrive(
      forged(*this, request, {wire::KePayload{KeId::CURVE25519, Bytes(32, 1)}, wire::NoncePayload{Bytes(32, 2)}}, 77));
  arrive(forged(*this, request, {}, 77));
  EXPECT_EQ(a.count(Counter::bad_answer), 3U);
  EXPECT_EQ(a.keys_made(), 0U);
  run();
  expect_tunnel();
}

TEST_F(Peers, TheRefusalOfThePeerIsShownAtOnceAndEndsTheAttemptTenSecondsLater) {
  b.tunnel.ike = {ike_proposal("aes128-sha256-modp4096")};
  handshake();
  EXPECT_TRUE(a.has(Report::What::Hint, "NO_PROPOSAL_CHOSEN"));
  advance(9s);
  EXPECT_FALSE(a.has(Report::What::AttemptFailed));
  advance(2s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "accepts none of [1: aes256gcm16")) << a.said();
  EXPECT_TRUE(b.has(Report::What::PeerRefused, "aes128-sha256")) << b.said();
  EXPECT_TRUE(a.endpoint->sas().empty());
}

// Its half-open SA has ended, or it has begun anew. Without this, bad weather that is over still costs the minutes of a
// whole schedule of retransmissions.
TEST_F(Peers, AnAttemptThatThePeerDoesNotKnowEndsTenSecondsAfterItSaysSo) {
  begin();
  while (name_of(wire.front()).find("IKE_AUTH request") == std::string::npos) deliver();
  const Flight request = wire.front();
  drop();
  crash(b);
  arrive(request);
  ASSERT_EQ(wire.size(), 1U);
  ASSERT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INVALID_IKE_SPI), nullptr);
  deliver();
  EXPECT_TRUE(a.has(Report::What::Hint, "INVALID_IKE_SPI")) << a.said();
  advance(9s);
  EXPECT_FALSE(a.has(Report::What::AttemptFailed));
  advance(1s);
  EXPECT_TRUE(a.has(Report::What::AttemptFailed, "does not know this attempt")) << a.said();
}

TEST_F(Peers, AForgedWordThatThePeerDoesNotKnowTheAttemptDoesNotStopTheTrueAnswer) {
  begin();
  while (name_of(wire.front()).find("IKE_AUTH request") == std::string::npos) deliver();
  arrive(forged(*this, wire.front(), {notify(NotifyType::INVALID_IKE_SPI)}));
  EXPECT_EQ(a.count(Counter::error_hint), 1U);
  run_for(20s);
  expect_tunnel();
}

TEST_F(Peers, ReportsOfRefusedStrangersAreBounded) {
  begin();
  Flight flight = wire.front();
  flight.path.local.address = IpAddress::v4(0x0a000001);
  for (int i = 0; i < 200; ++i) {
    store_be64(flight.bytes.data(), 1000U + static_cast<unsigned>(i));
    arrive(flight);
  }
  EXPECT_LE(b.reports.size(), 20U);
  EXPECT_EQ(b.count(Counter::no_tunnel), 200U);
}

TEST_F(Peers, AHigherMajorVersionIsAnsweredAndAnOlderOneDropped) {
  begin();
  Flight flight = wire.front();
  drop();
  flight.bytes[17] = 0x30;
  arrive(flight);
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INVALID_MAJOR_VERSION), nullptr);
  wire.clear();
  flight.bytes[17] = 0x10;
  arrive(flight);
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.count(Counter::bad_version), 2U);
}

TEST_F(Peers, HalfOpenIkeSasAreBounded) {
  b.config.half_open_limit = 5;
  b.config.cookie_threshold = 1000;
  begin();
  Flight flight = wire.front();
  drop();
  for (unsigned i = 0; i < 20; ++i) {
    store_be64(flight.bytes.data(), 1000U + i);
    arrive(flight);
  }
  EXPECT_EQ(b.endpoint->half_open(), 5U);
  EXPECT_EQ(b.count(Counter::half_open_limit), 15U);
  wire.clear();
  advance(31s);
  EXPECT_EQ(b.endpoint->half_open(), 0U);
  EXPECT_EQ(b.count(Counter::half_open_timeout), 5U);
  EXPECT_TRUE(b.endpoint->sas().empty());
}

TEST_F(Peers, OurOwnRequestReflectedIsDropped) {
  begin();
  Flight flight = wire.front();
  drop();
  flight.from = 'B';
  flight.path = {flight.path.remote, flight.path.local};
  arrive(flight);
  EXPECT_EQ(a.count(Counter::wrong_role), 1U);
  EXPECT_TRUE(wire.empty());
}

}  // namespace
}  // namespace qanat::exchange
