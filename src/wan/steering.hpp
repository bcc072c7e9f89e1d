// Steering: which of the tunnels that one prefix leads to takes a packet.
//
//   inputs   the hops of the longest matching prefix, what is known of each tunnel, the packet
//   outputs  one hop, or why there is none; and the same choice explained, for `qanat route get`
//
// The lowest priority wins; a tunnel's state adds penalties to the priorities of its routes, and never takes a route
// away. Hops of equal sum share the flows by weight, by rendezvous hashing: a member that goes or comes moves only its
// own flows. All fragments of a datagram take one way. rules.md "Health", "Sharing and steering"; wan.md 1.5.
// A prefix one of whose routes says `pq = "require"` is for hybrid SAs only: for want of one its packets are dropped.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/strong_id.hpp"
#include "esp/inner_packet.hpp"
#include "ipsec/child_sa_params.hpp"
#include "wan/health.hpp"
#include "wan/hop.hpp"

namespace qanat::wan {

// Of a tunnel: of the weakest outbound SA that may carry its packets.
using ipsec::KeySafety;

struct TunnelState {
  HealthState health = HealthState::Down;
  KeySafety keys = KeySafety::None;
  bool hybrid_only = false;             // the tunnel's own pq = "require": an SA that comes will be hybrid
  std::uint32_t classical_penalty = 0;  // added while keys are Classical
  friend bool operator==(const TunnelState&, const TunnelState&) = default;
};

// A tunnel without an SA comes after all that have one, even those that are Down: nothing can be sent there now.
inline constexpr std::uint32_t kNoSaPenalty = 2'000'000;
[[nodiscard]] std::uint32_t penalty(const TunnelState& state);

// What is known of every tunnel, laid out for a look at every packet. Unknown tunnels have no SA.
class TunnelStates {
 public:
  // The flows that a tunnel gets depend on its name, so that they are the same after a restart and on every node.
  void set(TunnelId tunnel, std::string_view name, const TunnelState& state);
  void remove(TunnelId tunnel);

  struct Hot {
    std::uint64_t salt = 0;
    std::uint32_t penalty = kNoSaPenalty;
    bool hybrid = false;  // whatever is sent there goes under hybrid keys
  };
  [[nodiscard]] const Hot& hot(TunnelId tunnel) const {
    if (slots_.empty()) return unknown_;
    for (std::size_t at = place(tunnel);; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (!slot.used) return unknown_;
      if (slot.tunnel == tunnel) return slot.hot;
    }
  }
  [[nodiscard]] TunnelState state(TunnelId tunnel) const;
  [[nodiscard]] std::string name(TunnelId tunnel) const;  // "tunnel 7" when it is not known
  [[nodiscard]] std::size_t size() const { return cold_.size(); }

 private:
  struct Slot {
    TunnelId tunnel;
    bool used = false;
    Hot hot;
  };
  struct Cold {
    std::string name;
    TunnelState state;
  };
  [[nodiscard]] std::size_t place(TunnelId tunnel) const {
    return (tunnel.value() * 0x9e3779b1U) >> shift_;  // ids are handed out one after the other
  }
  void put(TunnelId tunnel, const Cold& cold);
  void rebuild();

  Hot unknown_;
  std::unordered_map<TunnelId, Cold> cold_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  unsigned shift_ = 31;
};

struct Choice {
  enum class Outcome : std::uint8_t {
    Chosen,
    NoHop,       // the prefix has none
    PqRequired,  // the prefix requires hybrid keys, and no tunnel has them: drop, never another prefix
  };
  Outcome outcome = Outcome::NoHop;
  const Hop* hop = nullptr;  // into what choose() was given
  bool hybrid_only = false;  // the prefix requires hybrid keys
};

// `hops`: of tunnels. No allocation; the packet is hashed only where several hops share the lowest sum.
[[nodiscard]] Choice choose(std::span<const Hop> hops, const TunnelStates& states, const esp::InnerPacket& p);

// Of source, destination, protocol and ports, or of what every fragment of the datagram shows.
[[nodiscard]] std::uint64_t flow_hash(const esp::InnerPacket& p);

struct Explanation {
  Choice choice;
  std::string summary;            // "through berlin-1: the lowest priority"
  std::vector<std::string> hops;  // a line each, in the order given
};
[[nodiscard]] Explanation explain(std::span<const Hop> hops, const TunnelStates& states, const esp::InnerPacket& p);

}  // namespace qanat::wan
