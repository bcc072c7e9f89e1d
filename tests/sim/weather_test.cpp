// Worlds with a story: NATs that forget, several sites behind one, cuts, crashes, and ways that are worse in one
// direction. The oracle judges each.
#include <array>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/oracle.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::sim {
namespace {

struct Story {
  explicit Story(std::uint64_t seed) : world(seed), dice(seed + 99) {}

  void start_all() {
    for (const auto& node : world.nodes()) node->start();
  }
  void traffic_for(Duration duration) {
    for (Duration t{}; t < duration; t += 500ms) {
      for (const Link& l : world.links) {
        if (l.left->running()) l.left->send(udp_packet(l.left_inner, l.right_inner, fmt::format("{} ", sent)));
        if (l.right->running()) l.right->send(udp_packet(l.right_inner, l.left_inner, fmt::format("{} ", sent)));
        ++sent;
      }
      world.run_for(500ms);
    }
  }

  World world;
  SeededRng dice;
  std::size_t sent = 0;
};

struct Told {
  std::size_t worlds = 0;
  std::uint64_t events = 0;
  Workers::Counts answers;
};

// Once for every seed.
Told tell(const char* name, const std::function<void(Story&)>& story) {
  Told out;
  for (const std::uint64_t seed : seeds(1, is_deep() ? 2000 : 25)) {
    testcrypto::Ledger::instance().clear();
    Story one{seed};
    story(one);
    expect_sound(one.world, name);
    ++out.worlds;
    out.events += one.world.events();
    for (const auto& node : one.world.nodes()) {
      const Workers::Counts& c = node->workers.counts();
      out.answers.asked += c.asked;
      out.answers.too_late += c.too_late;
      out.answers.overtaken += c.overtaken;
      out.answers.died += c.died;
    }
  }
  fmt::print(stderr, "covered: story '{}': {} worlds, {} events, {} signatures made or judged\n", name, out.worlds,
             out.events, out.answers.asked);
  return out;
}

void a_site_behind_a_nat_that_rebinds(Story& s) {
  add_two_sites(s.world, [](model::Tunnel& t) {
    // Both sides are known by name: the hub sees the NAT's address.
    const bool is_hub = t.interface4 == address("10.255.12.1");
    t.local_id = *wire::Identity::parse(is_hub ? "fqdn:hub.example" : "fqdn:site.example");
    t.remote_id = *wire::Identity::parse(is_hub ? "fqdn:site.example" : "fqdn:hub.example");
    if (is_hub) {
      t.peer.reset();
      t.start = model::StartMode::Respond;
    }
  });
  s.world.network.nats.push_back(
      {.inside = {address("192.0.2.1")}, .outside = {address("203.0.113.1"), address("203.0.113.2")}, .rebind = 37s});
  s.start_all();
  EXPECT_TRUE(s.world.run_until([&] { return s.world.all_up(); }));
  s.traffic_for(5min);
}

void several_sites_behind_one_nat(Story& s) {
  // Gateway 1 is the hub; 2, 3 and 4 stand behind one address and call in.
  constexpr std::size_t kSites = 3;
  model::Config hub;
  for (std::size_t n = 2; n < 2 + kSites; ++n) {
    const std::string name = fmt::format("fqdn:site{}.example", n);
    model::Config site = config_of({"to-1", fmt::format("10.99.0.{}", n), "192.0.2.1", fmt::format("10.255.{}.1", n),
                                    fmt::format("10.255.{}.0", n), "10.1.0.0/16"});
    site.tunnels.front().local_id = *wire::Identity::parse(name);
    model::Config side = config_of({fmt::format("to-{}", n), "192.0.2.1", "", fmt::format("10.255.{}.0", n),
                                    fmt::format("10.255.{}.1", n), fmt::format("10.{}.0.0/16", n)});
    side.tunnels.front().remote_id = *wire::Identity::parse(name);
    hub.gateway = side.gateway;
    hub.tunnels.push_back(side.tunnels.front());
    s.world.add(fmt::format("site {}", n), std::move(site));
  }
  Node& centre = s.world.add("hub", std::move(hub));
  Nat nat{.inside = {}, .outside = {address("203.0.113.1")}, .rebind = 61s};
  for (std::size_t i = 0; i < kSites; ++i) {
    Node& site = *s.world.nodes()[i];
    nat.inside.insert(site.address());
    s.world.links.push_back(
        {&site, "to-1", fmt::format("10.{}.0.5", i + 2), &centre, fmt::format("to-{}", i + 2), "10.1.0.5"});
  }
  s.world.network.nats.push_back(nat);
  s.world.network.weather.loss = 0.02;
  s.start_all();
  EXPECT_TRUE(s.world.run_until([&] { return s.world.all_up(); }));
  s.traffic_for(4min);
}

void a_mesh_that_is_cut_apart(Story& s) {
  add_mesh(s.world, 4);
  s.world.network.weather = {.loss = 0.05, .duplicate = 0.05, .reorder = 0.1, .jitter = 500us};
  s.start_all();
  for (int cut = 0; cut < 4; ++cut) {
    s.traffic_for(20s);
    const std::size_t alone = s.dice.below(s.world.nodes().size());
    for (const auto& other : s.world.nodes()) {
      if (other.get() != s.world.nodes()[alone].get())
        s.world.network.cut(s.world.nodes()[alone]->address(), other->address());
    }
    s.traffic_for(Duration{1s} * (5 + s.dice.below(90)));
    s.world.network.cuts.clear();
  }
}

void gateways_crash_and_start(Story& s) {
  add_mesh(s.world, 3);
  s.world.network.weather = {.loss = 0.1, .duplicate = 0.02, .reorder = 0.1, .corrupt = 0.01, .jitter = 500us};
  s.start_all();
  for (int crash = 0; crash < 8; ++crash) {
    // At any moment: in a handshake, right after it, or in the middle of traffic.
    s.world.run_for(Duration{static_cast<std::int64_t>(s.dice.below(20'000'000'000))});
    Node& node = *s.world.nodes()[s.dice.below(s.world.nodes().size())];
    if (node.running()) {
      node.crash();
    } else {
      node.start();
    }
    s.traffic_for(2s);
  }
}

void one_direction_is_much_worse(Story& s) {
  add_two_sites(s.world);
  s.world.network.directions[{address("192.0.2.1"), address("192.0.2.2")}] = {
      .loss = 0.6, .delay = 120ms, .jitter = 100ms};
  s.start_all();
  EXPECT_TRUE(s.world.run_until([&] { return s.world.all_up(); }, 20min));
  s.traffic_for(2min);
}

// Handshakes of thirty fragments, IKE SAs that are made anew all the time, and gateways that crash while they sign.
void certificates_crashes_and_reauthentication(Story& s) {
  add_mesh(s.world, 3, [&](model::Tunnel& t) {
    use_certificates(t);
    t.ike_fragment_size = 576;
    t.reauth = std::chrono::seconds{200};  // with ends of 30 s each, the oracle finds a quiet moment
  });
  s.world.network.weather = {.loss = 0.1, .duplicate = 0.05, .reorder = 0.2, .corrupt = 0.01, .jitter = 900us};
  constexpr std::array kPapers{kEcdsa, kRsaChain, kMlDsaChain};
  for (std::size_t n = 0; n < kPapers.size(); ++n) s.world.nodes()[n]->workers.paper = kPapers[n];
  s.start_all();
  for (int crash = 0; crash < 6; ++crash) {
    s.traffic_for(Duration{1s} * (1 + s.dice.below(150)));
    Node& node = *s.world.nodes()[s.dice.below(s.world.nodes().size())];
    const bool busy = s.world.run_until([&] { return node.workers.next_answer().has_value(); }, 4min);
    EXPECT_TRUE(busy) << "an IKE SA of 200 s is made anew";
    node.crash();
    s.world.run_for(Duration{static_cast<std::int64_t>(s.dice.below(20'000'000'000))});
    node.start();
  }
}

// Answers that come when their IKE SA waits for another one, or is gone.
void workers_are_slow_and_operators_impatient(Story& s) {
  using Verb = control::GatewayCommand::Verb;
  add_two_sites(s.world, use_certificates);
  s.world.network.weather = {.loss = 0.05, .duplicate = 0.05, .reorder = 0.1, .jitter = 900us};
  for (const auto& node : s.world.nodes()) {
    node->workers.paper = kMlDsaChain;
    node->workers.slowest = 300ms;
  }
  s.start_all();
  for (int n = 0; n < 30; ++n) {
    s.world.run_for(Duration{static_cast<std::int64_t>(s.dice.below(3'000'000'000))});
    const Link& l = s.world.links.front();
    const bool left = s.dice.below(2) == 0;
    Node& node = left ? *l.left : *l.right;
    const std::string& tunnel = left ? l.left_tunnel : l.right_tunnel;
    node.command(Verb::Down, tunnel);
    s.world.run_for(Duration{static_cast<std::int64_t>(s.dice.below(1'000'000'000))});
    node.command(Verb::Up, tunnel);
  }
  for (const auto& node : s.world.nodes()) node->workers.slowest = 20ms;
}

void operators_take_tunnels_down_and_up_in_bad_weather(Story& s) {
  using Verb = control::GatewayCommand::Verb;
  add_mesh(s.world, 3);
  s.world.network.weather = {.loss = 0.2, .duplicate = 0.05, .reorder = 0.2, .jitter = 900us};
  s.start_all();
  for (int n = 0; n < 30; ++n) {
    s.world.run_for(Duration{static_cast<std::int64_t>(s.dice.below(15'000'000'000))});
    const Link& l = s.world.links[s.dice.below(s.world.links.size())];
    const bool left = s.dice.below(2) == 0;
    (left ? l.left : l.right)
        ->command(s.dice.below(2) == 0 ? Verb::Down : Verb::Up, left ? l.left_tunnel : l.right_tunnel);
  }
  for (const Link& l : s.world.links) {
    l.left->command(Verb::Up, l.left_tunnel);
    l.right->command(Verb::Up, l.right_tunnel);
  }
}

TEST(Stories, ASiteBehindANatThatRebinds) {
  tell("a NAT that rebinds", a_site_behind_a_nat_that_rebinds);
}

TEST(Stories, SeveralSitesBehindOneNat) {
  tell("three sites behind one NAT", several_sites_behind_one_nat);
}

TEST(Stories, AMeshThatIsCutApart) {
  tell("a mesh with partitions", a_mesh_that_is_cut_apart);
}

TEST(Stories, GatewaysCrashAndStart) {
  tell("crashes and restarts", gateways_crash_and_start);
}

TEST(Stories, GatewaysOfSeveralShardsCrashAndStart) {
  tell("crashes and restarts, three shards", [](Story& s) {
    s.world.shards = 3;
    gateways_crash_and_start(s);
  });
}

TEST(Stories, SeveralSitesBehindOneNatAndACentreOfSeveralShards) {
  tell("three sites behind one NAT, three shards", [](Story& s) {
    s.world.shards = 3;
    several_sites_behind_one_nat(s);
  });
}

TEST(Stories, OperatorsAndSeveralShards) {
  tell("operators, three shards", [](Story& s) {
    s.world.shards = 3;
    operators_take_tunnels_down_and_up_in_bad_weather(s);
  });
}

TEST(Stories, ReauthenticationAndSeveralShards) {
  tell("certificates, crashes, reauthentication, three shards", [](Story& s) {
    s.world.shards = 3;
    certificates_crashes_and_reauthentication(s);
  });
}

TEST(Stories, OneDirectionIsMuchWorse) {
  tell("asymmetric loss", one_direction_is_much_worse);
}

TEST(Stories, CertificatesCrashesAndReauthentication) {
  const Told c = tell("certificates, crashes, reauthentication", certificates_crashes_and_reauthentication);
  if (c.worlds == 1) return;  // a replay
  EXPECT_GT(c.answers.overtaken, 0U);
  EXPECT_GT(c.answers.died, 0U);
}

TEST(Stories, WorkersAreSlowAndOperatorsImpatient) {
  const Told c = tell("slow workers", workers_are_slow_and_operators_impatient);
  EXPECT_TRUE(c.worlds == 1 || c.answers.too_late > 0);
}

TEST(Stories, OperatorsTakeTunnelsDownAndUpInBadWeather) {
  tell("operators", operators_take_tunnels_down_and_up_in_bad_weather);
}

}  // namespace
}  // namespace qanat::sim
