// Puzzles in IKE_SA_INIT (RFC 8019), both roles.
#include "exchange/stranger.hpp"

namespace qanat::exchange {
namespace {

using Puzzles = Stranger;

IpAddress host(std::uint32_t n) {
  return IpAddress::v4(0x0a000000 + n);
}

// An answer of B's, by hand.
Flight answer_of_b(const World& w, const wire::Payloads& payloads) {
  const auto header = wire::parse_header(w.sent.front().bytes);
  wire::IkeHeader h;
  h.spi_i = header->spi_i;
  h.exchange = ExchangeType::IKE_SA_INIT;
  h.flags = wire::kFlagResponse;
  Flight out = w.clear('B', h, payloads);
  out.path = {w.sent.front().path.remote, w.sent.front().path.local};
  return out;
}
wire::NotifyPayload puzzle(std::uint8_t difficulty, PrfId prf = PrfId::PRF_HMAC_SHA2_256) {
  return notify(NotifyType::PUZZLE, ike::puzzle_data({prf, difficulty}));
}

TEST_F(Peers, APuzzleIsSetAndSolved) {
  b.config.cookie_threshold = 0;
  b.config.puzzle_difficulty = 10;
  begin();
  a_sends("IKE_SA_INIT request 0");
  const Seen demand = look(wire.front());
  ASSERT_EQ(demand.payloads.size(), 2U);
  EXPECT_NE(wire::find_notify(demand.payloads, NotifyType::COOKIE), nullptr);
  const auto* set = wire::find_notify(demand.payloads, NotifyType::PUZZLE);
  ASSERT_NE(set, nullptr);
  EXPECT_EQ(set->data, (Bytes{0, 5, 10}));
  EXPECT_EQ(b.endpoint->half_open(), 0U);
  b_sends("IKE_SA_INIT response 0");
  EXPECT_TRUE(wire.empty());  // it is being worked on
  advance(500ms);
  ASSERT_EQ(wire.size(), 1U);
  // RFC 8019 7.1.2: N(COOKIE), PS, and all else unchanged.
  const Seen again = look(wire.front());
  ASSERT_GE(again.payloads.size(), 3U);
  EXPECT_EQ(wire::type_of(again.payloads[0]), PayloadType::N);
  EXPECT_EQ(wire::type_of(again.payloads[1]), PayloadType::PS);
  EXPECT_EQ((wire::Payloads{again.payloads.begin() + 2, again.payloads.end()}), look(sent.front()).payloads);
  run();
  expect_tunnel();
  EXPECT_EQ(b.count(Counter::puzzle_unsolved), 0U);
}

TEST_F(Peers, ASolutionStandsThroughInvalidKe) {
  b.config.cookie_threshold = 0;
  b.config.puzzle_difficulty = 8;
  b.tunnel.ike = {ike_proposal("aes256gcm16-prfsha384-ecp384-ke1_mlkem768")};
  begin();
  run_for(1s);
  expect_tunnel();
  EXPECT_EQ(b.count(Counter::invalid_ke), 1U);
  EXPECT_EQ(b.count(Counter::puzzle_reused), 0U);
}

// Work comes in slices, and the old request keeps being sent: a true answer to it ends the matter.
TEST_F(Peers, AForgedPuzzleDoesNotKeepUsFromThePeer) {
  begin();
  const Flight request = wire.front();
  drop();
  arrive(answer_of_b(*this, {notify(NotifyType::COOKIE, Bytes(20, 7)), puzzle(22)}));
  for (unsigned i = 0; i < 50; ++i) advance(1ms);
  EXPECT_TRUE(wire.empty());
  arrive(request);
  run();
  expect_tunnel();
}

TEST_F(Peers, WithDifficultyZeroWeChooseOurOwn) {
  begin();
  drop();
  const Bytes cookie(20, 7);
  arrive(answer_of_b(*this, {notify(NotifyType::COOKIE, cookie), puzzle(0, PrfId::PRF_HMAC_SHA2_384)}));
  advance(900ms);
  ASSERT_EQ(wire.size(), 1U);
  const Seen again = look(wire.front());
  const auto* solution = wire::find<wire::PuzzleSolutionPayload>(again.payloads);
  ASSERT_NE(solution, nullptr);
  EXPECT_GE(ike::solved_bits(PrfId::PRF_HMAC_SHA2_384, cookie, solution->data).value_or(0), 12U);
}

TEST_F(Peers, APuzzleWithoutACookieIsIgnored) {
  begin();
  arrive(answer_of_b(*this, {puzzle(10)}));
  advance(500ms);
  EXPECT_EQ(wire.size(), 1U);
  EXPECT_EQ(a.count(Counter::bad_answer), 1U);
  EXPECT_TRUE(a.reports.empty());
  run();
  expect_tunnel();
}

TEST_F(Peers, APuzzleAboveOurLimitIsLeftAndTheCookieReturned) {
  a.config.puzzle_limit = 9;
  b.config.cookie_threshold = 0;
  b.config.puzzle_difficulty = 12;
  begin();
  a_sends("IKE_SA_INIT request 0");
  b_sends("IKE_SA_INIT response 0");
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(wire::find<wire::PuzzleSolutionPayload>(look(wire.front()).payloads), nullptr);
  run();
  expect_tunnel();  // nobody else is there
}

// RFC 8019 7.2: the solution for Nr | SPIr stands in the clear before the encrypted part. No peer that we have sets
// such a puzzle, so somebody on the way does; B takes the IKE_AUTH, and A finds B's answer changed.
void expect_auth_puzzle_solved(Peers& w, std::size_t fragments) {
  Bytes text;
  w.meddle = [&](Flight& flight) {
    if (w.name_of(flight) != "B->A IKE_SA_INIT response 0") return;
    const Seen seen = w.look(flight);
    wire::Payloads payloads = seen.payloads;
    text = wire::find<wire::NoncePayload>(payloads)->data;
    text.resize(text.size() + 8);
    store_be64(&text[text.size() - 8], seen.message.header.spi_r);
    payloads.push_back(puzzle(10, PrfId::PRF_HMAC_SHA2_512));
    flight.bytes = wire::write_clear_message(seen.message.header, payloads);
  };
  w.begin();
  w.run_for(1s);
  std::size_t found = 0;
  std::size_t solved = 0;
  for (const Flight& f : w.sent) {
    const Seen seen = w.look(f);
    if (f.from != 'A' || seen.message.header.exchange != ExchangeType::IKE_AUTH) continue;
    ++found;
    const auto* solution = wire::find<wire::PuzzleSolutionPayload>(seen.message.payloads);
    if (solution == nullptr) continue;
    ++solved;
    EXPECT_TRUE(seen.opened);
    EXPECT_LE(seen.message.encrypted->fragment_number, 1);
    EXPECT_GE(ike::solved_bits(PrfId::PRF_HMAC_SHA2_512, text, solution->data).value_or(0), 10U);
  }
  EXPECT_EQ(found, fragments);
  EXPECT_EQ(solved, 1U);
  EXPECT_TRUE(w.b.has(Report::What::IkeUp)) << w.b.said();
  EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "does not verify")) << w.a.said();
}
TEST_F(Peers, APuzzleBeforeIkeAuthIsSolvedInTheClear) {
  expect_auth_puzzle_solved(*this, 1);
}
TEST_F(Peers, APuzzlesSolutionStandsInTheFirstFragmentOnly) {
  a.tunnel.fragment_size = 400;
  for (Side* s : {&a, &b}) s->tunnel.local_ts = s->tunnel.remote_ts = ipsec::Selectors(12, ipsec::any_selector_v4());
  expect_auth_puzzle_solved(*this, 3);
}

