// K7: exchanges where they are not allowed. Every exchange type x state x kind of message x Message ID x role x seal,
// generated. Whatever is not on the short list of what is legal installs nothing, answers nothing and changes no state
// (CVE-2014-2338, CVE-2019-12312, CVE-2026-78135).
#include <cstdio>

#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

enum class State { HalfOpen, Intermediate, AuthSent, Established, Rekeying, Rekeyed, Deleting, Gone };

// A began; the target is A in the role I, B in the role R.
struct Position {
  State state;
  char role;
  void (*reach)(World&);
  std::uint32_t next_request;           // the Message ID that the target expects of a request
  std::optional<std::uint32_t> answer;  // the one of the request that the target has open
  const char* name;
};

void deliver(World& w, int count) {
  w.begin();
  for (int i = 0; i < count; ++i) w.deliver();
}
void part(World& w, Side& who) {
  w.handshake();
  who.endpoint->terminate(w.now, TunnelId{1}, "over");
  w.drain();
}

// Its Child SA is to be rekeyed, and its request is on the way.
void ask_for_keys(World& w, Side& who) {
  w.handshake();
  who.endpoint->rekey_children(w.now, TunnelId{1});
  w.drain();
}
// `who` has rekeyed the IKE SA, and its DELETE of the old one is on the way. Messages are sealed for the old one.
void be_rekeyed(World& w, Side& who) {
  w.handshake();
  const std::uint64_t old = w.newest_keys().spi_i;
  who.endpoint->rekey(w.now, TunnelId{1});
  w.drain();
  while (w.a.endpoint->sas().size() < 2 || w.b.endpoint->sas().size() < 2) w.deliver();
  for (Side* s : {&w.a, &w.b}) std::erase_if(s->keys, [&](const ike::KeyLog& k) { return k.spi_i != old; });
}

// IKE_SA_INIT 0, two rounds of IKE_INTERMEDIATE 1 and 2, IKE_AUTH 3.
const Position kPositions[] = {
    {State::HalfOpen, 'I', [](World& w) { deliver(w, 1); }, 0, 0U, "half-open"},
    {State::HalfOpen, 'R', [](World& w) { deliver(w, 2); }, 1, std::nullopt, "half-open"},
    {State::Intermediate, 'I', [](World& w) { deliver(w, 5); }, 0, 2U, "intermediate 2 of 2"},
    {State::Intermediate, 'R', [](World& w) { deliver(w, 4); }, 2, std::nullopt, "intermediate 1 of 2"},
    {State::AuthSent, 'I', [](World& w) { deliver(w, 7); }, 0, 3U, "auth sent"},
    {State::AuthSent, 'R',
     [](World& w) {
       w.b.plane.reserve = FakePlane::Answer::Later;  // AUTH is verified, the Child SA is in the making
       deliver(w, 7);
     },
     4, std::nullopt, "auth sent"},
    {State::Established, 'I', [](World& w) { w.handshake(); }, 0, std::nullopt, "established"},
    {State::Established, 'R', [](World& w) { w.handshake(); }, 4, std::nullopt, "established"},
    {State::Rekeying, 'I', [](World& w) { ask_for_keys(w, w.a); }, 0, 4U, "rekeying"},
    {State::Rekeying, 'R', [](World& w) { ask_for_keys(w, w.b); }, 4, 0U, "rekeying"},
    {State::Rekeyed, 'I', [](World& w) { be_rekeyed(w, w.b); }, 1, std::nullopt, "rekeyed"},
    {State::Rekeyed, 'R', [](World& w) { be_rekeyed(w, w.a); }, 5, std::nullopt, "rekeyed"},
    {State::Deleting, 'I', [](World& w) { part(w, w.a); }, 0, 4U, "deleting"},
    {State::Deleting, 'R', [](World& w) { part(w, w.b); }, 4, 0U, "deleting"},
    {State::Gone, 'I',
     [](World& w) {
       part(w, w.b);
       w.run_for(60s);
     },
     0, std::nullopt, "gone"},
    {State::Gone, 'R',
     [](World& w) {
       part(w, w.a);
       w.run_for(60s);
     },
     4, std::nullopt, "gone"},
};

