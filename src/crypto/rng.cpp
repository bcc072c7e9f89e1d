#include "crypto/rng.hpp"

#include <algorithm>

#include <openssl/rand.h>

#include "crypto/openssl.hpp"

namespace qanat::crypto {

void SystemRng::fill(MutableByteView out) {
  constexpr std::size_t kChunk = std::size_t{1} << 20;  // RAND_bytes counts in int
  while (!out.empty()) {
    const std::size_t n = std::min(out.size(), kChunk);
    ensure(ok(RAND_bytes(out.data(), static_cast<int>(n))), "the system's random number generator failed");
    out = out.subspan(n);
  }
}

}  // namespace qanat::crypto
