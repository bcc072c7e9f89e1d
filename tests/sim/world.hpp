// A world of whole gateways in virtual time: Director, IKE shard and packet path of each, and a seeded network between
// them. The queues are drained in one fixed order, so a seed replays a world exactly; trace() proves it.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gateway/gateway.hpp"
#include "sim/network.hpp"
#include "sim/workers.hpp"
#include "wan/packet_path.hpp"

namespace qanat::sim {

class World;

// Octets that stand in every inner packet of the simulator, and must never be seen outside.
inline constexpr std::string_view kMarker = "planted marker, not for strangers";

// What the gateway has made the packet path hold, by listening to their commands.
struct PlaneTap {
  std::set<ipsec::EspSpi> reserved;
  std::map<ChildSaId, ipsec::EspSpi> inbound;
  std::map<ChildSaId, ipsec::EspSpi> outbound;
  std::map<ChildSaId, TunnelId> tunnels;  // of the outbound ones
  std::map<TunnelId, ChildSaId> current;  // what the traffic of a tunnel uses
  std::uint64_t installed = 0;            // Child SAs ever installed inbound

  void command(const ipsec::Command& command);
  void done(const ipsec::Done& done);
  [[nodiscard]] bool empty() const { return reserved.empty() && inbound.empty() && outbound.empty(); }

 private:
  std::set<RequestId> reserving_;
  std::map<RequestId, std::pair<ChildSaId, ipsec::EspSpi>> installing_in_;
  std::map<RequestId, std::pair<ChildSaId, ipsec::EspSpi>> installing_out_;
};

class Node final : public wan::CopyingSink {
 public:
  Node(World& world, std::string name, model::Config config, std::uint64_t seed);

  void start();
  // What a crash leaves: nothing. start() begins anew.
  void crash();
  // As an operator stops it: every tunnel says Delete.
  void shut_down();
  void command(control::GatewayCommand::Verb verb, const std::string& tunnel);
  // Another configuration, as a reload brings it.
  [[nodiscard]] Result<std::vector<config::Change>> reload(model::Config config);
  // A packet that the host routes into the TUN.
  void send(ByteView packet);
  [[nodiscard]] control::TunnelStatus status(const std::string& tunnel);
  [[nodiscard]] bool running() const { return gateway_ != nullptr; }
  [[nodiscard]] bool up(const std::string& tunnel) { return running() && status(tunnel).actual == "up"; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const model::Config& config() const { return config_; }
  [[nodiscard]] const IpAddress& address() const { return *config_.gateway.address4; }
  // The gateway's address, or one that a tunnel of it has chosen.
  [[nodiscard]] bool has(const IpAddress& address) const;
  [[nodiscard]] const gateway::Gateway& gateway() const { return *gateway_; }
  [[nodiscard]] const wan::PacketPath& path() const { return *path_; }
  [[nodiscard]] TunnelId tunnel_id(const std::string& tunnel) const;

  ike::EndpointConfig ike;
  std::size_t shards = 1;
  Workers workers;
  PlaneTap tap;
  std::vector<Bytes> delivered;  // packets that came out of the TUN
  std::vector<gateway::HostCommand> host_commands;
  std::vector<gateway::LogEvent> log;
  bool host_refuses = false;  // what the helper asks of the kernel fails
  std::map<std::uint64_t, control::CommandResult> answers;
  std::map<std::string, model::PostureRecord> ledger;  // as far as it was written when the gateway crashed

  // wan::CopyingSink
  void send_esp(const ipsec::OuterPath& path, std::uint8_t tos, wan::DfBit df, ByteView esp) override;
  void write_tun(VrfId vrf, ByteView packet) override;

 private:
  friend class World;
  void receive(Datagram datagram);
  void handle_timeout();
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  void drain();
  void ask(Workers::Question question);

  World& world_;
  std::string name_;
  model::Config config_;
  std::vector<std::string> tunnel_names_;  // of every tunnel that the running gateway has had; TunnelIds count from 1
  std::uint64_t seed_;
  std::unique_ptr<SeededRng> rng_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<wan::PacketPath> path_;
  std::uint64_t next_ticket_ = 1;
};

// Two tunnels that are one: what the oracle compares, and what traffic it sends.
struct Link {
  Node* left = nullptr;
  std::string left_tunnel;
  std::string left_inner;  // a host behind the left gateway
  Node* right = nullptr;
  std::string right_tunnel;
  std::string right_inner;
};

class World {
 public:
  explicit World(std::uint64_t seed = 1);

  Node& add(std::string name, model::Config config);
  // Lets virtual time pass.
  void run_for(Duration duration);
  // Until `done` holds, at most `limit`; false when it never did.
  [[nodiscard]] bool run_until(const std::function<bool()>& done, Duration limit = 120s);
  [[nodiscard]] bool all_up();

  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  // A digest of everything that was sent, and when: two worlds of one seed have the same.
  [[nodiscard]] std::uint64_t trace() const { return trace_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }

  Network network;
  std::size_t shards = 1;  // of the gateways that are added from here on
  std::vector<Link> links;
  // Datagrams for which it says false are lost, whatever the weather.
  std::function<bool(const Endpoint& from, const Endpoint& to, ByteView)> filter;
  std::vector<std::string> leaks;  // outer datagrams with the marker in them

 private:
  friend class Node;
  void transmit(Datagram datagram);
  void step();
  [[nodiscard]] std::optional<Instant> next_event() const;

  std::uint64_t seed_;
  Instant now_ = Instant::from_ns(1'000'000'000);
  std::vector<std::unique_ptr<Node>> nodes_;
  std::multimap<Instant, Datagram> wire_;  // equal times: in the order of sending
  std::uint64_t trace_ = 0xcbf29ce484222325;
  std::uint64_t events_ = 0;
};

// A configuration with one tunnel between two IPv4 addresses.
struct TunnelSpec {
  std::string name;
  std::string local;
  std::string peer;  // empty: any
  std::string interface_address;
  std::string peer_interface;
  std::string route;
  std::string psk = "a secret that both know";
};
[[nodiscard]] model::Config config_of(const TunnelSpec& spec);

// Adds `count` (at most 9) gateways with a tunnel between any two; `change` sees every tunnel before it is added.
// Gateway n is 192.0.2.n, has 10.n.0.0/16 behind it, and calls its tunnels "to-<n>".
void add_mesh(World& world, std::size_t count, const std::function<void(model::Tunnel&)>& change = {});
// Two of them; after their addresses, which are 192.0.2.1 and 192.0.2.2.
inline void add_two_sites(World& world, const std::function<void(model::Tunnel&)>& change = {}) {
  add_mesh(world, 2, change);
}

// An IPv4 UDP packet with `text`, and then the marker, as its payload.
[[nodiscard]] Bytes udp_packet(const std::string& source, const std::string& destination, const std::string& text);
[[nodiscard]] IpAddress address(const std::string& text);

}  // namespace qanat::sim