TEST_F(Puzzles, WhoeverHasWorkedGoesFirst) {
  b.config.half_open_limit = 20;
  b.config.cookie_threshold = 0;
  b.config.puzzle_difficulty = 8;
  get_ready();
  // Cookies alone: the fuller it gets the fewer are served, and half of the places are not for them.
  for (std::uint32_t i = 0; i < 400; ++i) (void)ask_honestly(host(i << 8), 1000 + i);
  EXPECT_LE(b.endpoint->half_open(), 10U);
  EXPECT_GT(b.endpoint->half_open(), 5U);
  EXPECT_GT(b.count(Counter::puzzle_unsolved), 300U);
  const auto before = b.endpoint->half_open();
  for (std::uint32_t i = 0; i < 5; ++i) {
    const Answer demand = ask(host(0x10000 + (i << 8)), 1 + i);
    ASSERT_TRUE(demand.puzzle().has_value());
    const Bytes solution = solve(*demand.puzzle(), demand.cookie());
    EXPECT_TRUE(ask(host(0x10000 + (i << 8)), 1 + i, demand.cookie(), solution).accepted());
  }
  EXPECT_EQ(b.endpoint->half_open(), before + 5);
}

class FullHouse : public Stranger {
 public:
  // Only solved puzzles are served now.
  void get_full() {
    b.config.half_open_limit = 20;
    b.config.cookie_threshold = 5;
    b.config.puzzle_difficulty = 8;
    b.config.prefix_limit = 3;
    get_ready();
    for (std::uint32_t i = 0; b.endpoint->half_open_table().unsolved_per_mille() > 0; ++i) {
      const Answer demand = ask(host(i << 8), 1000 + i);
      if (!demand.puzzle()) continue;
      ASSERT_TRUE(ask(host(i << 8), 1000 + i, demand.cookie(), solve(*demand.puzzle(), demand.cookie())).accepted());
    }
  }
};

