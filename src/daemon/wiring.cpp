#include "daemon/wiring.hpp"

#include <algorithm>
#include <csignal>
#include <set>

#include <fmt/format.h>

#include "daemon/crash_secret.hpp"
#include "io/clock.hpp"
#include "io/sqlite_ledger.hpp"

namespace qanat::daemon {

namespace {

constexpr Duration kStopPatience = 2s;    // for the peers' answers to our Deletes
constexpr Duration kRouteSwarm = 50ms;    // routes that a routing daemon changes together
constexpr Duration kRoutesAgain = 200ms;  // after they could not be read
constexpr Duration kTimerSlack = 4ms;     // under load each IKE SA has its own instant for something
constexpr Duration kSwarm = 100ms;        // what belongs to one change of addresses comes within that time

ike::EndpointConfig endpoint_config(const model::Gateway& g, bool native_esp, bool key_log, Rng& rng,
                                    const io::Log& log) {
  ike::EndpointConfig out;
  if (auto secret = load_crash_secret(g.state_dir, rng)) {
    out.crash_secret = std::move(*secret);
  } else {
    log.warning("crash-secret-missing", {{"where", secret.error().where}, {"reason", secret.error().detail}});
  }
  out.ike_port = io::kIkePort;
  out.nat_port = io::kNatPort;
  out.half_open_limit = g.half_open_limit;
  out.cookie_threshold = g.cookie_threshold;
  out.prefix_limit = g.prefix_limit;
  out.puzzle_difficulty = g.puzzle_difficulty;
  out.puzzle_limit = g.puzzle_limit;
  out.native_esp = native_esp;
  out.key_log = key_log;
  out.stopwatch = &io::stopwatch();
  return out;
}

}  // namespace

std::vector<std::pair<IpAddress, IpAddress>> own_addresses(const model::Config& config) {
  std::vector<std::pair<IpAddress, IpAddress>> out;
  for (const model::Tunnel& t : config.tunnels) {
    if (!t.peer) continue;
    const auto& local = t.local ? t.local : t.peer->is_v6() ? config.gateway.address6 : config.gateway.address4;
    if (local && !local->is_unspecified()) out.emplace_back(*local, *t.peer);
  }
  return out;
}

Wiring::Wiring(const model::Config& config, ControlSockets control, std::vector<DataSockets> data, Listeners listeners,
               io::NetdClient netd, AddressMonitor monitor, RouteMonitor routes, std::optional<KeyLogWriter> key_log,
               ReloadSource source, const io::Log& log)
    : log_(log),
      control_(std::move(control)),
      listeners_(std::move(listeners)),
      netd_(std::move(netd)),
      monitor_(std::move(monitor)),
      own_addresses_(own_addresses(config)),
      routes_(std::move(routes)),
      key_log_(std::move(key_log)),
      gateway_(endpoint_config(config.gateway, !data.front().esp.empty(), key_log_.has_value(), rng_, log), rng_,
               ike_thread_count(config.gateway.ike_threads),
               [this](const ike::EndpointConfig& shard) { return make_shard(shard); }),
      data_(std::move(data), data_events_, log),
      auth_(auth_answers_, log),
      source_(std::move(source)),
      events_(io::wall_now()),
      captures_(std::string{"qanat "} + QANAT_VERSION) {}

Wiring::~Wiring() = default;

std::unique_ptr<gateway::ShardPort> Wiring::make_shard(const ike::EndpointConfig& config) {
  if (config.shards.count == 1) return std::make_unique<gateway::IkeShard>(config, rng_);
  auto thread = std::make_unique<IkeThread>(config, ike_said_);
  ike_threads_.push_back(thread.get());
  return thread;
}

Status Wiring::start(const model::Config& config) {
  QANAT_ASSIGN(loop_, io::EventLoop::create());
  loop_->set_timer_slack(kTimerSlack);
  QANAT_TRY(loop_->on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { on_signal(signal); }));
  for (io::UdpSocket& s : control_.ike) {
    QANAT_TRY(s.watch_path_errors());
    QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_ike(s, io::kIkePort); }));
  }
  for (io::UdpSocket& s : control_.nat) {
    QANAT_TRY(s.watch_path_errors());
    QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_ike(s, io::kNatPort); }));
  }
  QANAT_TRY(loop_->add(ike_said_.fd(), [this] {
    ike_said_.clear();
    gateway_.handle_shards(io::boot_now());
    end_of_turn();
  }));
  QANAT_TRY(loop_->add(data_events_.fd(), [this] { on_data_events(); }));
  QANAT_TRY(loop_->add(auth_answers_.fd(), [this] { on_auth_answers(); }));
  QANAT_TRY(loop_->add(api_calls_.fd(), [this] { on_api_calls(); }));
  QANAT_TRY(loop_->add(snapshot_wishes_.fd(), [this] { on_snapshot_wishes(); }));
  QANAT_TRY(loop_->add(captures_.orders_fd(), [this] { on_capture_orders(); }));
  QANAT_TRY(loop_->add(netd_.fd(), [this] { on_netd(); }));
  QANAT_TRY(loop_->add(source_.reader.fd(), [this] { on_config(); }));
  QANAT_TRY(loop_->add(monitor_.fd(), [this] { on_address_change(); }));
  QANAT_TRY(loop_->add(routes_.news_fd(), [this] { on_route_news(); }));
  QANAT_TRY(loop_->add(routes_.answers_fd(), [this] { on_kernel_routes(); }));
  loop_->on_timer([this] {
    const Instant now = io::boot_now();
    gateway_.handle_timeout(now);
    keep_ledger(now, gateway::PostureBook::Write::WhenDue);
    captures_.handle_timeout(now);
    if (look_at_ && now >= *look_at_) look_at_addresses(now);
    if (read_routes_at_ && now >= *read_routes_at_) read_kernel_routes(now);
    end_of_turn();
  });
  for (IkeThread* thread : ike_threads_) QANAT_TRY(thread->start());
  QANAT_TRY(data_.start());
  QANAT_TRY(auth_.start());
  open_ledger(config);
  look_at_addresses(io::boot_now());
  QANAT_ASSIGN(const model::Config whole, with_objects(config));
  own_addresses_ = own_addresses(whole);
  QANAT_TRY(gateway_.apply(io::boot_now(), whole));
  read_kernel_routes(io::boot_now());
  QANAT_TRY(start_alerts(config.gateway));
  QANAT_TRY(start_http(config));
  end_of_turn();
  return {};
}

