// RouteTrie: the prefixes of one address family of one VRF, and what they lead to.
//
// A node stands at a multiple of six bits and holds, as one bit each, the prefixes that end within its six bits (a
// heap: bit (1 << l) + v is the prefix of l < 6 bits with value v) and the 64 children that may follow. Bits between a
// node and its child that have neither prefix nor branch are left out, and compared with the child's key instead.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/address.hpp"
#include "base/strong_id.hpp"

namespace qanat::wan {

// What a prefix leads to. The order is the preference among hops of one prefix.
struct Hop {
  enum class Kind : std::uint8_t {
    Interface,  // an address of our own, answered in user space
    Local,      // reached by the host without a tunnel
    Tunnel,
  };
  Kind kind = Kind::Tunnel;
  TunnelId tunnel;  // of Interface and Tunnel
  friend auto operator<=>(const Hop&, const Hop&) = default;
};

// An address as two words, the first bit highest.
struct RouteKey {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  [[nodiscard]] static RouteKey of(const IpAddress& address);
  // The first `bits` bits, the others zero.
  [[nodiscard]] RouteKey masked(unsigned bits) const;
  // The six bits from `at` on; those behind the last are zero.
  [[nodiscard]] unsigned six(unsigned at) const;
  // How many leading bits are the same.
  [[nodiscard]] unsigned common(const RouteKey& other) const;
  friend bool operator==(const RouteKey&, const RouteKey&) = default;
};

class RouteTrie {
 public:
  struct Found {
    const Hop* hop = nullptr;  // the preferred one of the longest prefix; until the next change
    unsigned length = 0;
  };

  // False when nothing changes: it was there (was not there).
  bool add(const RouteKey& key, unsigned length, const Hop& hop);
  bool remove(const RouteKey& key, unsigned length, const Hop& hop);

  [[nodiscard]] Found longest(const RouteKey& key) const;
  // True when `hop` is among the hops of any prefix that holds the key.
  [[nodiscard]] bool any(const RouteKey& key, const Hop& hop) const;
  [[nodiscard]] bool empty() const { return root_ == nullptr; }

 private:
  // The hops of one prefix: nearly always one.
  struct Route {
    Hop best;
    std::unique_ptr<std::vector<Hop>> others;  // sorted; nullptr when there are none
    [[nodiscard]] bool has(const Hop& hop) const;
    [[nodiscard]] bool add(const Hop& hop);
  };
  struct Node {
    std::uint64_t inside = 0;   // prefixes that end here
    std::uint64_t outside = 0;  // children
    RouteKey key;               // up to `at`
    std::unique_ptr<Node[]> children;
    std::unique_ptr<Route[]> routes;
    std::uint8_t at = 0;
  };
  static_assert(sizeof(Node) <= 64, "a step of a lookup reads one cache line");

  // Calls use(node, those bits of `inside` whose prefixes hold the key) from the root on, where there are any, until it
  // returns true.
  template <typename Use>
  void walk(const RouteKey& key, const Use& use) const;
  [[nodiscard]] static Route& route(const Node& node, unsigned bit);

  std::unique_ptr<Node> root_;
};

}  // namespace qanat::wan
