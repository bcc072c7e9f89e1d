#include "config/judge.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

class Places {
 public:
  explicit Places(const std::map<std::string, unsigned>& lines) : lines_(lines) {}
  // The column tells objects without a line apart, so that checks which sort by place keep their order.
  [[nodiscard]] Position of(const std::string& object) {
    const auto it = lines_.find(object);
    return {it == lines_.end() ? kNoLine : it->second, ++count_};
  }

 private:
  const std::map<std::string, unsigned>& lines_;
  unsigned count_ = 0;
};

ParsedTunnel parsed_of(const model::Tunnel& tunnel, Position at) {
  ParsedTunnel out;
  out.tunnel = tunnel;
  for (Position* place :
       {&out.header, &out.name_at, &out.peer_at, &out.local_at, &out.remote_id_at, &out.interface4_at,
        &out.interface6_at, &out.selectors_at, &out.mtu_at, &out.fragment_at, &out.cert_at, &out.health_at})
    *place = at;
  out.peer_known = true;
  return out;
}

}  // namespace

std::vector<Problem> judge(const model::Config& config, const std::string& file_name,
                           const std::map<std::string, unsigned>& lines) {
  Problems problems{file_name};
  Places places{lines};
  std::vector<ParsedTunnel> tunnels;
  tunnels.reserve(config.tunnels.size());
  for (const model::Tunnel& tunnel : config.tunnels)
    tunnels.push_back(parsed_of(tunnel, places.of("tunnel " + tunnel.name)));
  std::vector<ParsedRoute> routes;
  routes.reserve(config.routes.size());
  for (const model::Route& route : config.routes) {
    const std::string name = fmt::format("{} via {}", route.prefix.to_string(), route.tunnel);
    routes.push_back({route, places.of("route " + name), "route " + name});
  }
  std::vector<std::pair<std::string, Position>> rules;
  for (const model::PolicyRule& rule : config.policy) rules.emplace_back(rule.name, places.of("policy " + rule.name));
  check_together(config.gateway, tunnels, problems);
  check_routes(routes, problems);
  check_steering(tunnels, problems);
  check_rule_names(rules, problems);
  std::vector<Problem> out = std::move(problems).take();
  std::erase_if(out, [](const Problem& problem) { return problem.severity != Severity::Error; });
  for (Problem& problem : out) problem.line = problem.line == kNoLine ? 0 : problem.line;
  return out;
}

}  // namespace qanat::config
