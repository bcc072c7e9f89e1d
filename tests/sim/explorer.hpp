// Explorer: every way in which two endpoints can live through a few operations at once.
//
// A scenario is a set of operations, each begun by one side. From an established tunnel on, at every step anything that
// can happen next is tried: an operation begins, a packet path answers, the first datagram of either direction arrives,
// is lost, or is held back until the next one has overtaken it (at most two such deviations in all); when nothing else
// moves, time passes to the next timer. Endpoints cannot be copied, so a branch is replayed from the start: with the
// crypto double that costs less than a copy would.
//
// States are merged by what determines them: the inputs that each endpoint has had, in order and with their times (an
// endpoint is a function of those), what is in flight, and what is left to choose. So two orders of independent events
// merge, and no two different states ever do.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/duel.hpp"

namespace qanat::sim {

struct Operation {
  std::string name;
  std::function<void(Duel&, std::size_t player)> begin;
  bool ends = false;     // the tunnel may be down afterwards
  bool creates = false;  // there may be one more Child SA afterwards
};

struct Scenario {
  struct Step {
    std::size_t player = 0;
    const Operation* operation = nullptr;
    friend bool operator==(const Step&, const Step&) = default;
  };
  std::vector<Step> steps;
  std::function<void(Duel&)> prepare;      // proposals, before the endpoints are made
  std::function<void(Duel&)> established;  // once the tunnel stands
  std::string variant;                     // what `prepare` does, in a word
  unsigned order = 0;                      // whose nonces and SPIs are lower: see kOrders
  unsigned deviations = 2;
  bool slow_planes = false;  // packet paths answer at any time, too
  [[nodiscard]] std::string name() const;
};

// Orders of the first four nonces: A's first and second, B's first and second. SPIs follow the first nonces.
inline constexpr unsigned kOrders = 24;

struct Exploration {
  std::size_t states = 0;       // distinct ones
  std::size_t merged = 0;       // paths that ended in a known state
  std::size_t terminals = 0;    // distinct states in which nothing is left to happen: each was judged
  std::size_t by_liveness = 0;  // terminals in which one side still had what the other did not, until liveness asked
  std::size_t frontier = 0;     // branches not followed: 0 when the exploration is complete
  std::vector<std::string> problems;  // with the path to each
};
// Stops early after `limit` states; the frontier then tells how much is left.
[[nodiscard]] Exploration explore(const Scenario& scenario, std::size_t limit);

}  // namespace qanat::sim
