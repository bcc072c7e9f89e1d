#include "base/secret.hpp"

#include <cstring>

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
  // Word by word: it is asked for every packet. The optimiser knows nothing of `difference` after each step, so that it
  // cannot leave early when one has shown a difference.
  std::uint64_t difference = 0;
  const auto compare = [&](std::size_t at, std::size_t octets) {
    std::uint64_t x = 0;
    std::uint64_t y = 0;
    std::memcpy(&x, &a[at], octets);
    std::memcpy(&y, &b[at], octets);
    difference |= x ^ y;
    __asm__ __volatile__("" : "+r"(difference));
  };
  std::size_t at = 0;
  for (; a.size() - at >= 8; at += 8) compare(at, 8);
  if (at != a.size()) compare(at, a.size() - at);
  return difference == 0;
}

}  // namespace qanat
