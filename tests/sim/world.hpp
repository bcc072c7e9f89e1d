// A world of whole gateways in virtual time: Director, IKE shard and packet path of each, and a network between them
// that a test may cut. The queues are drained in one fixed order, so a seed replays a world exactly.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/gateway.hpp"
#include "wan/packet_path.hpp"

namespace qanat::sim {

class World;

class Node final : public wan::PacketSink {
 public:
  Node(World& world, std::string name, model::Config config, std::uint64_t seed);

  void start();
  // What a crash leaves: nothing. start() begins anew.
  void crash();
  void command(control::GatewayCommand::Verb verb, const std::string& tunnel);
  // A packet that the host routes into the TUN.
  void send(ByteView packet);
  [[nodiscard]] control::TunnelStatus status(const std::string& tunnel);
  [[nodiscard]] bool running() const { return gateway_ != nullptr; }

  std::vector<Bytes> delivered;  // packets that came out of the TUN
  std::vector<gateway::HostCommand> host_commands;
  std::vector<gateway::LogEvent> log;
  bool host_refuses = false;  // what the helper asks of the kernel fails
  std::map<std::uint64_t, control::CommandResult> answers;

  // PacketSink
  void send_esp(const ipsec::OuterPath& path, std::uint8_t tos, wan::DfBit df, ByteView esp) override;
  void write_tun(VrfId vrf, ByteView packet) override;

 private:
  friend class World;
  void receive_ike(const ike::Path& arrived, const Bytes& payload);
  void receive_esp(const ipsec::OuterPath& arrived, Bytes esp);
  void handle_timeout();
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  void drain();

  World& world_;
  std::string name_;
  model::Config config_;
  std::uint64_t seed_;
  std::unique_ptr<SeededRng> rng_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<wan::PacketPath> path_;
  std::uint64_t next_ticket_ = 1;
};

class World {
 public:
  Node& add(std::string name, model::Config config);
  // Lets virtual time pass; datagrams take `delay`.
  void run_for(Duration duration);
  // Until `done` holds, at most `limit`; false when it never did.
  [[nodiscard]] bool run_until(const std::function<bool()>& done, Duration limit = 120s);

  [[nodiscard]] Instant now() const { return now_; }
  Duration delay = 1ms;
  // Datagrams for which it says false are lost.
  std::function<bool(const Endpoint& from, const Endpoint& to, ByteView)> weather = [](const Endpoint&, const Endpoint&,
                                                                                       ByteView) { return true; };
  std::vector<Bytes> outside;  // every outer payload, for whoever looks for plaintext

 private:
  friend class Node;
  struct InFlight {
    Instant arrives;
    Endpoint from;
    Endpoint to;
    ipsec::Encapsulation encapsulation = ipsec::Encapsulation::Udp;
    Bytes payload;
  };
  void transmit(InFlight datagram);
  void step();
  [[nodiscard]] std::optional<Instant> next_event() const;

  Instant now_ = Instant::from_ns(1'000'000'000);
  std::vector<std::unique_ptr<Node>> nodes_;
  std::deque<InFlight> wire_;  // in order of arrival: every datagram takes as long
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

// An IPv4 UDP packet with `text` as its payload.
[[nodiscard]] Bytes udp_packet(const std::string& source, const std::string& destination, const std::string& text);

}  // namespace qanat::sim
