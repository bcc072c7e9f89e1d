// The rows of the collision table (reliability.md section 1) that need more than two rekeys that meet: what comes late,
// what is refused in between, and peers that do it wrong. Every row runs until each of the four nonces was the lowest.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "exchange/row.hpp"

namespace qanat::exchange {
namespace {

class CollisionRow : public ::testing::TestWithParam<const char*> {
 protected:
  template <typename Prepare, typename Script>
  void in_all_orders(Prepare prepare, Script script, std::optional<std::size_t> children = 1) {
    const auto seen = exchange::in_all_orders(
        [&](Row& w) {
          w.both_offer(GetParam());
          prepare(w);
        },
        script, children);
    if (!HasFailure()) {
      EXPECT_EQ(seen, kAllOrders);
    }
  }
  template <typename Script>
  void in_all_orders(Script script) {
    in_all_orders([](Row&) {}, script);
  }
};

// Each side's first guess at the group is not the other's, and both rekey.
void let_guesses_fail(Row& w) {
  w.a.tunnel.esp = {esp_proposal("aes256gcm16-x25519-ecp384")};
  w.b.tunnel.esp = {esp_proposal("aes256gcm16-ecp256-ecp384")};
}

TEST_P(CollisionRow, child_collision_ke_invalid) {
  in_all_orders(let_guesses_fail, [](Row& w) {
    w.rekey_child('A');
    w.rekey_child('B');
    w.run();
    EXPECT_GE(w.a.count(Counter::child_invalid_ke) + w.b.count(Counter::child_invalid_ke), 2U);
  });
}

TEST_P(CollisionRow, child_collision_ke_invalid_delayed_retry) {
  for (const char who : {'A', 'B'}) {
    Row w{5};
    w.both_offer(GetParam());
    let_guesses_fail(w);
    w.handshake();
    w.rekey_child('A');
    w.rekey_child('B');
    w.run_until(who, "CREATE_CHILD_SA response");  // its refusal of the other's guess
    w.deliver();
    const Flight late = w.run_without(other(who), "CREATE_CHILD_SA request");
    w.arrive(late);
    w.run();
    w.expect_settled();
  }
}

// The peer's exchange is over, and all that it makes superfluous deleted, when its answer to ours comes.
TEST_P(CollisionRow, child_collision_delayed_response_delete) {
  const auto script = [](Row& w) {
    const ChildSaId old = w.b.child().id;
    w.rekey_child('A');
    w.rekey_child('B');
    const bool hybrid = std::string_view{kHybrid} == GetParam();
    const Flight late = w.run_without('B', "CREATE_CHILD_SA response");
    // B deletes the Child SA that A's request has made: A does not know it yet.
    for (const ike::ChildInfo& child : w.b.sa().children) {
      const bool known = std::any_of(w.a.plane.inbound.begin(), w.a.plane.inbound.end(),
                                     [&](const auto& in) { return in.second.spi == child.spi_out && child.id != old; });
      if (!known && child.id != old && !hybrid) w.delete_child('B', child.id);
    }
    w.run();
    w.arrive(late);
    w.run();
  };
  in_all_orders([](Row&) {}, script, std::nullopt);  // none where that was the winner
}

// A's request comes when B's own rekey stands (TEMPORARY_FAILURE), or is over with its DELETE (CHILD_SA_NOT_FOUND), or
// when B has gone on to the next.
TEST_P(CollisionRow, child_collision_delayed_request_more_delete) {
  for (const char who : {'A', 'B'}) {
    for (const std::string until : {"response", "delete", "more", "more_delete"}) {
      SCOPED_TRACE(fmt::format("{} {}", who, until));
      Row w{6};
      w.both_offer(GetParam());
      w.handshake();
      w.rekey_child(who);
      ASSERT_TRUE(w.is(w.wire.front(), who, "CREATE_CHILD_SA request"));
      const Flight late = w.wire.front();
      w.drop();
      w.rekey_child(other(who));
      if (until == "response") {
        w.run_until(other(who), "INFORMATIONAL request");
      } else {
        w.run();
      }
      if (until.starts_with("more")) w.rekey_child(other(who));
      if (until == "more_delete") w.run();
      w.arrive(late);
      w.run();
      Side& late_at = w.side(other(who));
      EXPECT_GE(late_at.count(Counter::temporary_failure) + late_at.count(Counter::child_sa_not_found), 1U);
      w.expect_settled();
    }
  }
}

TEST_P(CollisionRow, ike_collision_delayed_request_and_delete) {
  for (const char who : {'A', 'B'}) {
    for (const bool after_delete : {false, true}) {
      Row w{7};
      w.both_offer(GetParam());
      w.handshake();
      const std::uint64_t old = w.a.sa().spi_i;
      w.rekey_ike(who);
      const Flight late = w.wire.front();
      w.drop();
      w.rekey_ike(other(who));
      if (after_delete) {
        w.run();
      } else {
        w.run_until(other(who), "INFORMATIONAL request");
      }
      w.arrive(late);
      w.run();
      w.expect_settled();
      EXPECT_NE(w.a.sa().spi_i, old);
    }
  }
}

TEST_P(CollisionRow, child_collision_delete_drop_delete) {
  for (const char who : {'A', 'B'}) {
    Row w{8};
    w.both_offer(GetParam());
    w.handshake();
    w.delete_child('A', w.a.child().id);
    w.delete_child('B', w.b.child().id);
    ASSERT_EQ(w.wire.size(), 2U);
    w.drop(who == 'A' ? 0 : 1);
    w.run();
    w.run_for(30s);
    for (Side* s : {&w.a, &w.b}) {
      EXPECT_TRUE(s->plane.inbound.empty()) << s->said();
      EXPECT_TRUE(s->plane.outbound.empty()) << s->said();
      EXPECT_EQ(s->established().size(), 1U);
    }
  }
}

TEST_P(CollisionRow, ike_collision_delete_drop_delete) {
  for (const char who : {'A', 'B'}) {
    Row w{9};
    w.both_offer(GetParam());
    w.handshake();
    w.rekey_ike(who);
    w.side(other(who)).endpoint->terminate(w.now, TunnelId{1}, "the end");
    w.drain();
    w.drop(w.find(w.name_of(*std::find_if(
        w.wire.begin(), w.wire.end(), [&](const Flight& f) { return w.is(f, other(who), "INFORMATIONAL request"); }))));
    w.run();
    w.run_for(200s);
    for (Side* s : {&w.a, &w.b}) {
      EXPECT_TRUE(s->endpoint->sas().empty()) << s->said();
      EXPECT_TRUE(s->plane.inbound.empty());
    }
  }
}

// A rekeys the IKE SA and closes it before the answer comes: what B has made of the request goes, too.
TEST_P(CollisionRow, ike_rekey_that_is_closed_by_its_own_side) {
  for (const char who : {'A', 'B'}) {
    Row w{10};
    w.both_offer(GetParam());
    w.handshake();
    w.rekey_ike(who);
    if (GetParam() == std::string_view{kHybrid}) {
      w.run_until(other(who), "IKE_FOLLOWUP_KE response");
    } else {
      w.run_until(other(who), "CREATE_CHILD_SA response");
    }
    w.side(who).endpoint->terminate(w.now, TunnelId{1}, "the end");
    w.drain();
    w.run();
    w.run_for(10s);
    for (Side* s : {&w.a, &w.b}) {
      EXPECT_TRUE(s->established().empty()) << s->said();
      EXPECT_TRUE(s->plane.outbound.empty()) << s->said();
    }
    w.run_for(200s);
    for (Side* s : {&w.a, &w.b}) EXPECT_EQ(s->endpoint->holdings(), 0U);
  }
}

// A request of B's rekey is lost, so that A goes on in the IKE SA that its own has made: B follows, although it has not
// heard yet which of the two stays.
TEST_P(CollisionRow, ike_collision_peer_goes_on_before_it_is_decided) {
  for (const char who : {'A', 'B'}) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      SCOPED_TRACE(fmt::format("{} {}", who, seed));
      Row w{seed};
      w.both_offer(GetParam());
      w.handshake();
      w.rekey_ike(who);
      w.rekey_ike(other(who));
      w.drop(w.wire.size() - 1);
      w.run_until(who, "INFORMATIONAL request");
      w.delete_child(who, w.side(who).child().id);
      ASSERT_GE(w.wire.size(), 2U);
      w.deliver(w.wire.size() - 1);
      w.run();
      w.expect_settled(0);
      if (HasFailure()) return;
    }
  }
}

