#include "base/rng.hpp"

#include <algorithm>
#include <bit>

namespace qanat {

SeededRng::SeededRng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15U;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    word = z ^ (z >> 31);
  }
}

std::uint64_t SeededRng::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

void SeededRng::fill(MutableByteView out) {
  while (!out.empty()) {
    std::array<std::uint8_t, 8> word{};
    store_be64(word.data(), next());
    const std::size_t n = std::min(out.size(), word.size());
    std::copy_n(word.begin(), n, out.begin());
    out = out.subspan(n);
  }
}

}  // namespace qanat