// Without the file the gateway works as well: what it counts is lost at its end, and that is said.
void Wiring::open_ledger(const model::Config& config) {
  gateway_.posture().set_wall(io::boot_now(), io::wall_now());
  const auto begin = [&]() -> Status {
    QANAT_ASSIGN(auto file, io::SqliteLedger::open(config.gateway.state_dir + "/posture.db"));
    auto writer = std::make_unique<PostureWriter>(std::move(file), log_);
    QANAT_ASSIGN(auto records, writer->load());
    QANAT_TRY(writer->start());
    gateway_.posture().restore(std::move(records));
    ledger_ = std::move(writer);
    return {};
  };
  if (const Status begun = begin(); !begun) {
    gateway_.posture().trust_nothing();
    log_.warning("posture-not-kept", {{"where", begun.error().where}, {"reason", begun.error().detail}});
  }
}

void Wiring::keep_ledger(Instant now, gateway::PostureBook::Write when) {
  gateway_.posture().set_wall(now, io::wall_now());
  if (ledger_) ledger_->post(gateway_.posture().take_changed(now, when));
}

int Wiring::run(const model::Config& config) {
  if (const Status started = start(config); !started) {
    log_.error("start-failed", started.error());
    return 1;
  }
  const control::Snapshot first = gateway_.snapshot(io::boot_now());
  log_.info("started", {{"version", first.version}, {"crypto", first.crypto}});
  if (const Status ended = loop_->run(); !ended) {
    log_.error("control-loop-failed", ended.error());
    exit_code_ = 1;
  }
  if (alerts_) alerts_->stop_looking();
  for (auto& wish : snapshot_wishes_.take_all()) wish.answer.set_value(nullptr);
  metrics_.reset();
  https_.reset();
  http_.reset();
  alerts_.reset();
  objects_.reset();
  keep_ledger(io::boot_now(), gateway::PostureBook::Write::Now);
  ledger_.reset();
  log_.info("stopped");
  return exit_code_;
}

void Wiring::on_ike(io::UdpSocket& socket, std::uint16_t port) {
  const Instant now = io::boot_now();
  for (const io::ReceivedDatagram& d : socket.receive()) {
    if (port == io::kNatPort && d.data.size() >= 4 && load_be32(d.data.data()) != 0) {
      data_.post(StrayDatagram{d.local, d.remote, d.tos, to_bytes(d.data)});
      continue;
    }
    gateway_.handle_datagram(now, {{d.local, port}, d.remote}, d.data);
  }
  // ICMP about ESP in UDP comes to any socket of the group: the kernel does not steer errors.
  while (const auto error = loop_->has_error() ? socket.next_path_error() : std::nullopt) {
    if (error->unreachable) {
      gateway_.handle_path_error(now, error->local, error->remote);
    } else if (port == io::kNatPort) {
      data_.post(*error);
    }
  }
  end_of_turn();
}

