// What the load programs share: entering a network namespace, sockets, time in nanoseconds, and how a mistake ends
// them.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

namespace qanat::bench {

[[noreturn]] inline void die(const std::string& what) {
  const int error = errno;
  std::fprintf(stderr, "error: %s%s%s\n", what.c_str(), error != 0 ? ": " : "", error != 0 ? std::strerror(error) : "");
  std::exit(1);
}

inline std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

inline void sleep_until_ns(std::int64_t at) {
  const timespec t{at / 1'000'000'000, at % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
  }
}

// "NAMESPACE/ADDRESS", as the lab names both ends.
struct Place {
  std::string ns;
  sockaddr_in address{};
};

inline Place parse_place(const std::string& text) {
  Place out;
  const std::size_t slash = text.find('/');
  errno = 0;
  if (slash == std::string::npos) die("'" + text + "' is not NAMESPACE/ADDRESS");
  out.ns = text.substr(0, slash);
  out.address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, text.c_str() + slash + 1, &out.address.sin_addr) != 1) die("no IPv4 address: " + text);
  return out;
}

// The calling thread alone moves there; a socket that it makes stays there.
inline void enter(const std::string& ns) {
  const int handle = ::open(("/run/netns/" + ns).c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0 || ::setns(handle, CLONE_NEWNET) != 0) die("entering the namespace " + ns);
  ::close(handle);
}

}  // namespace qanat::bench
