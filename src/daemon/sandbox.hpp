// The walls around qanatd once it has its sockets: another user, no capability, no core dump, no new rights, Landlock
// where the kernel has it, and a list of system calls. Nothing of it can be undone.
//
// Call it while the process has one thread (capabilities belong to a thread). What it forbids answers EPERM and is left
// to the audit log; execve, ptrace and their kind end the process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "io/log.hpp"

namespace qanat::daemon {

struct SandboxPlan {
  std::string user = "qanat";              // absent: uid 65534, with a warning
  std::vector<std::string> writable_dirs;  // state, key log: everything else is read-only (Landlock)
  bool connects = false;                   // to webhooks: sockets of TCP, and of UDP for DNS
};

// Step one, as root, as early as possible: no core dumps, memory locked (best effort: keys stay out of swap).
[[nodiscard]] Status keep_secrets_in_memory(const io::Log& log);
// Step two, when all descriptors are open.
[[nodiscard]] Status enter_sandbox(const SandboxPlan& plan, const io::Log& log);

struct UserIds {
  std::uint32_t uid = 65534;
  std::uint32_t gid = 65534;
  bool found = false;
};
[[nodiscard]] UserIds find_user(const std::string& name);

// As root: the folder for what the daemon keeps over restarts, the user's own, mode 0700 when it is made here.
[[nodiscard]] Status prepare_state_dir(const std::string& path, const std::string& user);

// Capability numbers. `ambient`, a part of `kept`, is what a child that we execute has as well.
struct Rights {
  std::vector<unsigned> kept;
  std::vector<unsigned> ambient;
};
// As root: gives up all capabilities but these (also in the bounding set), becomes `ids` without further groups, and
// can gain nothing again (no_new_privs), leave no core and be read by no debugger. The helper keeps three, qanatd none.
[[nodiscard]] Status become(const UserIds& ids, const Rights& rights);

// What the kernel says of this process (/proc/self/status), for `status` and the tests.
struct SelfCheck {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t cap_permitted = 0;
  std::uint64_t cap_effective = 0;
  std::uint64_t cap_inheritable = 0;
  std::uint64_t cap_bounding = 0;
  std::uint64_t cap_ambient = 0;
  int no_new_privs = 0;
  int seccomp = 0;  // 2: a filter
  int threads = 0;
  bool dumpable = true;
  std::uint64_t core_limit = 0;
  std::uint64_t locked_kib = 0;
  [[nodiscard]] bool confined() const;  // all of it as enter_sandbox leaves it
};
[[nodiscard]] Result<SelfCheck> check_self();

}  // namespace qanat::daemon
