// Many initiators in one process, for whatever responder: every [[tunnel]] of a qanat.toml is one of them, with its own
// identity. Our IkeEndpoint over two UDP sockets; Child SAs are agreed upon, but no packet path stands behind them.
//
//   ike_load CONFIG --count N --in-flight M [--rate R] [--keep] [--seconds S]
//
// Without --rate a handshake begins when another has ended, M at a time; with it R begin every second, whatever becomes
// of them (at most M at a time), and latency counts from the moment that the schedule had for it. Without --keep an IKE
// SA is deleted as soon as it stands, and its identity is used again. One line of JSON at the end; with --keep it comes
// when all stand, and the process then stays, mute, until its input ends.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include <unistd.h>

#include "crypto/openssl.hpp"
#include "crypto/rng.hpp"
#include "daemon/config_file.hpp"
#include "gateway/auth_service.hpp"
#include "gateway/translate.hpp"
#include "ike/endpoint.hpp"
#include "io/clock.hpp"
#include "io/event_loop.hpp"
#include "io/udp_socket.hpp"
#include "namespaces.hpp"

namespace {

using namespace qanat;

struct Order {
  std::size_t count = 100;
  std::size_t in_flight = 16;
  double rate = 0;  // 0: as fast as they end
  bool keep = false;
  double seconds = 60;  // then it ends, with what there is
};

ike::EndpointConfig endpoint_config() {
  ike::EndpointConfig out;
  out.half_open_limit = 1'000'000;
  return out;
}

WallTime today() {
  return io::wall_now();
}

class Load {
 public:
  Load(Order order, io::UdpSocket ike, io::UdpSocket nat)
      : order_(order), ike_(std::move(ike)), nat_(std::move(nat)), endpoint_(endpoint_config(), rng_) {}

  Status add(const model::Config& config) {
    for (const model::Tunnel& tunnel : config.tunnels) {
      const TunnelId id{++last_id_};
      QANAT_ASSIGN(auto wanted, gateway::ike_tunnel(config.gateway, tunnel, id));
      QANAT_ASSIGN(auto credentials, gateway::AuthCredentials::of(tunnel));
      if (credentials) credentials_[id] = std::move(credentials);
      endpoint_.set_tunnel(std::move(wanted));
      idle_.push_back(id);
    }
    return {};
  }

  Status run() {
    QANAT_ASSIGN(loop_, io::EventLoop::create());
    QANAT_TRY(loop_->add(ike_.fd(), [this] { on_datagrams(ike_, io::kIkePort); }));
    QANAT_TRY(loop_->add(nat_.fd(), [this] { on_datagrams(nat_, io::kNatPort); }));
    QANAT_TRY(loop_->add(STDIN_FILENO, [this] { loop_->stop(); }));
    loop_->on_timer([this] {
      endpoint_.handle_timeout(io::boot_now());
      end_of_turn();
    });
    begin_ = io::boot_now();
    end_of_turn();
    return loop_->run();
  }

 private:
  struct Attempt {
    Instant since;
  };

  void on_datagrams(io::UdpSocket& socket, std::uint16_t port) {
    const Instant now = io::boot_now();
    for (const io::ReceivedDatagram& d : socket.receive()) {
      endpoint_.handle_datagram(now, {{d.local, port}, d.remote}, d.data);
    }
    end_of_turn();
  }

  void end_of_turn() {
    const Instant now = io::boot_now();
    drain(now);
    if (!reported_) {
      start_what_is_due(now);
      drain(now);
    }
    const bool over = now > begin_ + Duration{static_cast<std::int64_t>(order_.seconds * 1e9)};
    if (!reported_ && ((done_ + failed_ >= order_.count && (order_.keep || gone_ >= done_)) || over)) {
      report(now);
      if (!order_.keep || over) loop_->stop();
    }
    std::optional<Instant> next = endpoint_.next_timeout();
    const auto sooner = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
    if (!reported_) sooner(begin_ + Duration{static_cast<std::int64_t>(order_.seconds * 1e9)} + 1ms);
    if (!reported_ && order_.rate > 0 && begun_ < order_.count && open_.size() < order_.in_flight) sooner(due(begun_));
    loop_->set_timer(next);
  }

  Instant due(std::size_t number) const {
    return begin_ + Duration{static_cast<std::int64_t>(static_cast<double>(number) * 1e9 / order_.rate)};
  }

  void start_what_is_due(Instant now) {
    while (begun_ < order_.count && open_.size() < order_.in_flight && !idle_.empty()) {
      const Instant since = order_.rate > 0 ? due(begun_) : now;
      if (since > now) return;
      const TunnelId id = idle_.front();
      idle_.pop_front();
      ++begun_;
      open_[id] = {since};
      if (!endpoint_.initiate(now, id)) fail(id);
    }
  }

  void drain(Instant now) {
    while (auto action = endpoint_.poll_action()) {
      if (auto* out = std::get_if<ike::Transmit>(&*action)) {
        (out->path.local.port == io::kNatPort ? nat_ : ike_)
            .send(out->path.local.address, out->path.remote, 0, io::Df::Clear, out->datagram);
      } else if (auto* plane = std::get_if<ike::PlaneCommand>(&*action)) {
        answer(now, plane->command);
      } else if (auto* sign = std::get_if<ike::SignQuestion>(&*action)) {
        const auto known = credentials_.find(sign->tunnel);
        endpoint_.handle_auth(
            now, known == credentials_.end() ? gateway::no_credentials(*sign) : known->second->answer(*sign));
      } else if (auto* verify = std::get_if<ike::VerifyQuestion>(&*action)) {
        const auto known = credentials_.find(verify->tunnel);
        endpoint_.handle_auth(now, known == credentials_.end() ? gateway::no_credentials(*verify)
                                                               : known->second->answer(*verify, today()));
      } else if (const auto* report = std::get_if<ike::Report>(&*action)) {
        hear(now, *report);
      }
    }
  }

