// The snapshot: what everybody who looks is shown.
#include "gateway/status.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.hpp"
#include "control/posture.hpp"
#include "control/route_choice.hpp"
#include "crypto/packet_cipher.hpp"
#include "crypto/self_test.hpp"
#include "esp/overhead.hpp"
#include "gateway/director.hpp"
#include "wan/health.hpp"

#ifndef QANAT_VERSION
#error "QANAT_VERSION comes from the build"
#endif

namespace qanat::gateway {

namespace {

constexpr std::size_t kOfferedText = 400;

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

control::Verdict verdict_of(const ike::SafetyVerdict& v) {
  return {keys_word(v), v.reason, std::string{v.code}};
}

std::string date_of(const std::optional<WallTime>& time) {
  return time ? control::date_text(*time) : "";
}

// An attempt whose first large message was never answered, however small its pieces became.
bool looks_like_lost_fragments(const std::vector<ike::ExchangeRecord>& handshake) {
  return !handshake.empty() && handshake.back().exchange == wire::ExchangeType::IKE_INTERMEDIATE &&
         handshake.back().response_datagrams == 0;
}

std::string authentication_verdict(const ike::SaInfo& sa) {
  if (sa.authenticated_by.empty() || sa.authenticated_by == "PSK") {
    return sa.psk_generated ? "quantum-safe: a generated PSK of 256 bits"
                            : "depends on the PSK: a typed one can be guessed from a recorded handshake; qanat genpsk "
                              "makes a safe one";
  }
  return sa.auth_quantum_safe ? "quantum-safe"
                              : "not quantum-safe: its signatures can be forged with a quantum computer";
}

control::ExchangeStep step_of(const ike::ExchangeRecord& r) {
  control::ExchangeStep out;
  out.exchange =
      r.note.empty() ? wire::to_string(r.exchange) : fmt::format("{} ({})", wire::to_string(r.exchange), r.note);
  out.request_bytes = r.request_octets;
  out.response_bytes = r.response_octets;
  out.request_fragments = r.request_datagrams;
  out.response_fragments = r.response_datagrams;
  out.retransmissions = r.retransmissions;
  out.milliseconds = std::chrono::duration<double, std::milli>(r.took).count();
  out.own_us = r.times.own;
  out.peer_us = r.times.peer;
  out.prf_us = r.times.prf;
  return out;
}

struct ByTunnel {
  bool operator()(const ike::SaInfo* sa, TunnelId id) const { return sa->tunnel < id; }
  bool operator()(TunnelId id, const ike::SaInfo* sa) const { return id < sa->tunnel; }
};

control::IkeStatus ike_status(Instant now, const ike::SaInfo& sa) {
  control::IkeStatus out;
  out.spi_i = sa.spi_i;
  out.spi_r = sa.spi_r;
  out.role = sa.initiator ? "initiator" : "responder";
  out.local = sa.path.local.to_string();
  out.remote = sa.path.remote.to_string();
  out.local_id = sa.local_id.to_string();
  out.remote_id = sa.remote_id.data.empty() ? "" : sa.remote_id.to_string();
  if (sa.chosen) out.suite = fmt::format("{}-{}", to_string(sa.chosen->suite), to_string(sa.chosen->prf));
  for (const KeId id : sa.key_exchanges) out.key_exchanges.push_back(to_string(id));
  out.verdict = verdict_of(sa.verdict);
  out.authentication = sa.authenticated_by.empty() ? "PSK" : sa.authenticated_by;
  out.authentication_verdict = authentication_verdict(sa);
  out.downgrade_excluded = sa.downgrade_excluded;
  out.mobike = sa.mobike;
  out.nat_local = sa.nat_local;
  out.nat_remote = sa.nat_remote;
  out.fragmentation = sa.fragmentation;
  out.offered = sa.offered;
  out.seconds_up = seconds(now - sa.since);
  out.seconds_to_rekey = sa.renew_at > now ? seconds(sa.renew_at - now) : 0;
  for (const ike::ExchangeRecord& r : sa.handshake) out.handshake.push_back(step_of(r));
  return out;
}

control::HealthStatus health_status(Instant now, const ipsec::TunnelCounters& counters) {
  const ipsec::Health& health = counters.health;
  control::HealthStatus out;
  if (health.state.empty()) {  // nothing heard of it yet
    out.state = to_string(wan::HealthState::Down);
    out.code = to_string(wan::HealthCode::NoSa);
    out.reason = text_of(wan::HealthCode::NoSa);
    return out;
  }
  const auto ms = [](const std::optional<Duration>& d) {
    return d ? std::optional{std::chrono::duration<double, std::milli>(*d).count()} : std::nullopt;
  };
  out.state = health.state;
  out.code = health.code;
  out.reason = health.text;
  out.loss = health.samples == 0 ? 0.0 : static_cast<double>(health.lost) / health.samples;
  out.samples = health.samples;
  out.p50_ms = ms(health.p50);
  out.p99_ms = ms(health.p99);
  out.jitter_ms = ms(health.jitter);
  out.seconds_since = seconds(now - health.since);
  out.probes = counters.probes;
  return out;
}

std::string_view action_text(ipsec::PolicyRule::Action action) {
  switch (action) {
    case ipsec::PolicyRule::Action::Allow:
      return "allow";
    case ipsec::PolicyRule::Action::Drop:
      return "drop";
    case ipsec::PolicyRule::Action::Log:
      return "log";
  }
  return "unknown";
}

}  // namespace

std::string keys_word(const ike::SafetyVerdict& v) {
  return v.hybrid ? (v.inherited ? "inherited" : "hybrid") : v.ppk ? "ppk" : "classical";
}

std::string Director::account_of(VrfId vrf) const {
  if (vrf == VrfId{}) return "default";
  const auto found = std::ranges::find(config_.vrfs, vrf, &model::Vrf::id);
  return found == config_.vrfs.end() ? "" : found->name;
}

// `sas`: its own, the oldest first.
control::TunnelStatus Director::tunnel_status(Instant now, const Tunnel& t,
                                              std::span<const ike::SaInfo* const> sas) const {
  control::TunnelStatus out;
  out.name = t.config.name;
  out.wanted = t.wanted == Wanted::Up ? "up" : t.wanted == Wanted::OnCall ? "on call" : "down";
  out.local = t.ike->local.to_string();
  out.peer = t.config.peer ? t.config.peer->to_string() : "any";
  out.pq = model::to_string(t.config.pq);
  for (const Prefix& p : t.config.routes) out.routes.push_back(p.to_string());
  bool trying = false;
  const ike::SaInfo* shown = nullptr;
  for (const ike::SaInfo* own : sas) {
    const ike::SaInfo& sa = *own;
    if (sa.state == ike::SaState::Handshake || sa.state == ike::SaState::Installing) trying = true;
    if (sa.state != ike::SaState::Established) continue;
    shown = &sa;  // the newest: ids grow
    for (const ike::ChildInfo& child : sa.children) {
      if (child.state != ike::ChildState::Live && child.state != ike::ChildState::Rekeying) continue;
      control::ChildStatus c;
      c.spi_in = child.spi_in;
      c.spi_out = child.spi_out;
      c.suite = to_string(child.suite);
      c.esn = child.esn;
      c.encapsulation = child.encapsulation == ipsec::Encapsulation::Udp ? "udp" : "native";
      c.local_ts = ipsec::to_strings(child.local_ts);
      c.remote_ts = ipsec::to_strings(child.remote_ts);
      c.replay_window = child.replay_window;
      c.inner_mtu = t.config.mtu != 0
                        ? t.config.mtu
                        : esp::inner_mtu(child.suite, child.encapsulation,
                                         sa.path.remote.address.is_v6() ? esp::OuterFamily::V6 : esp::OuterFamily::V4,
                                         config_.gateway.outer_mtu);
      const auto counters = std::ranges::lower_bound(sa_counters_, child.id, {}, &ipsec::SaCounters::child);
      if (counters != sa_counters_.end() && counters->child == child.id) {
        if (counters->inner_mtu != 0) c.inner_mtu = counters->inner_mtu;  // as the path has shown
        c.packets_in = counters->packets_in;
        c.bytes_in = counters->bytes_in;
        c.packets_out = counters->packets_out;
        c.bytes_out = counters->bytes_out;
      }
      c.seconds_up = seconds(now - child.since);
      c.seconds_to_rekey = child.renew_at > now ? seconds(child.renew_at - now) : 0;
      c.verdict = verdict_of(child.verdict);
      out.children.push_back(std::move(c));
    }
  }
  if (shown != nullptr) {
    out.ike = ike_status(now, *shown);
    (shown->initiator ? out.ike->offered : out.ike->accepts) =
        printable(ipsec::describe(ipsec::offer_ike(t.ike->ike)), kOfferedText);
  }
  const bool up = !out.children.empty();
  if (up) {
    out.actual = "up";
    out.reason = t.outside_selectors;
  } else if (t.wanted == Wanted::Up) {
    out.actual = trying ? "connecting" : "down";
    out.reason = t.reason.empty() ? (trying ? fmt::format("waiting for an answer from {}", out.peer) : "not begun yet")
                                  : t.reason;
    if (!trying && t.retry_at && *t.retry_at > now)
      out.reason += fmt::format("; next try in {:.0f} s", std::max(1.0, seconds(*t.retry_at - now)));
  } else if (t.wanted == Wanted::OnCall) {
    out.actual = "waiting";
    out.reason = t.reason.empty() ? "waits for the peer to begin" : t.reason;
  } else {
    out.actual = "down";
    out.reason = fmt::format("taken down by an operator: qanat up {} brings it back", out.name);
  }
  out.packets_in = t.counters.packets_in;
  out.bytes_in = t.counters.bytes_in;
  out.packets_out = t.counters.packets_out;
  out.bytes_out = t.counters.bytes_out;
  out.drops = t.counters.drops;
  out.health = health_status(now, t.counters);
  if (const model::PostureRecord* p = posture_.find(out.name)) {
    out.posture = {p->classical_bytes,
                   p->classical_seconds,
                   p->safe_bytes,
                   p->safe_seconds,
                   date_of(p->first_hybrid_at),
                   date_of(p->last_classical_at),
                   posture_.has_fallen(out.name)};
  }
  out.child_rekeys = t.seen.child_rekeys;
  out.ike_rekeys = t.seen.ike_rekeys;
  out.times_up = t.seen.times_up;
  out.failed_attempts = t.seen.failed_attempts;
  for (const ike::ExchangeRecord& r : t.seen.last_failure) out.last_failure.push_back(step_of(r));
  if (looks_like_lost_fragments(t.seen.last_failure)) out.failure_code = "fragments_lost";
  out.classical_penalty = t.config.classical_penalty;
  out.account = account_of(t.config.vrf);
  return out;
}

control::Snapshot Director::snapshot(Instant now, std::optional<WallTime> wall, std::span<const ike::SaInfo> sas,
                                     const control::NamedCounters& ike_counters) const {
  control::Snapshot out;
  out.version = QANAT_VERSION;
  out.crypto = fmt::format("{}, packets by {}", crypto::library_version(), crypto::packet_backend_name());
  out.seconds_up = started_ ? seconds(now - *started_) : 0;
  std::vector<const ike::SaInfo*> sorted;
  sorted.reserve(sas.size());
  for (const ike::SaInfo& sa : sas) sorted.push_back(&sa);
  std::sort(sorted.begin(), sorted.end(), [](const ike::SaInfo* a, const ike::SaInfo* b) {
    return std::pair{a->tunnel, a->id} < std::pair{b->tunnel, b->id};
  });
  out.tunnels.reserve(tunnels_.size());
  for (const Tunnel& t : tunnels_) {
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), t.id, ByTunnel{});
    control::TunnelStatus& status = out.tunnels.emplace_back(tunnel_status(now, t, std::span{first, last}));
    const auto ends = wall && t.certificates_end ? pki::expiry_warning(*t.certificates_end, *wall) : std::nullopt;
    if (t.certificates_end) status.certificate_until = t.certificates_end->until;
    status.peer_certificate_until = t.peer_certificate_until;
    if (ends) status.reason += (status.reason.empty() ? "" : "; ") + *ends;
  }
  for (const ipsec::PolicyCounters& c : policy_counters_) {
    out.policy.push_back({.vrf = c.vrf.value(),
                          .rule = c.rule,
                          .action = std::string{action_text(c.action)},
                          .packets = c.packets,
                          .bytes = c.bytes,
                          .account = account_of(c.vrf)});
  }
  out.drops = plane_drops_;
  out.data_workers = config_.gateway.data_workers;
  out.handed_over = handed_over_;
  out.ike_counters = ike_counters;
  out.handshake_times = uptake_.times();
  out.handshakes = uptake_.counts();
  return out;
}

