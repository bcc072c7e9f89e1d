// For tests that need a network of their own: a forked child in a fresh network namespace, which goes with it. The
// host's routes and rules are never touched.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace qanat::io::testing {

// Runs `body` in a child with CLONE_NEWNET; its failed expectations fail the calling test.
inline void in_fresh_netns(const std::function<void()>& body) {
  if (::geteuid() != 0) GTEST_SKIP() << "a network namespace of its own needs root";
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNET) != 0) {
      std::perror("unshare");
      ::_exit(9);
    }
    body();
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "the child ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "see the child's output above";
}

// The output of a command, in this process's namespace; its exit code is expected to be 0.
inline std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << "popen";
    return out;
  }
  char buffer[4096];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, size);
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << out;
  return out;
}

}  // namespace qanat::io::testing
