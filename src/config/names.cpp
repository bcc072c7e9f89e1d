// What the sections may name, and how names are found again.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "config/readers.hpp"

namespace qanat::config {

namespace {

constexpr std::size_t kMaxName = 63;
constexpr std::size_t kMostGuesses = 1000;  // a hub has thousands of tunnels, and the nearest of few is enough
constexpr std::string_view kDefaultVrf = "default";

}  // namespace

Names::Names(const std::vector<ParsedVrf>& vrfs, const std::vector<ParsedTunnel>& tunnels) : vrfs_(vrfs) {
  for (const ParsedTunnel& parsed : tunnels) {
    if (parsed.tunnel.name.empty() || !tunnels_.try_emplace(parsed.tunnel.name, &parsed).second) continue;
    for (const auto& hop : {parsed.tunnel.peer_interface4, parsed.tunnel.peer_interface6}) {
      if (hop) hops_.emplace(*hop, &parsed);
    }
  }
}

std::string_view Names::vrf_name(VrfId id) const {
  const auto found = std::find_if(vrfs_.begin(), vrfs_.end(), [&](const ParsedVrf& v) { return v.vrf.id == id; });
  return found == vrfs_.end() ? kDefaultVrf : std::string_view{found->vrf.name};
}

const ParsedTunnel* Names::tunnel(std::string_view name) const {
  const auto found = tunnels_.find(name);
  return found == tunnels_.end() ? nullptr : found->second;
}

std::string Names::nearest_tunnel(std::string_view name) const {
  if (name.size() > kMaxName) return {};
  std::vector<std::string_view> known;
  for (const auto& entry : tunnels_) {
    if (known.size() == kMostGuesses) break;
    known.push_back(entry.first);
  }
  return std::string{nearest(name, known)};
}

std::vector<const ParsedTunnel*> Names::at_hop(const IpAddress& address) const {
  std::vector<const ParsedTunnel*> out;
  const auto [first, last] = hops_.equal_range(address);
  for (auto it = first; it != last; ++it) out.push_back(it->second);
  return out;
}

std::optional<Placed<VrfId>> read_vrf_name(Section& section, const std::vector<ParsedVrf>& vrfs) {
  const auto name = section.text("vrf", "the name of a VRF in double quotes");
  if (!name) return std::nullopt;
  if (name->value == kDefaultVrf) return Placed<VrfId>{VrfId{}, name->at};
  std::string known{kDefaultVrf};
  for (const ParsedVrf& v : vrfs) {
    if (v.vrf.name == name->value) return Placed<VrfId>{v.vrf.id, name->at};
    if (!v.vrf.name.empty()) known += ", " + v.vrf.name;
  }
  section.refuse_text("vrf", *name, fmt::format("there is no such VRF; there are: {}", printable(known, 200)),
                      "add [[vrf]] with that name, tun and route_table");
  return std::nullopt;
}

bool is_object_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  if (name.empty() || name.size() > kMaxName || !plain(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-' || c == '_'; });
}

std::optional<Prefix> read_prefix(Section& section, std::string_view key, const Placed<std::string>& text) {
  auto prefix = Prefix::parse(text.value);
  if (!prefix) {
    section.refuse_text(key, text, "is not a prefix: " + prefix.error().detail,
                        "a prefix is written like 10.1.0.0/16 or 2001:db8::/32");
    return std::nullopt;
  }
  return *prefix;
}

}  // namespace qanat::config
