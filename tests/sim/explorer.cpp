#include "sim/explorer.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/sa_view.hpp"
#include "testcrypto/mixer.hpp"

namespace qanat::sim {

namespace {

using Digest = testcrypto::Digest;
constexpr Duration kHorizon = 130s;  // longer than anything waits that ends by itself
constexpr Duration kIdle = 200s;     // liveness asks after that, and only when the rest is over
constexpr Duration kGone = 3 * kIdle;
constexpr std::size_t kMaxProblems = 5;
constexpr std::array<char, 2> kNames{'A', 'B'};

struct DigestHash {
  std::size_t operator()(const Digest& d) const { return d[0]; }
};

struct Choice {
  enum class Kind : std::uint8_t { Begin, Plane, Deliver, Drop, Delay, Release, Time } kind{};
  std::size_t which = 0;  // step, player, or sender
};

// One run along a path.
class Run {
 public:
  explicit Run(const Scenario& scenario) : scenario_(scenario), duel_(1) {
    for (Player& p : duel_.players) {
      // Nothing of a tunnel's normal life stirs by itself while the operations last.
      p.tunnel.ike_lifetime = p.tunnel.child_lifetime = 24h * 30;
      p.tunnel.dpd_idle = kIdle;
      p.tunnel.dpd_timeout = kGone;
    }
    if (scenario.prepare) scenario.prepare(duel_);
    std::array<std::uint8_t, 4> octets{0x10, 0x40, 0x70, 0xa0};
    for (unsigned i = 0; i < scenario.order; ++i) std::next_permutation(octets.begin(), octets.end());
    duel_.open();
    ensure(duel_.players[0].endpoint->initiate(duel_.now, TunnelId{1}).has_value(), "the tunnel begins");
    duel_.drain();
    duel_.run();
    for (std::size_t n = 0; n < 2; ++n) {
      ensure(duel_.players[n].established().size() == 1, "a tunnel to begin with");
      duel_.players[n].rng.nonces = {octets[2 * n], octets[2 * n + 1]};
      duel_.players[n].rng.small = octets[2 * n];
    }
    if (scenario.established) scenario.established(duel_);
    duel_.slow_planes = scenario.slow_planes;
    begun_.resize(scenario.steps.size());
    duel_.now = duel_.now + 1s;  // the tunnel is older than what begins now; from here on datagrams take no time
  }

  [[nodiscard]] std::vector<Choice> choices() const {
    std::vector<Choice> out;
    bool all_begun = true;
    for (std::size_t i = 0; i < begun_.size(); ++i) {
      if (begun_[i]) continue;
      all_begun = false;
      // Of two equal operations the first begins first.
      bool again = false;
      for (std::size_t k = 0; k < i; ++k) again = again || (!begun_[k] && scenario_.steps[k] == scenario_.steps[i]);
      if (!again) out.push_back({Choice::Kind::Begin, i});
    }
    bool moving = false;
    bool held = false;
    for (const std::size_t player : {0U, 1U}) {
      if (!duel_.players[player].plane.has_event()) continue;
      moving = true;
      out.push_back({Choice::Kind::Plane, player});
    }
    for (const std::size_t from : {0U, 1U}) {
      const auto first = first_free(from);
      held = held || (!first && !duel_.wire[from].empty());
      if (!first) continue;
      moving = true;
      out.push_back({Choice::Kind::Deliver, from});
      if (deviations_ == scenario_.deviations) continue;
      out.push_back({Choice::Kind::Drop, from});
      out.push_back({Choice::Kind::Delay, from});
    }
    if (moving) return out;
    for (const std::size_t from : {0U, 1U}) {
      if (!duel_.wire[from].empty()) out.push_back({Choice::Kind::Release, from});
    }
    const auto next = duel_.next_timeout();
    if (all_begun && next && *next <= duel_.now + kHorizon) out.push_back({Choice::Kind::Time, 0});
    return out;
  }

