#include "control/metrics.hpp"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/posture.hpp"
#include "esp/drop_reason.hpp"
#include "ike/counters.hpp"

namespace qanat::control {

namespace {

std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

// The lines of one metric; its head is written before the first.
class Family {
 public:
  Family(std::string& out, Metric metric) : out_(out), info_(kMetrics[static_cast<std::size_t>(metric)]) {}

  // Values of the labels, in the table's order.
  template <typename Value>
  void add(std::initializer_list<std::string_view> values, Value value) {
    line("", values, {}, fmt::format("{}", value));
  }
  void add_histogram(std::initializer_list<std::string_view> values, const HandshakeTimes& times) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < times.buckets.size(); ++i) {
      sum += times.buckets[i];
      const std::string bound = i < kHandshakeBounds.size() ? fmt::format("{}", kHandshakeBounds[i]) : "+Inf";
      line("_bucket", values, bound, fmt::format("{}", sum));
    }
    line("_sum", values, {}, fmt::format("{}", times.seconds));
    line("_count", values, {}, fmt::format("{}", times.count));
  }

 private:
  void line(std::string_view suffix, std::initializer_list<std::string_view> values, std::string_view bound,
            const std::string& value) {
    if (!begun_) out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", info_.name, info_.help, info_.type);
    begun_ = true;
    std::string labels;
    std::string_view names = info_.labels;
    for (const std::string_view label : values) {
      const std::string_view name = names.substr(0, names.find(' '));
      names.remove_prefix(std::min(names.size(), name.size() + 1));
      labels += fmt::format("{}{}=\"{}\"", labels.empty() ? "" : ",", name, escaped(label));
    }
    if (!bound.empty()) labels += fmt::format("{}le=\"{}\"", labels.empty() ? "" : ",", bound);
    out_ += fmt::format("{}{}{} {}\n", info_.name, suffix, labels.empty() ? "" : "{" + labels + "}", value);
  }
  std::string& out_;
  const MetricInfo& info_;
  bool begun_ = false;
};

// One metric over all tunnels; nullopt leaves a tunnel out.
template <typename Get>
void each(std::string& out, Metric metric, const Snapshot& snapshot, Get get) {
  Family family{out, metric};
  for (const TunnelStatus& t : snapshot.tunnels) {
    if (const auto value = get(t)) family.add({t.name}, *value);
  }
}

using Count = std::optional<std::uint64_t>;
using Real = std::optional<double>;

bool is_measured(const HealthStatus& health) {
  return !health.state.empty() && health.state != "not measurable";
}

Real seconds(const std::optional<double>& milliseconds) {
  return milliseconds ? Real{*milliseconds / 1000} : std::nullopt;
}

Real health_value(const TunnelStatus& t) {
  if (!is_measured(t.health)) return std::nullopt;
  return t.health.state == "healthy" ? 1.0 : t.health.state == "degraded" ? 0.5 : 0.0;
}

void add_safety(std::string& out, const Snapshot& snapshot) {
  Family keys{out, Metric::TunnelKeys};
  std::map<std::string, std::uint64_t> by_keys = {
      {"hybrid", 0}, {"inherited", 0}, {"ppk", 0}, {"classical", 0}, {"none", 0}};
  for (const PostureRow& row : posture_of(snapshot).tunnels) {
    keys.add({row.tunnel, row.keys, fmt::format("{}", fmt::join(row.key_exchanges, "+")), row.code}, 1);
    ++by_keys[row.keys];
  }
  each(out, Metric::TunnelQuantumSafe, snapshot, [](const TunnelStatus& t) -> Count {
    const std::string weakest = weakest_keys(t);
    return weakest == "none" ? Count{} : Count{weakest == "classical" ? 0 : 1};
  });
  each(out, Metric::TunnelDowngrade, snapshot, [](const TunnelStatus& t) -> Count {
    return t.ike && !t.children.empty() ? Count{t.ike->downgrade_excluded ? 1 : 0} : Count{};
  });
  each(out, Metric::TunnelHarvestBytes, snapshot,
       [](const TunnelStatus& t) { return Count{t.posture.classical_bytes}; });
  each(out, Metric::TunnelHarvestSeconds, snapshot,
       [](const TunnelStatus& t) { return Real{t.posture.classical_seconds}; });
  each(out, Metric::TunnelSafeBytes, snapshot, [](const TunnelStatus& t) { return Count{t.posture.safe_bytes}; });
  each(out, Metric::TunnelFell, snapshot,
       [](const TunnelStatus& t) { return Count{t.posture.fell_to_classical ? 1 : 0}; });
  Family tunnels{out, Metric::Tunnels};
  for (const auto& [word, count] : by_keys) tunnels.add({word}, count);
  Family handshakes{out, Metric::Handshakes};
  for (const HandshakeCount& h : snapshot.handshakes) handshakes.add({h.keys, h.kem}, h.count);
  Family times{out, Metric::HandshakeTimes};
  for (const HandshakeTimes& t : snapshot.handshake_times) times.add_histogram({t.exchange}, t);
}

