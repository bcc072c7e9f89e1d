// What the Director tells the packet path about the WAN, routes and packet rules, and what it hears of it.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "gateway/director.hpp"
#include "gateway/translate.hpp"
#include "wan/health.hpp"

namespace qanat::gateway {

Result<Director::Steering> Director::make_steering(const model::Config& config, const wan::FindTunnel& find) {
  Steering out;
  QANAT_ASSIGN(out.routes, plane_routes(config, find));
  for (ipsec::SetRoutes& routes : out.routes) std::ranges::sort(routes.add, earlier);
  QANAT_ASSIGN(out.policy, plane_policy(config, find));
  return out;
}

// Routes change as a difference, after the tunnels that they lead to: whatever stays loses nothing.
void Director::steer(Steering steering) {
  std::vector<ipsec::SetRoutes> of_kernel = kernel_hops(kernel_routes_, steering.routes, peers());
  for (ipsec::SetRoutes& change :
       route_changes(merged(steering_.routes, kernel_hops_), merged(steering.routes, of_kernel))) {
    outputs_.emplace_back(ipsec::Command{std::move(change)});
  }
  outputs_.emplace_back(ipsec::Command{steering.policy});
  steering_ = std::move(steering);
  kernel_hops_ = std::move(of_kernel);
  keep_barriers();
  keep_local_prefixes();
}

FindPeer Director::peers() const {
  std::map<std::pair<VrfId, IpAddress>, TunnelId> known;
  if (!kernel_routes_.empty()) {
    for (const Tunnel& t : tunnels_) {
      for (const auto& address : {t.config.peer_interface4, t.config.peer_interface6}) {
        if (address) known.emplace(std::pair{t.config.vrf, *address}, t.id);
      }
    }
  }
  return [known = std::move(known)](VrfId vrf, const IpAddress& address) -> std::optional<TunnelId> {
    const auto found = known.find({vrf, address});
    return found == known.end() ? std::nullopt : std::optional{found->second};
  };
}

void Director::handle_host_networks(std::vector<HostNetwork> networks) {
  std::ranges::sort(networks);
  if (networks == networks_) return;
  networks_ = std::move(networks);
  keep_local_prefixes();
  // The helper looks at the kernel by itself: it only has to do so again.
  if (exceptions(networks_, protection(config_)) != exceptions_) ask_for_protection();
}

// After the tunnels' routes: what was local before stays so until they are there.
void Director::keep_local_prefixes() {
  std::vector<ipsec::SetLocalPrefixes> now = local_prefixes(networks_, protection(config_));
  for (const ipsec::SetLocalPrefixes& of_vrf : now) {
    if (std::ranges::find(local_prefixes_, of_vrf) == local_prefixes_.end())
      outputs_.emplace_back(ipsec::Command{of_vrf});
  }
  for (const ipsec::SetLocalPrefixes& was : local_prefixes_) {
    if (std::ranges::find(now, was.vrf, &ipsec::SetLocalPrefixes::vrf) == now.end())
      outputs_.emplace_back(ipsec::Command{ipsec::SetLocalPrefixes{.vrf = was.vrf, .prefixes = {}}});
  }
  local_prefixes_ = std::move(now);
}

void Director::handle_kernel_routes(std::vector<KernelRoute> routes) {
  std::ranges::sort(routes);
  if (routes == kernel_routes_) return;
  kernel_routes_ = std::move(routes);
  std::vector<ipsec::SetRoutes> hops = kernel_hops(kernel_routes_, steering_.routes, peers());
  std::size_t added = 0;
  std::size_t removed = 0;
  for (ipsec::SetRoutes& change : route_changes(kernel_hops_, hops)) {
    added += change.add.size();
    removed += change.remove.size();
    outputs_.emplace_back(ipsec::Command{std::move(change)});
  }
  kernel_hops_ = std::move(hops);
  keep_barriers();
  if (added + removed == 0) return;
  log(EventLevel::Info, "kernel-routes",
      {{"added", fmt::format("{}", added)}, {"removed", fmt::format("{}", removed)}});
}

// What an earlier process left stays until its route has come and gone again, or until a purge: nobody knows better.
void Director::keep_barriers() {
  std::vector<Barrier> now = kernel_barriers(kernel_routes_, protection(config_), peers());
  for (ChangeBarriers& change : barrier_changes(barriers_, now)) {
    const RequestId request{next_request_++};
    barrier_requests_.insert(request);
    outputs_.emplace_back(HostOut{request, std::move(change)});
  }
  barriers_ = std::move(now);
}

void Director::note_health(const ipsec::HealthChanged& change) {
  Tunnel* t = find(change.tunnel);
  if (t == nullptr) return;
  t->counters.health = change.health;
  const auto is = [&](std::initializer_list<wan::HealthCode> codes) {
    return std::any_of(codes.begin(), codes.end(),
                       [&](wan::HealthCode code) { return change.health.code == wan::to_string(code); });
  };
  using Code = wan::HealthCode;
  // Of a tunnel that goes or comes, `tunnel-down` and `tunnel-up` speak.
  const EventLevel level = is({Code::ProbesLost, Code::Loss, Code::OutsideSelectors}) ? EventLevel::Warning
                           : is({Code::NoSa, Code::AwaitsAnswers, Code::NoAnswerYet, Code::Disabled})
                               ? EventLevel::Debug
                               : EventLevel::Info;
  log(level, "health-changed",
      {{"tunnel", t->config.name},
       {"from", std::string{change.from}},
       {"to", std::string{change.health.state}},
       {"code", std::string{change.health.code}},
       {"detail", change.detail}});
}

Status Director::capture(const control::CaptureOrder& order) {
  if (!order.start) {
    outputs_.emplace_back(ipsec::Command{ipsec::StopCapture{order.capture}});
    return {};
  }
  const control::CaptureWish& wish = *order.start;
  ipsec::StartCapture start{.capture = order.capture,
                            .vrf = wish.vrf,
                            .tunnel = {},
                            .filter = wish.filter,
                            .time = wish.time,
                            .packets = wish.packets,
                            .bytes = wish.bytes,
                            .snap = wish.snap};
  if (!wish.tunnel.empty()) {
    const Tunnel* t = find(wish.tunnel);
    if (t == nullptr || t->config.vrf != wish.vrf)
      return fail(ErrorKind::LocalPolicy, wish.tunnel, "the tunnel is not in force: another change took it away");
    start.tunnel = t->id;
  }
  outputs_.emplace_back(ipsec::Command{std::move(start)});
  return {};
}

void Director::ping(std::uint64_t ticket, const Tunnel& t) {
  if (t.live.empty()) {
    const std::string why = t.wanted == Wanted::Down ? fmt::format("it was taken down; qanat up {}", t.config.name)
                            : t.reason.empty()       ? "no attempt has ended yet"
                                                     : t.reason;
    outputs_.emplace_back(CommandDone{ticket, {false, fmt::format("{} is not up: {}", t.config.name, why), {}}});
    return;
  }
  const RequestId request{next_request_++};
  pings_[request] = {ticket, t.config.name};
  outputs_.emplace_back(ipsec::Command{ipsec::Ping{request, t.id}});
}

void Director::note_ping(const ipsec::Pinged& answer) {
  const auto found = pings_.find(answer.request);
  if (found == pings_.end()) return;
  const OpenPing open = std::move(found->second);
  pings_.erase(found);
  control::CommandResult result;
  result.ok = answer.status.has_value();
  if (result.ok) {
    control::PingStatus& ping = result.ping.emplace();
    ping.tunnel = open.tunnel;
    ping.from = answer.from.to_string();
    ping.to = answer.to.to_string();
    ping.answered = answer.round_trip.has_value();
    if (answer.round_trip) ping.milliseconds = std::chrono::duration<double, std::milli>(*answer.round_trip).count();
  } else {
    result.message = fmt::format("{}: {}", open.tunnel, answer.status.error().detail);
  }
  outputs_.emplace_back(CommandDone{open.ticket, std::move(result)});
}

void Director::note_match(const ipsec::PolicyMatch& match) {
  const auto side = [&](const std::optional<TunnelId>& id) {
    const Tunnel* t = id ? find(*id) : nullptr;
    return t != nullptr ? t->config.name : std::string{model::kHostSide};
  };
  std::vector<std::pair<std::string, std::string>> fields = {
      {"rule", match.rule},
      {"from", side(match.from)},
      {"to", side(match.to)},
      {"detail", fmt::format("{} -> {}", ipsec::to_string(match.source), ipsec::to_string(match.destination))}};
  if (match.passed_over != 0) fields.emplace_back("not_told", fmt::format("{}", match.passed_over));
  const Tunnel* side_of = match.from && find(*match.from) ? find(*match.from) : match.to ? find(*match.to) : nullptr;
  log(EventLevel::Info, "policy-match", std::move(fields), side_of != nullptr ? account_of(side_of->config.vrf) : "");
}

}  // namespace qanat::gateway
