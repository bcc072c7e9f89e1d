#include "daemon/sandbox_filter.hpp"

#include <array>
#include <cerrno>
#include <memory>

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

constexpr const char* kLandlock = "Landlock";
constexpr const char* kSeccomp = "seccomp";

// By the version of the kernel's Landlock: asking for a right that it does not know is an error.
std::uint64_t handled_rights(long abi) {
  std::uint64_t rights = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                         LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                         LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                         LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
  if (abi >= 2) rights |= std::uint64_t{1} << 13;  // LANDLOCK_ACCESS_FS_REFER
  if (abi >= 3) rights |= std::uint64_t{1} << 14;  // LANDLOCK_ACCESS_FS_TRUNCATE
  return rights;
}

constexpr std::uint64_t kNeverAllowed =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

// What the three threads, OpenSSL, Asio and the C library use after start-up. Sockets that we have are used; none is
// made.
constexpr std::array kAllowed{
    // packets and mailboxes
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(close),
    // waiting
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(wait4),
    // memory and threads
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    // signals: ours are read from a signalfd; abort() must work
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(signalfd4),
    SCMP_SYS(tgkill),
    SCMP_SYS(sigaltstack),
    // files: the config at a reload, the key log; Landlock decides which
    SCMP_SYS(openat),
    SCMP_SYS(mkdir),  // a folder for each key generation, in the key log
    SCMP_SYS(mkdirat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(fcntl),
    SCMP_SYS(prlimit64),
    // SQLite: the harvest ledger, in state_dir
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(umask),
    SCMP_SYS(geteuid),
};

// Nothing of ours does these, ever.
constexpr std::array kDeadly{
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(bpf),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(capset),
    SCMP_SYS(setuid),
    SCMP_SYS(setresuid),
    SCMP_SYS(reboot),
};

struct FilterRelease {
  void operator()(void* context) const { seccomp_release(context); }
};
using Filter = std::unique_ptr<void, FilterRelease>;

Status check(int result, const char* what) {
  if (result < 0) return io::system_failure(kSeccomp, what, -result);
  return {};
}

scmp_arg_cmp equals(unsigned argument, scmp_datum_t value) {
  return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}

}  // namespace

Status restrict_files(const std::vector<std::string>& writable_dirs) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return io::system_failure(kLandlock, "not in this kernel");
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled_rights(abi);
  const io::UniqueFd rules(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules.valid()) return io::system_failure(kLandlock, "landlock_create_ruleset");
  for (const std::string& dir : writable_dirs) {
    const io::UniqueFd fd(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return io::system_failure(kLandlock, "directory " + dir);
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = attributes.handled_access_fs & ~kNeverAllowed;
    beneath.parent_fd = fd.get();
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) {
      return io::system_failure(kLandlock, "directory " + dir);
    }
  }
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0)
    return io::system_failure(kLandlock, "landlock_restrict_self");
  return {};
}

namespace {

// What getaddrinfo and a connection to a webhook need, and no more: no AF_UNIX, no netlink, no raw sockets, no bind.
Status allow_connecting(const Filter& filter) {
  constexpr scmp_datum_t kType = 0xff;  // without SOCK_CLOEXEC and SOCK_NONBLOCK
  for (const int family : {AF_INET, AF_INET6}) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      const scmp_arg_cmp of_type{
          .arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = kType, .datum_b = static_cast<scmp_datum_t>(type)};
      QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                       equals(0, static_cast<scmp_datum_t>(family)), of_type),
                      "socket"));
    }
  }
  for (const int call : {SCMP_SYS(connect), SCMP_SYS(uname)})
    QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0), "connect"));
  return {};
}

}  // namespace

Status load_syscall_filter(Connections connections) {
  const Filter filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return fail(ErrorKind::Internal, kSeccomp, "seccomp_init");
  // Refusals are logged where the host's audit wants them; an old kernel without that knows no better.
  (void)seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
  for (const int call : kAllowed) {
    QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0), "an allowed call"));
  }
  for (const int call : kDeadly) {
    QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_KILL_PROCESS, call, 0), "a deadly call"));
  }
  // Threads, but no processes: clone3 hides its flags behind a pointer, so the C library must fall back to clone.
  QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3"));
  QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                   scmp_arg_cmp{.arg = 0,
                                                .op = SCMP_CMP_MASKED_EQ,
                                                .datum_a = CLONE_THREAD | CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS,
                                                .datum_b = CLONE_THREAD}),
                  "clone"));
  // ioctl: Asio's non-blocking mode and "how much is there".
  for (const unsigned request : {unsigned{FIONBIO}, unsigned{FIONREAD}}) {
    QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, equals(1, request)), "ioctl"));
  }
  // prctl: names for threads, and reading our own state.
  for (const int option : {PR_SET_NAME, PR_GET_DUMPABLE, PR_SET_VMA}) {
    QANAT_TRY(check(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                     equals(0, static_cast<scmp_datum_t>(option))),
                    "prctl"));
  }
  if (connections == Connections::ToWebhooks) QANAT_TRY(allow_connecting(filter));
  return check(seccomp_load(filter.get()), "seccomp_load");
}

}  // namespace qanat::daemon
