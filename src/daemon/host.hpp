// What the host is, as far as the configuration must know.
#pragma once

#include <vector>

#include "io/log.hpp"
#include "model/tunnel.hpp"

namespace qanat::daemon {

// A gateway behind a static NAT is configured with the address that its peers know: that is its identity, but no
// interface has it. Tunnels without `local` then send from whatever address the host's routing chooses, and keep the
// configured one as their identity.
void adapt_to_host(model::Config& config, const std::vector<IpAddress>& host, const io::Log& log);
[[nodiscard]] std::vector<IpAddress> host_addresses();  // needs to open a socket: before the sandbox

}  // namespace qanat::daemon
