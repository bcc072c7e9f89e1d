// The seam between IKE and whatever moves packets: our user-space plane, a recording fake in tests, the kernel's XFRM
// or a cluster later. Nothing above it names a TUN, a worker or the bits of an SPI.
//
// Commands are posted, never waited for: each that carries a RequestId is answered by one Done with the same id, which
// may be an error. Events are polled until empty.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ipsec/child_sa_params.hpp"

namespace qanat::ipsec {

struct Capabilities {
  bool native_esp = false;  // IP protocol 50 can be sent and received
  bool esn = true;
  std::vector<CipherSuite> suites;  // that packets can be protected with
};

// What the packet path knows of a tunnel besides its SAs.
struct TunnelPlan {
  TunnelId tunnel;
  VrfId vrf;
  std::string name;
  std::vector<Prefix> routes;           // inner prefixes that lie behind the peer
  std::optional<IpAddress> interface4;  // ours, answered in user space
  std::optional<IpAddress> peer_interface4;
  std::optional<IpAddress> interface6;
  std::optional<IpAddress> peer_interface6;
  bool source_check = true;          // drop inner sources that are not routed to this tunnel
  std::optional<std::uint8_t> dscp;  // of the outer header; nullopt copies
  enum class Df : std::uint8_t { Copy, Set, Clear } df = Df::Copy;
  std::uint16_t inner_mtu = 0;  // fixed, or 0 to work it out from outer_mtu and the SA
  std::uint16_t outer_mtu = 1500;
  bool clamp_mss = true;
  friend bool operator==(const TunnelPlan&, const TunnelPlan&) = default;
};

// Commands.
struct ReserveSpi {
  RequestId request;
  TunnelId tunnel;
};  // Done.spi is the inbound SPI
struct ReleaseSpi {
  EspSpi spi = 0;
};  // of a reservation that was never installed
struct InstallInbound {
  RequestId request;
  SaDirection sa;
};
struct InstallOutbound {
  RequestId request;
  SaDirection sa;
};  // installed: it carries nothing but dummies before a SwitchOutbound names it
// From now on this SA carries what its selectors fit, before all that were switched to earlier; those go on with the
// rest of the traffic, and with all of it once this one is removed.
struct SwitchOutbound {
  TunnelId tunnel;
  ChildSaId child;
};
struct SendDummy {
  ChildSaId child;
};  // one packet with next header 59, from an SA that is installed, switched to or not
struct RemoveInbound {
  ChildSaId child;
};
struct RemoveOutbound {
  ChildSaId child;
};
struct UpdatePeer {
  TunnelId tunnel;
  OuterPath path;
};  // every SA of the tunnel
struct SetTunnel {
  TunnelPlan plan;
};  // adds or replaces
struct RemoveTunnel {
  TunnelId tunnel;
};
struct ReadCounters {
  RequestId request;
};
using Command = std::variant<ReserveSpi, ReleaseSpi, InstallInbound, InstallOutbound, SwitchOutbound, SendDummy,
                             RemoveInbound, RemoveOutbound, UpdatePeer, SetTunnel, RemoveTunnel, ReadCounters>;

// Events.
struct Done {
  RequestId request;
  EspSpi spi = 0;  // for ReserveSpi
  Status status;
};
// A packet wants to go through a tunnel that has no outbound SA, or none whose selectors fit. The first packets wait
// a second for an SA to be switched to. Told at most once a second without any SA, else at most once a second for a
// destination and 8 times over all; not when an SA that fits is installed already.
struct Acquire {
  TunnelId tunnel;
  wire::TrafficSelector local;
  wire::TrafficSelector remote;
};
struct FirstInbound {
  TunnelId tunnel;
  ChildSaId child;
};  // once for each SA: the first packet, or dummy, that passed its replay check and verified
// Once for each half of a Child SA: the next is wanted.
struct SoftLimit {
  ChildSaId child;
};
// Once for each half of a Child SA: it carries nothing any more.
struct HardLimit {
  ChildSaId child;
};
struct PeerMoved {
  TunnelId tunnel;
  Endpoint from;
};  // the newest authenticated ESP of a replay-checked SA came from another address or port; at most once a second
// An authenticated packet that the selectors of its SA do not take was dropped. At most once a second for each tunnel.
struct OutsideSelectors {
  ChildSaId child;
  Bytes packet;  // its first octets, 128 at most
};
struct SaCounters {
  ChildSaId child;
  std::uint64_t packets_in = 0;
  std::uint64_t bytes_in = 0;  // inner octets
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
  std::optional<Instant> last_in;  // last authenticated packet: liveness need not ask after it
  std::optional<Instant> last_out;
  std::uint16_t inner_mtu = 0;  // in force: the largest packet that goes through in one piece; 0 without an outbound SA
};
struct TunnelCounters {
  TunnelId tunnel;
  std::vector<std::pair<std::string, std::uint64_t>> drops;  // by reason, those above zero
  std::uint64_t packets_in = 0;  // over all SAs since the tunnel was set, those that are gone too
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;
  std::uint64_t bytes_out = 0;
  std::uint16_t outer_mtu = 0;  // in force: the plan's, or a smaller one that was learnt
};
struct Counters {
  RequestId request;
  std::vector<SaCounters> sas;
  std::vector<TunnelCounters> tunnels;
  std::vector<std::pair<std::string, std::uint64_t>> drops;  // of the whole plane
};
using Event = std::variant<Done, Acquire, FirstInbound, SoftLimit, HardLimit, PeerMoved, OutsideSelectors, Counters>;

class DataPlane {
 public:
  virtual ~DataPlane() = default;
  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  virtual void post(Instant now, Command command) = 0;
  [[nodiscard]] virtual std::optional<Event> poll_event() = 0;
};

}  // namespace qanat::ipsec