  void take(const Choice& choice) {
    switch (choice.kind) {
      case Choice::Kind::Begin: {
        const Scenario::Step& step = scenario_.steps[choice.which];
        begun_[choice.which] = true;
        duel_.note_command(step.player, 100 + choice.which);
        step.operation->begin(duel_, step.player);
        duel_.drain();
        break;
      }
      case Choice::Kind::Plane:
        duel_.answer_of_plane(choice.which);
        break;
      case Choice::Kind::Deliver: {
        const std::size_t index = *first_free(choice.which);
        duel_.deliver(choice.which, index);
        for (std::size_t i = 0; i < index; ++i) duel_.wire[choice.which][i].held = false;  // they were overtaken
        break;
      }
      case Choice::Kind::Drop:
        ++deviations_;
        duel_.wire[choice.which].erase(duel_.wire[choice.which].begin() +
                                       static_cast<std::ptrdiff_t>(*first_free(choice.which)));
        break;
      case Choice::Kind::Delay:
        ++deviations_;
        duel_.wire[choice.which][*first_free(choice.which)].held = true;
        break;
      case Choice::Kind::Release:
        for (Shot& shot : duel_.wire[choice.which]) shot.held = false;
        break;
      case Choice::Kind::Time:
        duel_.advance(*duel_.next_timeout());
        break;
    }
  }

  [[nodiscard]] Digest state() const {
    testcrypto::Mixer mixer{3};
    for (const std::size_t n : {0U, 1U}) {
      mixer.number(duel_.players[n].history).number(duel_.wire[n].size());
      for (const Shot& shot : duel_.wire[n])
        mixer.number(shot.held ? 1 : 0).number(shot.bytes.size()).update(shot.bytes);
    }
    mixer.number(deviations_).number(static_cast<std::uint64_t>(duel_.now.ns()));
    for (const bool begun : begun_) mixer.number(begun ? 1 : 0);
    return mixer.digest();
  }

  // Holds in every state while nobody deletes: what either side sends, the other can open, now or in a moment.
  [[nodiscard]] std::optional<std::string> blackhole() const {
    for (const std::size_t n : {0U, 1U}) {
      const BookPlane& ours = duel_.players[n].plane;
      const BookPlane& theirs = duel_.players[1 - n].plane;
      if (!ours.current) return fmt::format("{} has no SA to send with", kNames[n]);
      const ipsec::EspSpi spi = ours.outbound.at(*ours.current).spi;
      if (!theirs.reserved.contains(spi) && std::none_of(theirs.inbound.begin(), theirs.inbound.end(),
                                                         [&](const auto& sa) { return sa.second.spi == spi; }))
        return fmt::format("{} sends with SPI {:x}, which {} does not have", kNames[n], spi, kNames[1 - n]);
    }
    return std::nullopt;
  }

  // Only in a terminal state; the run is spent afterwards. Where an end was never heard of, liveness must find it out.
  [[nodiscard]] std::vector<std::string> differences() const { return problems_of(duel_); }
  [[nodiscard]] bool is_faultless() const { return deviations_ == 0; }
  [[nodiscard]] std::vector<std::string> judge(bool may_be_down) {
    duel_.run(kGone + kIdle);
    std::vector<std::string> out = problems_of(duel_);
    const auto most =
        1 + static_cast<std::size_t>(std::count_if(scenario_.steps.begin(), scenario_.steps.end(),
                                                   [](const Scenario::Step& step) { return step.operation->creates; }));
    for (const std::size_t n : {0U, 1U}) {
      const std::size_t children = duel_.players[n].plane.inbound.size();
      if (children > most) out.push_back(fmt::format("{} ends with {} Child SAs", kNames[n], children));
    }
    if (!may_be_down) {
      for (const std::size_t n : {0U, 1U}) {
        const auto sas = duel_.players[n].established();
        if (std::none_of(sas.begin(), sas.end(), [](const ike::SaInfo& sa) { return !live_children(sa).empty(); }))
          out.push_back(fmt::format("{} has lost the tunnel, and nobody deleted it", kNames[n]));
      }
    }
    for (std::string& left : leftovers_of(duel_)) out.push_back(std::move(left));
    return out;
  }