// Both renew and rekey at once: one IKE SA stays, however often either was rekeyed meanwhile.
TEST_P(CollisionRow, ike_renewal_meets_rekey) {
  for (const char who : {'A', 'B'}) {
    Row w{11};
    w.both_offer(GetParam());
    w.handshake();
    w.renewed = true;
    w.advance(1s);
    ASSERT_TRUE(w.side(who).endpoint->initiate(w.now, TunnelId{1}).has_value());
    w.drain();
    w.run_until(other(who), "IKE_AUTH response");
    const Flight late = w.wire.front();
    w.drop();
    w.rekey_ike(other(who));
    w.run();
    w.arrive(late);
    w.run();
    w.expect_settled();
  }
}

// The loser deletes the old Child SA, which is the winner's business.
TEST_P(CollisionRow, child_collision_responder_incorrect_delete) {
  in_all_orders([](Row& w) {
    const std::array<ChildSaId, 2> old{w.a.child().id, w.b.child().id};
    const std::size_t from = w.sent.size();
    w.rekey_child('A');
    w.rekey_child('B');
    while (!w.wire.empty() && !w.name_of(w.wire.front()).contains("INFORMATIONAL")) w.deliver();
    const char loser = w.lowest_nonce(from)[1];
    w.delete_child(loser, old[loser == 'A' ? 0 : 1]);
    w.run();
  });
}

