// Duel: two real IkeEndpoints, packet paths that only keep books, and two queues of datagrams between them, one a
// direction. Nothing moves but by the caller's hand: the loss model rolls dice for it, the explorer tries everything.
// Link it with the crypto double: then one conversation costs some ten microseconds.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ike/endpoint.hpp"

namespace qanat::sim {

// Whose k-th nonce is the lowest is the caller's choice: the first octet of every draw of 32 octets (a nonce) comes
// from `nonces`, in turn, and that of every draw of 8 (an SPI, a jitter) from `small`.
class SteeredRng final : public Rng {
 public:
  explicit SteeredRng(std::uint64_t seed) : rng_(seed) {}
  void fill(MutableByteView out) override;
  [[nodiscard]] bool deterministic() const override { return true; }

  std::deque<std::uint8_t> nonces;
  std::optional<std::uint8_t> small;

 private:
  SeededRng rng_;
};

// A packet path's books. Impossible commands become complaints.
class BookPlane {
 public:
  struct Sa {
    TunnelId tunnel;
    ipsec::EspSpi spi = 0;
  };
  void post(ipsec::Command command, std::vector<std::string>& complaints);
  [[nodiscard]] std::optional<ipsec::Event> poll_event();
  [[nodiscard]] bool has_event() const { return !events_.empty(); }
  [[nodiscard]] bool empty() const { return reserved.empty() && inbound.empty() && outbound.empty(); }

  std::set<ipsec::EspSpi> reserved;
  std::map<ChildSaId, Sa> inbound;
  std::map<ChildSaId, Sa> outbound;
  std::optional<ChildSaId> current;  // what traffic uses
  ipsec::EspSpi next_spi = 0x1001;

 private:
  std::deque<ipsec::Event> events_;
};

struct Player {
  explicit Player(std::uint64_t seed) : rng(seed) {}
  std::string name;
  SteeredRng rng;
  ike::EndpointConfig config;
  ike::TunnelConfig tunnel;
  std::shared_ptr<ike::TunnelConfig> live;  // what the endpoint has of it, from open() on
  BookPlane plane;
  std::size_t certificate_octets = 0;  // when the tunnel's authentication is by certificate: sizes of what we send
  std::size_t signature_octets = 0;
  std::unique_ptr<ike::IkeEndpoint> endpoint;
  std::vector<ike::Report> reports;
  std::vector<std::string> complaints;
  std::uint64_t history = 0;  // a digest of all its inputs, in order: it determines the state

  [[nodiscard]] std::vector<ike::SaInfo> established() const;
};

struct Shot {
  ike::Path path;  // as the sender sees it
  Bytes bytes;
  bool held = false;  // until a later one has overtaken it
};

class Duel {
 public:
  explicit Duel(std::uint64_t seed);

  // Endpoints are made from `players[n].config` and `.tunnel`.
  void open();
  // Both sides' actions and events, until both are silent.
  void drain();
  // Datagram `index` that `from` has sent arrives.
  void deliver(std::size_t from, std::size_t index = 0);
  // Time passes, to the next timer of either side.
  void advance(Instant to);
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  // In order and without a fault, until nothing moves; timers fire up to `limit` from now.
  void run(Duration limit = {});
  // The first answer that the packet path of `player` owes is given; only with slow planes is one left for that.
  void answer_of_plane(std::size_t player);
  // A command that is no datagram went in; `what` tells commands apart.
  void note_command(std::size_t player, std::uint64_t what);

  std::array<Player, 2> players;
  std::array<std::deque<Shot>, 2> wire;  // by sender
  Instant now = Instant::from_ns(1'000'000'000);
  bool slow_planes = false;  // what packet paths answer comes by the caller's hand, too

 private:
  void drain(std::size_t n);
};

// What a finished conversation must look like on both sides; empty is sound.
[[nodiscard]] std::vector<std::string> problems_of(const Duel& duel);
// Ends every IKE SA, lets all timers pass, and tells what is left over.
[[nodiscard]] std::vector<std::string> leftovers_of(Duel& duel);

}  // namespace qanat::sim
