#include "gateway/director.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "gateway/status.hpp"
#include "gateway/translate.hpp"

namespace qanat::gateway {

namespace {

constexpr Duration kCountersInterval = 1s;
constexpr Duration kMaxBackoff = 60s;
constexpr Duration kUpPatience = 60s;  // how long `qanat up` waits for a result

}  // namespace

Director::Tunnel* Director::find(TunnelId id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tunnels_[found->second];
}

Director::Tunnel* Director::find(const std::string& name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tunnels_[found->second];
}

void Director::log(EventLevel level, std::string name, std::vector<std::pair<std::string, std::string>> fields,
                   std::string account) {
  if (account.empty() && !fields.empty() && fields.front().first == "tunnel") {
    const auto tunnel = by_name_.find(fields.front().second);
    if (tunnel != by_name_.end()) account = account_of(tunnels_[tunnel->second].config.vrf);
  }
  outputs_.emplace_back(LogEvent{level, std::move(name), std::move(fields), std::move(account)});
}

std::optional<DirectorOutput> Director::poll() {
  if (outputs_.empty()) return std::nullopt;
  std::optional<DirectorOutput> out{std::move(outputs_.front())};
  outputs_.pop_front();
  return out;
}

Status Director::apply(Instant now, const model::Config& config) {
  started_ = now;
  config_ = config;
  tunnels_.reserve(config_.tunnels.size());
  for (const model::Tunnel& t : config_.tunnels) {
    QANAT_ASSIGN(TunnelState state, make_tunnel(config_.gateway, t, TunnelId{next_id_++}));
    by_id_[state.id] = tunnels_.size();
    by_name_[t.name] = tunnels_.size();
    tunnels_.emplace_back(t, std::move(state));
  }
  ask_for_protection();
  ask_for_nat();
  for (const Tunnel& t : tunnels_) introduce(t);
  const auto find_in = [this](VrfId vrf, std::string_view name) -> std::optional<TunnelId> {
    const Tunnel* t = find(std::string{name});
    return t != nullptr && t->config.vrf == vrf ? std::optional{t->id} : std::nullopt;
  };
  QANAT_ASSIGN(Steering steering, make_steering(config, find_in));
  steer(std::move(steering));
  counters_at_ = now + kCountersInterval;
  return {};
}

Result<Director::TunnelState> Director::make_tunnel(const model::Gateway& gateway, const model::Tunnel& config,
                                                    TunnelId id) const {
  TunnelState tunnel;
  tunnel.id = id;
  QANAT_ASSIGN(ike::TunnelRef known, ike_tunnel(gateway, config, id));
  tunnel.ike = with_pin(std::move(known));
  QANAT_ASSIGN(tunnel.credentials, AuthCredentials::of(config));
  tunnel.certificates_end = pki::first_to_expire(config.credentials.certificates);
  tunnel.wanted = wanted_by(config);
  return tunnel;
}

Director::Wanted Director::wanted_by(const model::Tunnel& config) {
  return config.start == model::StartMode::Initiate && config.peer ? Wanted::Up : Wanted::OnCall;
}

// The packet path, the workers and IKE learn of a tunnel.
void Director::introduce(const Tunnel& t) {
  outputs_.emplace_back(ipsec::Command{ipsec::SetTunnel{tunnel_plan(config_.gateway, t.config, t.id)}});
  outputs_.emplace_back(CredentialsOut{t.id, t.credentials});
  outputs_.emplace_back(ToIkeShard{SetIkeTunnel{t.ike}});
}

void Director::begin(Instant now, Tunnel& t) {
  t.retry_at.reset();
  note_times(t);
  if (!protected_ || t.barred) return;  // it begins when the barrier stands
  beginnings_.handle_timeout(now);
  beginnings_.ask(t.id);
  begin_next(now);
}

void Director::begin_next(Instant now) {
  while (const auto id = beginnings_.next(now)) outputs_.emplace_back(ToIkeShard{Initiate{*id}});
}

void Director::note_begun(Instant now, TunnelId tunnel, Beginnings::End how) {
  beginnings_.end(tunnel, how);
  begin_next(now);
}

void Director::note_times(Tunnel& t) {
  if (t.due) due_.erase({*t.due, t.id});
  t.due = t.retry_at;
  if (t.wait_until && (!t.due || *t.wait_until < *t.due)) t.due = t.wait_until;
  if (t.due) due_.insert({*t.due, t.id});
}

void Director::retry_later(Instant now, Tunnel& t) {
  if (stopping_ || t.wanted != Wanted::Up) return;
  const unsigned doublings = std::min(t.failures, 6U);
  ++t.failures;
  const Duration base = std::min<Duration>(kMaxBackoff, Duration{1s} * (1U << doublings));
  t.retry_at =
      now + base + Duration{static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(base.count()) / 4 + 1))};
  note_times(t);
}