TEST_P(CollisionRow, three_rekeys_in_flight) {
  for (const char who : {'A', 'B'}) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      SCOPED_TRACE(fmt::format("{} {}", who, seed));
      Row w{seed};
      w.both_offer(GetParam());
      w.handshake();
      w.rekey_child('A');
      w.rekey_child('B');
      w.rekey_ike(who);
      while (!w.wire.empty()) w.deliver(w.wire.size() - 1);  // the newest first
      w.expect_settled();
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, CollisionRow, ::testing::Values(kClassical, kHybrid), [](const auto& p) {
  return std::string{p.param} == kClassical ? "one_exchange" : "with_followup_ke";
});

// ---- peers that do it wrong ------------------------------------------------------------------------------------

class WrongPeer : public ::testing::Test, public Row {
 protected:
  // B's rekey of the first Child SA, with an SPI of its choice.
  [[nodiscard]] Flight rekey_request(std::uint32_t message_id, ipsec::EspSpi spi, std::uint8_t nonce) {
    Bytes old(4);
    store_be32(old.data(), b.plane.inbound.begin()->second.spi);
    return sealed('B', ExchangeType::CREATE_CHILD_SA, message_id,
                  {wire::NotifyPayload{wire::ProtocolId::ESP, old, NotifyType::REKEY_SA, {}},
                   ipsec::offer_esp(b.tunnel.esp, spi, b.tunnel.esn), wire::NoncePayload{Bytes(32, nonce)},
                   wire::TsPayload{PayloadType::TSi, {ipsec::any_selector_v4()}},
                   wire::TsPayload{PayloadType::TSr, {ipsec::any_selector_v4()}}});
  }
  [[nodiscard]] bool refused(NotifyType type) {
    return !wire.empty() && wire::find_notify(look(wire.back()).payloads, type) != nullptr;
  }
};

// strongSwan #2945.
TEST_F(WrongPeer, starts_two_rekeys_of_one_child_sa) {
  both_offer(kClassical);
  handshake();
  arrive(rekey_request(0, 0x7771, 1));
  EXPECT_EQ(a.plane.inbound.size(), 2U);
  arrive(rekey_request(1, 0x7772, 2));
  EXPECT_TRUE(refused(NotifyType::TEMPORARY_FAILURE));
  EXPECT_EQ(a.plane.inbound.size(), 2U);
  EXPECT_TRUE(a.plane.reserved.empty());
}