// Those that somebody might look for in a tunnel.
void Director::add_own_networks(std::vector<control::RouteStatus>& routes) const {
  std::map<std::uint32_t, std::vector<Prefix>> wide;
  for (const control::RouteStatus& r : routes) {
    const auto prefix = Prefix::parse(r.prefix);
    if (prefix && prefix->length() > 0) wide[r.vrf].push_back(*prefix);
  }
  for (const ipsec::SetLocalPrefixes& of_vrf : local_prefixes_) {
    for (const Prefix& own : of_vrf.prefixes) {
      const auto covers = [&](const Prefix& p) { return p.is_v4() == own.is_v4() && p.contains(own); };
      if (std::ranges::none_of(wide[of_vrf.vrf.value()], covers)) continue;
      routes.push_back({.vrf = of_vrf.vrf.value(),
                        .prefix = own.to_string(),
                        .tunnel = std::string{model::kHostSide},
                        .pq = std::string{model::to_string(model::RoutePq::Any)},
                        .source = "host",
                        .account = account_of(of_vrf.vrf)});
    }
  }
}

std::vector<std::pair<std::uint32_t, std::string>> Director::vrfs() const {
  std::vector<std::pair<std::uint32_t, std::string>> out = {{0, account_of({})}};
  for (const model::Vrf& vrf : config_.vrfs) out.emplace_back(vrf.id.value(), vrf.name);
  return out;
}

