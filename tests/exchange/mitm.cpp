#include "exchange/mitm.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace qanat::exchange::mitm {

namespace {

constexpr std::uint64_t kSeed = 900;
constexpr Duration kLivenessLimit = 42s;  // dpd_timeout, and the question before it

// The same two, one conversation earlier.
const World& earlier(const Scene& scene) {
  static std::map<Scene, std::unique_ptr<World>> made;
  std::unique_ptr<World>& w = made[scene];
  if (!w) {
    w = std::make_unique<World>(kSeed + 50);
    set_up(*w, scene);
    w->handshake(scene.initiator);
  }
  return *w;
}

const std::array<Worth, 2>& golden(const Scene& scene) {
  static std::map<Scene, std::array<Worth, 2>> made;
  const auto known = made.find(scene);
  if (known != made.end()) return known->second;
  World w{kSeed};
  set_up(w, scene);
  w.handshake(scene.initiator);
  return made[scene] = {worth_of(w.a), worth_of(w.b)};
}

bool sent_refusal(const World& w, const Side& side, bool initiator) {
  return std::any_of(w.sent.begin(), w.sent.end(), [&](const Flight& f) {
    if (f.from != side.name.front()) return false;
    const Seen seen = w.look(f);
    const wire::IkeHeader& h = seen.message.header;
    const bool where = initiator ? h.exchange == wire::ExchangeType::INFORMATIONAL && !h.is_response()
                                 : h.exchange == wire::ExchangeType::IKE_AUTH && h.is_response();
    return where && seen.opened && wire::find_notify(seen.payloads, wire::NotifyType::AUTHENTICATION_FAILED) != nullptr;
  });
}

// Both have one IKE SA, the same one, with one Child SA whose directions fit.
std::string tunnel_fault(const World& w) {
  const auto of_a = w.a.established();
  const auto of_b = w.b.established();
  if (of_a.size() != 1 || of_b.size() != 1) return "not one IKE SA each";
  const ike::SaInfo& x = of_a.front();
  const ike::SaInfo& y = of_b.front();
  if (x.spi_i != y.spi_i || x.spi_r != y.spi_r) return "different IKE SAs";
  if (x.children.empty() || y.children.empty()) return "no Child SA";
  if (x.children.front().spi_in != y.children.front().spi_out ||
      x.children.front().spi_out != y.children.front().spi_in)
    return "SPIs that do not fit";
  if (!(w.a.plane.outbound.at(x.children.front().id).keymat == w.b.plane.inbound.at(y.children.front().id).keymat) ||
      !(w.b.plane.outbound.at(y.children.front().id).keymat == w.a.plane.inbound.at(x.children.front().id).keymat))
    return "different keys";
  return {};
}

// Somebody is connected who has nobody at the other end, and has not noticed within the time of a liveness check.
std::string lonely(const World& w) {
  for (const Side* s : {&w.a, &w.b}) {
    for (const ike::SaInfo& sa : s->established()) {
      const auto others = (s == &w.a ? w.b : w.a).established();
      const bool paired = std::any_of(others.begin(), others.end(),
                                      [&](const ike::SaInfo& o) { return o.spi_i == sa.spi_i && o.spi_r == sa.spi_r; });
      if (!paired && w.now - sa.since > kLivenessLimit) return fmt::format("{} stays connected alone", s->name);
    }
  }
  return {};
}

std::string left_over(const World& w, bool with_tunnel) {
  const std::size_t each = with_tunnel ? 1 : 0;
  for (const Side* s : {&w.a, &w.b}) {
    if (s->endpoint->sas().size() != each)
      return fmt::format("{} keeps {} IKE SAs", s->name, s->endpoint->sas().size());
    if (s->plane.inbound.size() != each || s->plane.outbound.size() != each)
      return fmt::format("{} keeps Child SAs", s->name);
    if (!s->plane.reserved.empty()) return fmt::format("{} keeps SPIs reserved", s->name);
  }
  return {};
}

}  // namespace

std::string Scene::name() const {
  return fmt::format("{} begins, pq {}, transcript {}{}{}", initiator, to_string(pq),
                     transcript == model::DowngradePolicy::Require ? "require" : "auto",
                     peer_transcript ? "" : " with a peer that lacks it", fragments ? ", fragments" : "");
}