void Wiring::on_data_events() {
  const Instant now = io::boot_now();
  for (FromDataWorker& message : data_events_.take_all()) {
    if (auto* event = std::get_if<ipsec::Event>(&message)) {
      if (auto whole = data_.merge(std::move(*event))) on_plane_event(now, *whole);
    } else if (const auto* news = std::get_if<wan::TunnelNews>(&message)) {
      data_.post(*news);
    } else if (const auto* error = std::get_if<io::PathError>(&message)) {
      gateway_.handle_path_error(now, error->local, error->remote);
    } else {
      const auto& stray = std::get<StrayDatagram>(message);
      gateway_.handle_datagram(now, {{stray.local, io::kNatPort}, stray.remote}, stray.data);
    }
  }
  end_of_turn();
}

void Wiring::on_plane_event(Instant now, ipsec::Event& event) {
  if (auto* chunk = std::get_if<ipsec::CaptureChunk>(&event)) {
    captures_.take(now, *chunk);
    wipe(chunk->octets);
  } else {
    gateway_.handle_plane(now, event);
  }
}

void Wiring::on_capture_orders() {
  const Instant now = io::boot_now();
  apply_wanted();  // the tunnel may have been made by the request before
  for (const control::CaptureOrder& order : captures_.take_orders()) {
    if (const Status begun = gateway_.capture(now, order); !begun)
      captures_.fail(now, order.capture, fmt::format("{}: {}", begun.error().where, begun.error().detail));
  }
  end_of_turn();
}

void Wiring::on_auth_answers() {
  const Instant now = io::boot_now();
  for (AuthAnswer& answer : auth_answers_.take_all()) {
    std::visit([&](auto& a) { gateway_.handle_auth(now, std::move(a)); }, answer);
  }
  end_of_turn();
}

void Wiring::on_api_calls() {
  const Instant now = io::boot_now();
  for (ApiCall& call : api_calls_.take_all()) {
    const control::GatewayCommand command = call.command;
    if (command.verb == control::GatewayCommand::Verb::Reload ||
        command.verb == control::GatewayCommand::Verb::CheckReload) {
      reload_calls_.push_back(std::move(call));
      ask_for_config();
      continue;
    }
    const std::uint64_t ticket = next_ticket_++;
    open_calls_.emplace(ticket, std::move(call));
    gateway_.command(now, ticket, command);
  }
  end_of_turn();
}

void Wiring::on_netd() {
  while (auto result = netd_.poll()) gateway_.handle_host(io::boot_now(), *result);
  if (netd_.closed()) {
    // Without its helper the gateway cannot keep its promises about routes; what stands in the kernel fails closed.
    log_.error("helper-gone", {{"detail", "qanat-netd has ended: qanatd stops, protected traffic stays blocked"}});
    exit_code_ = 1;
    loop_->stop();
    return;
  }
  end_of_turn();
}

void Wiring::on_address_change() {
  monitor_.drain();
  if (!look_at_) look_at_ = io::boot_now() + kSwarm;
  end_of_turn();
}

void Wiring::look_at_addresses(Instant now) {
  look_at_.reset();
  auto all = monitor_.addresses();
  if (!all) {
    log_.error("addresses-unknown", all.error());
    return;
  }
  ike::HostAddresses host{std::move(all->usable), {}, std::move(all->rest)};
  std::set<IpAddress> remotes;
  // An attempt begins elsewhere when its own address is gone.
  for (const auto& [local, peer] : own_addresses_) {
    if (std::find(host.all.begin(), host.all.end(), local) == host.all.end()) remotes.insert(peer);
  }
  for (const ike::SaInfo& sa : gateway_.ike_sas()) {
    if (!sa.mobike) continue;
    remotes.insert(sa.path.remote.address);
    remotes.insert(sa.peer_addresses.begin(), sa.peer_addresses.end());
  }
  for (const IpAddress& remote : remotes) {
    const auto source = monitor_.source_for(remote);
    if (source && *source) host.sources.emplace_back(remote, **source);
  }
  gateway_.handle_addresses(now, host);
}

void Wiring::on_route_news() {
  if (routes_.drain() && !read_routes_at_) read_routes_at_ = io::boot_now() + kRouteSwarm;
  end_of_turn();
}

void Wiring::read_kernel_routes(Instant now) {
  if (routes_.reading()) {  // once more, when they are there
    read_routes_at_ = now + kRouteSwarm;
    return;
  }
  read_routes_at_.reset();
  if (routes_.paused()) return;  // it says when to read again
  if (const Status begun = routes_.begin(); !begun) {
    log_.error("routes-unknown", begun.error());
    read_routes_at_ = now + kRoutesAgain;
  }
}

void Wiring::on_kernel_routes() {
  if (auto routes = routes_.read()) {
    const Instant now = io::boot_now();
    if (*routes && !routes_.paused()) {
      gateway_.handle_host_networks(now, std::move((*routes)->networks));
      gateway_.handle_kernel_routes(now, std::move((*routes)->routes));
    } else if (!*routes && !read_routes_at_) {
      read_routes_at_ = now + kRoutesAgain;
    }
  }
  end_of_turn();
}

