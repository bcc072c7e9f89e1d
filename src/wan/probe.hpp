// Probes: the ICMP and ICMPv6 echo packets by which a tunnel's health is measured, and what comes back of them.
//
//   inputs   a tunnel's addresses and its health check; a sequence number; packets that arrive
//   outputs  whether and from where to where it can be measured; packets to send; which probe a packet answers
//
// `request`: an echo request to the peer, which answers. `reply`: an echo reply from the peer to us, which the far
// router just routes back (wan.md 1.4). Either way an echo reply from `remote` to `local` comes back, and it carries
// the tunnel, the sequence number and 16 octets of a PRF over both: who does not see the probes cannot answer for the
// peer.
#pragma once

#include <optional>
#include <variant>

#include "base/rng.hpp"
#include "base/secret.hpp"
#include "esp/inner_packet.hpp"
#include "model/wan.hpp"
#include "wan/flow.hpp"
#include "wan/health.hpp"

namespace qanat::wan {

struct ProbeAddresses {
  std::optional<IpAddress> interface4;  // ours
  std::optional<IpAddress> peer_interface4;
  std::optional<IpAddress> interface6;
  std::optional<IpAddress> peer_interface6;
  std::optional<IpAddress> outer_local;  // of the tunnel's datagrams, for unidirectional checks
  std::optional<IpAddress> outer_peer;
};

// Whom a probe asks, and who we are to it. Inner addresses of one family.
struct ProbePath {
  IpAddress local;
  IpAddress remote;
  model::ProbeType type = model::ProbeType::Request;
  model::ProbeDirection direction = model::ProbeDirection::Bidirectional;
  friend bool operator==(const ProbePath&, const ProbePath&) = default;
};

// The path, or why there is none: Disabled or NoAddress.
[[nodiscard]] std::variant<ProbePath, HealthCode> probe_path(const model::HealthCheck& check,
                                                             const ProbeAddresses& addresses);
// True when the selectors of a Child SA carry the probe, and its answer where that comes through the tunnel.
[[nodiscard]] bool selectors_carry(const ProbePath& path, SelectorView local, SelectorView remote);

struct ProbeAnswer {
  TunnelId tunnel;
  std::uint16_t sequence = 0;
  friend bool operator==(const ProbeAnswer&, const ProbeAnswer&) = default;
};

// True for a probe of type `reply` that the peer sends: an echo reply from our interface address to the peer's own,
// which came from the peer itself. It goes back into the tunnel that it came from, its TTL decremented like any packet
// that is routed; a source check would take it for a forgery.
[[nodiscard]] bool is_peers_reply_probe(ByteView packet, const esp::InnerPacket& p, const IpAddress& interface,
                                        const IpAddress& peer_interface);

class ProbeCodec {
 public:
  explicit ProbeCodec(Rng& rng);  // draws the key

  // A whole IP packet, DSCP 0, TTL 64; 64 octets of IPv4 or 84 of IPv6.
  [[nodiscard]] Bytes make(TunnelId tunnel, const ProbePath& path, std::uint16_t sequence) const;
  // What an echo reply answers, if it is to a probe of ours. Its addresses are the caller's to compare.
  [[nodiscard]] std::optional<ProbeAnswer> read(ByteView packet, const esp::InnerPacket& p) const;

 private:
  static constexpr std::size_t kTokenSize = 16;
  [[nodiscard]] SecretBytes token(ByteView what) const;
  SecretBytes key_;
};

}  // namespace qanat::wan
