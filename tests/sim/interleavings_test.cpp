// rules.md "What the simulator counts": all sets of operations, all orders of delivery, two deviations.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/explorer.hpp"
#include "sim/oracle.hpp"

namespace qanat::sim {
namespace {

constexpr TunnelId kTunnel{1};

ipsec::Selectors selectors(std::initializer_list<const char*> prefixes) {
  ipsec::Selectors out;
  for (const char* prefix : prefixes) out.push_back(ipsec::selector_of(*Prefix::parse(prefix)));
  return out;
}

void initiate(Duel& d, std::size_t n) {
  ensure(d.players[n].endpoint->initiate(d.now, kTunnel).has_value(), "a tunnel with a peer can begin");
}

// A packet that no Child SA takes yet; without any Child SA the Director asks for one.
void create_child(Duel& d, std::size_t n) {
  const Player& p = d.players[n];
  if (p.established().empty()) return;
  if (p.plane.outbound.empty()) return initiate(d, n);
  p.endpoint->handle_plane(d.now, ipsec::Acquire{kTunnel, p.live->local_ts.back(), p.live->remote_ts.back()});
}

void delete_child(Duel& d, std::size_t n) {
  for (const ike::SaInfo& sa : d.players[n].established()) {
    for (const ike::ChildInfo& child : sa.children)
      d.players[n].endpoint->handle_plane(d.now, ipsec::HardLimit{child.id});
  }
}

using Operations = std::vector<Operation>;

// Within one IKE SA.
const Operations& operations() {
  static const Operations kAll{
      {"rekey the IKE SA", [](Duel& d, std::size_t n) { d.players[n].endpoint->rekey(d.now, kTunnel); }},
      {"rekey the Child SA", [](Duel& d, std::size_t n) { d.players[n].endpoint->rekey_children(d.now, kTunnel); }},
      {"create a Child SA", create_child, false, true},
      {"delete the Child SA", delete_child, true},
      {"delete the IKE SA", [](Duel& d, std::size_t n) { d.players[n].endpoint->terminate(d.now, kTunnel, "deleted"); },
       true},
  };
  return kAll;
}

// New IKE SAs in the old one's place.
const Operations& renewals() {
  static const Operations kAll{{"renew the IKE SA", initiate}, operations().front(), operations().back()};
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

using Steps = std::vector<Scenario::Step>;

// Both sides rekey the same: the order of the nonces decides. Elsewhere any will do.
std::vector<unsigned> orders_of(const Steps& steps) {
  const auto has = [&](std::size_t player, std::size_t operation) {
    return std::find(steps.begin(), steps.end(), Scenario::Step{player, &operations()[operation]}) != steps.end();
  };
  if (!(has(0, 0) && has(1, 0)) && !(has(0, 1) && has(1, 1))) return {0};
  std::vector<unsigned> out(kOrders);
  std::iota(out.begin(), out.end(), 0U);
  return out;
}

// All sets of `size` operations over both sides, repetitions included.
std::vector<Steps> sets_of(const Operations& operations, std::size_t size) {
  Steps single;
  for (const std::size_t player : {0U, 1U}) {
    for (const Operation& op : operations) single.push_back({player, &op});
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
  std::vector<Steps> out;
  for (const auto& set : indexes) {
    out.emplace_back();
    for (const std::size_t i : set) out.back().push_back(single[i]);
  }
  return out;
}

constexpr std::size_t kToTheEnd = 20'000'000;
constexpr std::size_t kTaste = 5000;  // states, of what only --deep explores to its end

class Sum {
 public:
  // At most `limit` states.
  void explore(const Variant& variant, const Steps& steps, unsigned order, unsigned deviations, std::size_t limit,
               bool slow_planes = false) {
    Scenario scenario;
    scenario.slow_planes = slow_planes;
    scenario.steps = steps;
    scenario.variant = variant.name;
    scenario.order = order;
    scenario.deviations = deviations;
    scenario.prepare = [&](Duel& duel) {
      for (Player& p : duel.players) p.tunnel.ike = {*ipsec::parse_ike_proposal(variant.proposal)};
      duel.players[0].tunnel.local_ts = duel.players[1].tunnel.remote_ts = selectors({"10.1.0.0/16"});
      duel.players[1].tunnel.local_ts = duel.players[0].tunnel.remote_ts = selectors({"10.2.0.0/16"});
    };
    scenario.established = [](Duel& duel) {  // room for another Child SA
      duel.players[0].live->local_ts = duel.players[1].live->remote_ts = selectors({"10.1.0.0/16", "10.3.0.0/16"});
      duel.players[1].live->local_ts = duel.players[0].live->remote_ts = selectors({"10.2.0.0/16", "10.4.0.0/16"});
    };
    const Exploration e = sim::explore(scenario, limit);
    EXPECT_TRUE(e.frontier == 0 || limit != kToTheEnd) << scenario.name() << " is not explored to its end";
    for (const std::string& problem : e.problems) ADD_FAILURE() << problem;
    ++scenarios_;
    total_.states += e.states;
    total_.merged += e.merged;
    total_.terminals += e.terminals;
    total_.by_liveness += e.by_liveness;
    total_.frontier += e.frontier;
  }
  void print(const std::string& what) const {
    fmt::print(stderr,
               "covered: interleavings: {}: {} scenarios, {} distinct states, {} of them terminal ({} settled by "
               "liveness), {} paths merged, {} branches left in the frontier\n",
               what, scenarios_, total_.states, total_.terminals, total_.by_liveness, total_.merged, total_.frontier);
  }

 private:
  Exploration total_;
  std::size_t scenarios_ = 0;
};

constexpr std::size_t kShards = 4;  // of every exploration, so that they run beside each other

// `part`: every so manyeth scenario only.
class Interleavings : public ::testing::TestWithParam<std::size_t> {
 protected:
  // Sets of `size` operations within one IKE SA.
  static void explore_all(std::size_t size, unsigned deviations, std::size_t part = 1, std::size_t limit = kToTheEnd,
                          bool slow_planes = false) {
    Sum sum;
    std::size_t n = 0;
    for (const Variant& variant : kVariants) {
      for (const Steps& steps : sets_of(operations(), size)) {
        for (const unsigned order : orders_of(steps)) {
          if (n++ % (kShards * part) == GetParam() * part)
            sum.explore(variant, steps, order, deviations, limit, slow_planes);
        }
      }
    }
    sum.print(text(slow_planes ? "slow packet paths, sets" : "sets", size, deviations, part));
  }
  static void explore_renewals(std::size_t size, unsigned deviations, std::size_t part = 1,
                               std::size_t limit = kToTheEnd) {
    Sum sum;
    std::size_t n = 0;
    for (const Variant& variant : kVariants) {
      for (const unsigned order : kSpiOrders) {
        for (const Steps& steps : sets_of(renewals(), size)) {
          if (n++ % (kShards * part) == GetParam() * part) sum.explore(variant, steps, order, deviations, limit);
        }
      }
    }
    sum.print(text("renewals, sets", size, deviations, part));
  }

 private:
  static std::string text(const char* what, std::size_t size, unsigned deviations, std::size_t part) {
    return fmt::format("{} of {}, {} deviations, {}shard {} of {}", what, size, deviations,
                       part == 1 ? std::string{} : fmt::format("one scenario of {}, ", part), GetParam() + 1, kShards);
  }
};

TEST_P(Interleavings, OfOneOperationAreAllSound) {
  explore_all(1, 2);
}

TEST_P(Interleavings, OfTwoOperationsAreAllSound) {
  explore_all(2, 1);
}

// What the packet path answers comes between any two datagrams: rekeys that cross were once judged by half of each
// other.
TEST_P(Interleavings, OfTwoOperationsWithSlowPacketPathsAreAllSound) {
  explore_all(2, is_deep() ? 2 : 1, 1, kToTheEnd, true);
}

TEST_P(Interleavings, OfTwoOperationsWithTwoDeviationsAreAllSound) {
  explore_all(2, 2, is_deep() ? 1 : 12);
}

TEST_P(Interleavings, OfThreeOperationsAreAllSound) {
  explore_all(3, 0, is_deep() ? 1 : 12);
}

TEST_P(Interleavings, OfThreeOperationsWithADeviationAreAllSound) {
  is_deep() ? explore_all(3, 1) : explore_all(3, 1, 337, kTaste);
}

TEST_P(Interleavings, OfThreeOperationsWithTwoDeviationsAreAllSound) {
  is_deep() ? explore_all(3, 2, 30) : explore_all(3, 2, 337, kTaste);
}

TEST_P(Interleavings, OfOneRenewalAreAllSound) {
  explore_renewals(1, 2);
}

TEST_P(Interleavings, OfTwoRenewalsAreAllSound) {
  explore_renewals(2, is_deep() ? 2 : 1);
}

TEST_P(Interleavings, OfThreeRenewalsAreAllSound) {
  is_deep() ? explore_renewals(3, 1) : explore_renewals(3, 1, 60, kTaste);
}

// Where a peer once went on with an IKE SA whose Child SAs were gone on this side.
TEST(Renewal, BetweenTwoRekeysIsSound) {
  const auto operation = [](std::string_view name) {
    const auto found =
        std::find_if(renewals().begin(), renewals().end(), [&](const Operation& o) { return o.name == name; });
    ensure(found != renewals().end(), "an operation of that name");
    return &*found;
  };
  Sum sum;
  const Steps steps{
      {0, operation("rekey the IKE SA")}, {1, operation("renew the IKE SA")}, {1, operation("rekey the IKE SA")}};
  for (const unsigned order : kSpiOrders) sum.explore(kVariants[0], steps, order, 1, kToTheEnd);
  sum.print("a renewal between two rekeys, 1 deviation");
}

INSTANTIATE_TEST_SUITE_P(Shard, Interleavings, ::testing::Range<std::size_t>(0, kShards));

}  // namespace
}  // namespace qanat::sim
