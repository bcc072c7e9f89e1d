// RouteTable: where a destination lies, by longest prefix, for every VRF. One hash map for each prefix length in use;
// a compressed trie comes when there are many lengths (ARCHITECTURE.md).
#pragma once

#include <compare>
#include <optional>
#include <unordered_map>
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

class RouteTable {
 public:
  struct Match {
    Hop hop;
    unsigned length = 0;  // of the prefix
  };

  // The same (prefix, hop) twice counts once.
  void add(VrfId vrf, const Prefix& prefix, const Hop& hop);
  void remove(VrfId vrf, const Prefix& prefix, const Hop& hop);

  [[nodiscard]] std::optional<Match> lookup(VrfId vrf, const IpAddress& address) const;
  // True when any prefix of that tunnel holds the address, whatever is preferred.
  [[nodiscard]] bool leads_to(VrfId vrf, const IpAddress& address, TunnelId tunnel) const;
  [[nodiscard]] std::size_t size() const;  // (prefix, hop) pairs

 private:
  // An address as two words, the first bit highest: masked and hashed in a few instructions for every packet.
  struct Key {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    [[nodiscard]] static Key of(const IpAddress& address);
    [[nodiscard]] Key masked(unsigned length) const;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const noexcept;
  };
  using Hops = std::vector<Hop>;  // sorted, never empty
  struct Level {
    unsigned length = 0;
    std::unordered_map<Key, Hops, KeyHash> prefixes;
  };
  struct Family {
    std::vector<Level> levels;  // the longest first, none empty
  };
  struct Vrf {
    Family v4;
    Family v6;
  };
  [[nodiscard]] const Family* family(VrfId vrf, const IpAddress& address) const;

  std::unordered_map<VrfId, Vrf> vrfs_;
};

}  // namespace qanat::wan
