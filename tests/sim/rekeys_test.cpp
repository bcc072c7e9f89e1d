// Keys that change a hundred thousand times under loss, with the product's own lifetimes and retransmissions, and with
// traffic in both directions, so that liveness need not ask.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/duel.hpp"
#include "sim/oracle.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::sim {
namespace {

struct Counts {
  std::size_t ike_rekeys = 0;
  std::size_t child_rekeys = 0;
  std::size_t anew = 0;        // no rekey had succeeded, and a new IKE SA was asked for
  std::size_t tear_downs = 0;  // a side was without a Child SA
  std::size_t failed_attempts = 0;
  std::size_t checks = 0;
  std::uint64_t datagrams = 0;
  [[nodiscard]] std::size_t rekeys() const { return ike_rekeys + child_rekeys; }
};

class Marathon {
 public:
  Marathon(std::uint64_t seed, double loss, const char* proposal) : duel_(seed), dice_(seed + 7), loss_(loss) {
    for (Player& p : duel_.players) p.tunnel.ike = {*ipsec::parse_ike_proposal(proposal)};
    duel_.open();
    begin(0);
    duel_.run();
  }

  // Loss for `rekeys` more rekeys, then calm, and both sides must agree.
  void run(std::size_t rekeys) {
    const std::size_t target = counts_.rekeys() + rekeys;
    while (counts_.rekeys() < target) turn(loss_);
    for (const Duration calm : {100s, 200s, 100s}) {  // a rekey that is under way in the calm has time to end
      const Instant end = duel_.now + calm;
      while (duel_.now < end) turn(0);
      if (problems_of(duel_).empty()) break;
    }
    ++counts_.checks;
    for (const std::string& problem : problems_of(duel_))
      ADD_FAILURE() << "after " << counts_.rekeys() << " rekeys: " << problem;
    testcrypto::Ledger::instance().clear();
  }
  void finish() {
    for (const std::string& left : leftovers_of(duel_)) ADD_FAILURE() << left;
  }
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  void begin(std::size_t n) {
    ensure(duel_.players[n].endpoint->initiate(duel_.now, TunnelId{1}).has_value(), "a tunnel with a peer can begin");
    duel_.drain();
  }

  // What is in flight arrives or is lost; else time passes.
  void turn(double loss) {
    listen();
    for (const std::size_t from : {0U, 1U}) {
      if (duel_.wire[from].empty()) continue;
      ++counts_.datagrams;
      if (static_cast<double>(dice_.below(1'000'000)) < loss * 1'000'000) {
        duel_.wire[from].pop_front();
      } else {
        duel_.deliver(from);
      }
      return;
    }
    std::optional<Instant> next = duel_.next_timeout();
    for (const auto& again : again_) {
      if (again && (!next || *again < *next)) next = again;
    }
    ensure(next.has_value(), "a tunnel has timers");
    duel_.now = std::max(duel_.now, *next);
    for (std::size_t n = 0; n < 2; ++n) {
      // Traffic has just been seen on every Child SA.
      ipsec::Counters seen;
      for (const auto& sa : duel_.players[n].plane.inbound)
        seen.sas.push_back({.child = sa.first, .last_in = duel_.now, .last_out = duel_.now});
      duel_.players[n].endpoint->handle_plane(duel_.now, ipsec::Event{seen});
      if (again_[n] && *again_[n] <= duel_.now) {
        again_[n].reset();
        begin(n);
      }
    }
    duel_.advance(*next);
  }

  // In the Director's place.
  void listen() {
    using What = ike::Report::What;
    for (std::size_t n = 0; n < 2; ++n) {
      const std::vector<ike::Report> reports = std::exchange(duel_.players[n].reports, {});
      for (const ike::Report& r : reports) {
        switch (r.what) {
          case What::ChildUp:
            if (++children_[n] > 1 && n == 0) ++counts_.child_rekeys;
            break;
          case What::IkeRekeyed:
            if (n == 0) ++counts_.ike_rekeys;
            break;
          case What::ChildGone:
            if (--children_[n] == 0) {
              ++counts_.tear_downs;
              again_[n] = duel_.now + 1s;
            }
            break;
          case What::AttemptFailed:
            ++counts_.failed_attempts;
            again_[n] = duel_.now + 1s;
            break;
          case What::RenewWanted:
            ++counts_.anew;
            begin(n);
            break;
          default:
            break;
        }
      }
    }
  }

  Duel duel_;
  SeededRng dice_;
  double loss_;
  Counts counts_;
  std::array<int, 2> children_{};
  std::array<std::optional<Instant>, 2> again_{};
};

// Half of them with one additional key exchange, half with a single one.
Counts marathon(double loss, std::size_t rekeys) {
  constexpr std::size_t kBetweenChecks = 100;
  Counts sum;
  for (const char* proposal : {"aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"}) {
    Marathon runner{seeds(11, 1).front(), loss, proposal};
    while (runner.counts().rekeys() < rekeys / 2) runner.run(kBetweenChecks);
    runner.finish();
    const Counts& c = runner.counts();
    EXPECT_GT(c.ike_rekeys, rekeys / 40);
    EXPECT_GT(c.child_rekeys, rekeys / 8);
    fmt::print(
        stderr,
        "covered: rekeys: loss {:2.0f} %, {}: {} of Child SAs, {} of the IKE SA, {} times a new IKE SA was asked "
        "for, {} tear-downs, {} attempts failed, {} datagrams, tables compared {} times\n",
        loss * 100, proposal, c.child_rekeys, c.ike_rekeys, c.anew, c.tear_downs, c.failed_attempts, c.datagrams,
        c.checks);
    sum.child_rekeys += c.child_rekeys;
    sum.ike_rekeys += c.ike_rekeys;
    sum.anew += c.anew;
    sum.tear_downs += c.tear_downs;
    sum.failed_attempts += c.failed_attempts;
  }
  return sum;
}

std::size_t enough() {
  return is_deep() ? 100'000 : 2'000;
}

TEST(Rekeys, WithoutLossNothingHappensButRekeys) {
  const Counts c = marathon(0, 600);
  EXPECT_EQ(c.anew, 0U);
  EXPECT_EQ(c.tear_downs, 0U);
  EXPECT_EQ(c.failed_attempts, 0U);
}

TEST(Rekeys, AtTenPercentLossNoTunnelIsTornDown) {
  EXPECT_EQ(marathon(0.1, enough()).tear_downs, 0U);
}

// Tear-downs by chance: an exchange of one datagram each way fails when all 12 sends do, 0.36^12 = 4.7e-6, and a rekey
// is two exchanges: 0.5 in 50,000 classical rekeys, of which each side may count one. Hybrid ones have more datagrams.
TEST(Rekeys, AtTwentyPercentLossAllAreConsistent) {
  EXPECT_GE(marathon(0.2, enough()).rekeys(), enough());
}

}  // namespace
}  // namespace qanat::sim