enum class Seal { Clear, Sealed, BadIcv };
constexpr std::array<std::uint8_t, 10> kExchanges{34, 35, 36, 37, 43, 44, 0, 38, 240, 255};
constexpr std::array<Seal, 3> kSeals{Seal::Clear, Seal::Sealed, Seal::BadIcv};
constexpr std::array<std::uint32_t, 4> kOffsets{0U, 0xffffffffU, 1U, 0x80000000U};

// The allow-list: sealed, with the right Message ID, in these states, these messages may have an effect. None may
// install keys: what they hold is not what a peer would send.
enum class May {
  Notice,  // whatever it is, INVALID_IKE_SPI in the clear may answer it (RFC 7296 2.21.4), and that is all
  Hint,    // it is shown and remembered; the state stays; nothing of it is authenticated, so the seal does not matter
  Answer,  // it is answered, and the state stays
  Create,  // it is answered, and may make a Child SA: the peer has authenticated; without payloads it ends the IKE SA
  End,     // it may end the IKE SA, as RFC 7296 2.21 says
};
struct Allowed {
  State state;
  char role;
  std::optional<std::uint8_t> exchange;  // nullopt: every one but IKE_SA_INIT
  bool response;
  May may;
};
constexpr Allowed kAllowed[] = {
    {State::Gone, 'I', std::nullopt, false, May::Notice}, {State::Gone, 'R', std::nullopt, false, May::Notice},
    {State::HalfOpen, 'I', 34, true, May::Hint},          {State::HalfOpen, 'R', 43, false, May::End},
    {State::Intermediate, 'I', 43, true, May::End},       {State::Intermediate, 'R', 43, false, May::End},
    {State::AuthSent, 'I', 35, true, May::End},           {State::Established, 'I', 36, false, May::Create},
    {State::Established, 'R', 36, false, May::Create},    {State::Established, 'I', 37, false, May::End},
    {State::Established, 'R', 37, false, May::End},       {State::Established, 'I', 44, false, May::Answer},
    {State::Established, 'R', 44, false, May::Answer},    {State::Deleting, 'I', 36, false, May::Answer},
    {State::Deleting, 'R', 36, false, May::Answer},       {State::Deleting, 'I', 37, false, May::End},
    {State::Deleting, 'R', 37, false, May::End},          {State::Deleting, 'I', 44, false, May::Answer},
    {State::Deleting, 'R', 44, false, May::Answer},       {State::Deleting, 'I', 37, true, May::End},
    {State::Deleting, 'R', 37, true, May::End},           {State::Rekeying, 'I', 36, false, May::Create},
    {State::Rekeying, 'R', 36, false, May::Create},       {State::Rekeying, 'I', 37, false, May::End},
    {State::Rekeying, 'R', 37, false, May::End},          {State::Rekeying, 'I', 44, false, May::Answer},
    {State::Rekeying, 'R', 44, false, May::Answer},       {State::Rekeying, 'I', 36, true, May::End},
    {State::Rekeying, 'R', 36, true, May::End},           {State::Rekeyed, 'I', 37, false, May::End},
    {State::Rekeyed, 'R', 37, false, May::End},
};

struct Cell {
  std::uint8_t exchange;
  bool response;
  Seal seal;
  std::uint32_t offset;
  bool full;  // with the payloads that such a message has, and that would do harm; else without any
};

std::optional<May> allowed(const Position& p, const Cell& c) {
  for (const Allowed& a : kAllowed) {
    if (a.state != p.state || a.role != p.role || a.response != c.response ||
        a.exchange.value_or(c.exchange) != c.exchange)
      continue;
    if (a.may == May::Notice ? c.exchange != 34 : c.offset == 0 && (c.seal == Seal::Sealed || a.may == May::Hint))
      return a.may;
  }
  return std::nullopt;
}

