#include "control/status_json.hpp"

#include <charconv>
#include <concepts>

#include <fmt/format.h>

#include "control/json_text.hpp"

namespace qanat::control {

namespace {

template <typename T, typename Struct>
concept Of = std::same_as<std::remove_const_t<T>, Struct>;

// One list of fields serves both directions: `describe(io, value)` calls io("name", field) for each.
class Writer {
 public:
  template <typename T>
  void operator()(const char* name, const T& field) {
    out_[name] = write(field);
  }
  void spi(const char* name, std::uint32_t value) { out_[name] = fmt::format("0x{:08x}", value); }
  void spi(const char* name, std::uint64_t value) { out_[name] = fmt::format("0x{:016x}", value); }

  template <typename T>
  static Json write(const T& field);
  template <typename T>
  static Json write(const std::vector<T>& list) {
    Json out = Json::array();
    for (const T& item : list) out.push_back(write(item));
    return out;
  }
  template <typename T>
  static Json write(const std::optional<T>& field) {
    return field ? write(*field) : Json(nullptr);
  }
  static Json write(const NamedCounters& counters) {
    Json out = Json::object();
    for (const auto& [name, count] : counters) out[name] = count;
    return out;
  }

  [[nodiscard]] Json take() && { return std::move(out_); }

 private:
  Json out_ = Json::object();
};

class Reader {
 public:
  explicit Reader(const Json& in) : in_(in) {}

  template <typename T>
  void operator()(const char* name, T& field) {
    if (const Json* found = find(name)) read(*found, field);
  }
  template <typename Spi>
  void spi(const char* name, Spi& value) {
    const Json* found = find(name);
    if (!found) return;
    const std::string text = found->get<std::string>();
    if (text.starts_with("0x")) std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  }

  template <typename T>
  static void read(const Json& in, T& field);
  template <typename T>
  static void read(const Json& in, std::vector<T>& list) {
    for (const Json& item : in) read(item, list.emplace_back());
  }
  template <typename T>
  static void read(const Json& in, std::optional<T>& field) {
    read(in, field.emplace());
  }
  static void read(const Json& in, NamedCounters& counters) {
    for (const auto& [name, count] : in.items()) counters.emplace_back(name, count.get<std::uint64_t>());
  }

