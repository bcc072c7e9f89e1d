#include "base/secret.hpp"

namespace qanat {

void wipe(void* data, std::size_t size) noexcept {
  if (size == 0) {
    return;
  }
  std::memset(data, 0, size);
  // The compiler must assume that the asm reads the memory, so the memset cannot be removed as a dead store.
  __asm__ __volatile__("" : : "r"(data) : "memory");
}

bool constant_time_equal(ByteView a, ByteView b) noexcept {
  if (a.size() != b.size()) {
    return false;
  }
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

}  // namespace qanat
