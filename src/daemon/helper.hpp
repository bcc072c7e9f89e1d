// How qanatd gets its privileged helper: a fork before anything is parsed, joined by a socket pair.
#pragma once

#include <sys/types.h>

#include "io/fd.hpp"
#include "io/log.hpp"

namespace qanat::daemon {

struct Helper {
  io::UniqueFd socket;  // for io::NetdClient
  pid_t pid = -1;       // ends by itself when `socket` is closed; reap it then
};

// Call it as root, with one thread, before the config is read. The child runs run_netd() and never returns.
[[nodiscard]] Result<Helper> start_helper(io::LogOptions log);

// Waits until the helper has ended (after its socket was closed), at most `seconds`; then it is left to init.
void reap_helper(pid_t pid, unsigned seconds);

}  // namespace qanat::daemon