// What a side is, and what it has said and done, as text.
std::string state_of(const Side& s) {
  std::string out;
  for (const ike::SaInfo& sa : s.endpoint->sas()) {
    out +=
        fmt::format("{} {:x} {:x} {} {} {}+{} {} {} {} ", static_cast<int>(sa.state), sa.spi_i, sa.spi_r,
                    sa.path.local.to_string(), sa.path.remote.to_string(), sa.key_exchanges.size(), sa.handshake.size(),
                    sa.children.empty() ? 0 : sa.children.front().spi_in, sa.verdict.hybrid, sa.remote_id.to_string());
  }
  return out + fmt::format("{} {} {} {} {} keys", s.plane.inbound.size(), s.plane.outbound.size(), s.plane.installs,
                           s.plane.reserved.size(), s.keys.size());
}
std::string all_of(const Side& s) {
  std::string out = state_of(s) + fmt::format(" {} reports", s.reports.size());
  for (const ike::SaInfo& sa : s.endpoint->sas()) out += " " + sa.hint;
  if (const auto next = s.endpoint->next_timeout()) out += fmt::format(" next in {}", next->ns());
  return out;
}

wire::Payloads harm(std::uint8_t exchange, bool response) {
  const wire::SaPayload esp{{wire::Proposal{1,
                                            wire::ProtocolId::ESP,
                                            {1, 2, 3, 4},
                                            {{wire::TransformType::ENCR, 20, std::uint16_t{256}, false},
                                             {wire::TransformType::ESN, 0, std::nullopt, false}}}}};
  const wire::TsPayload tsi{PayloadType::TSi, {ipsec::any_selector_v4()}};
  const wire::TsPayload tsr{PayloadType::TSr, {ipsec::any_selector_v4()}};
  const wire::KePayload ke{KeId::CURVE25519, Bytes(32, 9)};
  const wire::NoncePayload nonce{Bytes(32, 1)};
  switch (exchange) {
    case 34:
      return {ipsec::offer_ike(ipsec::default_classical_proposals()), ke, nonce};
    case 35:
      return {wire::IdPayload{response ? PayloadType::IDr : PayloadType::IDi,
                              {wire::IdType::ID_FQDN, to_bytes(response ? "b.example" : "a.example")}},
              wire::AuthPayload{wire::AuthMethod::SharedKeyMic, Bytes(48, 3)}, esp, tsi, tsr};
    case 37:
      return {wire::DeletePayload{wire::ProtocolId::IKE, {}}};
    case 43:
    case 44:
      return {wire::KePayload{KeId::ML_KEM_768, Bytes(1184, 0xff)}};
    default:
      return {esp, nonce, tsi, tsr};
  }
}

Flight message(const World& w, const Position& p, const Cell& c) {
  const char from = p.role == 'I' ? 'B' : 'A';
  const std::uint32_t mid = (c.response ? p.answer.value_or(0) : p.next_request) + c.offset;
  const wire::Payloads payloads = c.full ? harm(c.exchange, c.response) : wire::Payloads{};
  if (c.seal == Seal::Clear) {
    wire::IkeHeader h;
    h.spi_i = w.newest_keys().spi_i;
    h.spi_r = w.newest_keys().spi_r;
    h.exchange = static_cast<ExchangeType>(c.exchange);
    h.message_id = mid;
    h.flags =
        static_cast<std::uint8_t>((from == 'A' ? wire::kFlagInitiator : 0) | (c.response ? wire::kFlagResponse : 0));
    return w.clear(from, h, payloads);
  }
  World::Sealing s;
  s.exchange = static_cast<ExchangeType>(c.exchange);
  s.response = c.response;
  s.message_id = mid;
  s.break_icv = c.seal == Seal::BadIcv;
  ByteWriter chain;
  s.first = wire::write_chain(chain, payloads);
  s.plaintext = std::move(chain).take();
  return w.sealed(from, s);
}

std::unique_ptr<Conversation> at(const Position& p) {
  auto w = std::make_unique<Conversation>(50);
  w->both_offer("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem512");
  p.reach(*w);
  return w;
}

