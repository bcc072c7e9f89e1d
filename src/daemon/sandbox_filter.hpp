// The two walls that the kernel keeps for us: Landlock for files, seccomp for system calls. Internal to sandbox.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace qanat::daemon {

// Writing, making and removing files only below `writable_dirs`, executing nothing. An Error where the kernel has no
// Landlock: best effort.
[[nodiscard]] Status restrict_files(const std::vector<std::string>& writable_dirs);

// What qanatd's threads do after start-up; everything else answers EPERM, and what only an intruder would try ends the
// process. For this thread and those that it starts.
// ToWebhooks: IPv4 and IPv6 sockets may be made and connected.
enum class Connections : std::uint8_t { None, ToWebhooks };
[[nodiscard]] Status load_syscall_filter(Connections connections);

}  // namespace qanat::daemon
