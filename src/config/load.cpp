#include <functional>
#include <map>

#include <fmt/format.h>

#include "base/text.hpp"
#include "config/readers.hpp"

namespace qanat::config {

namespace {

constexpr std::size_t kMaxTunnels = 100'000;

constexpr std::size_t kMaxVrfs = 255;  // each has routing rules of its own, which the kernel reads in a row
constexpr std::size_t kMaxNatRules = 1024;
constexpr std::size_t kMaxRouteSections = 200'000;
constexpr std::size_t kMaxRules = 10'000;

// A kind of section that may stand in the file several times.
struct Kind {
  std::string_view key;      // "tunnel"
  std::string_view plural;   // "tunnels"
  std::string_view name_by;  // the key whose text names one in messages
  std::size_t most;
};
constexpr Kind kTunnels{"tunnel", "tunnels", "name", kMaxTunnels};
constexpr Kind kVrfs{"vrf", "VRFs", "name", kMaxVrfs};
constexpr Kind kRoutes{"route", "routes", "prefix", kMaxRouteSections};
constexpr Kind kPolicy{"policy", "policy rules", "name", kMaxRules};
constexpr Kind kNat{"nat", "NAT rules", "out_interface", kMaxNatRules};

// "[[tunnel]] berlin", or by its place among its kind while it has no usable name.
std::string title_of(const Kind& kind, const Table& table, std::size_t number) {
  for (const Entry& entry : table.entries) {
    const auto* name = std::get_if<std::string>(&entry.value.data);
    if (entry.key == kind.name_by && name && !name->empty())
      return fmt::format("[[{}]] {}", kind.key, printable(*name, 63));
  }
  return fmt::format("[[{}]] number {}", kind.key, number);
}

void for_each_section(Section& top, const Kind& kind, const std::function<void(Section&)>& read) {
  const Entry* entry = top.find(kind.key);
  if (!entry) return;
  Problems& problems = top.problems();
  const std::string hint = fmt::format("write [[{}]] with two brackets", kind.key);
  const auto* array = std::get_if<Array>(&entry->value.data);
  if (!array) {
    problems.error(entry->at, fmt::format("{} is {}: must be a list of sections", kind.key, shown(entry->value)), hint);
    return;
  }
  if (array->items.size() > kind.most) {
    problems.error(entry->at, fmt::format("there are {} {}, and at most {} are allowed", array->items.size(),
                                          kind.plural, kind.most));
    return;
  }
  const std::string name = fmt::format("[[{}]]", kind.key);
  for (std::size_t i = 0; i < array->items.size(); ++i) {
    const Value& item = array->items[i];
    if (const auto* table = std::get_if<Table>(&item.data)) {
      Section section{*table, item.at, name, title_of(kind, *table, i + 1), problems};
      read(section);
    } else {
      problems.error(item.at, fmt::format("{}: the entry {} must be a section", kind.key, shown(item)), hint);
    }
  }
}

void load_gateway(const Entry* entry, model::Gateway& gateway, const FileReader& read_file,
                  const std::optional<WallTime>& now, Problems& problems) {
  if (!entry) {
    problems.error({1, 1}, "[gateway] is missing",
                   "add [gateway] and, below it, address = \"203.0.113.1\": what peers reach this gateway by");
    return;
  }
  if (const auto* table = std::get_if<Table>(&entry->value.data)) {
    Section section{*table, entry->value.at, "[gateway]", "[gateway]", problems};
    read_gateway(section, gateway, read_file);
    if (now) check_api_expiry(*now, gateway, section.place("api_certificate"), problems);
  } else {
    problems.error(entry->at, fmt::format("gateway is {}: must be one section", shown(entry->value)),
                   "write [gateway] with single brackets");
  }
}

void load_log(const Entry* entry, model::Gateway& gateway, Problems& problems) {
  if (!entry) return;
  if (const auto* table = std::get_if<Table>(&entry->value.data)) {
    Section section{*table, entry->value.at, "[log]", "[log]", problems};
    read_log(section, gateway);
  } else {
    problems.error(entry->at, fmt::format("log is {}: must be one section", shown(entry->value)),
                   "write [log] with single brackets");
  }
}

// The routes of all sections, those of the tunnels' own first; the tunnels learn what lies behind them.
std::vector<ParsedRoute> load_routes(Section& top, const Names& names, std::vector<ParsedTunnel>& tunnels) {
  std::vector<ParsedRoute> routes;
  for (const ParsedTunnel& parsed : tunnels) routes.insert(routes.end(), parsed.routes.begin(), parsed.routes.end());
  std::map<std::string_view, std::vector<Prefix>> more;
  for_each_section(top, kRoutes, [&](Section& section) {
    auto parsed = read_route(section, names);
    if (!parsed) return;
    more[names.tunnel(parsed->route.tunnel)->tunnel.name].push_back(parsed->route.prefix);
    routes.push_back(std::move(*parsed));
  });
  for (ParsedTunnel& parsed : tunnels) {
    const auto found = more.find(parsed.tunnel.name);
    if (found == more.end()) continue;
    parsed.tunnel.routes.insert(parsed.tunnel.routes.end(), found->second.begin(), found->second.end());
    more.erase(found);  // twins in name are an error already
  }
  return routes;
}

void load_rules(Section& top, const Names& names, LoadedConfig& loaded) {
  model::Config& config = loaded.config;
  std::vector<std::pair<std::string, Position>> rule_names;
  for_each_section(top, kPolicy, [&](Section& section) {
    config.policy.push_back(read_policy_rule(section, names));
    rule_names.emplace_back(config.policy.back().name, section.place("name"));
  });
  check_rule_names(rule_names, top.problems());
  for (const auto& [name, at] : rule_names) loaded.lines["policy " + name] = at.line;
  for_each_section(top, kNat, [&](Section& section) { config.nat.push_back(read_nat_rule(section, names.vrfs())); });
}

}  // namespace

std::expected<LoadedConfig, std::vector<Problem>> load(std::string_view text, const std::string& file_name,
                                                       const FileReader& read_file, std::optional<WallTime> now) {
  Problems problems{file_name};
  LoadedConfig loaded;
  if (text.size() > kMaxConfigSize) {
    problems.error(
        {}, fmt::format("the file has {} octets, and a configuration has at most {}", text.size(), kMaxConfigSize),
        "is this the right file?");
    return std::unexpected(std::move(problems).take());
  }
  const std::optional<Table> root = parse_toml(text, problems);
  if (!root) return std::unexpected(std::move(problems).take());

  Section top{*root, {1, 1}, "the file", "the file", problems};
  load_gateway(top.find("gateway"), loaded.config.gateway, read_file, now, problems);
  load_log(top.find("log"), loaded.config.gateway, problems);
  std::vector<ParsedVrf> vrfs;
  for_each_section(top, kVrfs, [&](Section& section) {
    vrfs.push_back(read_vrf(section, VrfId{static_cast<std::uint32_t>(vrfs.size() + 1)}));
  });
  std::vector<ParsedTunnel> tunnels;
  for_each_section(top, kTunnels, [&](Section& section) { tunnels.push_back(read_tunnel(section, read_file, vrfs)); });
  if (!top.find("tunnel")) {
    problems.warn({1, 1}, "there is no [[tunnel]]: the gateway will have nothing to do",
                  "add one; docs/qanat.example.toml shows how");
  }
  const Names names{vrfs, tunnels};
  const std::vector<ParsedRoute> routes = load_routes(top, names, tunnels);
  load_rules(top, names, loaded);
  top.finish();
  check_together(loaded.config.gateway, tunnels, problems);
  check_vrfs(loaded.config.gateway, vrfs, problems);
  check_routes(routes, problems);
  check_steering(tunnels, problems);
  if (now) check_expiry(*now, tunnels, problems);

  for (const ParsedTunnel& parsed : tunnels) {
    loaded.config.tunnels.push_back(parsed.tunnel);
    loaded.lines["tunnel " + parsed.tunnel.name] = parsed.header.line;
  }
  for (const ParsedRoute& parsed : routes) {
    loaded.config.routes.push_back(parsed.route);
    loaded.lines[fmt::format("route {} via {}", parsed.route.prefix.to_string(), parsed.route.tunnel)] = parsed.at.line;
  }
  for (const ParsedVrf& parsed : vrfs) loaded.config.vrfs.push_back(parsed.vrf);
  const bool failed = problems.failed();
  loaded.warnings = std::move(problems).take();
  if (failed) return std::unexpected(std::move(loaded.warnings));
  return loaded;
}

}  // namespace qanat::config
