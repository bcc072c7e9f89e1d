// qanatd. The order is the point: the privileged helper is forked before anything is parsed, secrets and sockets are
// taken while the process may, and then it can do nothing more than read the network.
#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include "crypto/self_test.hpp"
#include "daemon/config_file.hpp"
#include "daemon/config_reader.hpp"
#include "daemon/helper.hpp"
#include "daemon/host.hpp"
#include "daemon/netd.hpp"
#include "daemon/options.hpp"
#include "daemon/sandbox.hpp"
#include "daemon/wiring.hpp"
#include "gateway/translate.hpp"
#include "io/clock.hpp"
#include "io/steering.hpp"

namespace {

using namespace qanat;

int complain(const Error& error) {
  std::fprintf(stderr, "qanatd: %s: %s\n", error.where.c_str(), error.detail.c_str());
  return 1;
}

// With what the API has made, which the daemon's user reads: a file that this user writes is no reading for root.
Result<model::Config> with_objects(const config::LoadedConfig& loaded, const std::string& file) {
  const model::Gateway& gateway = loaded.config.gateway;
  const std::string path = gateway.state_dir + "/objects.db";
  const daemon::UserIds ids = daemon::find_user(gateway.user);
  if (::access(path.c_str(), F_OK) != 0) return loaded.config;
  if (::setegid(ids.gid) != 0 || ::seteuid(ids.uid) != 0) {
    if (::setegid(0) != 0) return fail(ErrorKind::Internal, "qanatd", "cannot become root again");
    return fail(ErrorKind::Internal, path, "cannot be read as the user " + gateway.user);
  }
  auto whole = daemon::whole_without_secrets(
      path, {std::make_shared<const model::Config>(loaded.config), file, io::wall_now(), loaded.lines});
  if (::seteuid(0) != 0 || ::setegid(0) != 0) return fail(ErrorKind::Internal, "qanatd", "cannot become root again");
  return whole;
}

int protect(const config::LoadedConfig& loaded, const std::string& file) {
  const auto whole = with_objects(loaded, file);
  // A daemon that runs knows them all, and what it has made stands.
  if (!whole && whole.error().kind == ErrorKind::Resource) return complain(whole.error());
  // Better the prefixes of the file alone than none.
  const Status done = daemon::apply_protection_once(gateway::protection(whole ? *whole : loaded.config));
  if (!whole) (void)complain(whole.error());
  if (!done) return complain(done.error());
  return whole ? 0 : 1;
}

int protect_or_purge(const daemon::Options& options) {
  auto loaded = daemon::read_config(options.config_file);
  if (!loaded) return complain(loaded.error());
  if (options.mode == daemon::Options::Mode::Protect) return protect(*loaded, options.config_file);
  const gateway::SetProtection protection = gateway::protection(loaded->config);
  const Status done = daemon::purge_once({protection.route_table, protection.fwmark});
  return done ? 0 : complain(done.error());
}

// Sockets of one family: 500, and those of 4500 in the order that steering counts.
Status open_family(io::NetdClient& netd, const model::Gateway& g, const IpAddress& any, daemon::ControlSockets& control,
                   std::vector<daemon::DataSockets>& workers) {
  const auto open = [&](std::uint16_t port, io::ReusePort reuse) -> Result<io::UdpSocket> {
    QANAT_ASSIGN(io::UniqueFd fd, netd.open_udp({any, port}, g.fwmark, reuse));
    return io::UdpSocket::adopt(std::move(fd));
  };
  QANAT_ASSIGN(io::UdpSocket ike, open(io::kIkePort, io::ReusePort::No));
  QANAT_ASSIGN(io::UdpSocket nat, open(io::kNatPort, io::ReusePort::Yes));
  for (daemon::DataSockets& worker : workers) {
    QANAT_ASSIGN(io::UdpSocket packets, open(io::kNatPort, io::ReusePort::Yes));
    worker.udp.push_back(std::move(packets));
  }
  const auto count = static_cast<unsigned>(workers.size());
  QANAT_TRY(io::attach_steering(nat.fd(), count));
  control.ike.push_back(std::move(ike));
  control.nat.push_back(std::move(nat));
  for (unsigned worker = 0; worker < count; ++worker) {
    QANAT_ASSIGN(io::UniqueFd raw, netd.open_esp(any.is_v6() ? io::Family::V6 : io::Family::V4, g.fwmark));
    QANAT_ASSIGN(io::EspSocket esp, io::EspSocket::adopt(std::move(raw)));
    if (count > 1) QANAT_TRY(io::attach_esp_filter(esp, worker, count));
    workers[worker].esp.push_back(std::move(esp));
  }
  return {};
}

// Without them everything else works: unidirectional health checks are then not measurable, and say so.
template <typename Uses>
void open_icmp(const Uses& uses, std::uint32_t mark, daemon::DataSockets& data, const io::Log& log) {
  constexpr std::size_t kSlot = 2048;
  for (const bool v6 : {false, true}) {
    if (!uses(v6)) continue;
    const auto open = [&]() -> Result<io::EspSocket> {
      QANAT_ASSIGN(io::UniqueFd raw, io::open_icmp_socket(v6 ? io::Family::V6 : io::Family::V4, mark));
      return io::EspSocket::adopt(std::move(raw), kSlot);
    };
    if (auto socket = open()) {
      data.icmp.push_back(std::move(*socket));
    } else {
      log.warning("icmp-unavailable", {{"where", socket.error().where}, {"reason", socket.error().detail}});
    }
  }
}

int run(const daemon::Options& options) {
  io::LogOptions log_options;
  if (!options.log_level.empty()) {
    const auto level = io::parse_log_level(options.log_level);
    if (!level) return complain(level.error());
    log_options.level = *level;
  }
  auto helper = daemon::start_helper(log_options);
  if (!helper) return complain(helper.error());
  auto reader = daemon::start_config_reader(options.config_file, log_options);
  const auto end = [&](int code) {
    helper->socket.reset();
    daemon::reap_helper(helper->pid, 2);
    if (reader) {
      reader->socket.reset();
      daemon::reap_helper(reader->pid, 2);
    }
    return code;
  };
  if (!reader) return end(complain(reader.error()));

  auto loaded = daemon::read_config(options.config_file);
  if (!loaded) return end(complain(loaded.error()));
  model::Config* const config = &loaded->config;
  control::LoadedFile file{std::make_shared<const model::Config>(*config), options.config_file, io::wall_now(),
                           loaded->lines};
  if (options.log_level.empty()) {
    if (const auto level = io::parse_log_level(config->gateway.log_level)) log_options.level = *level;
  }
  log_options.format = config->gateway.log_json ? io::LogFormat::Json : io::LogFormat::Human;
  const io::Log log{log_options};
  if (const Status kept = daemon::keep_secrets_in_memory(log); !kept) return end(complain(kept.error()));
  for (const crypto::SelfTestResult& test : crypto::self_test_results()) {
    if (!test.passed)
      log.error("self-test-failed", {{"algorithm", test.algorithm}, {"detail", "it is neither offered nor accepted"}});
  }
  const std::vector<IpAddress> host = daemon::host_addresses();
  daemon::adapt_to_host(*config, host, log);

  io::NetdClient netd{std::move(helper->socket)};
  daemon::ControlSockets control;
  const gateway::SetProtection protection = gateway::protection(*config);
  std::vector<daemon::DataSockets> data;
  const auto open_tun = [&](const std::string& name, std::uint16_t mtu) -> Result<io::TunDevice> {
    const io::TunQueue queue = config->gateway.data_workers == 1 ? io::TunQueue::Only
                               : data.empty()                    ? io::TunQueue::First
                                                                 : io::TunQueue::Further;
    QANAT_ASSIGN(io::UniqueFd fd, netd.open_tun(name, mtu, queue));
    return io::TunDevice::adopt(std::move(fd));
  };
  while (data.size() < config->gateway.data_workers) {
    auto tun = open_tun(protection.tun, protection.tun_mtu);
    if (!tun) return end(complain(tun.error()));
    daemon::DataSockets worker{std::move(*tun), {}, {}};
    for (const gateway::AccountProtection& account : protection.accounts) {
      auto opened = open_tun(account.tun, account.tun_mtu);
      if (!opened) return end(complain(opened.error()));
      worker.accounts.push_back({account.vrf, std::move(*opened)});
    }
    data.push_back(std::move(worker));
  }
  const auto uses = [&](bool v6) {
    const auto is = [&](const std::optional<IpAddress>& a) { return a && a->is_v6() == v6; };
    return is(config->gateway.address4) || is(config->gateway.address6) ||
           std::any_of(config->tunnels.begin(), config->tunnels.end(),
                       [&](const model::Tunnel& t) { return is(t.local) || is(t.peer); });
  };
  if (uses(false)) {
    if (const Status opened = open_family(netd, config->gateway, IpAddress{}, control, data); !opened)
      return end(complain(opened.error()));
  }
  if (uses(true)) {
    const IpAddress any6 = IpAddress::from_bytes(std::array<std::uint8_t, 16>{});
    if (const Status opened = open_family(netd, config->gateway, any6, control, data); !opened)
      return end(complain(opened.error()));
  }
  // Each hears all answers, and knows those to its own probes.
  for (daemon::DataSockets& worker : data) open_icmp(uses, config->gateway.fwmark, worker, log);
  daemon::Listeners listeners;
  if (config->gateway.metrics) {
    auto opened = io::open_tcp_listener(*config->gateway.metrics);
    if (!opened) return end(complain(opened.error()));
    listeners.metrics = std::move(*opened);
  }
  if (config->gateway.api) {
    auto opened = io::open_tcp_listener(*config->gateway.api, "api", 1024);
    if (!opened) return end(complain(opened.error()));
    listeners.https = std::move(*opened);
  }
  auto api = io::open_control_socket(config->gateway.control_socket, config->gateway.control_group);
  if (!api) return end(complain(api.error()));
  listeners.control = std::move(*api);

  std::optional<daemon::KeyLogWriter> key_log;
  daemon::SandboxPlan plan;
  plan.user = config->gateway.user;
  plan.connects = config->gateway.webhooks;
  // A name server that is silent holds a thread for seconds, and the daemon's end with it.
  if (plan.connects) (void)::setenv("RES_OPTIONS", "timeout:2 attempts:2", 0);
  if (const Status prepared = daemon::prepare_state_dir(config->gateway.state_dir, plan.user)) {
    plan.writable_dirs.push_back(config->gateway.state_dir);
  } else {
    log.warning("posture-not-kept", {{"where", prepared.error().where}, {"reason", prepared.error().detail}});
  }
  if (!options.key_log_dir.empty()) {
    const daemon::UserIds ids = daemon::find_user(plan.user);
    key_log.emplace(options.key_log_dir);
    if (const Status prepared = key_log->prepare(ids.uid, ids.gid); !prepared) return end(complain(prepared.error()));
    plan.writable_dirs.push_back(options.key_log_dir);
    log.warning(
        "key-log-on",
        {{"folder", options.key_log_dir},
         {"detail", "EVERY KEY IS WRITTEN THERE: whoever reads it can read the traffic; use it for debugging only"}});
  }
  auto monitor = daemon::AddressMonitor::open(config->gateway.fwmark);
  if (!monitor) return end(complain(monitor.error()));
  std::vector<daemon::RouteMonitor::Tun> tuns = {{VrfId{}, ::if_nametoindex(protection.tun.c_str())}};
  for (const gateway::AccountProtection& a : protection.accounts) {
    tuns.push_back({a.vrf, ::if_nametoindex(a.tun.c_str())});
  }
  auto routes = daemon::RouteMonitor::open(std::move(tuns));
  if (!routes) return end(complain(routes.error()));
  if (const Status confined = daemon::enter_sandbox(plan, log); !confined) return end(complain(confined.error()));

  int code = 0;
  {
    daemon::ConfigReader source{std::move(reader->socket), options.config_file};
    daemon::Wiring wiring{*config,
                          std::move(control),
                          std::move(data),
                          std::move(listeners),
                          std::move(netd),
                          std::move(*monitor),
                          std::move(*routes),
                          std::move(key_log),
                          {std::move(source), host, std::move(file)},
                          log};
    code = wiring.run(*config);
  }
  return end(code);
}

}  // namespace

int main(int argc, char** argv) {
  const daemon::ParsedOptions parsed = daemon::parse_options(argc, argv);
  if (parsed.exit_code) return *parsed.exit_code;
  if (::geteuid() != 0) {
    std::fprintf(stderr, "qanatd: needs root to open ports 500 and 4500 and the TUN device: sudo qanatd -c %s\n",
                 parsed.options.config_file.c_str());
    return 1;
  }
  io::ignore_broken_pipes();
  return parsed.options.mode == daemon::Options::Mode::Run ? run(parsed.options) : protect_or_purge(parsed.options);
}
