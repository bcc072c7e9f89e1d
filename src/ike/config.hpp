// What IKE must know of each tunnel and of this gateway: plain values, made from model objects by gateway/.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipsec/child_sa_params.hpp"
#include "ipsec/proposal.hpp"
#include "ipsec/selectors.hpp"
#include "model/tunnel.hpp"
#include "wire/identity.hpp"

namespace qanat::ike {

struct TunnelConfig {
  TunnelId id;
  VrfId vrf;
  std::string name;
  IpAddress local;                // our outer address
  std::optional<IpAddress> peer;  // nullopt: any address, and we cannot begin
  std::uint16_t peer_port = 500;  // equal to the NAT port: start there
  wire::Identity local_id;
  wire::Identity remote_id;
  model::PresharedKey psk;
  model::PqPolicy pq = model::PqPolicy::Prefer;
  std::vector<ipsec::IkeProposal> ike;
  std::vector<ipsec::EspProposal> esp;
  std::vector<EsnId> esn;     // accepted, preferred first
  ipsec::Selectors local_ts;  // offered and allowed, our side
  ipsec::Selectors remote_ts;
  bool force_encap = false;
  std::uint32_t replay_window = 1024;
  Duration ike_lifetime = 4h;
  Duration child_lifetime = 1h;
  Duration dpd_idle = 10s;
  Duration dpd_timeout = 30s;
  std::size_t fragment_size = 0;  // IP datagram octets; 0: 1,280 for IPv6, 1,400 for IPv4
};
using TunnelRef = std::shared_ptr<const TunnelConfig>;

struct EndpointConfig {
  std::uint16_t ike_port = 500;
  std::uint16_t nat_port = 4500;
  std::uint32_t shard = 0;             // in the low bits of our SPIs
  std::size_t half_open_limit = 2000;  // IKE SAs in the making, whoever asked
  std::size_t cookie_threshold = 100;  // of peers that have not returned a cookie
  bool native_esp = true;              // the packet path can send IP protocol 50
  bool key_log = false;                // emit KeyLog actions: for debugging only
};

}  // namespace qanat::ike
