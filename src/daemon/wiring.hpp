// The one page where queues, threads and rooms are wired.
//
//   control thread: IKE sockets, timers, signals, the helper's answers, API commands -> gateway::Gateway
//   IKE threads:    an IKE shard each, when ike_threads is above 1                   (ike_thread.hpp)
//   data threads:   TUN, ESP sockets -> a wan::PacketPath each; one, or data_workers  (data_workers.hpp)
//   auth threads:   signatures and certificate chains                                (auth_workers.hpp)
//   API thread:     HTTP on the Unix socket -> control::handle over a snapshot, ObjectApi over the store
//   HTTPS thread:   the same for whoever has a token, and the page; only when it is configured  (front.cpp)
//   metrics thread: HTTP on TCP, GET /metrics only; only when it is configured
//   alert threads:  what is notified, and webhooks; only when they are on             (alert_worker.hpp)
//   ledger thread:  writes the harvest ledger                                        (posture_writer.hpp)
//
// They speak through mailboxes only. The API thread asks for a snapshot and waits for it; the control thread makes one
// when it is asked, so a gateway with many thousand tunnels neither makes nor keeps what nobody looks at.
#pragma once

#include <atomic>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "control/access.hpp"
#include "crypto/rng.hpp"
#include "daemon/address_monitor.hpp"
#include "daemon/alert_worker.hpp"
#include "daemon/auth_workers.hpp"
#include "daemon/capture_desk.hpp"
#include "daemon/config_reader.hpp"
#include "daemon/data_workers.hpp"
#include "daemon/event_feed.hpp"
#include "daemon/ike_thread.hpp"
#include "daemon/key_log.hpp"
#include "daemon/objects.hpp"
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

// What a reload needs: who reads, the addresses that the host had at the start, by which the running configuration was
// adapted (daemon/host.hpp), and the file as it was read then, before that.
struct ReloadSource {
  ConfigReader reader;
  std::vector<IpAddress> host;
  control::LoadedFile file;
};

struct Listeners {
  io::UniqueFd control;
  io::UniqueFd metrics;  // not valid: there is none
  io::UniqueFd https;
};

class Wiring {
 public:
  Wiring(const model::Config& config, ControlSockets control, std::vector<DataSockets> data, Listeners listeners,
         io::NetdClient netd, AddressMonitor monitor, RouteMonitor routes, std::optional<KeyLogWriter> key_log,
         ReloadSource source, const io::Log& log);
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
  [[nodiscard]] std::unique_ptr<gateway::ShardPort> make_shard(const ike::EndpointConfig& config);
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
  // The configuration with what the API has stored (reload.cpp), and what follows from it after a write.
  [[nodiscard]] Result<model::Config> with_objects(const model::Config& file);
  void on_wanted();
  void apply_wanted();
  void on_plane_event(Instant now, ipsec::Event& event);
  void on_capture_orders();
  [[nodiscard]] Result<std::vector<config::Change>> apply_difference(model::Config config);
  [[nodiscard]] Result<std::vector<config::Change>> change_to(control::LoadedFile file, bool apply);
  [[nodiscard]] std::unexpected<Error> refused_by_objects(const std::string& file, const Faults& faults);
  // front.cpp
  void on_snapshot_wishes();
  [[nodiscard]] std::optional<control::ApiStatus> api_status() const;
  [[nodiscard]] static Result<std::shared_ptr<const io::TlsContext>> tls_of(const model::Gateway& gateway);
  // On a thread of HTTP; null: it took long.
  [[nodiscard]] std::shared_ptr<const control::Snapshot> wait_for_snapshot(const control::Request& request);
  [[nodiscard]] std::shared_ptr<const control::Snapshot> recent_snapshot();
  void answer(const control::Request& request, io::HttpServer::Reply reply);
  void open_ledger(const model::Config& config);
  void keep_ledger(Instant now, gateway::PostureBook::Write when);
  [[nodiscard]] Status start_http(const model::Config& config);
  [[nodiscard]] Status start_https(const model::Gateway& gateway);
  [[nodiscard]] Status start_alerts(const model::Gateway& gateway);
  void test_webhook(const control::Request& request, control::WebhookTest test, io::HttpServer::Reply reply);

  const io::Log& log_;
  ControlSockets control_;
  Listeners listeners_;
  io::NetdClient netd_;
  AddressMonitor monitor_;
  std::vector<std::pair<IpAddress, IpAddress>> own_addresses_;  // of tunnels: from where they begin, and the peer
  RouteMonitor routes_;
  std::optional<Instant> read_routes_at_;  // when the kernel's routes are to be read: they change in swarms as well
  std::optional<Instant> look_at_;         // when the host's addresses are to be looked at: changes come in swarms
  std::optional<KeyLogWriter> key_log_;
  crypto::SystemRng rng_;
  io::WakeUp ike_said_;
  std::vector<IkeThread*> ike_threads_;  // of the gateway; none: it works on IKE itself
  gateway::Gateway gateway_;
  io::Mailbox<FromDataWorker> data_events_;
  DataWorkers data_;
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
  EventFeed events_;
  CaptureDesk captures_;
  std::unique_ptr<Objects> objects_;       // null: state_dir cannot keep them
  control::Access access_;                 // of the HTTPS thread
  std::atomic<std::uint64_t> refused_{0};  // by it
  std::atomic<std::uint64_t> rate_limited_{0};
  std::mutex recent_mutex_;
  std::shared_ptr<const control::Snapshot> recent_;
  Instant recent_at_;
  std::unique_ptr<PostureWriter> ledger_;
  std::vector<ike::Transmit> to_send_;  // of this turn
  std::unique_ptr<io::EventLoop> loop_;
  std::unique_ptr<AlertWorker> alerts_;  // null: webhooks are off
  std::unique_ptr<io::HttpServer> http_;
  std::unique_ptr<io::HttpServer> https_;
  std::unique_ptr<io::HttpServer> metrics_;
  std::optional<Instant> stop_at_;  // when waiting for peers ends
  int exit_code_ = 0;
};

}  // namespace qanat::daemon
