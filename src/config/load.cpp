#include <fmt/format.h>

#include "base/text.hpp"
#include "config/readers.hpp"

namespace qanat::config {

namespace {

constexpr std::size_t kMaxTunnels = 100'000;

// "[[tunnel]] berlin", or by its place among the tunnels while it has no usable name.
std::string tunnel_title(const Table& table, std::size_t number) {
  for (const Entry& entry : table.entries) {
    const auto* name = std::get_if<std::string>(&entry.value.data);
    if (entry.key == "name" && name && !name->empty()) return "[[tunnel]] " + printable(*name, 63);
  }
  return fmt::format("[[tunnel]] number {}", number);
}

void load_gateway(const Entry* entry, model::Gateway& gateway, Problems& problems) {
  if (!entry) {
    problems.error({1, 1}, "[gateway] is missing",
                   "add [gateway] and, below it, address = \"203.0.113.1\": what peers reach this gateway by");
    return;
  }
  if (const auto* table = std::get_if<Table>(&entry->value.data)) {
    Section section{*table, entry->value.at, "[gateway]", "[gateway]", problems};
    read_gateway(section, gateway);
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

std::vector<ParsedTunnel> load_tunnels(const Entry* entry, const FileReader& read_file, Problems& problems) {
  std::vector<ParsedTunnel> tunnels;
  if (!entry) {
    problems.warn({1, 1}, "there is no [[tunnel]]: the gateway will have nothing to do",
                  "add one; docs/qanat.example.toml shows how");
    return tunnels;
  }
  const auto* array = std::get_if<Array>(&entry->value.data);
  if (!array) {
    problems.error(entry->at, fmt::format("tunnel is {}: must be a list of sections", shown(entry->value)),
                   "write [[tunnel]] with two brackets");
    return tunnels;
  }
  if (array->items.size() > kMaxTunnels) {
    problems.error(entry->at,
                   fmt::format("there are {} tunnels, and at most {} are allowed", array->items.size(), kMaxTunnels));
    return tunnels;
  }
  for (std::size_t i = 0; i < array->items.size(); ++i) {
    const Value& item = array->items[i];
    if (const auto* table = std::get_if<Table>(&item.data)) {
      Section section{*table, item.at, "[[tunnel]]", tunnel_title(*table, i + 1), problems};
      tunnels.push_back(read_tunnel(section, read_file));
    } else {
      problems.error(item.at, fmt::format("tunnel: the entry {} must be a section", shown(item)),
                     "write [[tunnel]] with two brackets");
    }
  }
  return tunnels;
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
  load_gateway(top.find("gateway"), loaded.config.gateway, problems);
  load_log(top.find("log"), loaded.config.gateway, problems);
  const std::vector<ParsedTunnel> tunnels = load_tunnels(top.find("tunnel"), read_file, problems);
  top.finish();
  check_together(loaded.config.gateway, tunnels, problems);
  if (now) check_expiry(*now, tunnels, problems);

  for (const ParsedTunnel& parsed : tunnels) loaded.config.tunnels.push_back(parsed.tunnel);
  const bool failed = problems.failed();
  loaded.warnings = std::move(problems).take();
  if (failed) return std::unexpected(std::move(loaded.warnings));
  return loaded;
}

}  // namespace qanat::config