std::vector<control::RouteStatus> Director::routes(const control::Snapshot& snapshot) const {
  std::vector<wan::TunnelState> states;  // in the order of tunnels_
  for (const control::TunnelStatus& t : snapshot.tunnels) states.push_back(control::tunnel_state(t));
  std::vector<control::RouteStatus> out;
  const auto add = [&](const model::Route& r, const char* source = "config") {
    const auto tunnel = by_name_.find(r.tunnel);
    const wan::TunnelState state =
        tunnel == by_name_.end() || tunnel->second >= states.size() ? wan::TunnelState{} : states[tunnel->second];
    const bool safe = state.keys == wan::KeySafety::Hybrid || (state.keys == wan::KeySafety::None && state.hybrid_only);
    out.push_back({static_cast<std::uint32_t>(r.vrf.value()), r.prefix.to_string(), r.tunnel, r.priority, r.weight,
                   std::string{model::to_string(r.pq)}, wan::penalty(state), r.pq == model::RoutePq::Require && !safe,
                   source, account_of(r.vrf)});
  };
  std::set<std::pair<std::string, Prefix>> listed;
  for (const model::Route& r : config_.routes) {
    add(r);
    listed.emplace(r.tunnel, r.prefix);
  }
  for (const Tunnel& t : tunnels_) {
    for (const Prefix& prefix : t.config.routes) {
      if (!listed.contains({t.config.name, prefix}))
        add({t.config.vrf, prefix, t.config.name, 100, 1, model::RoutePq::Any, ""});
    }
  }
  for (const ipsec::SetRoutes& of_vrf : kernel_hops_) {
    for (const ipsec::RouteHop& hop : of_vrf.add) {
      const auto tunnel = by_id_.find(hop.tunnel);
      if (tunnel == by_id_.end()) continue;
      add({of_vrf.vrf, hop.prefix, tunnels_[tunnel->second].config.name, hop.priority, hop.weight,
           hop.hybrid_only ? model::RoutePq::Require : model::RoutePq::Any, ""},
          "kernel");
    }
  }
  add_own_networks(out);
  return out;
}

}  // namespace qanat::gateway