std::vector<Scene> scenes() {
  std::vector<Scene> out;
  for (const char who : {'A', 'B'}) {
    for (const auto pq : {model::PqPolicy::Require, model::PqPolicy::Prefer}) {
      out.push_back({who, pq, model::DowngradePolicy::Require, true, false});
      out.push_back({who, pq, model::DowngradePolicy::Auto, true, false});
      out.push_back({who, pq, model::DowngradePolicy::Auto, false, false});
    }
  }
  return out;
}

void set_up(World& w, const Scene& scene) {
  w.a.tunnel.pq = scene.pq;
  w.a.tunnel.downgrade = scene.transcript;
  if (!scene.peer_transcript) w.b.tunnel.downgrade = model::DowngradePolicy::Off;
  for (Side* s : {&w.a, &w.b}) {
    s->tunnel.ppk_policy = model::PpkPolicy::Prefer;
    s->tunnel.ppks = {{to_bytes("shared"), model::PresharedKey{SecretBytes::copy_of(Bytes(32, 0x5a))}}};
  }
  if (scene.pq == model::PqPolicy::Require) w.a.tunnel.ike = ipsec::default_hybrid_proposals();
  if (scene.fragments) w.a.tunnel.fragment_size = w.b.tunnel.fragment_size = 576;
}

unsigned strength_of(KeId id) {
  switch (id) {
    case KeId::CURVE25519:
    case KeId::ECP_256:
    case KeId::MODP_3072:
      return 128;
    case KeId::MODP_4096:
      return 152;
    case KeId::ECP_384:
      return 192;
    case KeId::ECP_521:
      return 256;
    default:
      return 112;
  }
}

Worth worth_of(const Side& side) {
  const ike::SaInfo sa = side.sa();
  std::vector<std::string> rounds;
  for (std::size_t i = 1; i < sa.key_exchanges.size(); ++i) rounds.push_back(to_string(sa.key_exchanges[i]));
  Worth out;
  out.classical_bits = strength_of(sa.key_exchanges.at(0));
  out.hybrid = sa.verdict.hybrid;
  out.downgrade_excluded = sa.downgrade_excluded;
  out.features =
      fmt::format("{} {} +{} hybrid={} ppk={} by={} quantum-safe={} mobike={} nat={}{} fragments={} remote={}",
                  to_string(sa.chosen->suite), static_cast<int>(sa.chosen->prf), fmt::join(rounds, "+"),
                  sa.verdict.hybrid, sa.verdict.ppk, sa.authenticated_by, sa.auth_quantum_safe, sa.mobike, sa.nat_local,
                  sa.nat_remote, sa.fragmentation, sa.remote_id.to_string());
  if (!sa.children.empty()) {
    out.features +=
        fmt::format(" child={} esn={} encap={} window={} {} === {}", to_string(sa.children.front().suite),
                    sa.children.front().esn, static_cast<int>(sa.children.front().encapsulation),
                    sa.children.front().replay_window, fmt::join(ipsec::to_strings(sa.children.front().local_ts), " "),
                    fmt::join(ipsec::to_strings(sa.children.front().remote_ts), " "));
  }
  return out;
}

