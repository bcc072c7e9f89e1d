// From the objects of model/ to what IKE and the packet path take: defaults are filled in here and nowhere else.
#pragma once

#include "gateway/host_command.hpp"
#include "ike/config.hpp"
#include "ipsec/data_plane.hpp"
#include "model/tunnel.hpp"
#include "wan/policy.hpp"

namespace qanat::gateway {

// Error{LocalPolicy} when a proposal string does not parse or no local address fits: config/ has refused that before.
[[nodiscard]] Result<ike::TunnelRef> ike_tunnel(const model::Gateway& gateway, const model::Tunnel& tunnel,
                                                TunnelId id);
[[nodiscard]] ipsec::TunnelPlan tunnel_plan(const model::Gateway& gateway, const model::Tunnel& tunnel, TunnelId id);
// One for each VRF that has routes. Error{LocalPolicy} when one names a tunnel that its VRF does not have.
[[nodiscard]] Result<std::vector<ipsec::SetRoutes>> plane_routes(const model::Config& config,
                                                                 const wan::FindTunnel& find);
// See wan::policy_rules().
[[nodiscard]] Result<ipsec::SetPolicy> plane_policy(const model::Config& config, const wan::FindTunnel& find);
[[nodiscard]] SetProtection protection(const model::Config& config);
[[nodiscard]] SetNat source_nat(const model::Config& config);

}  // namespace qanat::gateway
