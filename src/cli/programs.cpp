// Other programs, and time: for `qanat debug bundle` and `qanat watch`.
#include <array>
#include <cerrno>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/files.hpp"

namespace qanat::cli {

namespace {

constexpr std::size_t kMaxOutput = std::size_t{8} << 20;
constexpr auto kPatience = std::chrono::seconds(10);

std::unexpected<Error> trouble(const std::string& program, int error) {
  return fail(ErrorKind::Resource, program,
              error == ENOENT ? fmt::format("{} is not there", program)
                              : fmt::format("{} cannot be run: error {}", program, error));
}

// What comes out of `fd` until its end, the limit or the deadline.
std::string read_until(int fd, std::chrono::steady_clock::time_point deadline) {
  std::string out;
  std::array<char, 16 * 1024> buffer{};
  while (out.size() < kMaxOutput) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) break;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return out;
}

}  // namespace

bool is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

bool pause(std::chrono::seconds time) {
  std::this_thread::sleep_for(time);
  return true;
}

Result<std::string> run_program(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return trouble(command.front(), errno);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, arguments.front(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::string out;
  if (failed == 0) out = read_until(ends[0], std::chrono::steady_clock::now() + kPatience);
  ::close(ends[0]);
  if (failed != 0) return trouble(command.front(), failed);
  ::kill(pid, SIGKILL);  // it has ended, or has been given up
  ::waitpid(pid, nullptr, 0);
  return out;
}

}  // namespace qanat::cli