void Director::answer_waiting(Tunnel& t, bool ok, const std::string& message) {
  for (const std::uint64_t ticket : t.waiting) outputs_.emplace_back(CommandDone{ticket, {ok, message}});
  t.waiting.clear();
  t.wait_until.reset();
  note_times(t);
}

void Director::command(Instant now, std::uint64_t ticket, const control::GatewayCommand& command) {
  const auto done = [&](bool ok, std::string message) {
    outputs_.emplace_back(CommandDone{ticket, {ok, std::move(message)}});
  };
  if (command.verb == control::GatewayCommand::Verb::Purge) {
    const RequestId request{next_request_++};
    host_tickets_[request] = ticket;
    outputs_.emplace_back(HostOut{request, PurgeProtection{config_.gateway.route_table, config_.gateway.fwmark}});
    log(EventLevel::Warning, "purge",
        {{"detail", "routes and rules that keep protected traffic inside the tunnels are being removed"}});
    return;
  }
  Tunnel* t = find(command.tunnel);
  if (t == nullptr) return done(false, fmt::format("there is no tunnel named {}", command.tunnel));
  if (command.verb == control::GatewayCommand::Verb::Down) {
    if (t->wanted == Wanted::Down) return done(true, fmt::format("{} is down already", t->config.name));
    t->wanted = Wanted::Down;
    t->retry_at.reset();
    note_times(*t);
    t->failures = 0;
    t->reason.clear();
    t->live.clear();
    beginnings_.forget(t->id);
    begin_next(now);
    answer_waiting(*t, false, "the tunnel was taken down");
    // Forgotten by IKE, so that the peer cannot bring it up again; the routes stay, and with them the barrier.
    outputs_.emplace_back(ToIkeShard{RemoveIkeTunnel{t->id}});
    log(EventLevel::Info, "tunnel-down", {{"tunnel", t->config.name}, {"reason", "taken down by qanat down"}});
    return done(true,
                fmt::format("{} is down; its traffic is blocked until qanat up {}", t->config.name, t->config.name));
  }
  if (command.verb == control::GatewayCommand::Verb::Ping) return ping(ticket, *t);
  if (command.verb == control::GatewayCommand::Verb::ForgetPin) {
    outputs_.emplace_back(CommandDone{ticket, forget_pin(now, *t)});
    return;
  }
  if (command.verb != control::GatewayCommand::Verb::Up) {
    outputs_.emplace_back(CommandDone{ticket, renew(now, *t, command.verb)});
    return;
  }
  if (!t->live.empty()) return done(true, fmt::format("{} is up already", t->config.name));
  if (t->wanted == Wanted::Down) outputs_.emplace_back(ToIkeShard{SetIkeTunnel{t->ike}});
  if (!t->config.peer) {
    t->wanted = Wanted::OnCall;
    return done(true, fmt::format("{} waits for its peer to call: peer = \"any\"", t->config.name));
  }
  t->wanted = Wanted::Up;
  t->failures = 0;
  begin(now, *t);
  if (!command.wait) return done(true, fmt::format("{} is being brought up", t->config.name));
  t->waiting.push_back(ticket);
  t->wait_until = now + kUpPatience;
  note_times(*t);
}

control::CommandResult Director::renew(Instant now, Tunnel& t, control::GatewayCommand::Verb verb) {
  using Verb = control::GatewayCommand::Verb;
  if (t.live.empty()) {
    return {false, fmt::format("{} is not up, so there are no keys to renew: qanat status {} says why", t.config.name,
                               t.config.name)};
  }
  if (verb == Verb::Reauthenticate) {
    if (!t.config.peer) {
      return {false, fmt::format("{} has peer = \"any\": only the peer can begin a new IKE SA", t.config.name)};
    }
    begin(now, t);
    return {true, fmt::format("{}: a new IKE SA is being made beside the old one", t.config.name)};
  }
  outputs_.emplace_back(ToIkeShard{Rekey{t.id, verb == Verb::RekeyIke ? Rekey::What::Ike : Rekey::What::Children}});
  return {true,
          fmt::format("{}: new keys for {} are being made", t.config.name, verb == Verb::RekeyIke ? "IKE" : "packets")};
}

