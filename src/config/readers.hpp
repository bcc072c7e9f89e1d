// The readers of the sections and the checks over all of them. Internal to config/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/section.hpp"
#include "model/tunnel.hpp"

namespace qanat::config {

void read_gateway(Section& section, model::Gateway& gateway);
void read_log(Section& section, model::Gateway& gateway);

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
  std::vector<Position> routes_at;  // beside tunnel.routes
  bool peer_known = false;          // `peer` was there and could be read
};

[[nodiscard]] ParsedTunnel read_tunnel(Section& section, const FileReader& read_file);
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

// What no section can see alone: names, twins, routes, interfaces, address families.
void check_together(const model::Gateway& gateway, const std::vector<ParsedTunnel>& tunnels, Problems& problems);
// Certificates of our own that have expired, or will soon.
void check_expiry(WallTime now, const std::vector<ParsedTunnel>& tunnels, Problems& problems);

// An address that one host can have: not 0.0.0.0, not multicast. Reports and returns nullopt otherwise.
[[nodiscard]] std::optional<IpAddress> host_address(Section& section, std::string_view key,
                                                    const Placed<std::string>& text);
[[nodiscard]] bool has_inner_v6(const model::Tunnel& tunnel);

}  // namespace qanat::config