// Without waiting for an answer, while the packet path takes its time.
TEST_F(WrongPeer, asks_again_before_it_is_answered) {
  both_offer(kClassical);
  handshake();
  a.plane.inbound_answer = FakePlane::Answer::Later;
  arrive(rekey_request(0, 0x7771, 1));
  EXPECT_TRUE(wire.empty());
  arrive(rekey_request(1, 0x7772, 2));
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 1, {}));
  EXPECT_TRUE(wire.empty());
  EXPECT_EQ(a.count(Counter::in_progress), 2U);
  a.plane.give_late_answers();
  drain();
  ASSERT_EQ(wire.size(), 1U);
  EXPECT_EQ(name_of(wire.front()), "A->B CREATE_CHILD_SA response 0");
  EXPECT_TRUE(a.plane.reserved.empty());
}

// strongSwan #2778.
TEST_F(WrongPeer, chooses_an_spi_that_it_uses_already) {
  both_offer(kClassical);
  handshake();
  arrive(rekey_request(0, b.plane.inbound.begin()->second.spi, 1));
  EXPECT_TRUE(refused(NotifyType::TEMPORARY_FAILURE));
  EXPECT_EQ(a.plane.inbound.size(), 1U);
  EXPECT_TRUE(a.plane.reserved.empty());
  EXPECT_TRUE(a.has(Report::What::PeerRefused, "SPI")) << a.said();
}

// K11: its own, ours, unknown ones, and twice: what is its own goes, and nothing else happens.
TEST_F(WrongPeer, deletes_ten_thousand_spis) {
  both_offer(kClassical);
  handshake();
  std::vector<std::uint32_t> spis;
  for (std::uint32_t n = 0; n < 10'000; ++n) spis.push_back(0x50000000 + n);
  for (const auto& [id, in] : a.plane.inbound) spis.push_back(in.spi);
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 0, {wire::DeletePayload{wire::ProtocolId::ESP, spis}}));
  EXPECT_EQ(a.plane.outbound.size(), 1U) << "our own SPIs are not the peer's to name";
  const ipsec::EspSpi theirs = b.plane.inbound.begin()->second.spi;
  spis.insert(spis.begin() + 5000, {theirs, theirs, 0});
  arrive(sealed('B', ExchangeType::INFORMATIONAL, 1, {wire::DeletePayload{wire::ProtocolId::ESP, spis}}));
  EXPECT_TRUE(a.plane.outbound.empty());
  const Seen answer = look(wire.back());
  const auto* deleted = wire::find<wire::DeletePayload>(answer.payloads);
  ASSERT_NE(deleted, nullptr);
  EXPECT_EQ(deleted->spis, std::vector{a.plane.inbound.begin()->second.spi}) << "once, ours";
  EXPECT_EQ(a.established().size(), 1U);
}

// Random numbers that come twice.
class Stuttering final : public Rng {
 public:
  void fill(MutableByteView out) override {
    rng_.fill(out);
    if (out.size() == 8 && draws_++ < 4) std::fill(out.begin(), out.end(), std::uint8_t{0x5a});
  }
  [[nodiscard]] bool deterministic() const override { return true; }

 private:
  SeededRng rng_{3};
  unsigned draws_ = 0;
};

// K12.
TEST(SpiCollision, an_ike_spi_is_never_given_twice) {
  Row names{1};
  Stuttering rng;
  ike::IkeEndpoint endpoint{names.a.config, rng};
  for (std::uint32_t n = 1; n <= 3; ++n) {
    auto tunnel = std::make_shared<ike::TunnelConfig>(names.a.tunnel);
    tunnel->id = TunnelId{n};
    endpoint.set_tunnel(tunnel);
    ASSERT_TRUE(endpoint.initiate(names.now, TunnelId{n}).has_value());
  }
  std::set<std::uint64_t> spis;
  for (const ike::SaInfo& sa : endpoint.sas()) spis.insert(sa.spi_i);
  EXPECT_EQ(spis.size(), 3U);
}

}  // namespace
}  // namespace qanat::exchange