// What an SA that has come up says of its keys, for the ledger, the metrics and an alert.
void Director::note_keys(Instant now, const ike::Report& report, const std::string& name,
                         std::span<const ike::SaInfo> sas) {
  using What = ike::Report::What;
  if (report.what == What::ChildGone) posture_.child_gone(now, report.child);
  for (const ike::SaInfo& sa : sas) {
    if (report.what == What::IkeUp && sa.id == report.sa) uptake_.add(sa, keys_word(sa.verdict));
    if (report.what != What::ChildUp) continue;
    for (const ike::ChildInfo& child : sa.children) {
      if (child.id != report.child) continue;
      const ike::SafetyVerdict& v = child.verdict;
      const auto keys = v.hybrid ? PostureBook::Keys::Hybrid
                        : v.ppk  ? PostureBook::Keys::Safe
                                 : PostureBook::Keys::Classical;
      if (posture_.child_up(now, name, report.child, keys)) {
        log(EventLevel::Warning, "fell-to-classical",
            {{"tunnel", name}, {"code", std::string{v.code}}, {"reason", v.reason}});
      }
    }
  }
}

void Director::handle_report(Instant now, const ike::Report& report, std::span<const ike::SaInfo> sas) {
  Tunnel* t = find(report.tunnel);
  const std::string name = t != nullptr ? t->config.name : "";
  using What = ike::Report::What;
  if (t != nullptr) {
    note_keys(now, report, name, sas);
    renew_pin(*t);
  }
  switch (report.what) {
    case What::IkeUp:
      log(EventLevel::Debug, "ike-up", {{"tunnel", name}, {"detail", report.detail}});
      return;
    case What::IkeRekeyed:
      if (t != nullptr) ++t->seen.ike_rekeys;
      log(EventLevel::Debug, "ike-rekeyed", {{"tunnel", name}, {"detail", report.detail}});
      return;
    case What::Weakened:
      log(EventLevel::Warning, "weakened", {{"tunnel", name}, {"detail", report.detail}});
      return;
    case What::PeerMoved:
      log(EventLevel::Info, "peer-moved", {{"tunnel", name}, {"detail", report.detail}});
      return;
    case What::PeerRefused:
      return note_refused(report, t);
    default:
      break;
  }
  if (t == nullptr) return;
  switch (report.what) {
    case What::ChildUp: {
      const bool first = t->live.empty();
      ++(first ? t->seen.times_up : t->seen.child_rekeys);
      t->seen.last_failure.clear();
      t->live.insert(report.child);
      t->failures = 0;
      t->retry_at.reset();
      note_times(*t);
      note_begun(now, t->id, Beginnings::End::Up);
      t->reason.clear();
      t->outside_selectors.clear();
      log(first ? EventLevel::Info : EventLevel::Debug, first ? "tunnel-up" : "new-keys",
          {{"tunnel", name}, {"detail", report.detail}});
      answer_waiting(*t, true, fmt::format("{} is up: {}", name, report.detail));
      break;
    }
    case What::SelectorsRefused:
      t->outside_selectors = report.detail;
      log(EventLevel::Warning, "selectors-refused", {{"tunnel", name}, {"detail", report.detail}});
      break;
    case What::Hint:
      t->reason = report.detail;
      log(EventLevel::Warning, "peer-answered", {{"tunnel", name}, {"detail", report.detail}});
      answer_waiting(*t, false, report.detail);
      break;
    case What::PeerRestarted:
      log(EventLevel::Info, "peer-restarted", {{"tunnel", name}, {"detail", report.detail}});
      if (!stopping_ && t->wanted == Wanted::Up && t->live.empty()) begin(now, *t);
      break;
    case What::PinRefused:
      if (t->live.empty()) t->reason = report.detail;
      log(EventLevel::Warning, "pin-refused", {{"tunnel", name}, {"reason", report.detail}});
      answer_waiting(*t, false, report.detail);
      break;
    case What::AttemptFailed:
      ++t->seen.failed_attempts;
      t->seen.last_failure = report.handshake;
      if (t->live.empty()) t->reason = report.detail;
      log(stopping_ ? EventLevel::Debug : EventLevel::Warning, "attempt-failed",
          {{"tunnel", name}, {"reason", report.detail}});
      answer_waiting(*t, false, report.detail);
      note_begun(now, t->id, Beginnings::End::Failed);
      retry_later(now, *t);
      break;
    case What::ChildGone:
      if (t->live.erase(report.child) == 0 || !t->live.empty() || report.detail.empty()) break;
      // The IKE SA stands and carries nothing: the peer may make another Child SA, and if it does not, we do.
      log(t->wanted == Wanted::Down || stopping_ ? EventLevel::Info : EventLevel::Warning, "tunnel-down",
          {{"tunnel", name}, {"reason", report.detail}});
      t->reason = report.detail;
      retry_later(now, *t);
      break;
    case What::Down:
      if (!t->live.empty()) {
        log(EventLevel::Debug, "sa-replaced", {{"tunnel", name}, {"reason", report.detail}});
        break;
      }
      log(t->wanted == Wanted::Down || stopping_ ? EventLevel::Info : EventLevel::Warning, "tunnel-down",
          {{"tunnel", name}, {"reason", report.detail}});
      t->reason = report.detail;
      answer_waiting(*t, false, report.detail);
      retry_later(now, *t);
      break;
    case What::RenewWanted:
      log(EventLevel::Debug, "renew", {{"tunnel", name}, {"reason", report.detail}});
      if (!stopping_ && t->wanted != Wanted::Down && t->config.peer) begin(now, *t);
      break;
    default:
      break;
  }
}