 private:
  [[nodiscard]] const Json* find(const char* name) const {
    const auto it = in_.find(name);
    return it == in_.end() || it->is_null() ? nullptr : &*it;
  }
  const Json& in_;
};

template <Of<ExchangeStep> T>
void describe(auto& io, T& step) {
  io("exchange", step.exchange);
  io("request_bytes", step.request_bytes);
  io("response_bytes", step.response_bytes);
  io("request_fragments", step.request_fragments);
  io("response_fragments", step.response_fragments);
  io("retransmissions", step.retransmissions);
  io("milliseconds", step.milliseconds);
  io("own_us", step.own_us);
  io("peer_us", step.peer_us);
  io("prf_us", step.prf_us);
}

template <Of<Verdict> T>
void describe(auto& io, T& verdict) {
  io("keys", verdict.keys);
  io("reason", verdict.reason);
  io("code", verdict.code);
}

template <Of<HealthStatus> T>
void describe(auto& io, T& health) {
  io("state", health.state);
  io("code", health.code);
  io("reason", health.reason);
  io("loss", health.loss);
  io("samples", health.samples);
  io("p50_ms", health.p50_ms);
  io("p99_ms", health.p99_ms);
  io("jitter_ms", health.jitter_ms);
  io("seconds_since", health.seconds_since);
  io("probes", health.probes);
}

template <Of<PostureStatus> T>
void describe(auto& io, T& posture) {
  io("classical_bytes", posture.classical_bytes);
  io("classical_seconds", posture.classical_seconds);
  io("safe_bytes", posture.safe_bytes);
  io("safe_seconds", posture.safe_seconds);
  io("first_hybrid_at", posture.first_hybrid_at);
  io("last_classical_at", posture.last_classical_at);
  io("fell_to_classical", posture.fell_to_classical);
}

template <Of<RouteStatus> T>
void describe(auto& io, T& route) {
  io("vrf", route.vrf);
  io("prefix", route.prefix);
  io("tunnel", route.tunnel);
  io("priority", route.priority);
  io("weight", route.weight);
  io("pq", route.pq);
  io("penalty", route.penalty);
  io("refused", route.refused);
  io("source", route.source);
  io("vrf_name", route.vrf_name);
}

template <Of<HandshakeTimes> T>
void describe(auto& io, T& times) {
  io("exchange", times.exchange);
  io("count", times.count);
  io("seconds", times.seconds);
  io("buckets", times.buckets);
}

template <Of<HandshakeCount> T>
void describe(auto& io, T& handshakes) {
  io("keys", handshakes.keys);
  io("kem", handshakes.kem);
  io("count", handshakes.count);
}

template <Of<ChildStatus> T>
void describe(auto& io, T& child) {
  io.spi("spi_in", child.spi_in);
  io.spi("spi_out", child.spi_out);
  io("suite", child.suite);
  io("esn", child.esn);
  io("encapsulation", child.encapsulation);
  io("local_ts", child.local_ts);
  io("remote_ts", child.remote_ts);
  io("replay_window", child.replay_window);
  io("inner_mtu", child.inner_mtu);
  io("packets_in", child.packets_in);
  io("bytes_in", child.bytes_in);
  io("packets_out", child.packets_out);
  io("bytes_out", child.bytes_out);
  io("seconds_up", child.seconds_up);
  io("seconds_to_rekey", child.seconds_to_rekey);
  io("verdict", child.verdict);
}

template <Of<IkeStatus> T>
void describe(auto& io, T& ike) {
  io.spi("spi_i", ike.spi_i);
  io.spi("spi_r", ike.spi_r);
  io("role", ike.role);
  io("local", ike.local);
  io("remote", ike.remote);
  io("local_id", ike.local_id);
  io("remote_id", ike.remote_id);
  io("suite", ike.suite);
  io("key_exchanges", ike.key_exchanges);
  io("verdict", ike.verdict);
  io("authentication", ike.authentication);
  io("authentication_verdict", ike.authentication_verdict);
  io("downgrade_excluded", ike.downgrade_excluded);
  io("mobike", ike.mobike);
  io("nat_local", ike.nat_local);
  io("nat_remote", ike.nat_remote);
  io("fragmentation", ike.fragmentation);
  io("seconds_up", ike.seconds_up);
  io("seconds_to_rekey", ike.seconds_to_rekey);
  io("handshake", ike.handshake);
  io("offered", ike.offered);
  io("accepts", ike.accepts);
}

template <Of<TunnelStatus> T>
void describe(auto& io, T& tunnel) {
  io("name", tunnel.name);
  io("wanted", tunnel.wanted);
  io("actual", tunnel.actual);
  io("reason", tunnel.reason);
  io("local", tunnel.local);
  io("peer", tunnel.peer);
  io("pq", tunnel.pq);
  io("routes", tunnel.routes);
  io("ike", tunnel.ike);
  io("children", tunnel.children);
  io("packets_in", tunnel.packets_in);
  io("bytes_in", tunnel.bytes_in);
  io("packets_out", tunnel.packets_out);
  io("bytes_out", tunnel.bytes_out);
  io("drops", tunnel.drops);
  io("health", tunnel.health);
  io("posture", tunnel.posture);
  io("child_rekeys", tunnel.child_rekeys);
  io("ike_rekeys", tunnel.ike_rekeys);
  io("times_up", tunnel.times_up);
  io("failed_attempts", tunnel.failed_attempts);
  io("last_failure", tunnel.last_failure);
  io("failure_code", tunnel.failure_code);
  io("classical_penalty", tunnel.classical_penalty);
}

template <Of<ApiStatus> T>
void describe(auto& io, T& api) {
  io("listen", api.listen);
  io("connections", api.connections);
  io("hybrid", api.hybrid);
  io("classical", api.classical);
  io("failed_tls", api.failed_tls);
  io("requests", api.requests);
  io("refused", api.refused);
  io("rate_limited", api.rate_limited);
  io("closed_idle", api.closed_idle);
  io("certificate_until", api.certificate_until);
}

template <Of<Snapshot> T>
void describe(auto& io, T& snapshot) {
  io("version", snapshot.version);
  io("crypto", snapshot.crypto);
  io("seconds_up", snapshot.seconds_up);
  io("tunnels", snapshot.tunnels);
  io("drops", snapshot.drops);
  io("ike_counters", snapshot.ike_counters);
  io("handshake_times", snapshot.handshake_times);
  io("handshakes", snapshot.handshakes);
  io("api", snapshot.api);
}

template <Of<PolicyStatus> T>
void describe(auto& io, T& rule) {
  io("vrf", rule.vrf);
  io("rule", rule.rule);
  io("action", rule.action);
  io("packets", rule.packets);
  io("bytes", rule.bytes);
}

template <Of<PingStatus> T>
void describe(auto& io, T& ping) {
  io("tunnel", ping.tunnel);
  io("from", ping.from);
  io("to", ping.to);
  io("answered", ping.answered);
  io("milliseconds", ping.milliseconds);
}

template <Of<RouteAnswer> T>
void describe(auto& io, T& answer) {
  io("address", answer.address);
  io("prefix", answer.prefix);
  io("tunnel", answer.tunnel);
  io("summary", answer.summary);
  io("hops", answer.hops);
}

template <Of<PostureRow> T>
void describe(auto& io, T& row) {
  io("tunnel", row.tunnel);
  io("state", row.state);
  io("policy", row.policy);
  io("keys", row.keys);
  io("key_exchanges", row.key_exchanges);
  io("code", row.code);
  io("reason", row.reason);
  io("authentication", row.authentication);
  io("authentication_verdict", row.authentication_verdict);
  io("downgrade_excluded", row.downgrade_excluded);
  io("fragments_used", row.fragments_used);
  io("seconds_up", row.seconds_up);
  io("ledger", row.ledger);
}

template <Of<Posture> T>
void describe(auto& io, T& posture) {
  io("tunnels", posture.tunnels);
  io("up", posture.up);
  io("hybrid", posture.hybrid);
  io("ppk", posture.ppk);
  io("classical", posture.classical);
  io("classical_bytes", posture.classical_bytes);
  io("safe_bytes", posture.safe_bytes);
}

struct RouteList {
  std::vector<RouteStatus> routes;
};
template <Of<RouteList> T>
void describe(auto& io, T& list) {
  io("routes", list.routes);
}

struct RuleList {
  std::vector<PolicyStatus> rules;
};
template <Of<RuleList> T>
void describe(auto& io, T& list) {
  io("rules", list.rules);
}

template <typename T>
concept Described = std::is_class_v<T> && !std::same_as<T, std::string>;

template <typename T>
Json Writer::write(const T& field) {
  if constexpr (Described<T>) {
    Writer writer;
    describe(writer, field);
    return std::move(writer).take();
  } else {
    return Json(field);
  }
}

template <typename T>
void Reader::read(const Json& in, T& field) {
  if constexpr (Described<T>) {
    if (!in.is_object()) throw Json::type_error::create(302, "a JSON object was expected", &in);
    Reader reader{in};
    describe(reader, field);
  } else {
    in.get_to(field);
  }
}

template <typename T>
Result<T> from_json(std::string_view text) {
  try {
    T out;
    Reader::read(Json::parse(text), out);
    return out;
  } catch (const Json::exception& e) {
    return fail(ErrorKind::Malformed, "JSON reply", e.what());
  }
}

}  // namespace

std::string to_json(const Snapshot& snapshot) {
  return text_of(Writer::write(snapshot));
}
std::string to_json(const TunnelStatus& tunnel) {
  return text_of(Writer::write(tunnel));
}
Result<Snapshot> snapshot_from_json(std::string_view text) {
  return from_json<Snapshot>(text);
}
Result<TunnelStatus> tunnel_from_json(std::string_view text) {
  return from_json<TunnelStatus>(text);
}

std::string to_json(const Posture& posture) {
  return text_of(Writer::write(posture));
}
Result<Posture> posture_from_json(std::string_view text) {
  return from_json<Posture>(text);
}
std::string routes_to_json(const std::vector<RouteStatus>& routes) {
  return text_of(Writer::write(RouteList{routes}));
}
Result<std::vector<RouteStatus>> routes_from_json(std::string_view text) {
  QANAT_ASSIGN(RouteList list, from_json<RouteList>(text));
  return std::move(list.routes);
}
std::string policy_to_json(const std::vector<PolicyStatus>& rules) {
  return text_of(Writer::write(RuleList{rules}));
}
Result<std::vector<PolicyStatus>> policy_from_json(std::string_view text) {
  QANAT_ASSIGN(RuleList list, from_json<RuleList>(text));
  return std::move(list.rules);
}
std::string to_json(const PingStatus& ping) {
  return text_of(Writer::write(ping));
}
Result<PingStatus> ping_from_json(std::string_view text) {
  return from_json<PingStatus>(text);
}
std::string to_json(const RouteAnswer& answer) {
  return text_of(Writer::write(answer));
}
Result<RouteAnswer> route_answer_from_json(std::string_view text) {
  return from_json<RouteAnswer>(text);
}

}  // namespace qanat::control
