#include "daemon/sandbox.hpp"

#include <charconv>
#include <fstream>
#include <sstream>

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/sandbox_filter.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "sandbox";

std::uint64_t bits_of(const std::vector<unsigned>& capabilities) {
  std::uint64_t bits = 0;
  for (const unsigned c : capabilities) bits |= std::uint64_t{1} << c;
  return bits;
}

Status set_capabilities(std::uint64_t permitted, std::uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (unsigned i = 0; i < 2; ++i) {
    data[i].permitted = data[i].effective = static_cast<std::uint32_t>(permitted >> (32 * i));
    data[i].inheritable = static_cast<std::uint32_t>(inheritable >> (32 * i));
  }
  if (::syscall(SYS_capset, &header, data) != 0) return io::system_failure(kWhere, "capset");
  return {};
}

Status limit_bounding_set(std::uint64_t kept) {
  for (unsigned c = 0; c < 64; ++c) {
    const int held = ::prctl(PR_CAPBSET_READ, c, 0, 0, 0);
    if (held < 0) break;  // beyond the kernel's last capability
    if (held == 1 && (kept >> c & 1) == 0 && ::prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0) {
      return io::system_failure(kWhere, "dropping a capability from the bounding set (is this root?)");
    }
  }
  return {};
}

Status no_core_dumps() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return io::system_failure(kWhere, "RLIMIT_CORE");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return io::system_failure(kWhere, "PR_SET_DUMPABLE");
  return {};
}

std::uint64_t number(std::string_view text, int base) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return 0;
  text.remove_prefix(begin);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

}  // namespace

UserIds find_user(const std::string& name) {
  std::vector<char> buffer(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr ||
      entry.pw_uid == 0 || entry.pw_gid == 0) {
    return {};
  }
  return {entry.pw_uid, entry.pw_gid, true};
}

Status prepare_state_dir(const std::string& path, const std::string& user) {
  const UserIds ids = find_user(user);
  const bool made = ::mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return io::system_failure(path, "cannot be made");
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return io::system_failure(path, "lstat");
  if (!S_ISDIR(info.st_mode)) return io::system_failure(path, "it is no folder", ENOTDIR);
  // Its own already, as systemd makes it; somebody else's is not taken over.
  if (!made && info.st_uid != 0) return {};
  if (::lchown(path.c_str(), ids.uid, ids.gid) != 0) return io::system_failure(path, "chown to " + user);
  return {};
}

Status become(const UserIds& ids, const Rights& rights) {
  const std::uint64_t kept = bits_of(rights.kept);
  const std::uint64_t ambient = bits_of(rights.ambient);
  ensure((ambient & ~kept) == 0 && ids.uid != 0 && ids.gid != 0, "become: these are no lesser rights");
  QANAT_TRY(limit_bounding_set(kept));
  if (::prctl(PR_SET_KEEPCAPS, kept != 0 ? 1 : 0, 0, 0, 0) != 0) return io::system_failure(kWhere, "PR_SET_KEEPCAPS");
  if (::setgroups(0, nullptr) != 0) return io::system_failure(kWhere, "setgroups");
  if (::setresgid(ids.gid, ids.gid, ids.gid) != 0) return io::system_failure(kWhere, "setresgid");
  if (::setresuid(ids.uid, ids.uid, ids.uid) != 0) return io::system_failure(kWhere, "setresuid");
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return io::system_failure(kWhere, "ambient capabilities");
  QANAT_TRY(set_capabilities(kept, ambient));
  for (const unsigned c : rights.ambient) {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) != 0)
      return io::system_failure(kWhere, "ambient capabilities");
  }
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return io::system_failure(kWhere, "PR_SET_KEEPCAPS");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return io::system_failure(kWhere, "PR_SET_NO_NEW_PRIVS");
  return no_core_dumps();  // after setresuid, which makes a process dumpable by the host's setting again
}

Status keep_secrets_in_memory(const io::Log& log) {
  QANAT_TRY(no_core_dumps());
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  // Never under a limit: mmap would fail somewhere later. ONFAULT: what is used stays in memory, and no thread's stack
  // is filled for it.
  if (::setrlimit(RLIMIT_MEMLOCK, &unlimited) != 0 || ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    log.warning("memory-not-locked", {{"reason", io::errno_text(errno)}, {"effect", "keys may reach swap space"}});
  }
  return {};
}

Status enter_sandbox(const SandboxPlan& plan, const io::Log& log) {
  QANAT_ASSIGN(const SelfCheck before, check_self());
  if (before.threads != 1)
    return fail(ErrorKind::Internal, kWhere, "other threads run already: they would keep their rights");
  const UserIds ids = find_user(plan.user);
  if (!ids.found) {
    log.warning("user-missing",
                {{"user", plan.user}, {"uid", ids.uid}, {"advice", "create a system user for Qanat alone"}});
  }
  QANAT_TRY(become(ids, {}));
  if (const Status confined = restrict_files(plan.writable_dirs); !confined) {
    log.warning("landlock-missing",
                {{"reason", confined.error().detail}, {"effect", "file permissions alone protect the host"}});
  }
  QANAT_TRY(load_syscall_filter(plan.connects ? Connections::ToWebhooks : Connections::None));
  QANAT_ASSIGN(const SelfCheck after, check_self());
  if (!after.confined()) return fail(ErrorKind::Internal, kWhere, "the kernel does not show the rights as dropped");
  return {};
}

bool SelfCheck::confined() const {
  return uid != 0 && gid != 0 && cap_permitted == 0 && cap_effective == 0 && cap_inheritable == 0 &&
         cap_bounding == 0 && cap_ambient == 0 && no_new_privs == 1 && seccomp == 2 && !dumpable && core_limit == 0;
}

Result<SelfCheck> check_self() {
  std::ifstream status("/proc/self/status");
  if (!status) return fail(ErrorKind::Internal, kWhere, "/proc/self/status cannot be read");
  SelfCheck out;
  std::string line;
  while (std::getline(status, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view key = std::string_view(line).substr(0, colon);
    std::string_view value = std::string_view(line).substr(colon + 1);
    if (key == "Uid" || key == "Gid") {
      // real, effective, saved, file system: the worst of them counts.
      std::istringstream all{std::string(value)};
      std::uint32_t id = 0;
      bool root = false;
      while (all >> id) root = root || id == 0;
      (key == "Uid" ? out.uid : out.gid) = root ? 0 : id;
    } else if (key == "CapInh") {
      out.cap_inheritable = number(value, 16);
    } else if (key == "CapPrm") {
      out.cap_permitted = number(value, 16);
    } else if (key == "CapEff") {
      out.cap_effective = number(value, 16);
    } else if (key == "CapBnd") {
      out.cap_bounding = number(value, 16);
    } else if (key == "CapAmb") {
      out.cap_ambient = number(value, 16);
    } else if (key == "NoNewPrivs") {
      out.no_new_privs = static_cast<int>(number(value, 10));
    } else if (key == "Seccomp") {
      out.seccomp = static_cast<int>(number(value, 10));
    } else if (key == "Threads") {
      out.threads = static_cast<int>(number(value, 10));
    } else if (key == "VmLck") {
      out.locked_kib = number(value, 10);
    }
  }
  out.dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
  rlimit core{};
  if (::getrlimit(RLIMIT_CORE, &core) != 0) return io::system_failure(kWhere, "RLIMIT_CORE");
  out.core_limit = core.rlim_cur;
  return out;
}

}  // namespace qanat::daemon
