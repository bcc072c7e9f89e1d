// What the Director tells the packet path about the WAN, routes and packet rules, and what it hears of it.
#include <algorithm>
#include <set>
#include <span>
#include <tuple>

#include <fmt/format.h>

#include "gateway/director.hpp"
#include "gateway/translate.hpp"
#include "wan/health.hpp"

namespace qanat::gateway {

Result<Director::Steering> Director::make_steering(const model::Config& config, const wan::FindTunnel& find) {
  Steering out;
  QANAT_ASSIGN(out.routes, plane_routes(config, find));
  QANAT_ASSIGN(out.policy, plane_policy(config, find));
  return out;
}

// Routes change as a difference, after the tunnels that they lead to: whatever stays loses nothing.
void Director::steer(Steering steering) {
  const auto hops_of = [](const Steering& of, VrfId vrf) -> std::span<const ipsec::RouteHop> {
    const auto found = std::ranges::find(of.routes, vrf, &ipsec::SetRoutes::vrf);
    return found == of.routes.end() ? std::span<const ipsec::RouteHop>{} : std::span{found->add};
  };
  const auto less = [](const ipsec::RouteHop& a, const ipsec::RouteHop& b) {
    return std::tie(a.prefix, a.tunnel) < std::tie(b.prefix, b.tunnel);
  };
  std::set<VrfId> vrfs;
  for (const Steering* of : {&steering_, &steering}) {
    for (const ipsec::SetRoutes& routes : of->routes) vrfs.insert(routes.vrf);
  }
  for (const VrfId vrf : vrfs) {
    const auto before = hops_of(steering_, vrf);
    const auto now = hops_of(steering, vrf);
    const std::set<ipsec::RouteHop, decltype(less)> stay(now.begin(), now.end(), less);
    ipsec::SetRoutes change{.vrf = vrf, .add = {}, .remove = {}};
    for (const ipsec::RouteHop& hop : before) {
      if (!stay.contains(hop)) change.remove.push_back(hop);
    }
    const std::set<ipsec::RouteHop, decltype(less)> known(before.begin(), before.end(), less);
    for (const ipsec::RouteHop& hop : now) {
      if (const auto same = known.find(hop); same == known.end() || !(*same == hop)) change.add.push_back(hop);
    }
    if (!change.add.empty() || !change.remove.empty()) outputs_.emplace_back(ipsec::Command{std::move(change)});
  }
  outputs_.emplace_back(ipsec::Command{steering.policy});
  steering_ = std::move(steering);
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
  log(EventLevel::Info, "policy-match", std::move(fields));
}

}  // namespace qanat::gateway
