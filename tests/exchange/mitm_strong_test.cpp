// The strong man in the middle: he breaks the classical key exchange while it happens, and may hold a long-term key.
//
// He runs a twin of the true initiator: same SPIs, nonce and key exchange value, but without the notification that
// ML-KEM needs. The responder talks to the twin, the true initiator hears the responder's answers, and both end up with
// classical keys that he knows - unless AUTH tells them (rules.md "Downgrade").
#include "exchange/mitm.hpp"
#include "exchange/peers.hpp"

namespace qanat::exchange::mitm {
namespace {

class Twin {
 public:
  Twin(std::uint64_t seed, const Side& of, ike::TunnelConfig tunnel) : rng_(seed) {
    plane.next_spi = of.plane.next_spi;
    endpoint = std::make_unique<ike::IkeEndpoint>(of.config, rng_);
    endpoint->set_tunnel(std::make_shared<ike::TunnelConfig>(std::move(tunnel)));
  }
  void drain(Instant now) {
    for (bool busy = true; busy;) {
      busy = false;
      while (auto action = endpoint->poll_action()) {
        busy = true;
        if (auto* t = std::get_if<ike::Transmit>(&*action)) said.push_back(std::move(t->datagram));
        if (auto* c = std::get_if<ike::PlaneCommand>(&*action)) plane.post(now, std::move(c->command));
        if (auto* k = std::get_if<ike::EspKeyLog>(&*action)) esp_keys.push_back(std::move(*k));
      }
      while (auto event = plane.poll_event()) {
        busy = true;
        endpoint->handle_plane(now, *event);
      }
    }
  }

  std::unique_ptr<ike::IkeEndpoint> endpoint;
  FakePlane plane;
  std::vector<Bytes> said;
  std::vector<ike::EspKeyLog> esp_keys;

 private:
  SeededRng rng_;
};

// The whole attack on a conversation that A begins.
class Attack {
 public:
  static constexpr std::uint64_t kSeed = 910;

  Attack(model::PqPolicy pq, bool knows_the_key, model::DowngradePolicy initiators = model::DowngradePolicy::Off,
         model::DowngradePolicy responders = model::DowngradePolicy::Off,
         std::optional<model::DowngradePolicy> twins = {})
      : world{kSeed} {
    world.a.tunnel.pq = pq;
    world.a.tunnel.downgrade = initiators;
    world.b.tunnel.downgrade = responders;
    ike::TunnelConfig cut = world.a.tunnel;
    cut.pq = model::PqPolicy::Off;  // the same offer, but no INTERMEDIATE_EXCHANGE_SUPPORTED
    cut.downgrade = twins.value_or(initiators);
    if (!knows_the_key) cut.psk = model::PresharedKey{SecretBytes::copy_of(to_bytes("a guess"))};
    twin = std::make_unique<Twin>(kSeed * 2, world.a, std::move(cut));
    world.meddle = [this](Flight& f) { pass(f); };
  }
  void run() {
    ensure(twin->endpoint->initiate(world.now, TunnelId{1}).has_value(), "the twin begins");
    twin->drain(world.now);
    world.handshake();
  }

  Conversation world;
  std::unique_ptr<Twin> twin;

