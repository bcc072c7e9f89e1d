// qanat-netd: the only part of Qanat with rights, and it parses nothing that a network sends. It takes the commands of
// io/netd_protocol.hpp, validates each again, and carries them out one after the other.
//
// It keeps CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE and runs as an ordinary user. It ends when the socket
// closes and leaves everything as it is: routes, rules and filter hold, traffic fails closed.
#pragma once

#include "gateway/host_command.hpp"
#include "io/fd.hpp"
#include "io/log.hpp"

namespace qanat::daemon {

// The helper's main loop; the exit code of its process.
[[nodiscard]] int run_netd(io::UniqueFd socket, const io::Log& log);

// The same work without a helper, in the calling process (root): `qanatd --protect` before the network comes up, and
// `qanat purge` when no daemon runs. A TUN that does not exist yet is no error here: the unreachable routes stand.
[[nodiscard]] Status apply_protection_once(const gateway::SetProtection& protection);
[[nodiscard]] Status purge_once(const gateway::PurgeProtection& purge);

}  // namespace qanat::daemon
