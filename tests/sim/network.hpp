// Network: what lies between gateways, as one seeded machine: loss, duplicates, disorder, damage, delay, small MTUs,
// cuts and NATs that forget. It decides about each datagram when it is sent; the world delivers what it lets through.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/rng.hpp"
#include "base/time.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::sim {

// Probabilities from 0 to 1, for one direction between two addresses.
struct Weather {
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;  // held back for up to 20 ms more, so that later ones overtake
  double corrupt = 0;  // one bit, one octet, or the end cut off
  Duration delay = 1ms;
  Duration jitter{};       // up and down
  std::size_t mtu = 1500;  // IP datagrams above it are lost: everybody sends with DF, and no ICMP comes back
};

struct Datagram {
  Endpoint from;
  Endpoint to;
  ipsec::Encapsulation encapsulation = ipsec::Encapsulation::Udp;
  Bytes payload;
};

// Several inside addresses behind one outside address. Native ESP has no ports and does not pass.
struct Nat {
  std::set<IpAddress> inside;
  std::vector<IpAddress> outside;  // with `rebind`, the next one after each change
  Duration rebind{};               // everything mapped is forgotten this often; 0: never
  bool one_to_one = false;         // static: one inside address, ports kept, reachable from outside

  // State.
  std::map<Endpoint, std::uint16_t> ports{};  // outside port of an inside endpoint
  std::uint16_t next_port = 20000;
  std::int64_t epoch = 0;
};

class Network {
 public:
  explicit Network(std::uint64_t seed) : rng_(seed) {}

  Weather weather;                                                // of every direction without its own
  std::map<std::pair<IpAddress, IpAddress>, Weather> directions;  // from, to: addresses outside any NAT
  std::set<std::pair<IpAddress, IpAddress>> cuts;                 // nothing passes
  std::vector<Nat> nats;

  void cut(const IpAddress& a, const IpAddress& b) {
    cuts.insert({a, b});
    cuts.insert({b, a});
  }
  // No more faults of any kind; NATs stay, and stop forgetting.
  void calm();

  struct Arrival {
    Instant at;
    Datagram datagram;  // as the receiver sees it
  };
  // None, one or more copies.
  [[nodiscard]] std::vector<Arrival> carry(Instant now, Datagram datagram);

  struct Counts {
    std::uint64_t sent = 0, lost = 0, duplicated = 0, reordered = 0, corrupted = 0, too_big = 0, cut = 0,
                  no_mapping = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  [[nodiscard]] bool chance(double probability);
  [[nodiscard]] bool leave_nat(Instant now, Datagram& datagram);
  [[nodiscard]] bool enter_nat(Instant now, Datagram& datagram);
  void damage(Bytes& payload);

  SeededRng rng_;
  Counts counts_;
};

}  // namespace qanat::sim
