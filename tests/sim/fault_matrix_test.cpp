// reliability.md 5.2: loss x duplication x disorder x damage x delay x MTU x authentication x key exchange. In every
// cell a tunnel is set up between two whole gateways in that weather, lives in it for a while, and is then judged by
// the one oracle.
#include <array>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/oracle.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::sim {
namespace {

constexpr std::array kLoss{0.0, 0.01, 0.05, 0.10, 0.20, 0.30, 0.50};
constexpr std::array kDuplicate{0.0, 0.05, 0.50};
constexpr std::array kReorder{0.0, 0.25};
constexpr std::array kCorrupt{0.0, 0.001, 0.01, 0.05};
struct Delay {
  Duration mean;
  Duration jitter;
};
constexpr std::array kDelay{Delay{1ms, 0ms}, Delay{50ms, 0ms}, Delay{250ms, 100ms}};
constexpr std::array<std::size_t, 4> kMtu{576, 1280, 1400, 1500};
constexpr std::array<const Paper*, 4> kAuthentication{nullptr, &kEcdsa, &kRsaChain, &kMlDsaChain};  // nullptr: PSK
constexpr std::array kKeyExchange{"x25519", "x25519-ke1_mlkem768", "x25519-ke1_mlkem1024",
                                  "x25519-ke1_mlkem768-ke2_mlkem1024"};

constexpr std::size_t kCells = kLoss.size() * kDuplicate.size() * kReorder.size() * kCorrupt.size() * kDelay.size() *
                               kMtu.size() * kAuthentication.size() * kKeyExchange.size();

struct Cell {
  Weather weather;
  const Paper* paper = nullptr;
  const char* key_exchange = nullptr;
  std::string name;
};

Cell cell_of(std::size_t index) {
  const auto take = [&](const auto& axis) {
    const auto& value = axis[index % axis.size()];
    index /= axis.size();
    return value;
  };
  Cell out;
  out.weather.loss = take(kLoss);
  out.weather.duplicate = take(kDuplicate);
  out.weather.reorder = take(kReorder);
  out.weather.corrupt = take(kCorrupt);
  const Delay delay = take(kDelay);
  out.weather.delay = delay.mean;
  out.weather.jitter = delay.jitter;
  out.weather.mtu = take(kMtu);
  out.paper = take(kAuthentication);
  out.key_exchange = take(kKeyExchange);
  out.name = fmt::format("loss {} dup {} reorder {} corrupt {} delay {}+-{} ms MTU {} {} {}", out.weather.loss,
                         out.weather.duplicate, out.weather.reorder, out.weather.corrupt, delay.mean / 1ms,
                         delay.jitter / 1ms, out.weather.mtu, out.paper ? out.paper->name : "PSK", out.key_exchange);
  return out;
}

struct Totals {
  std::size_t worlds = 0;
  std::size_t up_in_time = 0;  // within 10 minutes, in the weather
  std::uint64_t datagrams = 0;
  std::uint64_t delivered = 0;
  std::uint64_t sent = 0;
  std::uint64_t answers = 0;  // of workers that sign and judge
};

void run_cell(const Cell& cell, std::uint64_t seed, Totals& totals) {
  testcrypto::Ledger::instance().clear();
  World world{seed};
  add_two_sites(world, [&](model::Tunnel& t) {
    t.ike_proposals = {fmt::format("aes256gcm16-prfsha384-{}", cell.key_exchange)};
    t.ike_fragment_size = static_cast<std::uint16_t>(cell.weather.mtu);
    if (cell.paper != nullptr) use_certificates(t);
  });
  world.network.weather = cell.weather;
  for (const auto& node : world.nodes()) {
    if (cell.paper != nullptr) node->workers.paper = *cell.paper;
    node->start();
  }
  ++totals.worlds;
  if (world.run_until([&] { return world.all_up(); }, 10min)) ++totals.up_in_time;
  for (int second = 0; second < 60; ++second) {
    for (const Link& l : world.links) {
      l.left->send(udp_packet(l.left_inner, l.right_inner, fmt::format("{} ", second)));
      l.right->send(udp_packet(l.right_inner, l.left_inner, fmt::format("{} ", second)));
      totals.sent += 2;
    }
    world.run_for(1s);
  }
  for (const auto& node : world.nodes()) {
    totals.delivered += node->delivered.size();
    totals.answers += node->workers.counts().asked;
  }
  totals.datagrams += world.network.counts().sent;
  expect_sound(world, cell.name);
}

void print(const char* what, const Totals& t) {
  fmt::print(
      stderr,
      "covered: fault matrix: {}: {} worlds of {} cells, {} up within 10 minutes, {} of {} packets, {} datagrams, {} "
      "signatures made or judged\n",
      what, t.worlds, kCells, t.up_in_time, t.delivered, t.sent, t.datagrams, t.answers);
}

// Two axes at a time, every pair of values at least once: cells are added, by seed, until no pair is missing.
std::vector<std::size_t> pairwise() {
  const std::array<std::size_t, 8> sizes{kLoss.size(),  kDuplicate.size(), kReorder.size(),        kCorrupt.size(),
                                         kDelay.size(), kMtu.size(),       kAuthentication.size(), kKeyExchange.size()};
  const auto pairs_of = [&](std::size_t index) {
    std::array<std::size_t, 8> at{};
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
      at[axis] = index % sizes[axis];
      index /= sizes[axis];
    }
    std::vector<std::size_t> out;
    for (std::size_t a = 0; a < at.size(); ++a) {
      for (std::size_t b = a + 1; b < at.size(); ++b) out.push_back(((a * 8 + b) * 8 + at[a]) * 8 + at[b]);
    }
    return out;
  };
  std::set<std::size_t> missing;
  for (std::size_t index = 0; index < kCells; ++index) {
    for (const std::size_t pair : pairs_of(index)) missing.insert(pair);
  }
  std::vector<std::size_t> out;
  SeededRng rng{1};
  while (!missing.empty()) {
    // The best of a few hundred throws.
    std::size_t best = 0;
    std::size_t gain = 0;
    for (int n = 0; n < 300; ++n) {
      const std::size_t index = rng.below(kCells);
      const auto pairs = pairs_of(index);
      const auto fresh = static_cast<std::size_t>(
          std::count_if(pairs.begin(), pairs.end(), [&](std::size_t pair) { return missing.contains(pair); }));
      if (fresh > gain) {
        gain = fresh;
        best = index;
      }
    }
    if (gain == 0) continue;
    for (const std::size_t pair : pairs_of(best)) missing.erase(pair);
    out.push_back(best);
  }
  return out;
}

