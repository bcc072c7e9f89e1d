// What IKE knows of addresses that change (MOBIKE, RFC 4555).
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "ike/actions.hpp"
#include "ike/config.hpp"
#include "wire/payloads.hpp"

namespace qanat::ike {

// The host's addresses as they are now, those that nobody outside can reach (loopback, link-local) left out. Empty: not
// known, and then no address counts as gone.
struct HostAddresses {
  std::vector<IpAddress> all;
  // To reach the first, the host's routing would send from the second. Empty: not known.
  std::vector<std::pair<IpAddress, IpAddress>> sources;
  // The ones left out, and those that are not to be used for anything new. Nothing moves to them, but they are there.
  std::vector<IpAddress> rest{};
};

// Our address for packets to `remote`: `now` as long as the host has it, else the one that its routing names, else
// another that is meant for peers. nullopt: there is none, or the tunnel has an address of its own and does not move.
[[nodiscard]] std::optional<IpAddress> choose_local(const TunnelConfig& tunnel, const HostAddresses& host,
                                                    const IpAddress& now, const IpAddress& remote);

// Of one IKE SA.
struct Mobike {
  bool on = false;                        // both have said MOBIKE_SUPPORTED
  bool nat_traversal = false;             // the peer has sent NAT_DETECTION payloads: it knows port 4500
  std::vector<IpAddress> peer_addresses;  // that the peer has announced besides the one in use
  std::vector<IpAddress> announced;       // ours, as the peer knows them
  Bytes seen_as;         // hash of our address and port as the peer saw it last (its NAT_DETECTION_DESTINATION_IP)
  unsigned refused = 0;  // paths that the peer did not want, one after the other
};

// A request about addresses that is on its way.
struct AddressExchange {
  enum class What : std::uint8_t {
    Update,    // UPDATE_SA_ADDRESSES: the Child SAs move, too (3.5)
    Announce,  // ours have changed (3.6)
    Check      // whether the peer receives what is sent to its new address (3.7)
  } what{};
  Path path;
  Bytes cookie;  // COOKIE2
};

// A request with NO_NATS_ALLOWED (3.9, 4.2.6) whose addresses or ports have been changed on the way.
[[nodiscard]] bool says_another_path(const wire::Payloads& payloads, const Path& arrived);

}  // namespace qanat::ike