// After everything that had no effect the conversation goes on as if nothing had been.
void expect_goes_on(Conversation& w, const Position& p) {
  w.b.plane.reserve = FakePlane::Answer::AtOnce;
  w.b.plane.give_late_answers();
  w.drain();
  w.run();
  if (p.state != State::Deleting && p.state != State::Gone) return w.expect_tunnel();
  w.run_for(60s);
  w.expect_no_tunnel();
  EXPECT_TRUE(w.a.endpoint->sas().empty());
  EXPECT_TRUE(w.b.endpoint->sas().empty());
}

std::string name_of(const Position& p, const Cell& c) {
  return fmt::format("{} {}: exchange {} {}, {}, Message ID +{:#x}, {}", p.name, p.role, c.exchange,
                     c.response ? "response" : "request",
                     c.seal == Seal::Clear    ? "clear"
                     : c.seal == Seal::Sealed ? "sealed"
                                              : "bad ICV",
                     c.offset, c.full ? "with payloads" : "empty");
}

void play_allowed(const Position& p, const Cell& c, May may) {
  SCOPED_TRACE(name_of(p, c));
  if (c.exchange == 36 && !c.response && !c.full) may = May::End;  // INVALID_SYNTAX: it lacks what it must have
  const auto w = at(p);
  Side& target = p.role == 'I' ? w->a : w->b;
  const std::string before = state_of(target);
  const unsigned installs = target.plane.installs;
  const std::size_t keys = target.keys.size();
  w->wire.clear();
  w->arrive(message(*w, p, c));
  if (may == May::Create && c.full) {
    EXPECT_LE(target.plane.installs, installs + 2);
  } else {
    EXPECT_EQ(target.plane.installs, installs);
  }
  EXPECT_EQ(target.keys.size(), keys);
  EXPECT_LE(w->wire.size(), 1U);
  if (may == May::Notice || may == May::Hint || may == May::Answer) {
    EXPECT_EQ(state_of(target), before);
  }
  if (may == May::Hint) {
    EXPECT_TRUE(w->wire.empty());
  }
  if (may == May::Answer || may == May::Create) {
    ASSERT_EQ(w->wire.size(), 1U);
    EXPECT_TRUE(w->look(w->wire.front()).message.header.is_response());
  }
}

TEST(Matrix, NothingHappensOffTheAllowList) {
  unsigned cells = 0;
  unsigned on_the_list = 0;
  unsigned notices = 0;
  for (const Position& p : kPositions) {
    const auto w = at(p);
    Side& target = p.role == 'I' ? w->a : w->b;
    const std::string before = all_of(target);
    const std::size_t under_way = w->wire.size();
    for (const std::uint8_t exchange : kExchanges) {
      for (const bool response : {false, true}) {
        for (const Seal seal : kSeals) {
          for (const std::uint32_t offset : kOffsets) {
            ++cells;
            for (const bool full : {false, true}) {
              const Cell c{exchange, response, seal, offset, full};
              const auto may = allowed(p, c);
              if (may && *may != May::Notice) {
                on_the_list += full ? 1 : 0;
                play_allowed(p, c, *may);
                continue;
              }
              w->arrive(message(*w, p, c));
              ASSERT_EQ(all_of(target), before) << name_of(p, c);
              if (may && w->wire.size() == under_way + 1) {
                const Seen notice = w->look(w->wire.back());
                ASSERT_TRUE(!notice.message.encrypted && notice.message.header.is_response()) << name_of(p, c);
                ASSERT_NE(wire::find_notify(notice.payloads, NotifyType::INVALID_IKE_SPI), nullptr) << name_of(p, c);
                w->wire.pop_back();
                ++notices;
              }
              ASSERT_EQ(w->wire.size(), under_way) << name_of(p, c);
            }
          }
        }
      }
    }
    SCOPED_TRACE(fmt::format("{} {}", p.name, p.role));
    expect_goes_on(*w, p);
  }
  EXPECT_EQ(cells, std::size(kPositions) * kExchanges.size() * 2 * kSeals.size() * kOffsets.size());
  EXPECT_GT(notices, 0U);
  fmt::print("{} cells in {} positions, {} of them on the allow-list; {} notices of an unknown SPI\n", cells,
             std::size(kPositions), on_the_list, notices);
  std::fflush(stdout);
}

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
