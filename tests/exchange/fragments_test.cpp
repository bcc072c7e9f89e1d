// RFC 7383: fragments of every kind but the right one; and IntAuth over fragments (RFC 9242, pitfall 6).
#include "exchange/peers.hpp"
#include "ike/reassembly.hpp"

namespace qanat::exchange {
namespace {

World::Sealing fragment(std::uint32_t mid, std::uint16_t number, std::uint16_t total, Bytes text,
                        PayloadType first = PayloadType::None) {
  World::Sealing s;
  s.exchange = ExchangeType::INFORMATIONAL;
  s.message_id = mid;
  s.fragment = number;
  s.total = total;
  s.plaintext = std::move(text);
  s.first = first;
  return s;
}
// A vendor ID payload of `size` octets in all.
Bytes vendor(std::size_t size) {
  Bytes out(size, 0x56);
  out[0] = out[1] = 0;
  store_be16(&out[2], static_cast<std::uint16_t>(size));
  return out;
}
ByteView part(const Bytes& whole, std::size_t from, std::size_t size) {
  return ByteView{whole}.subspan(from, size);
}

TEST_F(Peers, AFragmentedHandshakeIsCompleteAndAuthenticated) {
  a.tunnel.fragment_size = b.tunnel.fragment_size = 576;
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  for (const char* n : {"1/3", "2/3", "3/3"}) a_sends(std::string("IKE_INTERMEDIATE request 1 ") + n);
  for (const char* n : {"1/3", "2/3", "3/3"}) b_sends(std::string("IKE_INTERMEDIATE response 1 ") + n);
  run();
  expect_tunnel();
  for (const Flight& f : sent)
    EXPECT_LE(f.bytes.size() + 28, 576U + (name_of(f).find("SA_INIT") != std::string::npos ? 1000U : 0U));
}

TEST_F(Peers, OnlyOneSideMayFragment) {
  a.tunnel.fragment_size = 400;
  b.tunnel.fragment_size = 9000;
  handshake();
  expect_tunnel();
}

TEST_F(Peers, AFragmentNumberOfZeroOrBeyondTheTotalIsMalformed) {
  handshake();
  for (const auto& [n, t] : std::vector<std::pair<std::uint16_t, std::uint16_t>>{{0, 2}, {3, 2}, {65535, 1}})
    arrive(sealed('B', fragment(0, n, t, Bytes(8, 0))));
  EXPECT_EQ(a.count(Counter::malformed), 3U);
  arrive(sealed('B', fragment(0, 1, 65535, Bytes(8, 0))));
  EXPECT_EQ(a.count(Counter::fragment_too_large), 1U);
  EXPECT_TRUE(wire.empty());
  EXPECT_FALSE(a.endpoint->next_timeout() > now + 11s);
  expect_tunnel();
}

TEST_F(Peers, ALargerTotalBeginsAnewAndASmallerOneIsStale) {
  handshake();
  const Bytes text = vendor(90);
  arrive(sealed('B', fragment(0, 1, 2, to_bytes(part(text, 0, 45)), PayloadType::V)));
  arrive(sealed('B', fragment(0, 1, 3, to_bytes(part(text, 0, 30)), PayloadType::V)));
  arrive(sealed('B', fragment(0, 2, 2, to_bytes(part(text, 45, 45)))));  // stale
  EXPECT_EQ(a.count(Counter::fragment_stale), 1U);
  EXPECT_TRUE(wire.empty());
  arrive(sealed('B', fragment(0, 2, 3, to_bytes(part(text, 30, 30)))));
  arrive(sealed('B', fragment(0, 2, 3, Bytes(30, 9))));  // other content
  EXPECT_EQ(a.count(Counter::fragment_duplicate), 1U);
  arrive(sealed('B', fragment(0, 3, 3, to_bytes(part(text, 60, 30)))));
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(name_of(wire.front()), "A->B INFORMATIONAL response 0");
  EXPECT_EQ(a.count(Counter::malformed), 0U);
}

TEST_F(Peers, AFragmentWithABadIcvIsNotStored) {
  handshake();
  const Bytes text = vendor(60);
  World::Sealing forged = fragment(0, 1, 2, Bytes(30, 7), PayloadType::V);
  forged.break_icv = true;
  arrive(sealed('B', forged));
  forged.total = 100;  // would drop what is stored
  arrive(sealed('B', fragment(0, 2, 2, to_bytes(part(text, 30, 30)))));
  arrive(sealed('B', forged));
  EXPECT_EQ(a.count(Counter::icv_failed), 2U);
  arrive(sealed('B', fragment(0, 1, 2, to_bytes(part(text, 0, 30)), PayloadType::V)));
  EXPECT_EQ(wire.size(), 1U);
  EXPECT_EQ(a.count(Counter::malformed), 0U);
}

// What was lost comes with the next send, and those are up to a minute apart.
TEST_F(Peers, FragmentsOfSendsThatAreAMinuteApartAddUp) {
  a.tunnel.dpd_idle = b.tunnel.dpd_idle = 1000s;
  handshake();
  const Bytes text = vendor(90);
  arrive(sealed('B', fragment(0, 1, 3, to_bytes(part(text, 0, 30)), PayloadType::V)));
  run_for(60s);
  arrive(sealed('B', fragment(0, 3, 3, to_bytes(part(text, 60, 30)))));
  run_for(60s);
  arrive(sealed('B', fragment(0, 2, 3, to_bytes(part(text, 30, 30)))));
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(name_of(wire.front()), "A->B INFORMATIONAL response 0");
}

TEST_F(Peers, TheFirstFragmentMissingForeverIsForgotten) {
  a.tunnel.dpd_idle = b.tunnel.dpd_idle = 1000s;
  handshake();
  for (std::uint16_t n = 2; n <= 100; ++n) arrive(sealed('B', fragment(0, n, 100, Bytes(200, 1))));
  EXPECT_TRUE(wire.empty());
  run_for(201s);
  EXPECT_EQ(a.count(Counter::fragment_timeout), 1U);
  expect_tunnel();
  // The SA lives, and the same message ID is still free.
  arrive(sealed('B', fragment(0, 1, 1, vendor(20), PayloadType::V)));
  a_sends("INFORMATIONAL response 0");
}

TEST_F(Peers, TheMemoryOfOneMessageIsBounded) {
  handshake();
  std::size_t stored = 0;
  for (std::uint16_t n = 2; n <= 128; ++n) {
    arrive(sealed('B', fragment(0, n, 128, Bytes(1200, 1))));
    stored += 1200;
    if (a.count(Counter::fragment_too_large) > 0) break;
  }
  EXPECT_EQ(a.count(Counter::fragment_too_large), 1U);
  EXPECT_LE(stored, ike::kMaxReassembled + 1200);
  EXPECT_LE(ike::kMaxReassembled + ike::kMaxReassembledChain, 64U * 1024);
  expect_tunnel();
}

TEST_F(Peers, FragmentsThatWereNotNegotiatedAreDropped) {
  begin();
  auto message = wire::parse_message(wire.front().bytes);
  std::erase_if(message->payloads, [](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == NotifyType::IKEV2_FRAGMENTATION_SUPPORTED;
  });
  wire.front().bytes = wire::write_clear_message(message->header, message->payloads);
  deliver();
  EXPECT_EQ(wire::find_notify(look(wire.front()).payloads, NotifyType::IKEV2_FRAGMENTATION_SUPPORTED), nullptr);
  deliver();
  drop();
  World::Sealing s = fragment(1, 1, 2, Bytes(100, 0), PayloadType::KE);
  s.exchange = ExchangeType::IKE_INTERMEDIATE;
  arrive(sealed('A', s));
  EXPECT_EQ(b.count(Counter::fragment_not_negotiated), 1U);
  EXPECT_TRUE(wire.empty());
}

TEST_F(Peers, APeerWithoutFragmentationGetsWholeMessages) {
  a.tunnel.fragment_size = b.tunnel.fragment_size = 300;
  begin();
  deliver();
  auto message = wire::parse_message(wire.front().bytes);
  std::erase_if(message->payloads, [](const wire::Payload& p) {
    const auto* n = std::get_if<wire::NotifyPayload>(&p);
    return n != nullptr && n->type == NotifyType::IKEV2_FRAGMENTATION_SUPPORTED;
  });
  wire.front().bytes = wire::write_clear_message(message->header, message->payloads);
  deliver();
  EXPECT_EQ(name_of(wire.front()), "A->B IKE_INTERMEDIATE request 1");
}

TEST_F(Peers, AFragmentOfIkeSaInitIsDropped) {
  begin();
  Flight f = wire.front();
  drop();
  f.bytes[16] = static_cast<std::uint8_t>(PayloadType::SKF);
  store_be16(&f.bytes[30], static_cast<std::uint16_t>(f.bytes.size() - 28));
  store_be32(&f.bytes[32], 0x00010002);
  arrive(f);
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.count(Counter::malformed), 1U);
}

// Requests and responses of one message ID are on their way at once: their fragments do not mix.
TEST_F(Peers, FragmentsOfARequestAndOfAResponseDoNotMix) {
  a.tunnel.dpd_idle = b.tunnel.dpd_idle = 10s;
  handshake();
  for (std::uint32_t mid = 0; mid < 3; ++mid) {  // bring B's message IDs to where A's are
    arrive(sealed('B', ExchangeType::INFORMATIONAL, mid, {}));
    wire.clear();
  }
  advance(11s);  // A asks: request 3
  wire.clear();
  const Bytes text = vendor(60);
  World::Sealing answer = fragment(3, 1, 2, to_bytes(part(text, 0, 30)), PayloadType::V);
  answer.response = true;
  arrive(sealed('B', answer));
  arrive(sealed('B', fragment(3, 2, 2, to_bytes(part(text, 30, 30)))));
  EXPECT_TRUE(wire.empty());
  arrive(sealed('B', fragment(3, 1, 2, to_bytes(part(text, 0, 30)), PayloadType::V)));
  EXPECT_EQ(name_of(wire.front()), "A->B INFORMATIONAL response 3");
  answer.fragment = 2;
  answer.first = PayloadType::None;
  answer.plaintext = to_bytes(part(text, 30, 30));
  arrive(sealed('B', answer));
  EXPECT_FALSE(a.has(Report::What::Down)) << a.said();
  EXPECT_EQ(a.count(Counter::malformed), 0U);
}

// RFC 9242 3.3.2: payloads in the clear before SK are covered, and the octet that is patched is theirs.
TEST_F(Peers, AnUnencryptedPayloadBeforeSkIsCoveredByIntAuth) {
  begin();
  deliver();
  deliver();
  World::Sealing s;
  s.exchange = ExchangeType::IKE_INTERMEDIATE;
  s.message_id = 1;
  ByteWriter chain;
  s.first = wire::write_chain(chain, look(wire.front()).payloads);
  s.plaintext = std::move(chain).take();
  s.clear = {notify(static_cast<NotifyType>(40000), {1, 2, 3})};
  drop();
  arrive(sealed('A', s));
  EXPECT_EQ(name_of(wire.front()), "B->A IKE_INTERMEDIATE response 1");
  run();
  // A did not sign it, so AUTH must fail.
  EXPECT_EQ(b.count(Counter::authentication_failed), 1U);
  expect_nothing_installed();
}

}  // namespace
}  // namespace qanat::exchange