void Director::handle_cannot_initiate(Instant now, const CannotInitiate& failure) {
  Tunnel* t = find(failure.tunnel);
  if (t == nullptr) return;
  t->reason = fmt::format("{}: {}", failure.error.where, failure.error.detail);
  log(EventLevel::Error, "attempt-failed", {{"tunnel", t->config.name}, {"reason", t->reason}});
  answer_waiting(*t, false, t->reason);
  note_begun(now, t->id, Beginnings::End::Failed);
  retry_later(now, *t);
}

void Director::note_counters(Instant now, const ipsec::Counters& counters) {
  posture_.count(now, counters, [this](TunnelId id) {
    const Tunnel* t = find(id);
    return t == nullptr ? nullptr : &t->config.name;
  });
  sa_counters_ = counters.sas;
  std::ranges::sort(sa_counters_, {}, &ipsec::SaCounters::child);
  for (const ipsec::TunnelCounters& c : counters.tunnels) {
    if (Tunnel* t = find(c.tunnel)) t->counters = c;
  }
  plane_drops_ = counters.drops;
  handed_over_ = counters.handed_over;
  policy_counters_ = counters.policy;
}

void Director::handle_plane(Instant now, const ipsec::Event& event) {
  if (const auto* counters = std::get_if<ipsec::Counters>(&event)) {
    note_counters(now, *counters);
  } else if (const auto* health = std::get_if<ipsec::HealthChanged>(&event)) {
    note_health(*health);
  } else if (const auto* match = std::get_if<ipsec::PolicyMatch>(&event)) {
    note_match(*match);
  } else if (const auto* answer = std::get_if<ipsec::Pinged>(&event)) {
    note_ping(*answer);
  } else if (const auto* acquire = std::get_if<ipsec::Acquire>(&event)) {
    Tunnel* t = find(acquire->tunnel);
    if (t != nullptr && !t->live.empty()) {
      t->outside_selectors = fmt::format(
          "dropped (ts_mismatch): {} -> {} is outside the traffic selectors of its Child SAs: change 'selectors' of "
          "tunnel {} or at the peer",
          ipsec::to_string(acquire->local), ipsec::to_string(acquire->remote), t->config.name);
    }
    // Traffic wants the tunnel: the backoff need not be waited for.
    if (t != nullptr && t->live.empty() && t->wanted == Wanted::Up && t->retry_at && t->failures < 4) begin(now, *t);
  }
}

std::optional<Instant> Director::next_timeout() const {
  std::optional<Instant> next = counters_at_;
  const auto earlier = [&](const std::optional<Instant>& at) {
    if (at && (!next || *at < *next)) next = at;
  };
  earlier(protection_at_);
  earlier(nat_at_);
  earlier(barriers_at_);
  if (!due_.empty()) earlier(due_.begin()->first);
  earlier(beginnings_.next_timeout());
  return next;
}

void Director::handle_timeout(Instant now) {
  if (counters_at_ && *counters_at_ <= now) {
    counters_at_ = now + kCountersInterval;
    outputs_.emplace_back(ipsec::Command{ipsec::ReadCounters{RequestId{next_request_++}}});
  }
  if (protection_at_ && *protection_at_ <= now) ask_for_protection();
  if (nat_at_ && *nat_at_ <= now) ask_for_nat();
  if (barriers_at_ && *barriers_at_ <= now) {
    barriers_at_.reset();
    barriers_.clear();  // adding what is there is no error
    keep_barriers();
  }
  beginnings_.handle_timeout(now);
  begin_next(now);
  while (!due_.empty() && due_.begin()->first <= now) {
    Tunnel& t = *find(due_.begin()->second);
    if (t.retry_at && *t.retry_at <= now) begin(now, t);
    if (t.wait_until && *t.wait_until <= now) {
      answer_waiting(t, false,
                     t.reason.empty() ? fmt::format("no answer from {} yet; qanatd keeps trying: see qanat status {}",
                                                    t.config.peer->to_string(), t.config.name)
                                      : t.reason);
    }
  }
}

void Director::shut_down(Instant) {
  stopping_ = true;
  for (Tunnel& t : tunnels_) {
    t.retry_at.reset();
    note_times(t);
    beginnings_.forget(t.id);
    outputs_.emplace_back(ToIkeShard{Terminate{t.id, "qanatd stops"}});
  }
}

}  // namespace qanat::gateway
