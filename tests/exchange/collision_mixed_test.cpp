// The rows of the collision table (reliability.md section 1) in which the two exchanges that meet are of different
// kinds: INVALID_KE_PAYLOAD in between, and additional key exchanges on one side only.
#include "exchange/row.hpp"

namespace qanat::exchange {
namespace {

enum class What : std::uint8_t { Child, Ike };
enum class Order : std::uint8_t { AsSent, NewestFirst, Random };

struct Kind {
  What what{};
  Order order{};
};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << (kind.what == What::Ike ? "IKE SA" : "Child SA") << ", order " << static_cast<int>(kind.order);
}

std::string name_of_kind(const ::testing::TestParamInfo<Kind>& p) {
  const char* order = p.param.order == Order::AsSent        ? "as_sent"
                      : p.param.order == Order::NewestFirst ? "newest_first"
                                                            : "random";
  return fmt::format("{}_{}", p.param.what == What::Ike ? "ike" : "child", order);
}

// A responder takes the first of its own proposals that is offered, so the order of each list decides what becomes of
// the other side's rekey.
void ike_lists(Row& w, const std::vector<const char*>& a, const std::vector<const char*>& b) {
  for (const auto& [side, list] : {std::pair{&w.a, &a}, std::pair{&w.b, &b}}) {
    side->tunnel.ike.clear();
    for (const char* text : *list) side->tunnel.ike.push_back(ike_proposal(text));
  }
}
void esp_lists(Row& w, const std::vector<const char*>& a, const std::vector<const char*>& b) {
  for (const auto& [side, list] : {std::pair{&w.a, &a}, std::pair{&w.b, &b}}) {
    side->tunnel.esp.clear();
    for (const char* text : *list) side->tunnel.esp.push_back(esp_proposal(text));
  }
}

class MixedRow : public ::testing::TestWithParam<Kind> {
 protected:
  void both_rekey(Row& w, char first) {
    for (const char who : {first, other(first)}) {
      if (GetParam().what == What::Ike) {
        w.rekey_ike(who);
      } else {
        w.rekey_child(who);
      }
    }
    deliver_all(w);
  }
  void deliver_all(Row& w) {
    for (int i = 0; i < 400 && !w.wire.empty(); ++i) {
      const std::size_t newest = w.wire.size() - 1;
      w.deliver(GetParam().order == Order::AsSent        ? 0
                : GetParam().order == Order::NewestFirst ? newest
                                                         : static_cast<std::size_t>(order_.below(newest + 1)));
    }
    EXPECT_TRUE(w.wire.empty());
  }
  [[nodiscard]] bool is_ike() const { return GetParam().what == What::Ike; }
  // Of what stands when all is over: ML-KEM was in its own exchange.
  [[nodiscard]] bool ends_with_ml_kem(Row& w) const {
    const auto& list = is_ike() ? w.a.sa().key_exchanges : w.a.child().key_exchanges;
    return std::find(list.begin(), list.end(), KeId::ML_KEM_768) != list.end();
  }

