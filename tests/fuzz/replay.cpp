// Runs a fuzz target without libFuzzer: every seed as it is, then a fixed number of mutations of each, and of nothing.
// The same inputs every time, so a failure here replays.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <vector>

#include "base/rng.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kMutationsOfOne = 300;
constexpr std::size_t kMutations = 9000;  // of all, so that many seeds do not make a slow test

qanat::Bytes mutated(const qanat::Bytes& seed, qanat::Rng& rng) {
  qanat::Bytes out = seed;
  const auto steps = 1 + rng.below(4);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const auto kind = rng.below(4);
    if (out.empty() || kind == 0) {
      const qanat::Bytes more = rng.bytes(1 + static_cast<std::size_t>(rng.below(40)));
      out.insert(out.begin() + static_cast<std::ptrdiff_t>(rng.below(out.size() + 1)), more.begin(), more.end());
    } else if (kind == 1) {
      out[rng.below(out.size())] = static_cast<std::uint8_t>(rng.u32());
    } else if (kind == 2) {
      out[rng.below(out.size())] ^= static_cast<std::uint8_t>(1U << rng.below(8));
    } else {
      out.resize(rng.below(out.size()) + 1);
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<qanat::Bytes> seeds{{}};
  if (argc != 2 || !std::filesystem::is_directory(argv[1]) || std::filesystem::is_empty(argv[1])) {
    std::fprintf(stderr, "usage: %s SEEDS, a directory with a seed or more\n", argv[0]);
    return 2;
  }
  std::set<std::filesystem::path> files;  // a directory has no order of its own
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.insert(entry.path());
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  qanat::SeededRng rng{1};
  std::size_t runs = 0;
  for (const qanat::Bytes& seed : seeds) {
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
    for (std::size_t i = 0; i < std::min(kMutationsOfOne, kMutations / seeds.size()); ++i, ++runs) {
      const qanat::Bytes input = mutated(seed, rng);
      LLVMFuzzerTestOneInput(input.data(), input.size());
    }
  }
  std::printf("%zu seeds, %zu mutations\n", seeds.size(), runs);
  return 0;
}
