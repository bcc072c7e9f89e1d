// One attempt to set up a tunnel, with a peer's schedule as strongSwan has it (4 s x 1.8^n, 6 sends an exchange), under
// loss: the real endpoints must succeed as often as arithmetic says that any implementation can.
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/duel.hpp"
#include "sim/oracle.hpp"

namespace qanat::sim {
namespace {

constexpr unsigned kSends = 6;
constexpr std::array kLoss{0.01, 0.05, 0.10, 0.20, 0.30, 0.50};

struct Row {
  const char* name;
  const char* proposal;
  std::size_t mtu;
  bool certificates;
  std::array<double, kLoss.size()> published;  // reliability.md 5.2; Monte Carlo figures of 20,000 runs
};
constexpr std::array kRows{
    Row{"PSK, MTU 1500", "aes256gcm16-prfsha384-x25519-ke1_mlkem768", 1500, false, {1, 1, 1, .9936, .9489, .553}},
    Row{"cert, MTU 1280", "aes256gcm16-prfsha384-x25519-ke1_mlkem768", 1280, true, {1, 1, .9994, .9848, .8881, .316}},
    Row{"cert, MTU 576", "aes256gcm16-prfsha384-x25519-ke1_mlkem768", 576, true, {1, 1, .9987, .9569, .7519, .093}},
    Row{"cert + ML-KEM-1024, MTU 576",
        "aes256gcm16-prfsha384-x25519-ke1_mlkem1024",
        576,
        true,
        {1, 1, .9989, .9513, .7248, .077}},
};

// Datagrams of a request and of its response.
using Exchange = std::pair<unsigned, unsigned>;

struct Outcome {
  bool success = false;
  unsigned retransmissions = 0;
  std::vector<Exchange> exchanges;
};

bool chance(Rng& dice, double probability) {
  return static_cast<double>(dice.below(1'000'000)) < probability * 1'000'000;
}

Outcome attempt(const Row& row, std::uint64_t seed, double loss) {
  Duel duel{seed};
  SeededRng dice{seed ^ 0x10551055};
  for (Player& p : duel.players) {
    p.config.retransmit = {
        .first = 4s, .factor = 1.8, .longest = 600s, .jitter = 0, .sends = kSends, .sends_of_a_size = 0};
    p.config.half_open_patience =
        600s;                  // the model knows of no other end than the initiator's own; fragments wait, too
    p.tunnel.dpd_idle = 600s;  // else a responder whose IKE_AUTH response was lost gives the silent peer up after 40 s
    p.tunnel.ike = {*ipsec::parse_ike_proposal(row.proposal)};
    p.tunnel.fragment_size = row.mtu;
    p.tunnel.mobike = false;  // the table's messages are those of port 500
    if (!row.certificates) continue;
    // A certificate one way and a chain of two the other, with RSA-4096's signature.
    p.tunnel.local_auth = p.tunnel.remote_auth = ike::AuthKind::Certificate;
    p.signature_octets = 512;
  }
  duel.players[0].certificate_octets = 1380;
  duel.players[1].certificate_octets = 2380;
  duel.open();
  EXPECT_TRUE(duel.players[0].endpoint->initiate(duel.now, TunnelId{1}).has_value());
  duel.drain();
  Outcome out;
  const Instant end = duel.now + 600s;
  while (duel.players[0].established().empty()) {
    for (const std::size_t from : {0U, 1U}) {
      while (!duel.wire[from].empty()) {
        if (chance(dice, loss)) {
          duel.wire[from].pop_front();
        } else {
          duel.deliver(from);
        }
      }
    }
    if (!duel.wire[0].empty()) continue;
    const auto next = duel.next_timeout();
    if (!duel.players[0].established().empty() || duel.players[0].endpoint->sas().empty() || !next || *next > end)
      break;
    duel.advance(*next);
  }
  for (const ike::SaInfo& sa : duel.players[0].established()) {
    out.success = true;
    for (const ike::ExchangeRecord& step : sa.handshake) {
      out.retransmissions += step.retransmissions;
      out.exchanges.emplace_back(step.request_datagrams, step.response_datagrams);
    }
  }
  return out;
}

// One exchange: fragments of either direction add up over the sends (RFC 7383); once a request is complete, its first
// fragment asks for the response again.
bool exchange_succeeds(const Exchange& exchange, double loss, Rng& dice) {
  unsigned request = 0;
  unsigned response = 0;
  const auto all = [](unsigned count) { return (1U << count) - 1; };
  for (unsigned send = 0; send < kSends; ++send) {
    unsigned arrived = 0;
    for (unsigned i = 0; i < exchange.first; ++i) arrived |= chance(dice, loss) ? 0U : 1U << i;
    const bool was_complete = request == all(exchange.first);
    request |= arrived;
    if (was_complete ? (arrived & 1) == 0 : request != all(exchange.first)) continue;
    for (unsigned i = 0; i < exchange.second; ++i) response |= chance(dice, loss) ? 0U : 1U << i;
    if (response == all(exchange.second)) return true;
  }
  return false;
}

double model(const std::vector<Exchange>& exchanges, double loss) {
  static std::map<std::pair<Exchange, double>, double> known;
  double out = 1;
  for (const Exchange& e : exchanges) {
    const double try_succeeds = (1 - loss) * (1 - loss);
    if (e == Exchange{1, 1}) {
      out *= 1 - std::pow(1 - try_succeeds, kSends);
      continue;
    }
    auto [found, fresh] = known.try_emplace({e, loss}, 0);
    if (fresh) {
      constexpr unsigned kRuns = 200'000;
      SeededRng dice{77};
      unsigned successes = 0;
      for (unsigned i = 0; i < kRuns; ++i) successes += exchange_succeeds(e, loss, dice) ? 1U : 0U;
      found->second = static_cast<double>(successes) / kRuns;
    }
    out *= found->second;
  }
  return out;
}

TEST(LossModel, TheHandshakesAreOfTheSizesThatThePublishedTableHas) {
  const std::array<std::vector<Exchange>, kRows.size()> expected{
      {{{1, 1}, {1, 1}, {1, 1}}, {{1, 1}, {1, 1}, {2, 3}}, {{1, 1}, {3, 3}, {5, 7}}, {{1, 1}, {4, 4}, {5, 7}}}};
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    const Outcome clean = attempt(kRows[i], 1, 0);
    EXPECT_TRUE(clean.success) << kRows[i].name;
    EXPECT_EQ(clean.retransmissions, 0U) << kRows[i].name;
    EXPECT_EQ(clean.exchanges, expected[i]) << kRows[i].name;
    for (std::size_t l = 0; l < kLoss.size(); ++l)
      EXPECT_GE(model(clean.exchanges, kLoss[l]), kRows[i].published[l] - 0.01) << kRows[i].name << ", " << kLoss[l];
  }
}

class LossModelRow : public ::testing::TestWithParam<std::size_t> {};

TEST_P(LossModelRow, OneAttemptSucceedsAsOftenAsTheModel) {
  const bool deep = is_deep();
  const std::size_t attempts = deep ? 20000 : 1000;
  const Row& row = kRows[GetParam()];
  const std::vector<Exchange> exchanges = attempt(row, 1, 0).exchanges;
  std::size_t total = 0;
  for (std::size_t l = 0; l < kLoss.size(); ++l) {
    if (!deep && kLoss[l] < 0.2) continue;
    std::size_t successes = 0;
    std::uint64_t retransmissions = 0;
    for (std::size_t n = 0; n < attempts; ++n) {
      const Outcome out = attempt(row, n + 1, kLoss[l]);
      successes += out.success ? 1 : 0;
      retransmissions += out.retransmissions;
    }
    total += attempts;
    const double measured = static_cast<double>(successes) / static_cast<double>(attempts);
    const double expected = model(exchanges, kLoss[l]);
    // Within one percent of the model; where attempts are few, what chance does to them (3.5 sigma) comes on top.
    const double by_chance = deep ? 0 : 3.5 * std::sqrt(expected * (1 - expected) / static_cast<double>(attempts));
    EXPECT_NEAR(measured, expected, 0.01 + by_chance) << row.name << ", loss " << kLoss[l];
    EXPECT_GE(measured, row.published[l] - 0.01 - by_chance) << row.name << ", loss " << kLoss[l];
    fmt::print(stderr,
               "covered: loss model: {}, loss {:2.0f} %: {:.4f} of {} attempts, model {:.4f}, published {:.4f}, {:.2f} "
               "retransmissions\n",
               row.name, kLoss[l] * 100, measured, attempts, expected, row.published[l],
               static_cast<double>(retransmissions) / static_cast<double>(std::max<std::size_t>(1, successes)));
  }
  fmt::print(stderr, "covered: loss model: {}: {} attempts\n", row.name, total);
}

INSTANTIATE_TEST_SUITE_P(Row, LossModelRow, ::testing::Range<std::size_t>(0, kRows.size()));

}  // namespace
}  // namespace qanat::sim
