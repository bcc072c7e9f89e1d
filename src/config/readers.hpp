// The readers of the sections and the checks over all of them. Internal to config/.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/section.hpp"
#include "model/tunnel.hpp"

namespace qanat::config {

void read_gateway(Section& section, model::Gateway& gateway, const FileReader& read_file);
// The listener for HTTPS; part of read_gateway.
void read_api(Section& section, model::Gateway& gateway, const FileReader& read_file);
// The keys of the object store; part of read_gateway.
void read_store_keys(Section& section, model::Gateway& gateway, const FileReader& read_file);
void read_webhooks(Section& section, model::Gateway& gateway, const FileReader& read_file);
// "127.0.0.1:9469" or "[::1]:9469".
[[nodiscard]] std::optional<Endpoint> parse_listener(std::string_view text);
void read_log(Section& section, model::Gateway& gateway);

// One route, and how messages name where it was written: "[[tunnel]] berlin: routes" or "[[route]] 10.1.0.0/16".
struct ParsedRoute {
  model::Route route;
  Position at;
  std::string title;
};

struct ParsedVrf {
  model::Vrf vrf;
  Position header;
  Position name_at;
  Position tun_at;
  Position table_at;
  std::vector<Placed<std::string>> interfaces;  // as in the VRF
};

// A tunnel and the places that cross checks point at.
struct ParsedTunnel {
  model::Tunnel tunnel;
  Position header;
  Position name_at;
  Position peer_at;
  Position local_at;
  Position remote_id_at;
  Position interface4_at;
  Position interface6_at;
  Position selectors_at;
  Position mtu_at;
  Position fragment_at;
  Position cert_at;
  Position health_at;
  std::vector<ParsedRoute> routes;  // of its `routes` key
  bool peer_known = false;          // `peer` was there and could be read
};

// What the sections of the WAN may name. Lives no longer than what it was made of.
class Names {
 public:
  Names(const std::vector<ParsedVrf>& vrfs, const std::vector<ParsedTunnel>& tunnels);
  [[nodiscard]] const std::vector<ParsedVrf>& vrfs() const { return vrfs_; }
  [[nodiscard]] std::string_view vrf_name(VrfId id) const;
  [[nodiscard]] const ParsedTunnel* tunnel(std::string_view name) const;
  [[nodiscard]] std::string nearest_tunnel(std::string_view name) const;  // empty when none is near
  // Whose interface address this is for the peer's side; one a VRF.
  [[nodiscard]] std::vector<const ParsedTunnel*> at_hop(const IpAddress& address) const;

 private:
  const std::vector<ParsedVrf>& vrfs_;
  std::map<std::string_view, const ParsedTunnel*> tunnels_;
  std::multimap<IpAddress, const ParsedTunnel*> hops_;
};

[[nodiscard]] ParsedTunnel read_tunnel(Section& section, const FileReader& read_file,
                                       const std::vector<ParsedVrf>& vrfs);
// The keys that say how the tunnel's keys and identities are made; part of read_tunnel.
void read_identities(Section& section, ParsedTunnel& parsed);
void read_psk(Section& section, model::Tunnel& tunnel, const FileReader& read_file);
// Certificates, and what each side proves itself with; after read_identities and read_psk.
void read_credentials(Section& section, model::Tunnel& tunnel, const FileReader& read_file);
void read_proposals(Section& section, model::Tunnel& tunnel);
// A key file's one line end is no part of the key.
void strip_newline(SecretBytes& key);
void read_ppk(Section& section, model::Tunnel& tunnel, const FileReader& read_file);
void read_renewal(Section& section, model::Tunnel& tunnel);
void read_negotiation(Section& section, model::Tunnel& tunnel);
// The keys about packets inside: interface, routes, selectors; part of read_tunnel.
void read_inside(Section& section, ParsedTunnel& parsed);
void read_routes_key(Section& section, ParsedTunnel& parsed);
// Health checks, and what classical keys cost a tunnel's routes; part of read_tunnel.
void read_steering(Section& section, ParsedTunnel& parsed);

// The sections beside [gateway] and [[tunnel]]. nullopt: reported, and not to be used.
[[nodiscard]] ParsedVrf read_vrf(Section& section, VrfId id);
[[nodiscard]] std::optional<ParsedRoute> read_route(Section& section, const Names& names);
[[nodiscard]] model::PolicyRule read_policy_rule(Section& section, const Names& names);
[[nodiscard]] model::NatRule read_nat_rule(Section& section, const std::vector<ParsedVrf>& vrfs);
// The key `vrf`: the name of one that is there, or "default". nullopt: absent, or reported.
[[nodiscard]] std::optional<Placed<VrfId>> read_vrf_name(Section& section, const std::vector<ParsedVrf>& vrfs);
[[nodiscard]] std::optional<Prefix> read_prefix(Section& section, std::string_view key,
                                                const Placed<std::string>& text);
// 1 to 63 letters, digits, '-' and '_', beginning with a letter or digit: of tunnels, VRFs, rules.
[[nodiscard]] bool is_object_name(std::string_view name);
inline constexpr std::string_view kObjectNameRule =
    "must be 1 to 63 letters, digits, '-' and '_', beginning with a letter or digit";
[[nodiscard]] bool is_interface_name(std::string_view name);

// What no section can see alone: names, twins, interfaces, address families.
void check_together(const model::Gateway& gateway, const std::vector<ParsedTunnel>& tunnels, Problems& problems);
void check_vrfs(const model::Gateway& gateway, const std::vector<ParsedVrf>& vrfs, Problems& problems);
// One tunnel has a prefix once; and what follows from the routes for selectors, MTU and health checks. `tunnels` have
// the routes of all sections.
void check_routes(const std::vector<ParsedRoute>& routes, Problems& problems);
void check_steering(const std::vector<ParsedTunnel>& tunnels, Problems& problems);
void check_rule_names(const std::vector<std::pair<std::string, Position>>& names, Problems& problems);
// The certificate of the listener for HTTPS has expired, or will soon.
void check_api_expiry(WallTime now, const model::Gateway& gateway, Position at, Problems& problems);
// Certificates of our own that have expired, or will soon.
void check_expiry(WallTime now, const std::vector<ParsedTunnel>& tunnels, Problems& problems);

// An address that one host can have: not 0.0.0.0, not multicast. Reports and returns nullopt otherwise.
[[nodiscard]] std::optional<IpAddress> host_address(Section& section, std::string_view key,
                                                    const Placed<std::string>& text);
[[nodiscard]] bool has_inner_v6(const model::Tunnel& tunnel);

}  // namespace qanat::config
