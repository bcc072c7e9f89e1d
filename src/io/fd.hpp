// UniqueFd: a file descriptor that is closed when its owner goes. And the one way this room names a failed system call.
#pragma once

#include <cerrno>
#include <string>
#include <utility>

#include <unistd.h>

#include "base/result.hpp"

namespace qanat::io {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  // Gives the descriptor away: somebody else closes it.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) {
      ::close(fd_);  // Linux frees the descriptor whatever close() answers: nothing to retry
      fd_ = -1;
    }
  }

 private:
  int fd_ = -1;
};

// Error{Internal} with the text of `error` (default: errno, so call it first thing after the failure).
[[nodiscard]] Error system_error(std::string where, std::string what, int error = errno);
[[nodiscard]] inline std::unexpected<Error> system_failure(std::string where, std::string what, int error = errno) {
  return std::unexpected(system_error(std::move(where), std::move(what), error));
}
// "Permission denied" for EACCES; thread-safe.
[[nodiscard]] std::string errno_text(int error);

}  // namespace qanat::io
