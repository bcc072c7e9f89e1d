// RouteTable: where a destination lies, by longest prefix, for every VRF: a path-compressed trie of six bits a node for
// each address family (W. Eatherton et al., "Tree Bitmap", 2004, with the runs of single children left out), and in
// front of it the answers to the last questions.
//
// A change touches the nodes on one path, at most 22, and copies at most 64 children: a table is never rebuilt, and the
// next packet sees the change. Not thread-safe, not even lookup().
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <unordered_map>

#include "base/address.hpp"
#include "base/strong_id.hpp"
#include "wan/route_trie.hpp"

namespace qanat::wan {

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