namespace {

// `deaf`: the initiator's AUTHENTICATION_FAILED is lost, so that only a liveness check ends what the responder has.
Verdict play_once(const Rewrite& rewrite, const Scene& scene, bool deaf, bool& initiator_refused) {
  const std::array<Worth, 2>& untouched = golden(scene);
  World w{kSeed};
  set_up(w, scene);
  std::map<std::string, unsigned> passed;
  bool bites = false;
  bool busy = false;
  w.meddle = [&](Flight& f) {
    if (busy) return;
    busy = true;
    const Seen seen = w.look(f);
    const wire::IkeHeader& h = seen.message.header;
    Hand hand{w,
              f,
              seen,
              f.from == scene.initiator,
              earlier(scene),
              passed[fmt::format("{} {} {} {}", f.from, static_cast<int>(h.exchange), h.is_response(),
                                 seen.message.encrypted ? seen.message.encrypted->fragment_number : 0)]++,
              false};
    const Bytes before = f.bytes;
    if (deaf && hand.from_initiator && h.exchange == wire::ExchangeType::INFORMATIONAL &&
        wire::find_notify(seen.payloads, wire::NotifyType::AUTHENTICATION_FAILED) != nullptr)
      f.bytes.clear();
    rewrite.act(hand);
    bites = bites || hand.bites || f.bytes != before;
    busy = false;
  };
  w.begin(scene.initiator);
  w.run();

  Side& victim = w.side((rewrite.victim == Victim::Initiator) == (scene.initiator == 'A') ? 'A' : 'B');
  Side& other = w.side(victim.name == "A" ? 'B' : 'A');
  Verdict out;
  const auto fault = [&](std::string text) {
    out.fault = std::move(text) + "\n" + w.a.said() + w.b.said();
    return out;
  };
  // Whoever found AUTH wrong has said so, and the other side has heard it.
  for (Side* s : {&victim, &other}) {
    if (s->count(ike::Counter::authentication_failed) == 0) continue;
    if (!sent_refusal(w, *s, (s->name.front() == scene.initiator)))
      return fault(s->name + " did not send AUTHENTICATION_FAILED");
    Side& peer = s == &victim ? other : victim;
    const bool by_initiator = s->name.front() == scene.initiator;
    initiator_refused = initiator_refused || by_initiator;
    if (deaf && by_initiator) {
      if (peer.established().size() != 1) return fault(peer.name + " is not connected although it has heard nothing");
      continue;
    }
    if (!peer.established().empty()) return fault(peer.name + " is connected after AUTHENTICATION_FAILED");
  }
  constexpr int kLooks = 18;  // of 45 s: longer than the last retransmission of anything
  bool over = false;
  for (int i = 0; i < kLooks && !over; ++i) {
    w.run_for(45s);
    if (std::string who = lonely(w); !who.empty()) return fault(std::move(who));
    over = left_over(w, true).empty() || left_over(w, false).empty();
  }
  const bool tunnel = !w.a.established().empty() || !w.b.established().empty();
  if (std::string rest = left_over(w, tunnel); !rest.empty()) return fault(std::move(rest));
  if (!bites) {
    out.outcome = Verdict::Outcome::Void;
    if (!tunnel) return fault("no tunnel although nothing was changed");
    return out;
  }
  if (!tunnel) {
    if (rewrite.expect == Expect::Tunnel) return fault("no tunnel");
    if (rewrite.expect == Expect::Refused && victim.plane.installs != 0)
      return fault(victim.name + " installed keys after it had received what was rewritten");
    return out;
  }
  if (std::string wrong = tunnel_fault(w); !wrong.empty()) return fault("a tunnel with " + wrong);
  const std::array<Worth, 2> worth{worth_of(w.a), worth_of(w.b)};
  out.outcome = Verdict::Outcome::Golden;
  for (std::size_t i = 0; i < 2; ++i) {
    if (worth[i].features == untouched[i].features && worth[i].classical_bits >= untouched[i].classical_bits &&
        worth[i].downgrade_excluded == untouched[i].downgrade_excluded)
      continue;
    if (worth[i].downgrade_excluded || untouched[i].downgrade_excluded || rewrite.expect != Expect::Either)
      return fault(fmt::format("SILENT DOWNGRADE at {}: {}, {} bits\nwithout the attacker: {}, {} bits", "AB"[i],
                               worth[i].features, worth[i].classical_bits, untouched[i].features,
                               untouched[i].classical_bits));
    out.outcome = Verdict::Outcome::Shown;
  }
  if (rewrite.expect == Expect::Refused) return fault("a tunnel over a rewritten message");
  return out;
}

}  // namespace

Verdict play(const Rewrite& rewrite, Scene scene) {
  scene.fragments = rewrite.fragments;
  bool initiator_refused = false;
  Verdict out = play_once(rewrite, scene, false, initiator_refused);
  if (!out.fault.empty() || !initiator_refused) return out;
  const Verdict deaf = play_once(rewrite, scene, true, initiator_refused);
  out.alone = true;
  if (!deaf.fault.empty()) out.fault = "when AUTHENTICATION_FAILED is lost: " + deaf.fault;
  return out;
}

}  // namespace qanat::exchange::mitm