TEST_F(FullHouse, AWrongSolutionIsNone) {
  get_full();
  const IpAddress peer = host(0x20000);
  const Answer demand = ask(peer, 1);
  ASSERT_TRUE(demand.puzzle().has_value());
  EXPECT_GT(demand.puzzle()->difficulty, 8);  // the load has risen
  const Bytes right = solve(*demand.puzzle(), demand.cookie());
  Bytes wrong = right;
  do {
    wrong[15] = static_cast<std::uint8_t>(wrong[15] + 1);
  } while (ike::solved_bits(demand.puzzle()->prf, demand.cookie(), wrong).value_or(0) >= demand.puzzle()->difficulty);
  Bytes twice = right;
  std::copy_n(twice.begin(), 4, twice.begin() + 4);
  for (const Bytes& solution : {wrong, twice, Bytes{1, 2, 3}, Bytes{}}) {
    const Answer answer = ask(peer, 1, demand.cookie(), solution);
    EXPECT_FALSE(answer.accepted());
    EXPECT_TRUE(answer.puzzle().has_value());
  }
  EXPECT_EQ(b.count(Counter::puzzle_unsolved), 4U);
  EXPECT_TRUE(ask(peer, 1, demand.cookie(), right).accepted());
}

// RFC 8019 10: one solution buys one IKE SA, whatever else the request changes.
TEST_F(FullHouse, ASolutionIsGoodOnce) {
  get_full();
  const IpAddress peer = host(0x20000);
  const Answer demand = ask(peer, 1);
  ASSERT_TRUE(demand.puzzle().has_value());
  const Bytes solution = solve(*demand.puzzle(), demand.cookie());
  const Answer first = ask(peer, 1, demand.cookie(), solution);
  ASSERT_TRUE(first.accepted());
  EXPECT_EQ(ask(peer, 1, demand.cookie(), solution).header.spi_r, first.header.spi_r);  // a retransmission
  wire::Payloads other = request_payloads();
  other.push_back(notify(NotifyType::INITIAL_CONTACT));
  other.insert(other.begin(), wire::PuzzleSolutionPayload{solution});
  other.insert(other.begin(), notify(NotifyType::COOKIE, demand.cookie()));
  EXPECT_EQ(send(peer, request(1, other)).datagrams, 0U);
  EXPECT_EQ(b.count(Counter::puzzle_reused), 1U);
}

}  // namespace
}  // namespace qanat::exchange
