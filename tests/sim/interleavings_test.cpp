// rules.md "What the simulator counts": all sets of operations, all orders of delivery, two deviations.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/explorer.hpp"
#include "sim/oracle.hpp"

namespace qanat::sim {
namespace {

constexpr TunnelId kTunnel{1};

const std::vector<Operation>& operations() {
  static const std::vector<Operation> kAll{
      {"renew the IKE SA",
       [](Duel& d, std::size_t n) {
         ensure(d.players[n].endpoint->initiate(d.now, kTunnel).has_value(), "a tunnel with a peer can begin");
       }},
      {"delete the IKE SA", [](Duel& d, std::size_t n) { d.players[n].endpoint->terminate(d.now, kTunnel, "deleted"); },
       true},
  };
  return kAll;
}

struct Variant {
  const char* name;
  const char* proposal;
};
constexpr Variant kVariants[] = {{"x25519", "aes256gcm16-prfsha384-x25519"},
                                 {"x25519+mlkem768", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"}};
// A renewal is a new IKE SA: the order of the SPIs decides, and there are two.
constexpr unsigned kSpiOrders[] = {0, kOrders - 1};

// All sets of `size` operations over both sides, repetitions included.
std::vector<std::vector<Scenario::Step>> sets_of(std::size_t size) {
  std::vector<Scenario::Step> single;
  for (const std::size_t player : {0U, 1U}) {
    for (const Operation& op : operations()) single.push_back({player, &op});
  }
  std::vector<std::vector<std::size_t>> indexes{{}};
  for (std::size_t i = 0; i < size; ++i) {
    std::vector<std::vector<std::size_t>> longer;
    for (const auto& set : indexes) {
      for (std::size_t next = set.empty() ? 0 : set.back(); next < single.size(); ++next) {
        longer.push_back(set);
        longer.back().push_back(next);
      }
    }
    indexes = std::move(longer);
  }
  std::vector<std::vector<Scenario::Step>> out;
  for (const auto& set : indexes) {
    out.emplace_back();
    for (const std::size_t i : set) out.back().push_back(single[i]);
  }
  return out;
}

void explore_all(std::size_t size, unsigned deviations) {
  Exploration total;
  std::size_t scenarios = 0;
  for (const Variant& variant : kVariants) {
    for (const unsigned order : kSpiOrders) {
      for (auto& steps : sets_of(size)) {
        Scenario scenario;
        scenario.steps = std::move(steps);
        scenario.variant = variant.name;
        scenario.order = order;
        scenario.deviations = deviations;
        scenario.prepare = [&](Duel& duel) {
          for (Player& p : duel.players) p.tunnel.ike = {*ipsec::parse_ike_proposal(variant.proposal)};
        };
        const Exploration e = explore(scenario, 20'000'000);
        EXPECT_EQ(e.frontier, 0U) << scenario.name() << " is not explored to its end";
        for (const std::string& problem : e.problems) ADD_FAILURE() << problem;
        ++scenarios;
        total.states += e.states;
        total.merged += e.merged;
        total.terminals += e.terminals;
        total.by_liveness += e.by_liveness;
        total.frontier += e.frontier;
      }
    }
  }
  fmt::print(stderr,
             "covered: interleavings: sets of {}, {} deviations: {} scenarios, {} distinct states, {} of them terminal "
             "({} settled by "
             "liveness), {} paths merged, {} branches left in the frontier\n",
             size, deviations, scenarios, total.states, total.terminals, total.by_liveness, total.merged,
             total.frontier);
}

TEST(Interleavings, OfOneOperationAreAllSound) {
  explore_all(1, 2);
}

TEST(Interleavings, OfTwoOperationsAreAllSound) {
  explore_all(2, 2);
}

TEST(Interleavings, OfThreeOperationsAreAllSound) {
  explore_all(3, is_deep() ? 2 : 0);
}

}  // namespace
}  // namespace qanat::sim
