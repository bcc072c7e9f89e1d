// Somebody between A and B who rewrites what they say, and one judge of what comes of it (rules.md "Downgrade").
//
// A rewrite is a rule over the datagrams under way. It is played in every scene: whoever begins, under every policy of
// A's, B being a gateway as it comes, or one that has RFC 7296's AUTH only. The untouched conversation of the scene is
// the golden one.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <vector>

#include "exchange/world.hpp"

namespace qanat::exchange::mitm {

struct Scene {
  char initiator = 'A';
  model::PqPolicy pq = model::PqPolicy::Prefer;                      // of A
  model::DowngradePolicy transcript = model::DowngradePolicy::Auto;  // of A
  bool peer_transcript = true;                                       // B has full transcript authentication
  bool fragments = false;                                            // IKE messages of at most 576 octets
  friend auto operator<=>(const Scene&, const Scene&) = default;
  [[nodiscard]] std::string name() const;
};
[[nodiscard]] std::vector<Scene> scenes();
void set_up(World& world, const Scene& scene);

// What an attacker has in hand when a datagram passes.
struct Hand {
  World& world;
  Flight& flight;    // on its way; changed in place, or dropped by clearing its bytes
  const Seen& seen;  // what it is; opened with the keys that World knows, for attackers who know them
  bool from_initiator = false;
  const World& other;    // an earlier conversation of the same two, finished
  unsigned seen_before;  // datagrams of this kind (exchange, direction, fragment) before this one
  bool bites = false;    // something was changed, dropped or added
};

enum class Victim { Initiator, Responder };  // who receives what was rewritten
enum class Expect {
  Refused,  // never a tunnel, and never keys at the victim
  Tunnel,   // the golden tunnel, perhaps later
  Either,   // one of them
};

struct Rewrite {
  std::string name;
  Victim victim = Victim::Responder;
  Expect expect = Expect::Refused;
  std::function<void(Hand&)> act;
  bool fragments = false;  // is about fragments: they are made small in its scenes
};

// The families of rewrites; all names differ.
[[nodiscard]] std::vector<Rewrite> rewrites_of_init();    // the clear messages' content
[[nodiscard]] std::vector<Rewrite> rewrites_of_octets();  // ... and their octets that are no payload's meaning
[[nodiscard]] std::vector<Rewrite> forged_answers();      // in the clear, before the true one
[[nodiscard]] std::vector<Rewrite> rewrites_of_sealed();  // without any key
[[nodiscard]] std::vector<Rewrite> replays();             // again, to whoever sent it, from another conversation
[[nodiscard]] std::vector<Rewrite> rewrites_with_keys();  // by somebody who knows the IKE SA's keys but SK_d and SK_p

// How strong a classical key exchange is, in bits (NIST SP 800-57 part 1).
[[nodiscard]] unsigned strength_of(KeId id);

struct Verdict {
  enum class Outcome { Nothing, Void, Golden, Shown } outcome = Outcome::Nothing;
  bool alone = false;  // the responder was connected until it heard, or asked; both were tried
  std::string fault;   // empty: as it must be
};
[[nodiscard]] Verdict play(const Rewrite& rewrite, Scene scene);

// What a tunnel is worth at one side: everything that an attacker might want to be otherwise.
struct Worth {
  std::string features;
  unsigned classical_bits = 0;
  bool hybrid = false;
  bool downgrade_excluded = false;
};
[[nodiscard]] Worth worth_of(const Side& side);

}  // namespace qanat::exchange::mitm
