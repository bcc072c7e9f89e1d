// Hop: one of the ways that a prefix leads to, and the terms on which it competes with the others.
#pragma once

#include <compare>
#include <cstdint>

#include "base/strong_id.hpp"

namespace qanat::wan {

// The hops of one prefix are told apart by (kind, tunnel). Their order is the preference: a kind before the next one,
// tunnels by priority. Among tunnels it is only the order before what is known of them (wan/steering.hpp).
struct Hop {
  enum class Kind : std::uint8_t {
    Interface,  // an address of our own, answered in user space
    Local,      // reached by the host without a tunnel
    Peer,       // the peer's interface address: through its own tunnel, whatever the routes say
    Tunnel,
  };
  Kind kind = Kind::Tunnel;
  TunnelId tunnel;               // of all but Local
  std::uint32_t priority = 100;  // lower wins
  std::uint16_t weight = 1;      // 1..256
  bool pq_require = false;

  [[nodiscard]] bool same_way(const Hop& o) const { return kind == o.kind && tunnel == o.tunnel; }
  // True when packets to it go into that tunnel.
  [[nodiscard]] bool leads_into(TunnelId t) const { return kind >= Kind::Peer && tunnel == t; }
  friend bool operator==(const Hop&, const Hop&) = default;
  friend std::strong_ordering operator<=>(const Hop& a, const Hop& b) {
    if (const auto c = a.kind <=> b.kind; c != 0) return c;
    if (const auto c = a.priority <=> b.priority; c != 0) return c;
    if (const auto c = a.tunnel <=> b.tunnel; c != 0) return c;
    if (const auto c = a.weight <=> b.weight; c != 0) return c;
    return a.pq_require <=> b.pq_require;
  }
};

}  // namespace qanat::wan
