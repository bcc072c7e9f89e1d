// The seam between IKE and whatever moves packets: our user-space plane, a recording fake in tests, the kernel's XFRM
// or a cluster later. Nothing above it names a TUN, a worker or the bits of an SPI.
//
// Commands are posted, never waited for: each that carries a RequestId is answered by one Done with the same id, which
// may be an error. Events are polled until empty.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ipsec/child_sa_params.hpp"

namespace qanat::ipsec {

struct Capabilities {
  bool native_esp = false;  // IP protocol 50 can be sent and received
  bool esn = true;
  std::vector<CipherSuite> suites;  // that packets can be protected with
};

// How a tunnel's health is measured (rules.md "Health"; wan.md 1.4).
struct HealthPlan {
  enum class Type : std::uint8_t { Reply, Request };
  enum class Rate : std::uint8_t { Low, Mid, High };  // a probe in 10 s, 1 s, 0.2 s
  bool enabled = false;
  Type type = Type::Request;
  Rate rate = Rate::Mid;
  bool unidirectional = false;      // the answers come outside of the tunnel
  std::optional<IpAddress> target;  // default: the peer's interface address
  friend bool operator==(const HealthPlan&, const HealthPlan&) = default;
};

// What the packet path knows of a tunnel besides its SAs and its routes.
struct TunnelPlan {
  TunnelId tunnel;
  VrfId vrf;
  std::string name;
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
  HealthPlan health;
  bool hybrid_only = false;             // no SA of it will ever be less
  std::uint32_t classical_penalty = 0;  // added to the priorities of its routes while its keys are classical
  friend bool operator==(const TunnelPlan&, const TunnelPlan&) = default;
};

// One way to a prefix.
struct RouteHop {
  Prefix prefix;
  TunnelId tunnel;
  std::uint32_t priority = 100;  // lower wins
  std::uint16_t weight = 1;      // 1..256, among equal priorities
  bool hybrid_only = false;      // packets to this prefix leave under hybrid keys, or not at all
  friend bool operator==(const RouteHop&, const RouteHop&) = default;
};

// A packet is meant when all that is named here fits it; what is empty fits every packet.
struct PolicyRule {
  enum class Action : std::uint8_t { Allow, Drop, Log };  // Log: counted and told, and on to the next rule
  struct Side {
    enum class Kind : std::uint8_t { Any, Host, Tunnel } kind = Kind::Any;  // Host: everything behind the TUN
    TunnelId tunnel;
    friend bool operator==(const Side&, const Side&) = default;
  };
  struct Ports {
    std::uint16_t first = 0;
    std::uint16_t last = 65535;
    friend bool operator==(const Ports&, const Ports&) = default;
  };
  std::string name;  // unique in its VRF
  VrfId vrf;
  std::vector<Prefix> from;  // inner source
  std::vector<Prefix> to;    // inner destination
  std::optional<std::uint8_t> protocol;
  std::optional<Ports> from_ports;        // of a protocol that has them
  std::optional<Ports> to_ports;          //
  std::optional<std::uint8_t> icmp_type;  // of protocol 1 or 58
  Side from_side;
  Side to_side;
  Action action = Action::Allow;
  friend bool operator==(const PolicyRule&, const PolicyRule&) = default;
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
// With all its routes. One that comes in another VRF than before loses its routes, too.
struct RemoveTunnel {
  TunnelId tunnel;
};
// In one step, `remove` first. A pair of prefix and tunnel is unique: added again, it has the new terms. Tunnels that
// are not known in this VRF are passed over.
struct SetRoutes {
  VrfId vrf;
  std::vector<RouteHop> add;
  std::vector<RouteHop> remove;  // by prefix and tunnel
};
// What the host reaches without a tunnel, of one VRF, as a whole. A packet from a tunnel goes to the host when its
// longest match is one of these (or none, or a default route, or the tunnel that it came from), and to another tunnel
// otherwise; no tunnel may send with a source whose longest match is one of these.
struct SetLocalPrefixes {
  VrfId vrf;
  std::vector<Prefix> prefixes;
  friend bool operator==(const SetLocalPrefixes&, const SetLocalPrefixes&) = default;
};
// All rules, of every VRF, in order. What stays under its name and action goes on counting.
struct SetPolicy {
  std::vector<PolicyRule> rules;
};
struct ReadCounters {
  RequestId request;
};
// One echo request from our interface address to the peer's, inside the tunnel; answered by one Pinged.
struct Ping {
  RequestId request;
  TunnelId tunnel;
};
// What a capture takes: inner packets that all that is named here fits; what is empty fits every packet. With a port,
// of later fragments only those whose ports are known.
struct CaptureFilter {
  std::optional<Prefix> source = {};
  std::optional<Prefix> destination = {};
  std::optional<std::uint16_t> source_port = {};
  std::optional<std::uint16_t> destination_port = {};
  std::optional<std::uint8_t> protocol = {};
  friend bool operator==(const CaptureFilter&, const CaptureFilter&) = default;
};
// Inner packets as they go into a tunnel and as they come out of it, before the packet policy. Answered by one
// CaptureChunk at once, and by one with an end when `time` is over or `packets` or `bytes` are reached.
struct StartCapture {
  CaptureId capture;
  VrfId vrf = {};
  std::optional<TunnelId> tunnel = {};  // nullopt: every tunnel of the VRF
  CaptureFilter filter = {};
  Duration time{};
  std::uint32_t packets = 0;
  std::uint64_t bytes = 0;  // octets that are kept
  std::uint32_t snap = 0;   // octets that are kept of one packet
};
struct StopCapture {
  CaptureId capture;
};
using Command = std::variant<ReserveSpi, ReleaseSpi, InstallInbound, InstallOutbound, SwitchOutbound, SendDummy,
                             RemoveInbound, RemoveOutbound, UpdatePeer, SetTunnel, RemoveTunnel, SetRoutes,
                             SetLocalPrefixes, SetPolicy, ReadCounters, Ping, StartCapture, StopCapture>;

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
// A packet came for an SPI that is nobody's: the sender may have SAs that we have lost. At most 10 a second.
struct UnknownSpi {
  OuterPath arrived;
  EspSpi spi = 0;
};
// An authenticated packet that the selectors of its SA do not take was dropped. At most once a second for each tunnel.
struct OutsideSelectors {
  ChildSaId child;
  Bytes packet;  // its first octets, 128 at most
};
// How a tunnel fares, in words of wan/health.hpp, which are of static storage.
struct Health {
  std::string_view state;     // "healthy", "degraded", "down", "not measurable"
  std::string_view code;      // stable: "probes_lost"
  std::string_view text;      // the same for people
  Instant since;              // of the state
  std::uint32_t samples = 0;  // of the last 5 minutes
  std::uint32_t lost = 0;
  std::optional<Duration> p50;  // round trip
  std::optional<Duration> p99;
  std::optional<Duration> jitter;
};
struct HealthChanged {
  TunnelId tunnel;
  std::string_view from;  // state
  std::string detail;     // with the figures
  Health health;
};
// A packet that a rule with action Log fits. At most 10 a second; `passed_over` were not told since the last one.
struct PolicyMatch {
  VrfId vrf;
  std::string rule;
  std::optional<TunnelId> from;  // nullopt: the host
  std::optional<TunnelId> to;
  wire::TrafficSelector source;  // of one packet
  wire::TrafficSelector destination;
  std::uint64_t passed_over = 0;
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
  Health health;
  std::uint64_t probes = 0;  // sent
  bool is_owners = true;     // of the data worker that has the tunnel's SAs: others know nothing but drops
};
struct PolicyCounters {
  VrfId vrf;
  std::string rule;
  PolicyRule::Action action{};
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};
struct Counters {
  RequestId request;
  std::vector<SaCounters> sas;
  std::vector<TunnelCounters> tunnels;
  std::vector<PolicyCounters> policy;                        // in the order of the rules
  std::vector<std::pair<std::string, std::uint64_t>> drops;  // of the whole plane
  std::uint64_t handed_over = 0;                             // packets that one worker read for another
};
struct Pinged {
  RequestId request;
  Status status;  // why it could not be sent
  IpAddress from;
  IpAddress to;
  std::optional<Duration> round_trip;  // nullopt: no answer within 2 s
};
enum class CaptureEnd : std::uint8_t { Time, Packets, Bytes, Stopped, TunnelGone, TooMany };
struct CapturedPacket {
  enum class Way : std::uint8_t { Out, In } way = Way::Out;  // into the tunnel; out of it
  Instant at;
  TunnelId tunnel;
  std::uint32_t size = 0;   // of the whole packet
  std::uint32_t begin = 0;  // of what is kept of it, in CaptureChunk::octets
  std::uint32_t kept = 0;
};
struct CaptureChunk {
  CaptureId capture;
  std::vector<std::pair<TunnelId, std::string>> tunnels;  // names of those whose first packet is among these
  std::vector<CapturedPacket> packets;                    // in the order of `octets`
  Bytes octets;
  std::optional<CaptureEnd> end;  // the last of this capture
};
using Event = std::variant<Done, Acquire, FirstInbound, SoftLimit, HardLimit, PeerMoved, OutsideSelectors,
                           HealthChanged, PolicyMatch, Counters, Pinged, UnknownSpi, CaptureChunk>;

class DataPlane {
 public:
  virtual ~DataPlane() = default;
  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  virtual void post(Instant now, Command command) = 0;
  [[nodiscard]] virtual std::optional<Event> poll_event() = 0;
};

}  // namespace qanat::ipsec
