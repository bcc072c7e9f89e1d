// Exchanges where they are not allowed: every exchange type x state x kind of message x message ID, generated. Whatever
// is not on the short list of what is legal installs nothing and changes no state (CVE-2014-2338, CVE-2026-78135).
#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

struct Position {
  const char* name;
  std::size_t delivered;                // datagrams of the hybrid handshake
  char target;                          // who gets the message
  std::uint32_t next_request;           // the message ID that the target expects of a request
  std::optional<std::uint32_t> answer;  // the one of the request that the target has open
  bool established;
};
constexpr std::array<Position, 7> kPositions{{
    {"half_open_responder", 1, 'B', 1, std::nullopt, false},
    {"intermediate_sent", 2, 'A', 0, 1U, false},
    {"intermediate_done_responder", 3, 'B', 2, std::nullopt, false},
    {"auth_sent", 4, 'A', 0, 2U, false},
    {"established_responder", 6, 'B', 3, std::nullopt, true},
    {"established_initiator", 6, 'A', 0, std::nullopt, true},
    {"refused_responder", 5, 'B', 3, std::nullopt, false},
}};
constexpr std::array<std::uint8_t, 10> kExchanges{34, 35, 36, 37, 43, 44, 0, 38, 240, 255};
enum class Seal { Clear, Sealed, BadIcv };

struct Snapshot {
  std::vector<std::pair<int, std::uint64_t>> sas;
  std::size_t inbound;
  std::size_t outbound;
  unsigned installs;
  std::size_t reserved;
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};
Snapshot snapshot(const Side& s) {
  Snapshot out{{}, s.plane.inbound.size(), s.plane.outbound.size(), s.plane.installs, s.plane.reserved.size()};
  for (const ike::SaInfo& sa : s.endpoint->sas()) out.sas.emplace_back(static_cast<int>(sa.state), sa.spi_i);
  return out;
}

class Matrix : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Matrix, NothingChangesOffTheAllowList) {
  const Position& position = kPositions[GetParam()];
  unsigned cells = 0;
  for (const std::uint8_t exchange : kExchanges) {
    for (const bool response : {false, true}) {
      for (const Seal seal : {Seal::Clear, Seal::Sealed, Seal::BadIcv}) {
        for (const std::uint32_t offset : {0U, 0xffffffffU, 1U, 0x80000000U}) {
          for (const bool with_payloads : {false, true}) {
            const std::uint32_t base = response ? position.answer.value_or(0) : position.next_request;
            const std::uint32_t mid = base + offset;
            SCOPED_TRACE(fmt::format("{}: exchange {} {} {} mid {} {}", position.name, exchange,
                                     response ? "response" : "request", static_cast<int>(seal), mid, with_payloads));
            Conversation w{50};
            if (std::string_view{position.name} == "refused_responder")
              w.a.tunnel.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("wrong"))};
            w.begin();
            for (std::size_t i = 0; i < position.delivered; ++i) w.deliver();
            w.wire.clear();
            const char from = position.target == 'A' ? 'B' : 'A';
            Side& target = w.side(position.target);
            const Snapshot before = snapshot(target);
            const std::size_t keys = target.keys.size();
            const std::size_t said = target.reports.size();

            const auto type = static_cast<ExchangeType>(exchange);
            wire::Payloads payloads;
            if (with_payloads) {
              payloads = {wire::SaPayload{{wire::Proposal{1,
                                                          wire::ProtocolId::ESP,
                                                          {1, 2, 3, 4},
                                                          {{wire::TransformType::ENCR, 20, std::uint16_t{256}, false},
                                                           {wire::TransformType::ESN, 0, std::nullopt, false}}}}},
                          wire::NoncePayload{Bytes(32, 1)},
                          wire::TsPayload{PayloadType::TSi, {ipsec::any_selector_v4()}},
                          wire::TsPayload{PayloadType::TSr, {ipsec::any_selector_v4()}}};
            }
            Flight f;
            if (seal == Seal::Clear) {
              wire::IkeHeader h;
              h.spi_i = w.newest_keys().spi_i;
              h.spi_r = w.newest_keys().spi_r;
              h.exchange = type;
              h.message_id = mid;
              h.flags = static_cast<std::uint8_t>((from == 'A' ? wire::kFlagInitiator : 0) |
                                                  (response ? wire::kFlagResponse : 0));
              f = w.clear(from, h, payloads);
            } else {
              World::Sealing s;
              s.exchange = type;
              s.response = response;
              s.message_id = mid;
              s.break_icv = seal == Seal::BadIcv;
              ByteWriter chain;
              s.first = wire::write_chain(chain, payloads);
              s.plaintext = std::move(chain).take();
              f = w.sealed(from, s);
            }
            w.arrive(f);
            ++cells;
            // Legal: sealed, the right message ID, and an exchange that this state waits for.
            const bool right = seal == Seal::Sealed && offset == 0;
            const bool creates = right && position.established && !response && exchange == 36 && with_payloads;
            EXPECT_EQ(target.plane.installs, before.installs + (creates ? 2U : 0U));
            EXPECT_EQ(target.keys.size(), keys);
            const bool waits_request =
                !response && (position.established ? exchange == 36 || exchange == 37 || exchange == 44
                                                   : (position.delivered == 1 && exchange == 43) ||
                                                         (position.delivered == 3 && exchange == 35));
            const bool waits_answer =
                response && position.answer &&
                ((position.delivered == 2 && exchange == 43) || (position.delivered == 4 && exchange == 35));
            if (right && (waits_request || waits_answer)) continue;
            EXPECT_EQ(snapshot(target), before);
            EXPECT_EQ(target.reports.size(), said);
            EXPECT_TRUE(w.wire.empty());
          }
        }
      }
    }
  }
  EXPECT_EQ(cells, 10U * 2 * 3 * 4 * 2);
}
INSTANTIATE_TEST_SUITE_P(Each, Matrix, ::testing::Range<std::size_t>(0, kPositions.size()),
                         [](const auto& p) { return kPositions[p.param].name; });

