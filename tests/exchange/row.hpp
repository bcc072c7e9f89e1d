// Row: a Conversation for the rows of the collision table (reliability.md section 1), in which exchanges meet.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>

#include <fmt/format.h>

#include "exchange/peers.hpp"

namespace qanat::exchange {

inline constexpr const char* kClassical = "aes256gcm16-prfsha384-x25519";
inline constexpr const char* kHybrid = "aes256gcm16-prfsha384-x25519-ke1_mlkem768";

inline char other(char who) {
  return who == 'A' ? 'B' : 'A';
}

class Row : public Conversation {
 public:
  using Conversation::Conversation;
  bool renewed = false;  // by a new handshake: the old IKE SA goes, and says so

  void rekey_child(char who) {
    const auto live = side(who).live_children();
    if (live.empty()) return;
    side(who).endpoint->handle_plane(now, ipsec::SoftLimit{live.back().id});
    drain();
  }
  void rekey_ike(char who) {
    side(who).endpoint->rekey(now, TunnelId{1});
    drain();
  }
  void delete_child(char who, ChildSaId child) {
    side(who).endpoint->handle_plane(now, ipsec::HardLimit{child});
    drain();
  }
  [[nodiscard]] bool is(const Flight& flight, char from, const std::string& start) const {
    return name_of(flight).starts_with(fmt::format("{}->{} {}", from, other(from), start));
  }
  // Delivers until nothing moves, but keeps the first datagram of that name back.
  Flight run_without(char from, const std::string& start) {
    std::optional<Flight> kept;
    for (int i = 0; i < 400 && !wire.empty(); ++i) {
      if (!kept && is(wire.front(), from, start)) {
        kept = wire.front();
        drop();
      } else {
        deliver();
      }
    }
    EXPECT_TRUE(kept.has_value()) << start << " was never sent";
    return kept.value_or(Flight{});
  }
  // Delivers up to, and without, the first datagram of that name.
  void run_until(char from, const std::string& start) {
    for (int i = 0; i < 400 && !wire.empty() && !is(wire.front(), from, start); ++i) deliver();
    ASSERT_FALSE(wire.empty()) << start << " was never sent";
  }
  // Whose, and which, of the four nonces is the lowest: "AB" is that of A's answer to B's request.
  [[nodiscard]] std::string lowest_nonce(std::size_t from) const {
    std::pair<Bytes, std::string> lowest{Bytes(32, 0xff), "none"};
    for (std::size_t i = from; i < sent.size(); ++i) {
      const Seen seen = look(sent[i]);
      const auto* nonce = wire::find<wire::NoncePayload>(seen.payloads);
      if (seen.message.header.exchange != ExchangeType::CREATE_CHILD_SA || nonce == nullptr) continue;
      const char began = seen.message.header.is_response() ? other(sent[i].from) : sent[i].from;
      lowest = std::min(lowest, {nonce->data, std::string{sent[i].from, began}});
    }
    return lowest.second;
  }
  [[nodiscard]] std::size_t count_sent(char from, const std::string& start) const {
    return static_cast<std::size_t>(
        std::count_if(sent.begin(), sent.end(), [&](const Flight& f) { return is(f, from, start); }));
  }
  // One IKE SA and so many Child SAs on both sides, which mirror; nothing old is left, nothing was torn down.
  void expect_settled(std::optional<std::size_t> exactly = 1) {
    run_for(200s);
    const std::size_t children = exactly.value_or(a.plane.inbound.size());
    for (Side* s : {&a, &b}) {
      ASSERT_EQ(s->established().size(), 1U) << a.said() << b.said();
      EXPECT_EQ(s->endpoint->sas().size(), 1U) << s->said();
      EXPECT_EQ(s->sa().children.size(), children) << a.said() << b.said();
      EXPECT_EQ(s->plane.inbound.size(), children);
      EXPECT_EQ(s->plane.outbound.size(), children);
      EXPECT_TRUE(s->plane.reserved.empty());
      EXPECT_TRUE(renewed || !s->has(Report::What::Down)) << s->said();
    }
    if (children == 1) expect_tunnel();
  }
};

inline const std::set<std::string> kAllOrders{"AA", "AB", "BA", "BB"};

// `prepare`, the handshake and `script` in worlds of their own, until each of the four nonces of two exchanges that
// meet was the lowest in some, or in 60; all of them settle with so many Child SAs, nullopt: with as many on both
// sides. Returns whose, and which, nonces were the lowest.
template <typename Prepare, typename Script>
std::set<std::string> in_all_orders(Prepare prepare, Script script, std::optional<std::size_t> children = 1) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 1; seed <= 60 && seen.size() < 4; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Row w{seed};
    prepare(w);
    w.handshake();
    const std::size_t from = w.sent.size();
    script(w);
    if (::testing::Test::HasFatalFailure()) break;
    seen.insert(w.lowest_nonce(from));
    w.expect_settled(children);
    if (::testing::Test::HasFailure()) break;
  }
  return seen;
}

}  // namespace qanat::exchange
