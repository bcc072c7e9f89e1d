// What the host is, as far as the configuration must know.
#pragma once

#include "io/log.hpp"
#include "model/tunnel.hpp"

namespace qanat::daemon {

// A gateway behind a static NAT is configured with the address that its peers know: that is its identity, but no
// interface has it. Tunnels without `local` then send from whatever address the host's routing chooses, and keep the
// configured one as their identity.
void adapt_to_host(model::Config& config, const io::Log& log);

}  // namespace qanat::daemon
