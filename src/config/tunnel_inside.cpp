// What goes through a tunnel: its interface addresses, routes and selectors.
#include <algorithm>

#include <fmt/format.h>

#include "config/readers.hpp"
#include "model/interface_pair.hpp"

namespace qanat::config {

namespace {

using model::SelectorMode;

// A Traffic Selector payload counts its selectors in one octet (RFC 7296 3.13).
constexpr std::size_t kMaxSelectors = 255;

std::optional<model::InterfacePair> read_pair(Section& section, std::string_view key, bool v6, Position& at) {
  at = section.place(key);
  const auto text = section.text(key, v6 ? "an IPv6 address with /127 or /126 in double quotes"
                                         : "an IPv4 address with /31 or /30 in double quotes");
  if (!text) return std::nullopt;
  auto pair = model::parse_interface_pair(text->value, v6 ? model::InnerFamily::V6 : model::InnerFamily::V4);
  if (!pair) {
    section.refuse_text(key, *text, pair.error().detail, "the other host of the pair is the peer's");
    return std::nullopt;
  }
  return *pair;
}

std::optional<Prefix> selector_side(Section& pair, std::string_view key) {
  const auto text = pair.text(key, "a prefix in double quotes, like \"10.1.0.0/16\"");
  if (!pair.find(key)) {
    pair.problems().error(pair.at(), fmt::format("{}: {} is missing", pair.title(), key),
                          "write { local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }");
  }
  return text ? read_prefix(pair, key, *text) : std::nullopt;
}

// One Child SA carries the whole list, and IKE can only say "any of these to any of those" (RFC 7296 2.9): a list that
// means less than every combination would let through what it does not name.
void refuse_uncombined(Section& section, Position at, const std::vector<model::SelectorPair>& pairs) {
  const auto listed = [&](const Prefix& local, const Prefix& remote) {
    return std::find(pairs.begin(), pairs.end(), model::SelectorPair{local, remote}) != pairs.end();
  };
  for (const model::SelectorPair& a : pairs) {
    for (const model::SelectorPair& b : pairs) {
      if (a.local.is_v4() != b.remote.is_v4() || listed(a.local, b.remote)) continue;
      section.problems().error(
          at,
          fmt::format("{}: selectors: the list lets {} reach {} as well, though it does not name that pair",
                      section.title(), a.local.to_string(), b.remote.to_string()),
          "one Child SA carries every combination: name them all, or make two tunnels with identities of their own");
      return;
    }
  }
}

void read_selector_list(Section& section, const Array& array, Position at, model::Tunnel& tunnel) {
  tunnel.selectors = SelectorMode::List;
  if (array.items.empty() || array.items.size() > kMaxSelectors) {
    section.problems().error(at,
                             fmt::format("{}: selectors has {} pairs, and 1 to {} are allowed", section.title(),
                                         array.items.size(), kMaxSelectors),
                             "for everything write selectors = \"any\", or leave it out");
    return;
  }
  for (const Value& item : array.items) {
    const auto* table = std::get_if<Table>(&item.data);
    if (!table) {
      section.problems().error(item.at,
                               fmt::format("{}: selectors: the entry {} must be a table", section.title(), shown(item)),
                               "write { local = \"10.2.0.0/16\", remote = \"10.1.0.0/16\" }");
      continue;
    }
    Section pair{*table, item.at, "selectors of [[tunnel]]", section.title() + ": selectors", section.problems()};
    const auto local = selector_side(pair, "local");
    const auto remote = selector_side(pair, "remote");
    pair.finish();
    if (!local || !remote) continue;
    if (local->is_v4() != remote->is_v4()) {
      section.problems().error(item.at, fmt::format("{}: selectors: {} and {} are of different address families",
                                                    section.title(), local->to_string(), remote->to_string()));
      continue;
    }
    tunnel.selector_list.push_back({*local, *remote});
  }
  refuse_uncombined(section, at, tunnel.selector_list);
}

void read_selectors(Section& section, ParsedTunnel& parsed) {
  model::Tunnel& tunnel = parsed.tunnel;
  parsed.selectors_at = section.place("selectors");
  const Entry* entry = section.find("selectors");
  if (!entry) return;
  const auto* word = std::get_if<std::string>(&entry->value.data);
  if (const auto* array = std::get_if<Array>(&entry->value.data)) {
    read_selector_list(section, *array, entry->value.at, tunnel);
  } else if (word && *word == "any") {
    tunnel.selectors = SelectorMode::Any;
  } else if (word && *word == "routes") {
    tunnel.selectors = SelectorMode::Routes;
    parsed.selectors_at = entry->value.at;
  } else {
    section.refuse("selectors", entry->value,
                   "\"any\", \"routes\", or an array of { local = \"PREFIX\", remote = \"PREFIX\" }");
  }
}

}  // namespace

void read_inside(Section& section, ParsedTunnel& parsed) {
  model::Tunnel& tunnel = parsed.tunnel;
  if (const auto pair = read_pair(section, "interface", false, parsed.interface4_at)) {
    tunnel.interface4 = pair->ours;
    tunnel.peer_interface4 = pair->theirs;
    tunnel.interface4_length = pair->length;
  }
  if (const auto pair = read_pair(section, "interface6", true, parsed.interface6_at)) {
    tunnel.interface6 = pair->ours;
    tunnel.peer_interface6 = pair->theirs;
    tunnel.interface6_length = pair->length;
  }
  read_routes_key(section, parsed);
  read_selectors(section, parsed);
}

bool has_inner_v6(const model::Tunnel& tunnel) {
  const auto v6 = [](const Prefix& prefix) { return !prefix.is_v4(); };
  return tunnel.interface6 || std::any_of(tunnel.routes.begin(), tunnel.routes.end(), v6) ||
         std::any_of(tunnel.selector_list.begin(), tunnel.selector_list.end(),
                     [&](const auto& pair) { return v6(pair.local); });
}

}  // namespace qanat::config
