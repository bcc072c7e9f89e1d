#include "daemon/helper.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/netd.hpp"

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "privileged helper";
constexpr int kSocketBuffer = 4 * 1024 * 1024;  // a whole SetProtection of 100,000 prefixes without waiting

[[noreturn]] void run_child(io::UniqueFd socket, io::LogOptions options) {
  // Nothing that the parent has open is the helper's business, and it must not keep a descriptor alive.
  if (socket.get() != 3) {
    if (::dup3(socket.get(), 3, O_CLOEXEC) != 3) ::_exit(1);
    socket = io::UniqueFd(3);
  }
  if (::syscall(SYS_close_range, 4U, ~0U, 0) != 0) ::_exit(1);
  const io::Log log(options);
  ::_exit(run_netd(std::move(socket), log));
}

}  // namespace

Result<Helper> start_helper(io::LogOptions log) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return io::system_failure(kWhere, "socketpair");
  io::UniqueFd ours(ends[0]);
  io::UniqueFd theirs(ends[1]);
  (void)::setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBuffer, sizeof kSocketBuffer);
  const pid_t pid = ::fork();
  if (pid < 0) return io::system_failure(kWhere, "fork");
  if (pid == 0) {
    ours.reset();
    run_child(std::move(theirs), log);
  }
  return Helper{std::move(ours), pid};
}

void reap_helper(pid_t pid, unsigned seconds) {
  for (unsigned tenth = 0; tenth < seconds * 10; ++tenth) {
    const pid_t done = ::waitpid(pid, nullptr, WNOHANG);
    if (done == pid || (done < 0 && errno != EINTR)) return;
    ::usleep(100'000);
  }
}

}  // namespace qanat::daemon
