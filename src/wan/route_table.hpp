// RouteTable: where a destination lies, by longest prefix, for every VRF: a path-compressed trie of six bits a node for
// each address family (W. Eatherton et al., "Tree Bitmap", 2004, with the runs of single children left out), and in
// front of it the answers to the last questions.
//
// A change touches the nodes on one path, at most 22, and copies at most 64 children: a table is never rebuilt, and the
// next packet sees the change. Not thread-safe, not even lookup().
#pragma once

#include <array>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/address.hpp"
#include "base/strong_id.hpp"
#include "wan/route_trie.hpp"

namespace qanat::wan {

class RouteTable {
 public:
  struct Match {
    Hop hop;              // the preferred one
    unsigned length = 0;  // of the prefix
    // Where there is something to choose (several hops, or one that makes demands): all of them, those of tunnels when
    // the preferred one is. Until the next change.
    const std::vector<Hop>* hops = nullptr;
    friend bool operator==(const Match&, const Match&) = default;
  };

  // A prefix has one hop of a kind and tunnel: added again, it has the new terms. Removed by kind and tunnel.
  void add(VrfId vrf, const Prefix& prefix, const Hop& hop);
  void remove(VrfId vrf, const Prefix& prefix, const Hop& hop);

  [[nodiscard]] std::optional<Match> lookup(VrfId vrf, const IpAddress& address) const;
  // True when any prefix that holds the address leads into that tunnel, whatever is preferred; false for what the host
  // reaches without a tunnel.
  [[nodiscard]] bool leads_to(VrfId vrf, const IpAddress& address, TunnelId tunnel) const;
  [[nodiscard]] std::size_t size() const { return size_; }  // (prefix, hop) pairs

 private:
  struct Vrf {
    RouteTrie v4;
    RouteTrie v6;
  };
  // An answer, as long as no change came after it. Two kinds of questions, so two caches.
  template <typename Answer>
  struct Remembered {
    IpAddress address;
    VrfId vrf;
    TunnelId tunnel;          // of leads_to()
    std::uint64_t as_of = 0;  // of generation_; 0: none
    Answer answer{};
  };
  static constexpr std::size_t kRemembered = 1024;  // what a second-level cache holds beside the rest
  template <typename Answer>
  using Memory = std::array<Remembered<Answer>, kRemembered>;

  template <typename Answer, typename Find>
  [[nodiscard]] Answer remember(Memory<Answer>& memory, VrfId vrf, const IpAddress& address, TunnelId tunnel,
                                const Find& find) const;
  [[nodiscard]] const RouteTrie* trie(VrfId vrf, const IpAddress& address) const;

  std::unordered_map<VrfId, Vrf> vrfs_;
  std::size_t size_ = 0;
  std::uint64_t generation_ = 1;  // of the table: another one after every change
  mutable Memory<std::optional<Match>> matches_;
  mutable Memory<bool> sources_;
};

}  // namespace qanat::wan
