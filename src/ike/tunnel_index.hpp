// TunnelIndex: the configured tunnels, and how a peer's messages find the one that they mean (rules.md "Which tunnel a
// message belongs to").
//
// IKE_SA_INIT tells addresses and proposals. Tunnels whose answer to it cannot differ form a group, which is judged
// once, so ten thousand tunnels with peer = "any" and the same settings cost as much as one. IKE_AUTH tells identities,
// and finds its tunnel by them.
#pragma once

#include <array>
#include <optional>
#include <unordered_map>
#include <vector>

#include "ike/config.hpp"

namespace qanat::ike {

class TunnelIndex {
 public:
  // What decides about a proposal: equal terms, equal choice. A digest.
  using Terms = std::array<std::uint8_t, 16>;
  struct Group {
    Terms terms;
    TunnelRef example;  // the member with the lowest id
  };

  // In place of the one with that id, if there is one.
  void set(TunnelRef tunnel);
  void remove(TunnelId id);
  [[nodiscard]] TunnelRef find(TunnelId id) const;  // null: there is none
  // Some tunnel names that peer, or takes any.
  [[nodiscard]] bool knows_peer(const IpAddress& remote) const;
  // The groups of the tunnels whose addresses fit, those that name the peer's address first.
  [[nodiscard]] std::vector<Group> by_addresses(const IpAddress& local, const IpAddress& remote) const;
  // The tunnels whose addresses fit as well as the identities, in the same order. `idr`: null when the peer has not
  // said whom it wants.
  [[nodiscard]] std::vector<TunnelRef> by_identities(const IpAddress& local, const IpAddress& remote,
                                                     const wire::Identity& idi, const wire::Identity* idr) const;
  // Another tunnel than `tunnel` has both its identities.
  [[nodiscard]] bool shares_identities(const TunnelConfig& tunnel) const;
  // Entries in all tables.
  [[nodiscard]] std::size_t size() const;

 private:
  using Peer = std::optional<IpAddress>;
  struct Members {
    IpAddress local;
    Terms terms;
    Terms answer;               // what else the answer depends upon
    std::vector<TunnelId> ids;  // ascending
  };

  std::unordered_map<TunnelId, TunnelRef> tunnels_;
  std::unordered_map<Peer, std::vector<Members>> by_peer_;
  std::unordered_multimap<std::uint64_t, TunnelId> by_identity_;  // by a hash of peer and remote_id: to be looked at
  std::unordered_map<std::uint64_t, std::uint32_t> pairs_;        // how many have a hash of local_id and remote_id
};

}  // namespace qanat::ike
