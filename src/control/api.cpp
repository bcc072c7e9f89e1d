#include "control/api.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"
#include "control/metrics.hpp"
#include "control/openapi.hpp"
#include "control/posture.hpp"
#include "control/route_choice.hpp"
#include "control/status_json.hpp"
#include "control/target.hpp"

namespace qanat::control {

namespace {

using Verb = GatewayCommand::Verb;

Reply json_reply(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

const char* word(Verb verb) {
  switch (verb) {
    case Verb::Up:
      return "up";
    case Verb::Down:
      return "down";
    case Verb::RekeyChild:
    case Verb::RekeyIke:
    case Verb::Reauthenticate:
      return "rekey";
    case Verb::Purge:
      return "purge";
    case Verb::Reload:
    case Verb::CheckReload:
      return "reload";
    case Verb::ForgetPin:
      return "forget";
    case Verb::Ping:
      return "ping";
  }
  return "unknown";
}

// What a path needs to be answered.
struct Query;
struct Context {
  const Target& target;
  const Snapshot& snapshot;
  const Query& query;
  const Request& request;
};

struct Route {
  const char* method;
  const char* pattern;  // segments between slashes; "{name}" matches any one
  const char* does;
  Answer (*answer)(const Context&);
  const char* parameters = "";  // separated by blanks
};

Reply no_such_tunnel(const std::string& name, const Snapshot& snapshot) {
  std::vector<std::string_view> names;
  for (const TunnelStatus& tunnel : snapshot.tunnels) names.push_back(tunnel.name);
  const std::string_view guess = name.size() <= 64 ? nearest(name, names) : std::string_view{};
  return error_reply(404, "not_found",
                     guess.empty()
                         ? fmt::format("there is no tunnel '{}'; `qanat status` lists the tunnels", printable(name, 64))
                         : fmt::format("there is no tunnel '{}'; did you mean '{}'?", printable(name, 64), guess));
}

const TunnelStatus* find_tunnel(const Snapshot& snapshot, std::string_view name) {
  const auto it = std::find_if(snapshot.tunnels.begin(), snapshot.tunnels.end(),
                               [&](const TunnelStatus& t) { return t.name == name; });
  return it == snapshot.tunnels.end() ? nullptr : &*it;
}

// The parameters of a query, checked.
struct Query {
  bool wait = true;
  std::optional<std::uint64_t> since;
  std::string tunnel;
  std::string confirm;
  std::optional<IpAddress> from;
  std::string vrf;
};

Reply bad_value(std::string_view name, const std::string& value, std::string_view must) {
  return error_reply(400, "bad_request", fmt::format("{} = '{}': must be {}", name, printable(value, 64), must));
}

// A reply when the query holds what this path does not take.
std::variant<Query, Reply> read_query(const Target& target, std::string_view known) {
  Query out;
  for (const auto& [name, value] : target.query) {
    const auto parts = split(known, ' ');
    if (known.empty() || std::find(parts.begin(), parts.end(), name) == parts.end()) {
      return error_reply(400, "bad_request",
                         fmt::format("unknown parameter '{}'; {}", printable(name, 64),
                                     known.empty()     ? "this path takes none"
                                     : known == "wait" ? "known is wait=0 or wait=1"
                                                       : fmt::format("known is {}", fmt::join(parts, ", "))));
    }
    if (name == "wait") {
      if (value != "0" && value != "1")
        return bad_value(name, value, "0 (answer at once) or 1 (answer when it is done)");
      out.wait = value == "1";
    } else if (name == "since") {
      const auto [end, fault] = std::from_chars(value.data(), value.data() + value.size(), out.since.emplace());
      if (fault != std::errc{} || end != value.data() + value.size()) return bad_value(name, value, "a number");
    } else if (name == "from") {
      const auto address = IpAddress::parse(value);
      if (!address) return bad_value(name, value, "an IP address");
      out.from = *address;
    } else if (name == "vrf") {
      out.vrf = value;
    } else if (name == "confirm") {
      out.confirm = value;
    } else {
      out.tunnel = value;
    }
  }
  return out;
}

Answer tunnel_command(const Context& context, Verb verb) {
  const std::string& name = context.target.path[2];
  if (!find_tunnel(context.snapshot, name)) return no_such_tunnel(name, context.snapshot);
  return GatewayCommand{verb, name, context.query.wait};
}

Answer answer_events(const Context& c) {
  Events out;
  const std::uint64_t since = c.query.since.value_or(0);
  std::uint64_t last = since;
  for (const auto& event : c.snapshot.events) {
    last = std::max(last, event->number);
    if (event->number <= since) continue;
    if (c.query.tunnel.empty() || tunnel_of(*event) == c.query.tunnel) out.push_back(event);
  }
  return json_reply(200, events_to_json(out, last));
}

Answer answer_event_stream(const Context& c) {
  EventStreamWish wish;
  wish.tunnel = c.query.tunnel;
  if (c.query.since) wish.after = EventPlace{{}, *c.query.since};
  for (const auto& [name, value] : c.request.headers) {
    if (name != "last-event-id") continue;
    wish.after = parse_event_id(value);
    if (!wish.after) return bad_value("Last-Event-ID", value, "an id that this stream has given");
  }
  return wish;
}

Answer answer_route(const Context& c) {
  const auto address = IpAddress::parse(c.target.path[2]);
  if (!address) return bad_value("address", c.target.path[2], "an IP address");
  if (c.query.from && c.query.from->is_v6() != address->is_v6())
    return bad_value("from", c.query.from->to_string(), "of the same family as the destination");
  std::uint32_t vrf = 0;
  if (!c.query.vrf.empty()) {
    const auto named = std::ranges::find(c.snapshot.vrfs, c.query.vrf, &std::pair<std::uint32_t, std::string>::second);
    if (named == c.snapshot.vrfs.end())
      return bad_value("vrf", c.query.vrf,
                       fmt::format("one of {}", fmt::join(c.snapshot.vrfs | std::views::values, ", ")));
    vrf = named->first;
  }
  return json_reply(200, to_json(route_to(c.snapshot, *address, c.query.from, vrf)));
}

// It opens the way for classical keys: whoever asks says the name twice.
Answer forget_pin(const Context& c) {
  const std::string& name = c.target.path[2];
  if (!find_tunnel(c.snapshot, name)) return no_such_tunnel(name, c.snapshot);
  if (c.query.confirm != name)
    return error_reply(400, "confirm",
                       fmt::format("say it twice: ?confirm={} lets that tunnel's peer come back with "
                                   "classical keys",
                                   percent_encoded(name)));
  return GatewayCommand{Verb::ForgetPin, name, true};
}

Answer answer_metrics(const Context& c) {
  return metrics_reply(c.snapshot);
}

Answer answer_paths(const Context&);

constexpr auto kRoutes = std::to_array<Route>({
    {"GET", "/", "what there is", answer_paths},
    {"GET", "/v1", "what there is", answer_paths},
    {"GET", "/v1/openapi.json", "every path, its parameters and its answers, as OpenAPI 3.1",
     [](const Context& c) -> Answer { return json_reply(200, openapi_document(c.snapshot.version)); }},
    {"GET", "/v1/health", "that the daemon answers; needs no token",
     [](const Context&) -> Answer { return json_reply(200, "{\"status\":\"ok\"}\n"); }},
    {"GET", "/v1/status", "every configured tunnel, wanted and actual",
     [](const Context& c) -> Answer { return json_reply(200, to_json(c.snapshot)); }},
    {"GET", "/v1/status/{name}", "one tunnel",
     [](const Context& c) -> Answer {
       const TunnelStatus* tunnel = find_tunnel(c.snapshot, c.target.path[2]);
       return tunnel ? json_reply(200, to_json(*tunnel)) : no_such_tunnel(c.target.path[2], c.snapshot);
     }},
    {"GET", "/v1/version", "versions of the daemon and of its cryptography",
     [](const Context& c) -> Answer {
       return json_reply(200, to_json(Version{c.snapshot.version, c.snapshot.crypto}));
     }},
    {"GET", "/v1/events", "the last 1,000 events; ?since=N for those after number N, ?tunnel=NAME for one tunnel",
     answer_events, "since tunnel"},
    {"GET", "/v1/events/stream",
     "events as they happen, as server-sent events; Last-Event-ID or ?since=N goes on after one, ?tunnel=NAME for one "
     "tunnel",
     answer_event_stream, "since tunnel"},
    {"GET", "/v1/posture", "how safe the keys of every tunnel are, and what was carried under keys that are not",
     [](const Context& c) -> Answer { return json_reply(200, to_json(posture_of(c.snapshot))); }},
    {"GET", "/v1/routes", "every route, and what the state of its tunnel adds to its priority",
     [](const Context& c) -> Answer { return json_reply(200, routes_to_json(c.snapshot.routes)); }},
    {"GET", "/v1/routes/{name}", "which tunnel takes a packet to this address, and why; ?from=ADDRESS, ?vrf=NAME",
     answer_route, "from vrf"},
    {"GET", "/v1/rules", "every rule of the packet policy, in order, and what fitted it",
     [](const Context& c) -> Answer { return json_reply(200, policy_to_json(c.snapshot.policy)); }},
    {"GET", "/v1/metrics", "everything that is counted, in Prometheus' text format", answer_metrics},
    {"POST", "/v1/tunnels/{name}/up", "bring a tunnel up; ?wait=0 answers at once",
     [](const Context& c) -> Answer { return tunnel_command(c, Verb::Up); }, "wait"},
    {"POST", "/v1/tunnels/{name}/down", "take a tunnel down and keep it down; ?wait=0 answers at once",
     [](const Context& c) -> Answer { return tunnel_command(c, Verb::Down); }, "wait"},
    {"POST", "/v1/tunnels/{name}/rekey/child", "new keys for packets now, before their lifetime ends",
     [](const Context& c) -> Answer { return tunnel_command(c, Verb::RekeyChild); }, "wait"},
    {"POST", "/v1/tunnels/{name}/rekey/ike", "new keys for IKE now",
     [](const Context& c) -> Answer { return tunnel_command(c, Verb::RekeyIke); }, "wait"},
    {"POST", "/v1/tunnels/{name}/rekey/reauth", "a whole new IKE SA now, made before the old one goes",
     [](const Context& c) -> Answer { return tunnel_command(c, Verb::Reauthenticate); }, "wait"},
    {"POST", "/v1/tunnels/{name}/ping", "one echo request to the peer's interface address, inside the tunnel",
     [](const Context& c) -> Answer { return tunnel_command(c, Verb::Ping); }},
    {"POST", "/v1/posture/{name}/forget",
     "forget that a tunnel's peer has ever had hybrid keys (pq = \"pin\"); ?confirm=NAME", forget_pin, "confirm"},
    {"POST", "/v1/reload", "read the configuration again and apply what has changed",
     [](const Context&) -> Answer { return GatewayCommand{Verb::Reload, "", true}; }},
    {"POST", "/v1/reload/check", "what a reload would change, and what that does to live SAs",
     [](const Context&) -> Answer { return GatewayCommand{Verb::CheckReload, "", true}; }},
    {"POST", "/v1/purge", "remove the routes and rules that protect against plaintext leaks",
     [](const Context&) -> Answer { return GatewayCommand{Verb::Purge, "", true}; }},
});

Answer answer_paths(const Context&) {
  std::vector<PathHelp> paths;
  for (const Route& route : kRoutes) paths.push_back({route.method, route.pattern, route.does});
  return json_reply(200, to_json(paths));
}

bool matches(const Route& route, const std::vector<std::string>& path) {
  std::vector<std::string_view> pattern = split(std::string_view{route.pattern}.substr(1), '/');
  if (pattern.back().empty()) pattern.pop_back();
  return std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                    [](std::string_view want, const std::string& have) {
                      return want == have || (want == "{name}" && !have.empty());
                    });
}

bool is_below(const Request& request, std::string_view word) {
  const auto target = parse_target(request.target);
  return target && target->path.size() > 1 && target->path[1] == word;
}

}  // namespace

bool wants_routes(const Request& request) {
  return is_below(request, "routes");
}
bool wants_events(const Request& request) {
  return is_below(request, "events");
}

Answer handle(const Request& request, const Snapshot& snapshot) {
  if (request.target.size() > kMaxTarget)
    return error_reply(414, "target_too_long", fmt::format("the path has more than {} characters", kMaxTarget));
  if (request.body.size() > kMaxBody)
    return error_reply(413, "body_too_large", fmt::format("the body has more than {} octets", kMaxBody));
  const auto target = parse_target(request.target);
  if (!target) {
    return error_reply(400, "bad_request",
                       fmt::format("'{}' is no path of this API; GET / lists them", printable(request.target, 128)));
  }
  std::string allowed;
  for (const Route& route : kRoutes) {
    if (!matches(route, target->path)) continue;
    if (request.method != route.method) {
      allowed = std::string_view{route.method} == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
      continue;
    }
    if (!request.body.empty() && request.body != "{}")
      return error_reply(400, "bad_request", "this path takes no body");
    const auto query = read_query(*target, route.parameters);
    if (const Reply* refusal = std::get_if<Reply>(&query)) return *refusal;
    return route.answer({*target, snapshot, std::get<Query>(query), request});
  }
  if (!allowed.empty() && request.method == "OPTIONS") return Reply{204, {{"Allow", allowed}}, ""};
  if (!allowed.empty()) {
    Reply reply =
        error_reply(405, "method_not_allowed",
                    fmt::format("{} is not allowed on this path; use {}", printable(request.method, 16), allowed));
    reply.headers.emplace_back("Allow", allowed);
    return reply;
  }
  return error_reply(404, "not_found",
                     fmt::format("there is no path '{}'; GET / lists them", printable(request.target, 128)));
}

std::vector<Endpoint> endpoints() {
  std::vector<Endpoint> out;
  for (const Route& route : kRoutes) out.push_back({route.method, route.pattern, route.does, route.parameters});
  return out;
}

Reply reply_for(const GatewayCommand& command, const CommandResult& result) {
  if (!result.ok) return error_reply(409, fmt::format("{}_failed", word(command.verb)), result.message);
  if (result.ping) return json_reply(200, to_json(*result.ping));
  return json_reply(command.wait ? 200 : 202, to_json(Outcome{word(command.verb), command.tunnel, result.message}));
}

Reply error_reply(int status, std::string code, std::string message) {
  return json_reply(status, to_json(ApiError{std::move(code), std::move(message)}));
}

}  // namespace qanat::control