void Wiring::on_signal(int signal) {
  if (signal == SIGHUP) {
    reload_asked_ = true;
    ask_for_config();
    return end_of_turn();
  }
  if (stop_at_) return loop_->stop();  // asked twice
  log_.info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
  stop_at_ = io::boot_now() + kStopPatience;
  gateway_.shut_down(io::boot_now());
  end_of_turn();
}

// What one turn has to say leaves in one system call a socket.
void Wiring::transmit() {
  if (to_send_.empty()) return;
  std::vector<io::OutgoingDatagram> batch;
  const auto send_by = [&](io::UdpSocket& socket, std::uint16_t port) {
    batch.clear();
    for (const ike::Transmit& out : to_send_) {
      if (out.path.local.port == port && out.path.remote.address.is_v6() == socket.local().address.is_v6())
        batch.push_back({out.path.local.address, out.path.remote, 0, io::Df::Clear, out.datagram});
    }
    if (!batch.empty()) socket.send_batch(batch);
  };
  for (io::UdpSocket& s : control_.ike) send_by(s, io::kIkePort);
  for (io::UdpSocket& s : control_.nat) send_by(s, io::kNatPort);
  to_send_.clear();
}

void Wiring::write_log(const gateway::LogEvent& event) {
  std::vector<io::LogField> fields;
  fields.reserve(event.fields.size());
  for (const auto& [key, value] : event.fields) fields.emplace_back(key, value);
  const io::LogLevel level = event.level == gateway::EventLevel::Debug     ? io::LogLevel::Debug
                             : event.level == gateway::EventLevel::Info    ? io::LogLevel::Info
                             : event.level == gateway::EventLevel::Warning ? io::LogLevel::Warning
                                                                           : io::LogLevel::Error;
  log_.log(level, event.name, fields);
  if (alerts_ && AlertWorker::concerns(event.name)) alerts_->look();
  if (level >= log_.options().level) events_.add(io::wall_now(), event.level, event.name, event.fields, event.account);
}

void Wiring::end_of_turn() {
  std::vector<gateway::CommandDone> done;
  while (auto out = gateway_.poll()) {
    if (auto* datagram = std::get_if<ike::Transmit>(&*out)) {
      to_send_.push_back(std::move(*datagram));
    } else if (auto* plane = std::get_if<gateway::PlaneOut>(&*out)) {
      data_.post(std::move(plane->command));
    } else if (auto* host = std::get_if<gateway::HostOut>(&*out)) {
      netd_.post(host->request, std::move(host->command));
    } else if (auto* credentials = std::get_if<gateway::CredentialsOut>(&*out)) {
      auth_.set_tunnel(credentials->tunnel, std::move(credentials->credentials));
    } else if (auto* sign = std::get_if<ike::SignQuestion>(&*out)) {
      auth_.ask(std::move(*sign));
    } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&*out)) {
      auth_.ask(std::move(*verify));
    } else if (auto* finished = std::get_if<gateway::CommandDone>(&*out)) {
      done.push_back(std::move(*finished));
    } else if (const auto* event = std::get_if<gateway::LogEvent>(&*out)) {
      write_log(*event);
    } else if (key_log_ &&
               (std::holds_alternative<ike::KeyLog>(*out) || std::holds_alternative<ike::EspKeyLog>(*out))) {
      const Status written = std::holds_alternative<ike::KeyLog>(*out)
                                 ? key_log_->write(std::get<ike::KeyLog>(*out))
                                 : key_log_->write(std::get<ike::EspKeyLog>(*out));
      if (!written) log_.error("key-log-failed", written.error());
    }
  }
  if (gateway_.posture().is_urgent()) keep_ledger(io::boot_now(), gateway::PostureBook::Write::WhenDue);
  data_.flush();
  transmit();
  for (const gateway::CommandDone& d : done) {
    const auto call = open_calls_.find(d.ticket);
    if (call == open_calls_.end()) continue;
    call->second.reply(control::reply_for(call->second.command, d.result));
    open_calls_.erase(call);
  }
  const Instant now = io::boot_now();
  if (stop_at_ && (gateway_.is_quiet() || now >= *stop_at_)) return loop_->stop();
  std::optional<Instant> next = gateway_.next_timeout();
  if (stop_at_ && (!next || *stop_at_ < *next)) next = stop_at_;
  if (look_at_ && (!next || *look_at_ < *next)) next = look_at_;
  if (read_routes_at_ && (!next || *read_routes_at_ < *next)) next = read_routes_at_;
  if (const auto at = captures_.next_timeout(); at && (!next || *at < *next)) next = at;
  loop_->set_timer(next);
  if (netd_.wants_write()) netd_.flush();
}

}  // namespace qanat::daemon
