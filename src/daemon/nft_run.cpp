// nft as a child of the helper: no shell, no environment, its input and output are files in memory.
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.hpp"
#include "daemon/netd_nft.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "nftables";
constexpr int kPatienceMs = 30'000;

Result<io::UniqueFd> memory_file(const char* name, const std::string& content) {
  io::UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd.valid()) return io::system_failure(kWhere, "memfd_create");
  std::size_t at = 0;
  while (at < content.size()) {
    const ssize_t written = ::write(fd.get(), content.data() + at, content.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return io::system_failure(kWhere, "writing the rules");
    at += static_cast<std::size_t>(written);
  }
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return io::system_failure(kWhere, "lseek");
  return fd;
}

Result<std::string> find_nft() {
  for (const char* path : {"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft", "/usr/bin/nft"}) {
    if (::access(path, X_OK) == 0) return std::string(path);
  }
  return fail(ErrorKind::Internal, kWhere, "there is no nft on this host: install the package nftables");
}

class SpawnActions {
 public:
  SpawnActions() { ok_ = ::posix_spawn_file_actions_init(&actions_) == 0; }
  ~SpawnActions() {
    if (ok_) ::posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void redirect(int from, int to) { ok_ = ok_ && ::posix_spawn_file_actions_adddup2(&actions_, from, to) == 0; }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return ok_ ? &actions_ : nullptr; }

 private:
  posix_spawn_file_actions_t actions_{};
  bool ok_ = false;
};

// Waits for the child, at most kPatienceMs; its wait status.
Result<int> wait_for(pid_t child) {
  const io::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd p{handle.get(), POLLIN, 0};
  if (handle.valid()) {
    int ready = 0;
    do {
      ready = ::poll(&p, 1, kPatienceMs);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) ::kill(child, SIGKILL);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return io::system_failure(kWhere, "waiting for nft");
  }
  return status;
}

std::string first_line(int fd) {
  std::array<char, 512> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  if (size <= 0) return "no reason given";
  const std::string_view all(text.data(), static_cast<std::size_t>(size));
  return printable(all.substr(0, all.find('\n')), 300);
}

}  // namespace

Status run_nft(const std::string& json) {
  QANAT_ASSIGN(const std::string nft, find_nft());
  QANAT_ASSIGN(const io::UniqueFd input, memory_file("qanat-nft", json));
  QANAT_ASSIGN(const io::UniqueFd output, memory_file("qanat-nft-output", {}));
  SpawnActions actions;
  actions.redirect(input.get(), STDIN_FILENO);
  actions.redirect(output.get(), STDOUT_FILENO);
  actions.redirect(output.get(), STDERR_FILENO);
  if (actions.get() == nullptr) return io::system_failure(kWhere, "posix_spawn_file_actions", ENOMEM);

  std::string arguments[] = {nft, "-j", "-f", "-"};
  std::array<char*, 5> argv{arguments[0].data(), arguments[1].data(), arguments[2].data(), arguments[3].data(),
                            nullptr};
  std::array<char*, 1> environment{nullptr};
  pid_t child = -1;
  const int error = ::posix_spawn(&child, nft.c_str(), actions.get(), nullptr, argv.data(), environment.data());
  if (error != 0) return io::system_failure(kWhere, "starting nft", error);
  QANAT_ASSIGN(const int status, wait_for(child));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(ErrorKind::Internal, kWhere, "nft failed: " + first_line(output.get()));
}

}  // namespace qanat::daemon
