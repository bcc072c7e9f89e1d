// Authentic messages that are no messages: what stands inside the SK payload is wrong.
#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

World::Sealing plain(ExchangeType exchange, std::uint32_t mid, PayloadType first, Bytes plaintext,
                     bool response = false) {
  World::Sealing s;
  s.exchange = exchange;
  s.message_id = mid;
  s.response = response;
  s.first = first;
  s.plaintext = std::move(plaintext);
  return s;
}
const Bytes kLyingLength{0, 0, 0, 200, 1, 2, 3, 4};

TEST_F(Peers, AMalformedRequestIsFatalAndAnsweredWithInvalidSyntax) {
  for (const char who : {'A', 'B'}) {
    Conversation w{70};
    w.handshake();
    const char from = who == 'A' ? 'B' : 'A';
    const std::uint32_t mid = from == 'A' ? 3 : 0;
    const Flight f = w.sealed(from, plain(ExchangeType::INFORMATIONAL, mid, PayloadType::N, kLyingLength));
    w.arrive(f);
    ASSERT_EQ(w.wire.size(), 1U);
    const Bytes answer = w.wire.front().bytes;
    EXPECT_NE(wire::find_notify(w.look(w.wire.front()).payloads, NotifyType::INVALID_SYNTAX), nullptr);
    EXPECT_TRUE(w.side(who).has(Report::What::Down)) << w.side(who).said();
    EXPECT_TRUE(w.side(who).plane.inbound.empty());
    // A retransmission gets the same answer.
    w.wire.clear();
    w.arrive(f);
    ASSERT_EQ(w.wire.size(), 1U);
    EXPECT_EQ(w.wire.front().bytes, answer);
    w.advance(31s);
    EXPECT_TRUE(w.side(who).endpoint->sas().empty());
  }
}

TEST_F(Peers, PaddingThatIsLongerThanThePlaintextIsFatal) {
  handshake();
  World::Sealing s = plain(ExchangeType::INFORMATIONAL, 0, PayloadType::None, Bytes(3, 0));
  s.pad_length = 200;
  arrive(sealed('B', s));
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_NE(wire::find_notify(look(wire.front()).payloads, NotifyType::INVALID_SYNTAX), nullptr);
  EXPECT_TRUE(a.plane.inbound.empty());
}

TEST_F(Peers, AMalformedResponseEndsTheSaWithoutAnError) {
  handshake();
  advance(11s);
  wire.clear();
  arrive(sealed('B', plain(ExchangeType::INFORMATIONAL, 3, PayloadType::N, kLyingLength, true)));
  EXPECT_TRUE(a.has(Report::What::Down)) << a.said();
  EXPECT_TRUE(a.plane.inbound.empty());
  ASSERT_EQ(wire.size(), 1U);  // a Delete in an exchange of its own (RFC 7296 2.21)
  EXPECT_EQ(name_of(wire.front()), "A->B INFORMATIONAL request 4");
  EXPECT_NE(wire::find<wire::DeletePayload>(look(wire.front()).payloads), nullptr);
}

TEST_F(Peers, AMalformedHandshakeMessageEndsTheHandshake) {
  for (std::size_t delivered = 2; delivered <= 5; ++delivered) {
    SCOPED_TRACE(delivered);
    Conversation w{71};
    w.begin();
    for (std::size_t i = 0; i < delivered; ++i) w.deliver();
    const Seen next = w.look(w.wire.front());
    const wire::IkeHeader h = next.message.header;
    const char from = w.wire.front().from;
    w.drop();
    // After AUTH both have newer keys than this message used: seal it with those that both have.
    w.arrive(w.sealed(from, plain(h.exchange, h.message_id, PayloadType::KE, kLyingLength, h.is_response())));
    w.run();
    w.run_for(700s);
    w.expect_no_tunnel();
    EXPECT_TRUE(w.a.has(Report::What::AttemptFailed)) << w.a.said();
    EXPECT_TRUE(w.a.endpoint->sas().empty());
    EXPECT_TRUE(w.b.endpoint->sas().empty());
  }
}

TEST_F(Peers, AnUnknownCriticalPayloadIsNamedAndNotFatalOnceEstablished) {
  handshake();
  arrive(sealed('B', plain(ExchangeType::INFORMATIONAL, 0, static_cast<PayloadType>(200), {0, 0x80, 0, 6, 1, 2})));
  ASSERT_EQ(wire.size(), 1U);
  const Seen answer = look(wire.front());
  const auto* n = wire::find_notify(answer.payloads, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);
  ASSERT_NE(n, nullptr);
  EXPECT_EQ(n->data, Bytes{200});
  run();
  expect_tunnel();
}

TEST_F(Peers, AnUnknownCriticalPayloadInTheHandshakeEndsIt) {
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  wire::Payloads payloads = look(wire.front()).payloads;
  payloads.emplace_back(wire::UnknownPayload{static_cast<PayloadType>(201), true, {1}});
  drop();
  arrive(sealed('A', ExchangeType::IKE_AUTH, 2, payloads));
  const Seen answer = look(wire.front());
  const auto* n = wire::find_notify(answer.payloads, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);
  ASSERT_NE(n, nullptr);
  EXPECT_EQ(n->data, Bytes{201});
  run();
  expect_nothing_installed();
}

