// HealthBoard: the health of every tunnel behind one timer.
//
//   commands   set(), remove()
//   inputs     handle_liveness(), handle_packet(), handle_timeout()
//   outputs    poll_probe(): packets to send into a tunnel, poll_change(): changes of state; both until empty
//   getters    find(), next_timeout()
//
// A probe has to leave through the tunnel that it is about, whatever the routes and the packet policy say. Every packet
// in that may be an answer (an echo reply to an interface address, or from outside for unidirectional checks) is shown
// to handle_packet() with the tunnel that it came through; those that wait are shown before the timer is handled, so
// that a pause of ours is no loss.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <unordered_map>
#include <variant>

#include "base/bytes.hpp"
#include "base/rng.hpp"
#include "wan/health.hpp"
#include "wan/probe.hpp"

namespace qanat::wan {

class HealthBoard {
 public:
  struct Plan {
    model::ProbeRate rate = model::ProbeRate::Mid;
    std::variant<ProbePath, HealthCode> path = HealthCode::Disabled;  // or why it cannot be measured
    friend bool operator==(const Plan&, const Plan&) = default;
  };
  struct Probe {
    TunnelId tunnel;
    Bytes packet;  // IPv4 or IPv6
  };
  struct Change {
    TunnelId tunnel;
    HealthChange change;
  };
  enum class Taken : std::uint8_t {
    NotOurs,   // no answer to a probe of ours: some other packet
    Answer,    // counted
    NoSample,  // a probe's answer that counts for nothing: a copy, too old, another way or from elsewhere
  };
  struct Entry {
    Plan plan;
    TunnelHealth health;
    std::uint64_t probes = 0;
    std::uint64_t no_samples = 0;
    std::optional<Instant> due;  // where it stands in the queue
  };

  // `rng` must outlive the board.
  explicit HealthBoard(Rng& rng) : rng_(rng), codec_(rng) {}
  HealthBoard(const HealthBoard&) = delete;
  HealthBoard& operator=(const HealthBoard&) = delete;

  // Adds or changes: another path begins anew, another rate goes on with what is known, the same plan changes nothing.
  void set(Instant now, TunnelId tunnel, const Plan& plan);
  void remove(TunnelId tunnel);
  // Whether the tunnel has a Child SA that carries packets. Tunnels begin without.
  void handle_liveness(Instant now, TunnelId tunnel, TunnelHealth::Liveness liveness);
  // `through`: the tunnel that a packet came from; nullopt: from outside of all tunnels.
  Taken handle_packet(Instant now, std::optional<TunnelId> through, ByteView packet, const esp::InnerPacket& p);
  void handle_timeout(Instant now);

  [[nodiscard]] std::optional<Probe> poll_probe();
  [[nodiscard]] std::optional<Change> poll_change();

  [[nodiscard]] std::optional<Instant> next_timeout() const;
  [[nodiscard]] const Entry* find(TunnelId tunnel) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Due {
    TunnelId tunnel;
    std::uint16_t sequence = 0;
  };
  void drain(Instant now, TunnelId tunnel, Entry& entry);

  Rng& rng_;
  ProbeCodec codec_;
  std::unordered_map<TunnelId, Entry> entries_;
  std::set<std::pair<Instant, TunnelId>> queue_;
  std::deque<Due> probes_;
  std::deque<Change> changes_;
};

}  // namespace qanat::wan
