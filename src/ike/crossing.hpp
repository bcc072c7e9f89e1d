// What the shards of a gateway tell one another about the IKE SAs of one tunnel. We begin all handshakes of a tunnel in
// one shard (ShardMap::home_of), a peer's may be put on any other: after both sides began at once, after a restart of
// the peer, after its reauthentication. What a newcomer means for the others is then decided as within one shard, by
// the shard that has the others; whoever carries the messages sees to it that of two which stand up together only one
// is the newcomer.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "ike/config.hpp"
#include "ike/half_open.hpp"
#include "ipsec/data_plane.hpp"

namespace qanat::ike {

// An IKE SA as the others of its tunnel must know it.
struct SaCard {
  std::uint64_t our_spi = 0;
  TunnelRef tunnel;  // as it was configured when that was made
  wire::Identity peer_id;
  Instant begun;
  // Of the handshake that it comes from (IkeSa::Origin).
  std::uint64_t spi_i = 0;
  bool ours = false;
  Instant established;
  bool initial_contact = false;       // the peer said that it knows no other
  std::optional<ChildSaId> carrying;  // its newest Child SA
  bool waits = false;                 // which awaits the peer's first packet before it carries ours
};

struct SelectorPair {
  wire::TrafficSelector local;
  wire::TrafficSelector remote;
};

// Shard -> the other shards that have IKE SAs of the tunnel.
struct Met {  // a newcomer stands
  SaCard fresh;
};
struct Outlived {  // its time is over, if a better one stands
  SaCard loser;
};
struct NobodyCarries {  // our packets any more, here: what waits may begin
  TunnelId tunnel;
};
// Shard -> the shard of that SPI.
struct Doubted {  // another is better: whoever began this one deletes it, or we do
  std::uint64_t spi = 0;
};
struct Replaced {  // answers Outlived: it goes
  std::uint64_t spi = 0;
};
struct Unopposed {  // answers Met of one that waits: here nothing carries our packets
  std::uint64_t spi = 0;
};
struct TakeOver {  // what the IKE SA that it replaces carried
  std::uint64_t spi = 0;
  std::vector<SelectorPair> selectors;
};
// Shard -> whoever carries these messages: it has no IKE SA of that tunnel any more.
struct Left {
  TunnelId tunnel;
};
// To the tunnel's home: the peer has been met elsewhere, so INITIAL_CONTACT is not for us to say any more.
struct Contacted {
  TunnelId tunnel;
};
// Packets came for an SA that is not known here: shard -> the next one, of which the last tells whoever sent them. One
// with an IKE SA of theirs keeps silent, and asks no other.
struct NotKnown {
  ipsec::UnknownSpi packet;
};
// Shard -> all others: somebody there says that it does not know an SA that packets of ours are for.
struct NotKnownThere {
  IpAddress remote;
  ipsec::EspSpi spi = 0;
};
using Crossing = std::variant<Met, Outlived, NobodyCarries, Doubted, Replaced, Unopposed, TakeOver, Left, Contacted,
                              HalfOpenChanged, NotKnown, NotKnownThere>;

}  // namespace qanat::ike
