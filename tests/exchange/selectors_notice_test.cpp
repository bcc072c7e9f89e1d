// INVALID_SELECTORS (RFC 7296 3.10.1): one side drops what the other sends outside the selectors of a Child SA, and
// says so.
#include <algorithm>

#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

class SelectorsNotice : public Peers {
 protected:
  [[nodiscard]] static Bytes packet() {
    Bytes p(28, 0);
    p[0] = 0x45;
    const Bytes addresses{10, 1, 0, 5, 172, 16, 3, 9};
    std::copy(addresses.begin(), addresses.end(), p.begin() + 12);
    return p;
  }
  void b_drops(ChildSaId child) {
    b.endpoint->handle_plane(now, ipsec::OutsideSelectors{child, packet()});
    drain();
  }
  [[nodiscard]] static wire::NotifyPayload notice(ipsec::EspSpi spi, Bytes data) {
    wire::NotifyPayload n{wire::ProtocolId::ESP, Bytes(4), NotifyType::INVALID_SELECTORS, std::move(data)};
    store_be32(n.spi.data(), spi);
    return n;
  }
  [[nodiscard]] std::size_t reports() const {
    return static_cast<std::size_t>(std::count_if(
        a.reports.begin(), a.reports.end(), [](const Report& r) { return r.what == Report::What::SelectorsRefused; }));
  }
};

TEST_F(SelectorsNotice, GoesToThePeerWithTheSpiAndThePacket) {
  handshake();
  b_drops(b.child().id);
  ASSERT_EQ(wire.size(), 1U);
  const Seen seen = look(wire.front());
  ASSERT_EQ(seen.payloads.size(), 1U);
  EXPECT_EQ(std::get<wire::NotifyPayload>(seen.payloads[0]), notice(b.child().spi_in, packet()));
  b_sends("INFORMATIONAL request 0");
  EXPECT_TRUE(a.has(Report::What::SelectorsRefused, "10.1.0.5 -> 172.16.3.9")) << a.said();
  EXPECT_EQ(a.count(Counter::invalid_selectors_received), 1U);
  a_sends("INFORMATIONAL response 0");
  EXPECT_EQ(b.count(Counter::invalid_selectors_sent), 1U);
  EXPECT_TRUE(wire.empty());
  expect_tunnel();
}

TEST_F(SelectorsNotice, IsRareHoweverMuchIsDropped) {
  handshake();
  for (int i = 0; i < 100; ++i) {
    b_drops(b.child().id);
    run_for(1s);
  }
  EXPECT_EQ(b.count(Counter::invalid_selectors_sent), 10U);
  EXPECT_EQ(reports(), 2U) << a.said();
  expect_tunnel();
}

// While another exchange is open it waits; what concerns a Child SA that is gone by then is not sent.
TEST_F(SelectorsNotice, WaitsForTheWindowAndDiesWithItsChildSa) {
  handshake();
  const ChildSaId old = b.child().id;
  b.endpoint->handle_plane(now, ipsec::SoftLimit{old});
  drain();
  b_drops(old);
  EXPECT_EQ(wire.size(), 1U);
  run();
  EXPECT_EQ(b.count(Counter::invalid_selectors_sent), 0U);
  run_for(10s);
  b_drops(old);
  b_drops(ChildSaId{999});
  EXPECT_EQ(b.count(Counter::invalid_selectors_sent), 0U);
  b.endpoint->rekey(now, TunnelId{1});
  drain();
  b_drops(b.child().id);
  run();
  EXPECT_EQ(b.count(Counter::invalid_selectors_sent), 1U) << "the IKE SA that comes after sends it";
  EXPECT_TRUE(a.has(Report::What::SelectorsRefused)) << a.said();
  run_for(10s);
  expect_tunnel();
}

TEST_F(SelectorsNotice, ThatNamesNothingOfOursOnlyCounts) {
  handshake();
  const ipsec::EspSpi theirs = a.child().spi_out;
  auto for_ah = notice(theirs, packet());
  for_ah.protocol = wire::ProtocolId::AH;
  std::uint32_t id = 0;
  for (const wire::NotifyPayload& n : {notify(NotifyType::INVALID_SELECTORS), notice(0, packet()),
                                       notice(0x7777, packet()), notice(a.child().spi_in, packet()), for_ah}) {
    arrive(sealed('B', ExchangeType::INFORMATIONAL, id, {n}));
    EXPECT_EQ(name_of(wire.back()), fmt::format("A->B INFORMATIONAL response {}", id++));
  }
  EXPECT_EQ(reports(), 0U) << a.said();
  EXPECT_EQ(a.count(Counter::invalid_selectors_received), id);
  // Data that are no packet, or cut short.
  for (std::size_t size : {0U, 1U, 19U}) {
    Bytes cut = packet();
    cut.resize(size);
    run_for(61s);
    arrive(sealed('B', ExchangeType::INFORMATIONAL, id++, {notice(theirs, cut)}));
  }
  EXPECT_EQ(reports(), 3U) << a.said();
  EXPECT_TRUE(a.has(Report::What::SelectorsRefused, "a packet is outside"));
  EXPECT_EQ(a.established().size(), 1U);
  EXPECT_EQ(a.plane.outbound.size(), 1U);
}

}  // namespace
}  // namespace qanat::exchange
