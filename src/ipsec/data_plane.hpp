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
};  // installed, not yet used
struct SwitchOutbound {
  TunnelId tunnel;
  ChildSaId child;
};  // the tunnel's traffic uses this SA from now on
struct SendDummy {
  ChildSaId child;
};  // one packet with next header 59
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
// A packet wants to go through a tunnel that has no outbound SA (or none whose selectors fit).
struct Acquire {
  TunnelId tunnel;
  wire::TrafficSelector local;
  wire::TrafficSelector remote;
};
struct FirstInbound {
  TunnelId tunnel;
  ChildSaId child;
};  // the first packet that passed the replay check of an SA
struct SoftLimit {
  ChildSaId child;
};
struct HardLimit {
  ChildSaId child;
};
struct PeerMoved {
  TunnelId tunnel;
  Endpoint from;
};  // authenticated ESP came from another address or port
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
using Event = std::variant<Done, Acquire, FirstInbound, SoftLimit, HardLimit, PeerMoved, Counters>;

class DataPlane {
 public:
  virtual ~DataPlane() = default;
  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  virtual void post(Instant now, Command command) = 0;
  [[nodiscard]] virtual std::optional<Event> poll_event() = 0;
};

}  // namespace qanat::ipsec
