// What a new configuration changes, and what that does to live SAs (rules.md "What a reload does to live SAs"). Pure:
// the daemon acts by it, and `qanat check --diff` prints it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/tunnel.hpp"

namespace qanat::config {

enum class Effect : std::uint8_t {
  InPlace,     // live SAs go on under the new values
  ChildRekey,  // the keys of packets are renewed at once
  NewIkeSa,    // a new IKE SA, make-before-break; the old one goes when it stands, and after 60 s in any case
  Enforced,    // SAs that break the new rule are deleted at once; those that keep it go on
  Added,
  Removed,  // of a tunnel: Delete, then its routes, its barrier and its filter go
  Restart,  // stays as it is until the daemon is started anew
};

struct Change {
  enum class Kind : std::uint8_t { Gateway, Vrf, Tunnel, Route, Policy, Nat } kind{};
  std::string name;               // "berlin"; of a route "10.1.0.0/16 via berlin"; empty for the gateway
  std::vector<std::string> keys;  // as the file writes them, in its order of sections; empty when all of it is meant
  Effect effect{};
  friend bool operator==(const Change&, const Change&) = default;
};

// Gateway, VRFs, tunnels in the new order and then those that are gone, routes, policy, NAT. An object with keys of
// several effects has a change for each, the strongest last. Equal configurations: empty.
[[nodiscard]] std::vector<Change> diff(const model::Config& old, const model::Config& now);

// `now` with what needs a restart as it was; what a running daemon goes on with. VRFs are never changed, so this is not
// to be used when they differ.
[[nodiscard]] model::Config without_restart(const model::Config& old, const model::Config& now);

[[nodiscard]] std::string_view to_string(Change::Kind kind);  // "gateway", "vrf", "tunnel", ...
[[nodiscard]] std::string_view to_string(Effect effect);      // "in place", "child rekey", ...
[[nodiscard]] std::string_view meaning(Effect effect);        // a phrase for people

// How the routes and the selectors of a tunnel restrict what it may carry: for the judgement of a change.
struct Scope {
  std::vector<Prefix> local;
  std::vector<Prefix> remote;
};
[[nodiscard]] Scope scope_of(const model::Tunnel& tunnel);
// Everything in `inner` is in `outer`, prefix by prefix.
[[nodiscard]] bool is_within(const std::vector<Prefix>& inner, const std::vector<Prefix>& outer);

}  // namespace qanat::config
