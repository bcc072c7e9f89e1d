// Checks over all tunnels. Sorted, not compared pair by pair: a hub has thousands.
#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "config/readers.hpp"
#include "pki/expiry.hpp"

namespace qanat::config {

namespace {

using Tunnels = std::vector<ParsedTunnel>;

std::string title(const ParsedTunnel& parsed) {
  return parsed.tunnel.name.empty() ? "[[tunnel]]" : "[[tunnel]] " + parsed.tunnel.name;
}

void check_names(const Tunnels& tunnels, Problems& problems) {
  std::map<std::string_view, Position> seen;
  for (const ParsedTunnel& parsed : tunnels) {
    if (parsed.tunnel.name.empty()) continue;
    const auto [it, fresh] = seen.try_emplace(parsed.tunnel.name, parsed.name_at);
    if (!fresh) {
      problems.error(parsed.name_at,
                     fmt::format("[[tunnel]]: name = {}: the tunnel at {} has this name already",
                                 quoted(parsed.tunnel.name), line_of(it->second)),
                     "every tunnel needs a name of its own");
    }
  }
}

// Our address of the tunnel; nullopt for a peer "any" without `local` on a gateway with both families.
std::optional<IpAddress> our_address(const model::Gateway& gateway, const model::Tunnel& tunnel) {
  if (tunnel.local) return tunnel.local;
  if (tunnel.peer) return tunnel.peer->is_v4() ? gateway.address4 : gateway.address6;
  if (gateway.address4 && gateway.address6) return std::nullopt;
  return gateway.address4 ? gateway.address4 : gateway.address6;
}

void check_families(const model::Gateway& gateway, const ParsedTunnel& parsed, Problems& problems) {
  const model::Tunnel& tunnel = parsed.tunnel;
  if (tunnel.peer && tunnel.local && tunnel.peer->is_v4() != tunnel.local->is_v4()) {
    problems.error(parsed.local_at,
                   fmt::format("{}: local = {} and peer = {} are of different address families", title(parsed),
                               quoted(tunnel.local->to_string()), quoted(tunnel.peer->to_string())));
  } else if (tunnel.peer && !our_address(gateway, tunnel) && (gateway.address4 || gateway.address6)) {
    const char* family = tunnel.peer->is_v4() ? "IPv4" : "IPv6";
    problems.error(parsed.peer_at,
                   fmt::format("{}: peer = {}: the gateway has no {} address to reach it from", title(parsed),
                               quoted(tunnel.peer->to_string()), family),
                   fmt::format("add the {} address to address of [gateway], or set local", family));
  }
  if (tunnel.peer && tunnel.peer == our_address(gateway, tunnel)) {
    problems.error(
        parsed.peer_at,
        fmt::format("{}: peer = {}: is this gateway's own address", title(parsed), quoted(tunnel.peer->to_string())),
        "peer is the other side's address");
  }
  const bool outer_v6 = tunnel.peer ? tunnel.peer->is_v6() : tunnel.local && tunnel.local->is_v6();
  if (outer_v6 && tunnel.ike_fragment_size != 0 && tunnel.ike_fragment_size < 1280) {
    problems.error(parsed.fragment_at,
                   fmt::format("{}: ike_fragment_size = {}: must be at least 1280, since the peer is reached over IPv6",
                               title(parsed), tunnel.ike_fragment_size));
  }
}

bool addresses_meet(const std::optional<IpAddress>& a, const std::optional<IpAddress>& b) {
  return !a || !b || *a == *b;
}

std::optional<wire::Identity> effective(const std::optional<wire::Identity>& configured,
                                        const std::optional<IpAddress>& address) {
  if (configured) return configured;
  return address ? std::optional{wire::Identity::of_address(*address)} : std::nullopt;
}

bool same_identity(const std::optional<wire::Identity>& a, const std::optional<wire::Identity>& b) {
  return !a || !b || a->matches(*b);
}

// Equal for all identities that match each other (names compare without case); others may share it.
std::string bucket_of(const wire::Identity& id) {
  std::string key{static_cast<char>(id.type)};
  if (id.type == wire::IdType::ID_DER_ASN1_DN) return key;
  for (const std::uint8_t octet : id.data)
    key.push_back(static_cast<char>(octet >= 'A' && octet <= 'Z' ? octet - 'A' + 'a' : octet));
  return key;
}

struct Selected {
  const ParsedTunnel* parsed;
  std::optional<IpAddress> ours;           // nullopt: any
  std::optional<wire::Identity> local_id;  // nullopt: whichever of our addresses was called
  wire::Identity remote_id;
};

bool cannot_be_told_apart(const Selected& a, const Selected& b) {
  return addresses_meet(a.parsed->tunnel.peer, b.parsed->tunnel.peer) && addresses_meet(a.ours, b.ours) &&
         same_identity(a.local_id, b.local_id) && a.remote_id.matches(b.remote_id);
}

// rules.md "Which tunnel a message belongs to": addresses, then (local_id, remote_id), choose the tunnel.
void check_twins(const model::Gateway& gateway, const Tunnels& tunnels, Problems& problems) {
  std::map<std::string, std::vector<Selected>> by_remote;
  for (const ParsedTunnel& parsed : tunnels) {
    const model::Tunnel& tunnel = parsed.tunnel;
    const auto ours = our_address(gateway, tunnel);
    const auto remote = effective(tunnel.remote_id, tunnel.peer);
    if (!parsed.peer_known || !remote) continue;  // reported already
    const Selected selected{&parsed, ours, effective(tunnel.local_id, ours), *remote};
    auto& alike = by_remote[bucket_of(*remote)];
    const auto twin = std::find_if(alike.begin(), alike.end(),
                                   [&](const Selected& other) { return cannot_be_told_apart(other, selected); });
    if (twin == alike.end()) {
      alike.push_back(selected);
      continue;
    }
    problems.error(
        parsed.header,
        fmt::format(
            "{}: cannot be told apart from {} at {}: same addresses, and same local_id and remote_id (remote_id = {})",
            title(parsed), title(*twin->parsed), line_of(twin->parsed->header), quoted(remote->to_string())),
        "give one of them another remote_id (the peer must send it as its identity), local_id or local");
  }
}

struct InterfacePair {
  Prefix prefix;
  const ParsedTunnel* tunnel;
  Position at;
  const char* key;
};

std::vector<InterfacePair> interface_pairs(const Tunnels& tunnels) {
  std::vector<InterfacePair> pairs;
  for (const ParsedTunnel& parsed : tunnels) {
    const model::Tunnel& t = parsed.tunnel;
    if (t.interface4)
      pairs.push_back({Prefix::masked(*t.interface4, t.interface4_length), &parsed, parsed.interface4_at, "interface"});
    if (t.interface6)
      pairs.push_back(
          {Prefix::masked(*t.interface6, t.interface6_length), &parsed, parsed.interface6_at, "interface6"});
  }
  return pairs;
}

void check_interfaces(const model::Gateway& gateway, const Tunnels& tunnels, Problems& problems) {
  std::vector<InterfacePair> pairs = interface_pairs(tunnels);
  for (const InterfacePair& pair : pairs) {
    for (const auto& address : {gateway.address4, gateway.address6}) {
      if (address && pair.prefix.contains(*address)) {
        problems.error(pair.at,
                       fmt::format("{}: {}: {} holds the gateway's own address {}", title(*pair.tunnel), pair.key,
                                   pair.prefix.to_string(), address->to_string()),
                       "take a pair of addresses that nothing else uses, like 10.255.0.0/31");
      }
    }
  }
  // Sorted by VRF, first address and length, the widest of those that can hold the next one is the last that was kept.
  const auto vrf = [](const InterfacePair& pair) { return pair.tunnel->tunnel.vrf; };
  std::sort(pairs.begin(), pairs.end(), [&](const InterfacePair& a, const InterfacePair& b) {
    return std::tuple{vrf(a), a.prefix, a.at} < std::tuple{vrf(b), b.prefix, b.at};
  });
  const InterfacePair* widest = nullptr;
  for (const InterfacePair& pair : pairs) {
    if (!widest || vrf(*widest) != vrf(pair) || !widest->prefix.overlaps(pair.prefix)) {
      widest = &pair;
      continue;
    }
    const bool in_order = widest->at < pair.at;
    const InterfacePair& first = in_order ? *widest : pair;
    const InterfacePair& second = in_order ? pair : *widest;
    problems.error(
        second.at,
        fmt::format("{}: {}: {} overlaps {} of {} at {}", title(*second.tunnel), second.key, second.prefix.to_string(),
                    first.prefix.to_string(), title(*first.tunnel), line_of(first.at)),
        "every tunnel of a VRF needs a pair of addresses of its own");
  }
}

}  // namespace

void check_together(const model::Gateway& gateway, const Tunnels& tunnels, Problems& problems) {
  check_names(tunnels, problems);
  for (const ParsedTunnel& parsed : tunnels) check_families(gateway, parsed, problems);
  check_twins(gateway, tunnels, problems);
  check_interfaces(gateway, tunnels, problems);
}

void check_expiry(WallTime now, const std::vector<ParsedTunnel>& tunnels, Problems& problems) {
  for (const ParsedTunnel& parsed : tunnels) {
    const auto first = pki::first_to_expire(parsed.tunnel.credentials.certificates);
    const auto warning = first ? pki::expiry_warning(*first, now) : std::nullopt;
    if (warning)
      problems.warn(parsed.cert_at, fmt::format("{}: cert_file: {}", title(parsed), *warning),
                    "make another with qanat pki issue, put it and its key in their places, then: qanat reload");
  }
}

}  // namespace qanat::config