TEST_F(Peers, IkeAuthInsteadOfIntermediateIsDropped) {
  begin();
  deliver();
  deliver();
  drop();
  arrive(sealed('A', ExchangeType::IKE_AUTH, 1, {wire::IdPayload{PayloadType::IDi, a.tunnel.local_id}}));
  EXPECT_EQ(b.count(Counter::exchange_not_allowed), 1U);
  EXPECT_TRUE(wire.empty());
  advance(1200ms);
  run();
  expect_tunnel();
}

TEST_F(Peers, OneIntermediateMoreThanAgreedIsDropped) {
  begin();
  for (int i = 0; i < 4; ++i) deliver();
  const Flight auth = wire.front();
  drop();
  arrive(sealed('A', ExchangeType::IKE_INTERMEDIATE, 2, {wire::KePayload{KeId::ML_KEM_768, Bytes(1184, 0)}}));
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.count(Counter::exchange_not_allowed), 1U);
  arrive(auth);
  run();
  expect_tunnel();
}

TEST_F(Peers, IntermediateWithoutNegotiationIsDropped) {
  a.tunnel.ike = b.tunnel.ike = ipsec::default_classical_proposals();
  begin();
  deliver();
  deliver();
  const Flight auth = wire.front();
  drop();
  arrive(sealed('A', ExchangeType::IKE_INTERMEDIATE, 1, {wire::KePayload{KeId::ML_KEM_768, Bytes(1184, 0)}}));
  EXPECT_TRUE(wire.empty());
  arrive(auth);
  run();
  expect_tunnel();
}

TEST_F(Peers, IkeAuthAgainAfterIkeAuthIsDropped) {
  handshake();
  arrive(sealed('A', ExchangeType::IKE_AUTH, 3, {wire::IdPayload{PayloadType::IDi, a.tunnel.local_id}}));
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(b.count(Counter::exchange_not_allowed), 1U);
  expect_tunnel();
}

TEST_F(Peers, OwnMessagesReflectedAreDropped) {
  handshake();
  run_for(11s);
  const std::vector<Flight> history = sent;
  const auto before = std::pair{a.count(Counter::wrong_role) + a.count(Counter::unknown_spi),
                                b.count(Counter::wrong_role) + b.count(Counter::unknown_spi)};
  for (const Flight& f : history) arrive(f.from, {f.path.local, f.path.remote}, f.bytes);
  EXPECT_TRUE(wire.empty());
  EXPECT_GT(a.count(Counter::wrong_role) + a.count(Counter::unknown_spi), before.first);
  EXPECT_GT(b.count(Counter::wrong_role) + b.count(Counter::unknown_spi), before.second);
  expect_tunnel();
}

TEST_F(Peers, AWholeHandshakeReplayedMakesNoSa) {
  handshake();
  const std::vector<Flight> history = sent;
  a.endpoint->terminate(now, TunnelId{1}, "");
  drain();
  run_for(60s);
  ASSERT_TRUE(b.endpoint->sas().empty());
  const unsigned installs = b.plane.installs;
  for (const Flight& f : history) {
    if (f.from == 'A') arrive(f);
  }
  EXPECT_EQ(b.plane.installs, installs);
  EXPECT_EQ(b.established().size(), 0U);
}

}  // namespace
}  // namespace qanat::exchange