  [[nodiscard]] std::string name_of(const Choice& c) const {
    switch (c.kind) {
      case Choice::Kind::Begin:
        return fmt::format("{} begins to {}", kNames[scenario_.steps[c.which].player],
                           scenario_.steps[c.which].operation->name);
      case Choice::Kind::Plane:
        return fmt::format("{}'s packet path answers", kNames[c.which]);
      case Choice::Kind::Deliver:
        return fmt::format("{} arrives", message_of(c.which));
      case Choice::Kind::Drop:
        return fmt::format("{} is lost", message_of(c.which));
      case Choice::Kind::Delay:
        return fmt::format("{} is held", message_of(c.which));
      case Choice::Kind::Release:
        return fmt::format("what {} sent is let go", kNames[c.which]);
      case Choice::Kind::Time:
        return "time";
    }
    return "?";
  }

 private:
  // "A>IKE_AUTH request 2 of 10ab"
  [[nodiscard]] std::string message_of(std::size_t from) const {
    const Shot& shot = duel_.wire[from][*first_free(from)];
    const bool marked = shot.path.local.port == duel_.players[from].config.nat_port;
    const auto header = wire::parse_header(ByteView{shot.bytes}.subspan(marked ? 4 : 0));
    if (!header) return fmt::format("{}>?", kNames[from]);
    return fmt::format("{}>{} {} {} of {:04x}", kNames[from], wire::to_string(header->exchange),
                       header->is_response() ? "response" : "request", header->message_id, header->spi_i >> 48);
  }
  [[nodiscard]] std::optional<std::size_t> first_free(std::size_t from) const {
    for (std::size_t i = 0; i < duel_.wire[from].size(); ++i) {
      if (!duel_.wire[from][i].held) return i;
    }
    return std::nullopt;
  }

  const Scenario& scenario_;
  Duel duel_;
  std::vector<bool> begun_;
  unsigned deviations_ = 0;
};

std::string path_text(const Scenario& scenario, const std::vector<std::uint8_t>& path) {
  Run run{scenario};
  std::vector<std::string> steps;
  for (const std::uint8_t taken : path) {
    const Choice choice = run.choices()[taken];
    steps.push_back(run.name_of(choice));
    run.take(choice);
  }
  return fmt::format("{}", fmt::join(steps, ", "));
}

}  // namespace

std::string Scenario::name() const {
  std::vector<std::string> parts;
  for (const Step& step : steps) parts.push_back(fmt::format("{} {}", kNames[step.player], step.operation->name));
  return fmt::format("{} ({}, order {}{})", fmt::join(parts, " + "), variant, order,
                     slow_planes ? ", slow packet paths" : "");
}

Exploration explore(const Scenario& scenario, std::size_t limit) {
  const bool may_be_down = std::any_of(scenario.steps.begin(), scenario.steps.end(),
                                       [](const Scenario::Step& step) { return step.operation->ends; });
  Exploration out;
  std::unordered_set<Digest, DigestHash> visited;
  std::vector<std::vector<std::uint8_t>> frontier{{}};
  const auto complain = [&](const std::string& what, const std::vector<std::uint8_t>& path) {
    if (out.problems.size() < kMaxProblems)
      out.problems.push_back(fmt::format("{}: {}\n    after: {}", scenario.name(), what, path_text(scenario, path)));
  };
  while (!frontier.empty() && visited.size() < limit && out.problems.size() < kMaxProblems) {
    std::vector<std::uint8_t> path = std::move(frontier.back());
    frontier.pop_back();
    Run run{scenario};
    for (const std::uint8_t taken : path) run.take(run.choices()[taken]);
    for (;;) {
      if (!visited.insert(run.state()).second) {
        ++out.merged;
        break;
      }
      if (!may_be_down) {
        if (const auto hole = run.blackhole()) complain(*hole, path);
      }
      const std::vector<Choice> choices = run.choices();
      if (choices.empty()) {
        ++out.terminals;
        if (const auto differences = run.differences(); !differences.empty()) {
          ++out.by_liveness;
          if (run.is_faultless()) complain("only liveness settles it: " + differences.front(), path);
        }
        for (const std::string& problem : run.judge(may_be_down)) complain(problem, path);
        break;
      }
      for (std::size_t other = choices.size() - 1; other > 0; --other) {
        frontier.push_back(path);
        frontier.back().push_back(static_cast<std::uint8_t>(other));
      }
      path.push_back(0);
      run.take(choices[0]);
    }
  }
  out.states = visited.size();
  out.frontier = frontier.size();
  return out;
}

}  // namespace qanat::sim