TEST_F(Peers, AnUnknownCriticalPayloadInIkeSaInitIsAnsweredWithoutState) {
  begin();
  wire::Payloads payloads = look(wire.front()).payloads;
  payloads.emplace_back(wire::UnknownPayload{static_cast<PayloadType>(77), true, {1}});
  const wire::IkeHeader h = look(wire.front()).message.header;
  drop();
  arrive(clear('A', h, payloads));
  ASSERT_EQ(wire.size(), 1U);
  const auto seen = look(wire.front());
  const auto* n = wire::find_notify(seen.payloads, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);
  ASSERT_NE(n, nullptr);
  EXPECT_EQ(n->data, Bytes{77});
  EXPECT_EQ(b.endpoint->half_open(), 0U);
}

// RFC 7296 2.5: skipped, in every message, and AUTH covers them all the same.
TEST_F(Peers, UnknownPayloadsThatAreNotCriticalAreIgnored) {
  handshake();
  arrive(sealed('B', plain(ExchangeType::INFORMATIONAL, 0, static_cast<PayloadType>(200), {0, 0, 0, 6, 1, 2})));
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_TRUE(look(wire.front()).payloads.empty());
  wire.clear();
  expect_tunnel();
}

TEST_F(Peers, UnknownPayloadsInsideIntermediateAndAuthDoNotDisturb) {
  begin();
  deliver();
  deliver();
  // A adds a payload to its IKE_INTERMEDIATE: what it signs and what B verifies then differ only if B reads other
  // octets; here A's IntAuth lacks it, so AUTH must fail - the payload is covered.
  wire::Payloads payloads = look(wire.front()).payloads;
  payloads.emplace_back(wire::UnknownPayload{static_cast<PayloadType>(201), false, {1, 2, 3}});
  drop();
  arrive(sealed('A', ExchangeType::IKE_INTERMEDIATE, 1, payloads));
  run();
  EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
  expect_nothing_installed();

  Conversation w{72};
  w.begin();
  for (int i = 0; i < 4; ++i) w.deliver();
  payloads = w.look(w.wire.front()).payloads;
  payloads.emplace_back(wire::UnknownPayload{static_cast<PayloadType>(201), false, {1, 2, 3}});
  payloads.emplace_back(wire::VendorIdPayload{Bytes(16, 5)});
  payloads.emplace_back(notify(static_cast<NotifyType>(50000), {1}));
  w.drop();
  w.arrive(w.sealed('A', ExchangeType::IKE_AUTH, 2, payloads));
  w.run();
  w.expect_tunnel();
}

// Each payload of IKE_AUTH absent, twice, and a hundred times; each octet of its plaintext changed.
TEST_F(Peers, IkeAuthRequestsWithWrongPayloadsNeverAbortAndNeverInstall) {
  World golden{73};
  golden.begin();
  for (int i = 0; i < 4; ++i) golden.deliver();
  const wire::Payloads payloads = golden.look(golden.wire.front()).payloads;
  const auto play = [](const std::function<Flight(World&)>& make, bool may_install) {
    Conversation w{73};
    w.begin();
    for (int i = 0; i < 4; ++i) w.deliver();
    w.drop();
    w.arrive(make(w));
    EXPECT_TRUE(may_install || w.b.plane.installs == 0);
    w.run();
    w.run_for(40s);
  };
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    SCOPED_TRACE(wire::to_string(wire::type_of(payloads[i])));
    const bool signed_over =
        wire::type_of(payloads[i]) == PayloadType::IDi || wire::type_of(payloads[i]) == PayloadType::AUTH;
    wire::Payloads less = payloads;
    less.erase(less.begin() + static_cast<std::ptrdiff_t>(i));
    play([&](World& w) { return w.sealed('A', ExchangeType::IKE_AUTH, 2, less); }, !signed_over);
    wire::Payloads twice = payloads;
    twice.push_back(payloads[i]);
    play([&](World& w) { return w.sealed('A', ExchangeType::IKE_AUTH, 2, twice); },
         wire::type_of(payloads[i]) == PayloadType::N);
    wire::Payloads many = payloads;
    for (int n = 0; n < 100; ++n) many.push_back(payloads[i]);
    play([&](World& w) { return w.sealed('A', ExchangeType::IKE_AUTH, 2, many); },
         wire::type_of(payloads[i]) == PayloadType::N);
  }
  ByteWriter chain;
  const PayloadType first = wire::write_chain(chain, payloads);
  const Bytes text = std::move(chain).take();
  for (std::size_t at = 0; at < text.size(); at += 3) {
    for (const std::uint8_t value : {std::uint8_t{0}, std::uint8_t{0xff}}) {
      Bytes changed = text;
      changed[at] = value;
      play([&](World& w) { return w.sealed('A', plain(ExchangeType::IKE_AUTH, 2, first, changed)); }, true);
    }
  }
}

}  // namespace
}  // namespace qanat::exchange
