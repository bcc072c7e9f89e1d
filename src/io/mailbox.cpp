#include "io/mailbox.hpp"

#include <sys/eventfd.h>

namespace qanat::io {

WakeUp::WakeUp() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  ensure(fd_.valid(), "eventfd");
}

void WakeUp::notify() {
  const std::uint64_t one = 1;
  // EAGAIN: the counter is full, so it is readable anyway.
  while (::write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void WakeUp::clear() {
  std::uint64_t count = 0;
  while (::read(fd_.get(), &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace qanat::io
