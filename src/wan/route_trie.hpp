// RouteTrie: the prefixes of one address family of one VRF, and what they lead to.
//
// A node stands at a multiple of six bits and holds, as one bit each, the prefixes that end within its six bits (a
// heap: bit (1 << l) + v is the prefix of l < 6 bits with value v) and the 64 children that may follow. Bits between a
// node and its child that have neither prefix nor branch are left out, and compared with the child's key instead.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/address.hpp"
#include "base/strong_id.hpp"
#include "wan/hop.hpp"

namespace qanat::wan {

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
    // Every hop of the prefix, in their order, where there is more than one or one that makes demands; until the next
    // change.
    const std::vector<Hop>* hops = nullptr;
  };

  enum class Added : std::uint8_t { New, Changed, Same };
  // Another hop of the same way is replaced.
  Added add(const RouteKey& key, unsigned length, const Hop& hop);
  // The hop of the same way; false when there was none.
  bool remove(const RouteKey& key, unsigned length, const Hop& hop);

  [[nodiscard]] Found longest(const RouteKey& key) const;
  // True when any prefix that holds the key leads into the tunnel.
  [[nodiscard]] bool any(const RouteKey& key, TunnelId tunnel) const;
  [[nodiscard]] bool empty() const { return root_ == nullptr; }

 private:
  // The hops of one prefix: nearly always one.
  struct Route {
    Hop best;
    std::unique_ptr<std::vector<Hop>> all;  // sorted; nullptr when `best` is all and makes no demands
    void set(std::vector<Hop> hops);        // sorted, not empty
    [[nodiscard]] std::vector<Hop> hops() const { return all != nullptr ? *all : std::vector{best}; }
    [[nodiscard]] Added add(const Hop& hop);
    [[nodiscard]] bool leads_into(TunnelId tunnel) const;
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
