// The one page where queues, threads and rooms are wired.
//
//   control thread: IKE sockets, timers, signals, the helper's answers, API commands -> gateway::Gateway
//   data thread:    TUN, ESP sockets -> wan::PacketPath                               (data_worker.hpp)
//   auth threads:   signatures and certificate chains                                (auth_workers.hpp)
//   API thread:     HTTP on the Unix socket -> control::handle over a snapshot
//   metrics thread: HTTP on TCP, GET /metrics only; only when it is configured
//   ledger thread:  writes the harvest ledger                                        (posture_writer.hpp)
//
// They speak through mailboxes only. The API thread asks for a snapshot and waits for it; the control thread makes one
// when it is asked, so a gateway with many thousand tunnels neither makes nor keeps what nobody looks at.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <optional>

#include "control/event_ring.hpp"
#include "crypto/rng.hpp"
#include "daemon/address_monitor.hpp"
#include "daemon/auth_workers.hpp"
#include "daemon/config_reader.hpp"
#include "daemon/data_worker.hpp"
#include "daemon/key_log.hpp"
#include "daemon/posture_writer.hpp"
#include "daemon/route_monitor.hpp"
#include "gateway/gateway.hpp"
#include "io/http_server.hpp"
#include "io/netd_client.hpp"

namespace qanat::daemon {

// From where tunnels begin, and to which peer.
[[nodiscard]] std::vector<std::pair<IpAddress, IpAddress>> own_addresses(const model::Config& config);

struct ControlSockets {
  std::vector<io::UdpSocket> ike;  // port 500, one a family
  std::vector<io::UdpSocket> nat;  // port 4500: the control socket of its steering group, one a family
};

// What a reload needs: who reads, and the addresses that the host had at the start, by which the running configuration
// was adapted (daemon/host.hpp).
struct ReloadSource {
  ConfigReader reader;
  std::vector<IpAddress> host;
};

class Wiring {
 public:
  Wiring(const model::Config& config, ControlSockets control, DataSockets data, io::UniqueFd api_listener,
         io::UniqueFd metrics_listener, io::NetdClient netd, AddressMonitor monitor, RouteMonitor routes,
         std::optional<KeyLogWriter> key_log, ReloadSource source, const io::Log& log);
  ~Wiring();
  // Until a signal asks to stop and the peers have been told. The process's exit code.
  [[nodiscard]] int run(const model::Config& config);

 private:
  struct ApiCall {
    control::GatewayCommand command;
    io::HttpServer::Reply reply;
  };
  struct SnapshotWish {
    bool routes = false;
    bool events = false;
    std::promise<std::shared_ptr<const control::Snapshot>> answer;
  };

  [[nodiscard]] Status start(const model::Config& config);
  void on_ike(io::UdpSocket& socket, std::uint16_t port);
  void on_data_events();
  void on_auth_answers();
  void on_api_calls();
  void on_netd();
  void on_address_change();
  void on_route_news();
  void on_kernel_routes();
  void read_kernel_routes(Instant now);
  void ask_for_config();                   // reload.cpp
  void on_config();                        // reload.cpp
  void finish_reload(ConfigFiles& files);  // reload.cpp
  void look_at_addresses(Instant now);
  void on_signal(int signal);
  void end_of_turn();
  void transmit();
  void write_log(const gateway::LogEvent& event);
  void on_snapshot_wishes();
  // On a thread of HTTP; null: it took long.
  [[nodiscard]] std::shared_ptr<const control::Snapshot> wait_for_snapshot(const control::Request& request);
  void open_ledger(const model::Config& config);
  void keep_ledger(Instant now, gateway::PostureBook::Write when);
  [[nodiscard]] Status start_http();

  const io::Log& log_;
  ControlSockets control_;
  io::UniqueFd api_listener_;
  io::UniqueFd metrics_listener_;
  io::NetdClient netd_;
  AddressMonitor monitor_;
  std::vector<std::pair<IpAddress, IpAddress>> own_addresses_;  // of tunnels: from where they begin, and the peer
  RouteMonitor routes_;
  std::optional<Instant> read_routes_at_;  // when the kernel's routes are to be read: they change in swarms as well
  std::optional<Instant> look_at_;         // when the host's addresses are to be looked at: changes come in swarms
  std::optional<KeyLogWriter> key_log_;
  crypto::SystemRng rng_;
  gateway::Gateway gateway_;
  io::Mailbox<FromDataWorker> data_events_;
  DataWorker data_;
  io::Mailbox<AuthAnswer> auth_answers_;
  AuthWorkers auth_;
  io::Mailbox<ApiCall> api_calls_;
  std::map<std::uint64_t, ApiCall> open_calls_;
  std::uint64_t next_ticket_ = 1;
  ReloadSource source_;
  bool reading_ = false;               // the configuration is being read
  bool reload_asked_ = false;          // by a signal
  std::vector<ApiCall> reload_calls_;  // that wait for the next reading
  struct Reading {
    bool apply = false;  // not only asked about
    std::vector<ApiCall> calls;
  } read_for_;  // who waits for the one under way
  io::Mailbox<SnapshotWish> snapshot_wishes_;
  control::EventRing events_;
  std::unique_ptr<PostureWriter> ledger_;
  std::vector<ike::Transmit> to_send_;  // of this turn
  std::unique_ptr<io::EventLoop> loop_;
  std::unique_ptr<io::HttpServer> http_;
  std::unique_ptr<io::HttpServer> metrics_;
  std::optional<Instant> stop_at_;  // when waiting for peers ends
  int exit_code_ = 0;
};

}  // namespace qanat::daemon
