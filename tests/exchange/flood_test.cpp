// Attackers with forged and with real addresses: bounded memory, no gain by reflection, and a place for honest peers.
#include "exchange/stranger.hpp"

namespace qanat::exchange {
namespace {

using Flood = Stranger;

const IpAddress kElsewhere = IpAddress::v4(0xcb007105);  // 203.0.113.5
IpAddress host(std::uint32_t n, std::uint32_t network = 0x0a000000) {
  return IpAddress::v4(network + n);
}

TEST_F(Flood, ForgedSourcesFindMemoryFlat) {
  get_ready();
  constexpr unsigned kRequests = 100'000;
  const Bytes base = request(1);
  Bytes datagram = base;
  SeededRng addresses{7};
  std::size_t most = 0;
  for (unsigned i = 0; i < kRequests; ++i) {
    store_be64(datagram.data(), 1000U + i);
    const Answer answer = send(IpAddress::v4(0x0b000000 + addresses.u32() % 0x40000000), datagram);
    ASSERT_EQ(answer.datagrams, 1U);
    most = std::max(most, b.endpoint->half_open());
    ASSERT_LE(b.endpoint->half_open_table().prefixes(), b.config.cookie_threshold);
  }
  EXPECT_EQ(most, b.config.cookie_threshold);
  EXPECT_EQ(b.endpoint->sas().size(), b.config.cookie_threshold);
  EXPECT_EQ(b.count(Counter::cookie_demanded), kRequests - b.config.cookie_threshold);
  // And whoever is at home where it says gets in.
  handshake();
  expect_tunnel();
  advance(61s);
  wire.clear();
  EXPECT_EQ(b.endpoint->half_open(), 0U);
  EXPECT_EQ(b.endpoint->half_open_table().prefixes(), 0U);
}

TEST_F(Flood, OnePrefixIsAskedForCookiesAndOthersAreNot) {
  b.config.prefix_limit = 5;
  get_ready();
  for (unsigned i = 0; i < 1000; ++i) {
    const Answer answer = ask(host(i % 250), 1000U + i);
    EXPECT_EQ(answer.accepted(), i < 5) << i;
    EXPECT_EQ(answer.cookie().empty(), i < 5) << i;
  }
  EXPECT_EQ(b.endpoint->half_open(), 5U);
  EXPECT_TRUE(ask(kElsewhere, 1).accepted());
  EXPECT_TRUE(ask_honestly(host(77), 2).accepted());  // an honest neighbour of the attacker
}

TEST_F(Flood, ARealPrefixTakesItsShareAndNoMore) {
  b.config.prefix_limit = 3;
  get_ready();
  unsigned accepted = 0;
  for (unsigned i = 0; i < 300; ++i) accepted += ask_honestly(host(i % 250), 1000U + i).accepted() ? 1U : 0U;
  EXPECT_EQ(accepted, 3U + 8U * 3U);
  EXPECT_EQ(b.endpoint->half_open(), accepted);
  EXPECT_GT(b.count(Counter::half_open_limit), 0U);
  for (std::uint32_t i = 1; i < 50; ++i) EXPECT_TRUE(ask_honestly(host(i << 8), i).accepted()) << i;
  // The attacker's do not stay long, and then its neighbours have their turn.
  advance(6s);
  EXPECT_EQ(b.count(Counter::half_open_timeout) + b.endpoint->half_open(), accepted + 49U);
  EXPECT_TRUE(ask_honestly(host(251), 5000).accepted());
}

TEST_F(Flood, ACookieIsForOneAddressNonceAndSpi) {
  b.config.cookie_threshold = 0;
  get_ready();
  const Bytes cookie = ask(host(1), 1).cookie();
  ASSERT_FALSE(cookie.empty());
  const auto refused = [&](const Answer& answer) {
    EXPECT_FALSE(answer.accepted());
    EXPECT_FALSE(answer.cookie().empty());  // as if it had brought none
    EXPECT_NE(answer.cookie(), cookie);
  };
  refused(ask(host(2), 1, cookie));
  refused(ask(host(1), 2, cookie));
  wire::Payloads other_nonce = request_payloads();
  for (wire::Payload& p : other_nonce) {
    if (auto* nonce = std::get_if<wire::NoncePayload>(&p)) nonce->data[0] ^= 1;
  }
  other_nonce.insert(other_nonce.begin(), notify(NotifyType::COOKIE, cookie));
  refused(send(host(1), request(1, other_nonce)));
  EXPECT_EQ(b.count(Counter::cookie_bad), 3U);
  EXPECT_EQ(b.endpoint->half_open(), 0U);
  // Not in front: not a cookie (RFC 7296 2.6).
  wire::Payloads behind = request_payloads();
  behind.push_back(notify(NotifyType::COOKIE, cookie));
  EXPECT_FALSE(send(host(1), request(1, behind)).accepted());
  EXPECT_TRUE(ask(host(1), 1, cookie).accepted());
}

TEST_F(Flood, ACookieOutlivesOneChangeOfTheSecret) {
  b.config.cookie_threshold = 0;
  get_ready();
  const Bytes cookie = ask(host(1), 1).cookie();
  advance(121s);
  EXPECT_TRUE(ask(host(1), 1, cookie).accepted());
  const Bytes second = ask(host(2), 2).cookie();
  advance(300s);
  EXPECT_FALSE(ask(host(2), 2, second).accepted());
}

// The smallest request that gets as far as a cookie is still no amplifier: without an answer when that is larger.
TEST_F(Flood, ASmallRequestIsNotAnsweredWithMore) {
  b.config.cookie_threshold = 0;
  b.config.puzzle_difficulty = 8;
  get_ready();
  wire::SaPayload offer;
  offer.proposals.push_back({1, wire::ProtocolId::IKE, {}, {{wire::TransformType::PRF, 5, {}, false}}});
  const Bytes small = request(1, {offer, wire::KePayload{KeId::CURVE25519, {}}, wire::NoncePayload{Bytes(16, 1)}});
  const Answer answer = send(host(1), small);  // checks the size, too
  EXPECT_EQ(answer.datagrams + b.count(Counter::not_answered) + b.count(Counter::malformed), 1U);
}

TEST_F(Flood, HalfOpenTimesShrinkUnderLoad) {
  b.config.half_open_limit = 100;
  b.config.cookie_threshold = 10;
  get_ready();
  for (std::uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(ask(host(i << 8), 1 + i).accepted());
  for (std::uint32_t i = 10; i < 50; ++i) ASSERT_TRUE(ask_honestly(host(i << 8), 1 + i).accepted());
  EXPECT_EQ(b.endpoint->half_open(), 50U);
  advance(6s);
  EXPECT_EQ(b.endpoint->half_open(), 10U);
  advance(25s);
  EXPECT_EQ(b.endpoint->half_open(), 0U);
}

TEST_F(Flood, EveryRequestIsAnsweredOnceAndRepeatsMakeNothingNew) {
  get_ready();
  const Answer first = ask(host(1), 1);
  ASSERT_TRUE(first.accepted());
  for (unsigned i = 0; i < 20; ++i) {
    const Answer again = ask(host(1), 1);
    EXPECT_EQ(again.datagrams, 1U);
    EXPECT_EQ(again.header.spi_r, first.header.spi_r);
    EXPECT_EQ(again.payloads, first.payloads);
  }
  EXPECT_EQ(b.endpoint->half_open(), 1U);
  // The same SPIi, another request: nobody is shut out because an attacker has copied its SPI (RFC 7296 2.1).
  wire::Payloads other = request_payloads();
  for (wire::Payload& p : other) {
    if (auto* nonce = std::get_if<wire::NoncePayload>(&p)) nonce->data[0] ^= 1;
  }
  const Answer second = send(host(1), request(1, other));
  ASSERT_TRUE(second.accepted());
  EXPECT_NE(second.header.spi_r, first.header.spi_r);
  EXPECT_EQ(ask(host(1), 1).header.spi_r, first.header.spi_r);
  EXPECT_EQ(send(host(1), request(1, other)).header.spi_r, second.header.spi_r);
  EXPECT_EQ(b.endpoint->half_open(), 2U);
  // And the same octets from elsewhere are somebody else's.
  EXPECT_NE(ask(host(2), 1).header.spi_r, first.header.spi_r);
}

// RFC 8019 4.6: an IKE SA stays, with its keys, whatever junk comes for it.
TEST_F(Peers, JunkForAHalfOpenIkeSaDoesNotKeepThePeerOut) {
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  const std::string next = name_of(wire.front());
  Sealing junk;
  junk.exchange = look(wire.front()).message.header.exchange;
  junk.message_id = 1;
  junk.plaintext = Bytes(1000, 0x55);
  junk.break_icv = true;
  const auto made = b.keys.size();
  const auto on_wire = wire.size();
  for (unsigned i = 0; i < 500; ++i) arrive(sealed('A', junk));
  EXPECT_EQ(wire.size(), on_wire);
  EXPECT_EQ(b.keys.size(), made);
  EXPECT_EQ(b.count(Counter::icv_failed), 500U);
  EXPECT_EQ(b.endpoint->half_open(), 1U);
  EXPECT_EQ(name_of(wire.front()), next);
  run();
  expect_tunnel();
}

// ---- news that nobody vouches for --------------------------------------------------------------------------------

TEST_F(Peers, ALostIkeSaIsNamedToThePeer) {
  handshake();
  const Flight lost = sealed('A', ExchangeType::INFORMATIONAL, 7, {});
  Flight request = lost;
  store_be64(&request.bytes[8], 0x1234);  // B's SPI of before its crash
  const auto before = wire.size();
  arrive(request);
  ASSERT_EQ(wire.size(), before + 1);
  const Seen answer = look(wire.back());
  EXPECT_NE(wire::find_notify(answer.payloads, NotifyType::INVALID_IKE_SPI), nullptr);
  EXPECT_EQ(answer.message.header.spi_i, load_be64(&request.bytes[0]));
  EXPECT_EQ(answer.message.header.spi_r, 0x1234U);
  EXPECT_EQ(answer.message.header.message_id, 7U);
  EXPECT_TRUE(answer.message.header.is_response());
  EXPECT_LE(wire.back().bytes.size(), request.bytes.size());
  wire.clear();
  // Not to responses, not to strangers, and not for ever.
  Sealing response;
  response.response = true;
  Flight reply = sealed('A', response);
  store_be64(&reply.bytes[8], 0x1234);
  arrive(reply);
  EXPECT_TRUE(wire.empty());
  arrive('B', {{b.address, 500}, {IpAddress::v4(0xcb007105), 500}}, request.bytes);
  EXPECT_TRUE(wire.empty());
  for (unsigned i = 0; i < 1000; ++i) arrive(request);
  EXPECT_EQ(wire.size(), 19U);  // 20 in a second, with the first
  wire.clear();
  advance(1s);
  arrive(request);
  EXPECT_EQ(wire.size(), 1U);
}

TEST_F(Flood, LostIkeSasAreNotNamedUnderAttack) {
  b.config.half_open_limit = 20;
  b.config.cookie_threshold = 10;
  get_ready();
  wire::IkeHeader h;
  h.spi_i = 1;
  h.spi_r = 2;
  h.exchange = ExchangeType::INFORMATIONAL;
  h.flags = wire::kFlagInitiator;
  const Bytes stray = wire::write_clear_message(h, {notify(NotifyType::INITIAL_CONTACT)});
  EXPECT_EQ(send(host(1), stray).datagrams, 1U);
  for (std::uint32_t i = 0; i < 10; ++i) ASSERT_TRUE(ask(host(i << 8), 100 + i).accepted());
  EXPECT_EQ(send(host(1), stray).datagrams, 0U);
}

class News : public Peers {
 public:
  // What anybody can send to A about its IKE SA.
  void forge_invalid_spi() {
    const ike::SaInfo sa = a.sa();
    wire::IkeHeader h;
    h.spi_i = sa.spi_i;
    h.spi_r = sa.spi_r;
    h.exchange = ExchangeType::INFORMATIONAL;
    h.flags = wire::kFlagResponse;
    h.message_id = 9;
    arrive(clear('B', h, {notify(NotifyType::INVALID_IKE_SPI)}));
  }
};

TEST_F(News, AnInvalidSpiNoticeOnlyMakesUsAsk) {
  a.tunnel.dpd_idle = b.tunnel.dpd_idle = 300s;
  handshake();
  advance(3s);
  forge_invalid_spi();
  EXPECT_EQ(a.count(Counter::error_hint), 1U);
  ASSERT_EQ(wire.size(), 1U);
  a_sends("INFORMATIONAL request " + std::to_string(look(wire.front()).message.header.message_id));
  run();
  expect_tunnel();
  for (unsigned i = 0; i < 100; ++i) forge_invalid_spi();
  EXPECT_TRUE(wire.empty());  // at most every 10 s
  const auto before = sent.size();
  advance(9900ms);
  forge_invalid_spi();
  EXPECT_TRUE(wire.empty());
  advance(200ms);
  for (unsigned i = 0; i < 100; ++i) {
    forge_invalid_spi();
    run();
  }
  EXPECT_EQ(sent.size(), before + 2);  // one question and its answer
  expect_tunnel();
}

TEST_F(News, APeerThatHasReallyGoneIsFoundOutSooner) {
  a.tunnel.dpd_idle = b.tunnel.dpd_idle = 100s;
  a.tunnel.dpd_timeout = 30s;
  handshake();
  advance(10s);
  ASSERT_TRUE(wire.empty());
  a.endpoint->handle_path_error(now, a.address, b.address);
  drain();
  ASSERT_EQ(wire.size(), 1U);
  expect_next('A', "INFORMATIONAL request " + std::to_string(look(wire.front()).message.header.message_id));
  EXPECT_EQ(a.established().size(), 1U);  // it is asked, not judged
  advance(31s);                           // without the news the first question would come a minute later
  EXPECT_TRUE(a.established().empty());
  EXPECT_TRUE(a.has(Report::What::Down));
}

TEST_F(News, PathErrorsOfOtherPlacesDoNotMatter) {
  handshake();
  advance(3s);
  a.endpoint->handle_path_error(now, a.address, IpAddress::v4(0xcb007105));
  a.endpoint->handle_path_error(now, IpAddress::v4(0xcb007105), b.address);
  drain();
  EXPECT_TRUE(wire.empty());
  for (unsigned i = 0; i < 1000; ++i) a.endpoint->handle_path_error(now, a.address, b.address);
  drain();
  EXPECT_EQ(wire.size(), 1U);
  run();
  expect_tunnel();
  EXPECT_EQ(a.count(Counter::path_error), 1002U);
}

}  // namespace
}  // namespace qanat::exchange