  // In place of a packet path: everything can be installed.
  void answer(Instant now, const ipsec::Command& command) {
    if (const auto* reserve = std::get_if<ipsec::ReserveSpi>(&command)) {
      endpoint_.handle_plane(now, ipsec::Done{reserve->request, next_spi_++, {}});
    } else if (const auto* in = std::get_if<ipsec::InstallInbound>(&command)) {
      endpoint_.handle_plane(now, ipsec::Done{in->request, 0, {}});
    } else if (const auto* out = std::get_if<ipsec::InstallOutbound>(&command)) {
      endpoint_.handle_plane(now, ipsec::Done{out->request, 0, {}});
    }
  }

  void hear(Instant now, const ike::Report& report) {
    using What = ike::Report::What;
    if (report.what == What::ChildUp) {
      const auto attempt = open_.find(report.tunnel);
      if (attempt == open_.end()) return;
      milliseconds_.push_back(static_cast<double>((now - attempt->second.since).count()) / 1e6);
      open_.erase(attempt);
      ++done_;
      last_done_ = now;
      if (!order_.keep) endpoint_.terminate(now, report.tunnel, "the load is over");
    } else if (report.what == What::AttemptFailed) {
      if (why_.empty()) why_ = report.detail;
      if (open_.contains(report.tunnel)) fail(report.tunnel);
    } else if (report.what == What::Down) {
      if (order_.keep) ++lost_;
      ++gone_;
      idle_.push_back(report.tunnel);
    }
  }

  void fail(TunnelId id) {
    ++failed_;
    open_.erase(id);
    idle_.push_back(id);
  }

  void report(Instant now) {
    reported_ = true;
    std::sort(milliseconds_.begin(), milliseconds_.end());
    const auto at = [&](double part) {
      return milliseconds_.empty()
                 ? 0.0
                 : milliseconds_[static_cast<std::size_t>(part * static_cast<double>(milliseconds_.size() - 1))];
    };
    const double taken = static_cast<double>((done_ != 0 ? last_done_ - begin_ : now - begin_).count()) / 1e9;
    std::printf(
        "{\"handshakes\": %zu, \"failed\": %zu, \"unfinished\": %zu, \"lost\": %zu, \"seconds\": %.4f, \"p50_ms\": "
        "%.3f, "
        "\"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
        done_, failed_, open_.size(), lost_, taken, at(0.5), at(0.99), at(1.0));
    std::fflush(stdout);
    if (!why_.empty()) std::fprintf(stderr, "the first that failed: %s\n", why_.c_str());
  }

  Order order_;
  io::UdpSocket ike_;
  io::UdpSocket nat_;
  crypto::SystemRng rng_;
  ike::IkeEndpoint endpoint_;
  std::unique_ptr<io::EventLoop> loop_;
  std::unordered_map<TunnelId, std::shared_ptr<const gateway::AuthCredentials>> credentials_;
  std::deque<TunnelId> idle_;
  std::unordered_map<TunnelId, Attempt> open_;
  std::vector<double> milliseconds_;
  std::string why_;
  Instant begin_;
  Instant last_done_;
  std::size_t begun_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::size_t gone_ = 0;
  std::size_t lost_ = 0;  // that should have stayed
  std::uint32_t last_id_ = 0;
  ipsec::EspSpi next_spi_ = 1000;
  bool reported_ = false;
};

Status load(const std::string& file, const Order& order) {
  QANAT_ASSIGN(const auto loaded, daemon::read_config(file));
  const model::Config& config = loaded.config;
  if (!config.gateway.address4) return fail(ErrorKind::LocalPolicy, file, "[gateway] address must be an IPv4 address");
  const IpAddress local = *config.gateway.address4;
  QANAT_ASSIGN(auto ike_fd, io::open_udp_socket({local, io::kIkePort}, 0, io::ReusePort::No));
  QANAT_ASSIGN(auto nat_fd, io::open_udp_socket({local, io::kNatPort}, 0, io::ReusePort::No));
  QANAT_ASSIGN(auto ike, io::UdpSocket::adopt(std::move(ike_fd)));
  QANAT_ASSIGN(auto nat, io::UdpSocket::adopt(std::move(nat_fd)));
  const auto program = std::make_unique<Load>(order, std::move(ike), std::move(nat));
  QANAT_TRY(program->add(config));
  return program->run();
}

}  // namespace

int main(int argc, char** argv) {
  errno = 0;
  if (argc < 2) bench::die("usage: ike_load CONFIG --count N --in-flight M [--rate R] [--keep] [--seconds S]");
  Order order;
  for (int i = 2; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--keep") {
      order.keep = true;
      continue;
    }
    if (i + 1 == argc) bench::die(name + " needs a value");
    const std::string value = argv[++i];
    if (name == "--count")
      order.count = std::stoul(value);
    else if (name == "--in-flight")
      order.in_flight = std::stoul(value);
    else if (name == "--rate")
      order.rate = std::stod(value);
    else if (name == "--seconds")
      order.seconds = std::stod(value);
    else
      bench::die("unknown option " + name);
  }
  if (const Status done = load(argv[1], order); !done) {
    errno = 0;
    bench::die(done.error().where + ": " + done.error().detail);
  }
  return 0;
}