void add_health(std::string& out, const Snapshot& snapshot) {
  each(out, Metric::TunnelHealth, snapshot, health_value);
  each(out, Metric::TunnelLoss, snapshot,
       [](const TunnelStatus& t) { return is_measured(t.health) ? Real{t.health.loss} : std::nullopt; });
  each(out, Metric::TunnelP50, snapshot, [](const TunnelStatus& t) { return seconds(t.health.p50_ms); });
  each(out, Metric::TunnelP99, snapshot, [](const TunnelStatus& t) { return seconds(t.health.p99_ms); });
  each(out, Metric::TunnelJitter, snapshot, [](const TunnelStatus& t) { return seconds(t.health.jitter_ms); });
}

// Every reason that there is, from the start: a counter that appears with its first event hides that event from rate().
template <typename Table, typename Name>
void add_reasons(std::string& out, Metric metric, const Table& table, Name name_of, const NamedCounters& counted) {
  std::map<std::string_view, std::uint64_t> values;
  for (const auto& entry : table) values[name_of(entry)] = 0;
  for (const auto& [name, count] : counted) values[name] = count;
  Family family{out, metric};
  for (const auto& [name, count] : values) family.add({name}, count);
}

void add_api(std::string& out, const ApiStatus& api) {
  Family{out, Metric::ApiConnections}.add({}, api.connections);
  Family handshakes{out, Metric::ApiHandshakes};
  handshakes.add({"X25519MLKEM768"}, api.hybrid);
  handshakes.add({"X25519"}, api.classical);
  handshakes.add({"failed"}, api.failed_tls);
  Family{out, Metric::ApiRequests}.add({}, api.requests);
  Family refused{out, Metric::ApiRefused};
  refused.add({"token"}, api.refused);
  refused.add({"rate"}, api.rate_limited);
  Family{out, Metric::ApiClosed}.add({}, api.closed_idle);
}

void add_alerts(std::string& out, const AlertStatus& alerts) {
  Family{out, Metric::AlertsQueued}.add({}, alerts.queued);
  Family ended{out, Metric::AlertsEnded};
  ended.add({"delivered"}, alerts.delivered);
  ended.add({"undelivered"}, alerts.undelivered);
  Family{out, Metric::AlertsFailed}.add({}, alerts.failed_attempts);
}

}  // namespace

std::string metrics_text(const Snapshot& snapshot) {
  std::string out;
  Family{out, Metric::BuildInfo}.add({snapshot.version, snapshot.crypto}, 1);
  Family{out, Metric::Uptime}.add({}, snapshot.seconds_up);
  each(out, Metric::TunnelUp, snapshot, [](const TunnelStatus& t) { return Count{t.actual == "up" ? 1 : 0}; });
  each(out, Metric::TunnelWanted, snapshot, [](const TunnelStatus& t) { return Count{t.wanted == "up" ? 1 : 0}; });
  each(out, Metric::TunnelReceivedBytes, snapshot, [](const TunnelStatus& t) { return Count{t.bytes_in}; });
  each(out, Metric::TunnelReceivedPackets, snapshot, [](const TunnelStatus& t) { return Count{t.packets_in}; });
  each(out, Metric::TunnelSentBytes, snapshot, [](const TunnelStatus& t) { return Count{t.bytes_out}; });
  each(out, Metric::TunnelSentPackets, snapshot, [](const TunnelStatus& t) { return Count{t.packets_out}; });
  Family drops{out, Metric::TunnelDrops};
  for (const TunnelStatus& t : snapshot.tunnels) {
    for (const auto& [reason, count] : t.drops) drops.add({t.name, reason}, count);
  }
  each(out, Metric::TunnelEstablished, snapshot, [](const TunnelStatus& t) { return Count{t.times_up}; });
  each(out, Metric::TunnelFailures, snapshot, [](const TunnelStatus& t) { return Count{t.failed_attempts}; });
  Family rekeys{out, Metric::TunnelRekeys};
  for (const TunnelStatus& t : snapshot.tunnels) {
    rekeys.add({t.name, "child"}, t.child_rekeys);
    rekeys.add({t.name, "ike"}, t.ike_rekeys);
  }
  add_health(out, snapshot);
  add_safety(out, snapshot);
  add_reasons(out, Metric::Drops, esp::kDropTexts, [](const esp::DropText& t) { return t.name; }, snapshot.drops);
  Family{out, Metric::DataWorkers}.add({}, snapshot.data_workers);
  Family{out, Metric::HandedOver}.add({}, snapshot.handed_over);
  Family policy_packets{out, Metric::PolicyPackets};
  for (const PolicyStatus& p : snapshot.policy)
    policy_packets.add({p.rule, std::to_string(p.vrf), p.action}, p.packets);
  Family policy_bytes{out, Metric::PolicyBytes};
  for (const PolicyStatus& p : snapshot.policy) policy_bytes.add({p.rule, std::to_string(p.vrf), p.action}, p.bytes);
  add_reasons(
      out, Metric::IkeMessages, ike::kCounterInfo, [](const ike::CounterInfo& t) { return t.name; },
      snapshot.ike_counters);
  if (snapshot.api) add_api(out, *snapshot.api);
  if (snapshot.alerts) add_alerts(out, *snapshot.alerts);
  return out;
}

bool is_metrics_request(const Request& request) {
  return (request.method == "GET" || request.method == "HEAD") &&
         (request.target == "/metrics" || request.target.starts_with("/metrics?"));
}

Reply metrics_reply(const Snapshot& snapshot) {
  return {200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, metrics_text(snapshot)};
}

Reply only_metrics_reply() {
  return error_reply(404, "not_found", "this listener answers GET /metrics only");
}

}  // namespace qanat::control