 private:
  SeededRng order_{99};
};

// B's rekey has IKE_FOLLOWUP_KEs, A's has none, or the other way round.
TEST_P(MixedRow, only_one_side_has_additional_key_exchanges) {
  for (const char rich : {'A', 'B'}) {
    SCOPED_TRACE(rich);
    std::set<bool> ends;
    std::size_t followups = 0;
    const auto prepare = [&](Row& w) {
      const std::vector<const char*> hybrid_first{kHybrid, kClassical};
      const std::vector<const char*> classical_first{kClassical, kHybrid};
      // Of an IKE SA's proposals the answer is the other side's choice, of a Child SA's the first that was offered.
      Side& answers_rich = w.side(other(rich));
      w.side(rich).tunnel.pq = model::PqPolicy::Off;
      answers_rich.tunnel.pq = model::PqPolicy::Prefer;
      ike_lists(w, rich == 'A' ? classical_first : hybrid_first, rich == 'A' ? hybrid_first : classical_first);
      const std::vector<const char*> esp_hybrid{"aes256gcm16-x25519-ke1_mlkem768", "aes256gcm16-x25519"};
      const std::vector<const char*> esp_classical{"aes256gcm16-x25519", "aes256gcm16-x25519-ke1_mlkem768"};
      esp_lists(w, rich == 'A' ? esp_hybrid : esp_classical, rich == 'A' ? esp_classical : esp_hybrid);
    };
    for (const char first : {'A', 'B'}) {
      const auto seen = in_all_orders(prepare, [&](Row& w) {
        both_rekey(w, first);
        EXPECT_EQ(w.count_sent(other(rich), "IKE_FOLLOWUP_KE request"), 0U);
        followups += w.count_sent(rich, "IKE_FOLLOWUP_KE request");
        ends.insert(ends_with_ml_kem(w));
      });
      if (HasFailure()) return;
      if (GetParam().order == Order::AsSent) {
        EXPECT_EQ(seen, kAllOrders);
      }
    }
    EXPECT_GT(followups, 0U);
    EXPECT_TRUE(ends.contains(false));
  }
}

// The first guess at the group is wrong on both sides; A's rekey then has additional key exchanges, B's has none.
TEST_P(MixedRow, both_sides_are_refused_with_invalid_ke_payload) {
  std::size_t refused = 0;
  const auto prepare = [](Row& w) {
    w.a.tunnel.pq = model::PqPolicy::Off;
    w.b.tunnel.pq = model::PqPolicy::Prefer;
    ike_lists(
        w,
        {"aes256gcm16-prfsha384-ecp256", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp384-ke1_mlkem768"},
        {"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp256", "aes256gcm16-prfsha384-ecp384-ke1_mlkem768"});
    esp_lists(w, {"aes256gcm16-x25519-ecp384-ke1_mlkem768", "aes256gcm16-x25519-ecp384"},
              {"aes256gcm16-ecp256-ecp384", "aes256gcm16-ecp256-ecp384-ke1_mlkem768"});
  };
  for (const char first : {'A', 'B'}) {
    const auto seen = in_all_orders(prepare, [&](Row& w) {
      const auto before = w.a.count(Counter::child_invalid_ke) + w.b.count(Counter::child_invalid_ke);
      both_rekey(w, first);
      refused += w.a.count(Counter::child_invalid_ke) + w.b.count(Counter::child_invalid_ke) - before;
    });
    if (HasFailure()) return;
    if (GetParam().order == Order::AsSent) {
      EXPECT_EQ(seen, kAllOrders);
    }
  }
  EXPECT_GT(refused, 8U);
}

// One is refused, the other is not: the retry comes when the other's has been answered.
TEST_P(MixedRow, one_side_is_refused_with_invalid_ke_payload) {
  for (const char who : {'A', 'B'}) {
    SCOPED_TRACE(who);
    std::size_t refused = 0;
    const auto prepare = [&](Row& w) {
      // The handshake that A begins ends with what B has first; of B's rekey A takes what A has first.
      const std::vector<const char*> a{"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp256"};
      const std::vector<const char*> b{"aes256gcm16-prfsha384-ecp256", "aes256gcm16-prfsha384-x25519"};
      ike_lists(w, a, b);
      for (Side* s : {&w.a, &w.b}) s->tunnel.pq = model::PqPolicy::Off;
      const std::vector<const char*> wrong{"aes256gcm16-x25519-ecp384"};
      const std::vector<const char*> right{"aes256gcm16-ecp384"};
      esp_lists(w, who == 'A' ? wrong : right, who == 'A' ? right : wrong);
    };
    for (const char first : {'A', 'B'}) {
      const auto seen = in_all_orders(prepare, [&](Row& w) {
        if (is_ike() && who == 'A') {
          // B begins the next IKE SA, so that the roles are exchanged.
          w.renewed = true;
          w.advance(std::chrono::seconds{1});
          ASSERT_TRUE(w.b.endpoint->initiate(w.now, TunnelId{1}).has_value());
          w.drain();
          w.run();
          w.run_for(std::chrono::seconds{20});
        }
        const auto before = w.side(other(who)).count(Counter::child_invalid_ke);
        both_rekey(w, first);
        refused += w.side(other(who)).count(Counter::child_invalid_ke) - before;
      });
      if (HasFailure()) return;
      EXPECT_GE(seen.size(), 3U);
    }
    EXPECT_GT(refused, 4U);
  }
}

// The answer that refuses A's guess comes late: B's own rekey, with its additional key exchanges, is over by then.
TEST_P(MixedRow, a_refusal_comes_when_the_other_rekey_is_over) {
  for (const char who : {'A', 'B'}) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      SCOPED_TRACE(fmt::format("{} {}", who, seed));
      Row w{seed};
      w.a.tunnel.pq = model::PqPolicy::Off;
      w.b.tunnel.pq = model::PqPolicy::Prefer;
      ike_lists(
          w,
          {"aes256gcm16-prfsha384-ecp256", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp384-ke1_mlkem768"},
          {"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp256",
           "aes256gcm16-prfsha384-ecp384-ke1_mlkem768"});
      esp_lists(w, {"aes256gcm16-x25519-ecp384-ke1_mlkem768"}, {"aes256gcm16-ecp256-ecp384-ke1_mlkem768"});
      w.handshake();
      if (is_ike()) {
        w.rekey_ike(who);
        w.rekey_ike(other(who));
      } else {
        w.rekey_child(who);
        w.rekey_child(other(who));
      }
      const Flight late = w.run_without(other(who), "CREATE_CHILD_SA response");
      ASSERT_FALSE(HasFailure());
      w.arrive(late);
      deliver_all(w);
      w.expect_settled();
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, MixedRow,
                         ::testing::Values(Kind{What::Child, Order::AsSent}, Kind{What::Child, Order::NewestFirst},
                                           Kind{What::Child, Order::Random}, Kind{What::Ike, Order::AsSent},
                                           Kind{What::Ike, Order::NewestFirst}, Kind{What::Ike, Order::Random}),
                         name_of_kind);

}  // namespace
}  // namespace qanat::exchange