TEST(FaultMatrix, EveryPairOfFaultsIsSurvived) {
  Totals totals;
  for (const std::size_t index : pairwise()) {
    for (const std::uint64_t seed : seeds(index * 100 + 1, 1)) run_cell(cell_of(index), seed, totals);
  }
  print("every pair of values", totals);
}

// All cells, twenty worlds each, in parts that run side by side; without --deep a sample, one world each.
class WholeFaultMatrix : public ::testing::TestWithParam<std::size_t> {};
constexpr std::size_t kParts = 8;

TEST_P(WholeFaultMatrix, IsSurvived) {
  Totals totals;
  constexpr std::size_t kSample = 25;
  SeededRng rng{GetParam()};
  for (std::size_t n = 0; n < (is_deep() ? kCells / kParts : kSample); ++n) {
    const std::size_t index = is_deep() ? n * kParts + GetParam() : rng.below(kCells);
    for (const std::uint64_t seed : seeds(index * 100 + 1, is_deep() ? 20 : 1)) run_cell(cell_of(index), seed, totals);
  }
  print(fmt::format("part {} of {}{}", GetParam() + 1, kParts, is_deep() ? "" : " of a sample").c_str(), totals);
}
static_assert(kCells % kParts == 0);

INSTANTIATE_TEST_SUITE_P(Part, WholeFaultMatrix, ::testing::Range<std::size_t>(0, kParts));

}  // namespace
}  // namespace qanat::sim
