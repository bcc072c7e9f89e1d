#include "control/api.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ranges>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"
#include "control/access.hpp"
#include "control/account_view.hpp"
#include "control/endpoints.hpp"
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
  wish.account = c.request.principal.account;
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

Answer answer_tunnel(const Context& c) {
  const std::string& name = c.target.path[2];
  const TunnelStatus* tunnel = find_tunnel(c.snapshot, name);
  return tunnel ? json_reply(200, to_json(*tunnel)) : no_such_tunnel(name, c.snapshot);
}

Answer answer_paths() {
  std::vector<PathHelp> paths;
  for (const Endpoint& e : endpoints()) {
    if (!e.is_object()) paths.push_back({std::string{e.method}, std::string{e.path}, std::string{e.does}});
  }
  return json_reply(200, to_json(paths));
}

Answer answer(Action action, const Context& c) {
  switch (action) {
    case Action::ShowPaths:
      return answer_paths();
    case Action::ShowOpenApi:
      return json_reply(200, openapi_document(c.snapshot.version));
    case Action::ShowHealth:
      return json_reply(200, "{\"status\":\"ok\"}\n");
    case Action::ShowStatus:
      return json_reply(200, to_json(c.snapshot));
    case Action::ShowTunnel:
      return answer_tunnel(c);
    case Action::ShowVersion:
      return json_reply(200, to_json(Version{c.snapshot.version, c.snapshot.crypto}));
    case Action::ShowEvents:
      return answer_events(c);
    case Action::StreamEvents:
      return answer_event_stream(c);
    case Action::ShowPosture:
      return json_reply(200, to_json(posture_of(c.snapshot)));
    case Action::ShowRoutes:
      return json_reply(200, routes_to_json(c.snapshot.routes));
    case Action::RouteTo:
      return answer_route(c);
    case Action::ShowRules:
      return json_reply(200, policy_to_json(c.snapshot.policy));
    case Action::ShowMetrics:
      return metrics_reply(c.snapshot);
    case Action::Up:
      return tunnel_command(c, Verb::Up);
    case Action::Down:
      return tunnel_command(c, Verb::Down);
    case Action::RekeyChild:
      return tunnel_command(c, Verb::RekeyChild);
    case Action::RekeyIke:
      return tunnel_command(c, Verb::RekeyIke);
    case Action::Reauthenticate:
      return tunnel_command(c, Verb::Reauthenticate);
    case Action::Ping:
      return tunnel_command(c, Verb::Ping);
    case Action::ForgetPin:
      return forget_pin(c);
    case Action::Reload:
      return GatewayCommand{Verb::Reload, "", true};
    case Action::CheckReload:
      return GatewayCommand{Verb::CheckReload, "", true};
    case Action::Purge:
      return GatewayCommand{Verb::Purge, "", true};
    default:
      return no_store_reply();  // of the objects: the shell asks ObjectApi where there is one
  }
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
  FoundEndpoint found = find_endpoint(request.method, target->path);
  if (const Endpoint* endpoint = found.endpoint) {
    const Principal& who = request.principal;
    if (who.account && endpoint->view == View::Refused)
      return error_reply(403, "forbidden", "this token is of one account; it takes one of all accounts");
    if (endpoint->is_object()) return no_store_reply();
    if (!request.body.empty() && request.body != "{}")
      return error_reply(400, "bad_request", "this path takes no body");
    const auto query = read_query(*target, endpoint->parameters);
    if (const Reply* refusal = std::get_if<Reply>(&query)) return *refusal;
    const Query& checked = std::get<Query>(query);
    if (!who.account) return answer(endpoint->action, {*target, snapshot, checked, request});
    return answer(endpoint->action, {*target, account_view(snapshot, *who.account), checked, request});
  }
  if (!found.allowed.empty()) {
    if (found.allowed.starts_with("GET")) found.allowed.insert(3, ", HEAD");
    found.allowed += ", OPTIONS";
    if (request.method == "OPTIONS") return Reply{204, {{"Allow", found.allowed}}, ""};
    Reply reply = error_reply(
        405, "method_not_allowed",
        fmt::format("{} is not allowed on this path; use {}", printable(request.method, 16), found.allowed));
    reply.headers.emplace_back("Allow", found.allowed);
    return reply;
  }
  return error_reply(404, "not_found",
                     fmt::format("there is no path '{}'; GET / lists them", printable(request.target, 128)));
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