 private:
  void pass(Flight& f) {
    const wire::IkeHeader h = *wire::parse_header(f.bytes);
    if (f.from == 'B') {  // both hear it
      twin->endpoint->handle_datagram(world.now, {f.path.remote, f.path.local}, f.bytes);
      twin->drain(world.now);
      return;
    }
    if (h.exchange == ExchangeType::INFORMATIONAL) return;  // the keys are the same: it passes
    // Of what the true initiator sends, its place is taken by what the twin said in that exchange, if anything.
    Bytes own;
    for (const Bytes& said : twin->said) {
      const wire::IkeHeader t = *wire::parse_header(said);
      if (t.exchange == h.exchange && t.message_id == h.message_id) own = said;
    }
    f.bytes = own;
  }
};

TEST(StrongAttacker, TheTwinIsTheInitiatorButForMlKem) {
  Attack attack{model::PqPolicy::Prefer, true};
  attack.run();
  const auto theirs = wire::parse_message(attack.world.sent.front().bytes);
  const auto twins = wire::parse_message(attack.twin->said.front());
  ASSERT_TRUE(theirs && twins);
  EXPECT_EQ(theirs->header.spi_i, twins->header.spi_i);
  EXPECT_EQ(wire::find<wire::KePayload>(theirs->payloads)->data, wire::find<wire::KePayload>(twins->payloads)->data);
  EXPECT_EQ(wire::find<wire::NoncePayload>(theirs->payloads)->data,
            wire::find<wire::NoncePayload>(twins->payloads)->data);
}

TEST(StrongAttacker, WithoutALongTermKeyGetsNothing) {
  for (const auto pq : {model::PqPolicy::Prefer, model::PqPolicy::Require}) {
    Attack attack{pq, false};
    attack.run();
    attack.world.run_for(400s);
    attack.world.expect_nothing_installed();
    EXPECT_TRUE(attack.world.a.endpoint->sas().empty());
    EXPECT_TRUE(attack.world.b.endpoint->sas().empty());
  }
}

// RFC 7296's AUTH covers a side's own message only, so who holds the PSK can cut ML-KEM out: this must be visible.
TEST(StrongAttacker, WhoHoldsThePskIsNotExcludedAndThatIsShown) {
  for (const auto& policy : {std::pair{model::DowngradePolicy::Off, model::DowngradePolicy::Auto},
                             {model::DowngradePolicy::Auto, model::DowngradePolicy::Off},
                             {model::DowngradePolicy::Off, model::DowngradePolicy::Off}}) {
    Attack attack{model::PqPolicy::Prefer, true, policy.first, policy.second};
    attack.run();
    Conversation& w = attack.world;
    w.expect_tunnel();
    for (const Side* s : {&w.a, &w.b}) {
      EXPECT_FALSE(s->sa().verdict.hybrid);
      EXPECT_FALSE(s->sa().downgrade_excluded);
      EXPECT_TRUE(s->has(Report::What::IkeUp, "downgrade not excluded")) << s->said();
    }
    // It is the real thing: the attacker has the keys of the tunnel.
    ASSERT_FALSE(attack.twin->esp_keys.empty());
    EXPECT_TRUE(attack.twin->esp_keys.front().keymat == w.a.esp_keys.front().keymat);
  }
}

// With full transcripts the responder's honest AUTH covers what it received, so the initiator sees it; whether the twin
// asks for them or cuts that out, too.
TEST(StrongAttacker, FullTranscriptsExcludeHim) {
  for (const auto twins : {model::DowngradePolicy::Auto, model::DowngradePolicy::Off}) {
    for (const auto initiators : {model::DowngradePolicy::Auto, model::DowngradePolicy::Require}) {
      for (const auto responders : {model::DowngradePolicy::Auto, model::DowngradePolicy::Require}) {
        Attack attack{model::PqPolicy::Prefer, true, initiators, responders, twins};
        attack.run();
        Conversation& w = attack.world;
        EXPECT_EQ(w.a.plane.installs, 0U);
        EXPECT_TRUE(w.a.has(Report::What::AttemptFailed, "AUTH")) << w.a.said();
        w.run_for(45s);
        w.expect_no_tunnel();
        EXPECT_TRUE(w.b.established().empty());
      }
    }
  }
}

TEST(StrongAttacker, GetsNothingFromAnInitiatorThatRequiresPq) {
  Attack attack{model::PqPolicy::Require, true};
  attack.run();
  attack.world.run_for(15s);
  EXPECT_TRUE(attack.world.a.has(Report::What::AttemptFailed, "pq = \"require\"")) << attack.world.a.said();
  EXPECT_EQ(attack.world.a.plane.installs, 0U);
  attack.world.run_for(120s);
  EXPECT_TRUE(attack.world.b.endpoint->sas().empty());
  attack.world.expect_no_tunnel();
}

TEST(StrongAttacker, GetsNothingFromAResponderThatRequiresPq) {
  Attack attack{model::PqPolicy::Prefer, true};
  attack.world.b.tunnel.pq = model::PqPolicy::Require;
  attack.world.b.tunnel.ike = ipsec::default_hybrid_proposals();
  attack.run();
  attack.world.run_for(15s);
  attack.world.expect_nothing_installed();
  EXPECT_GE(attack.world.b.count(Counter::no_proposal), 1U);
}

}  // namespace
}  // namespace qanat::exchange::mitm
