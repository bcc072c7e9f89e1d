// Rng: where randomness comes from. Production: OpenSSL's DRBG (crypto/rng.hpp). Tests and the simulator: SeededRng,
// so that a seed replays a world exactly.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.hpp"

namespace qanat {

__extension__ typedef unsigned __int128 Wide;

class Rng {
 public:
  virtual ~Rng() = default;
  virtual void fill(MutableByteView out) = 0;
  // True when the whole run must be reproducible: key generation then derives everything from fill() instead of
  // the library's own generator.
  [[nodiscard]] virtual bool deterministic() const = 0;

  [[nodiscard]] Bytes bytes(std::size_t size) {
    Bytes out(size);
    fill(out);
    return out;
  }
  [[nodiscard]] std::uint64_t u64() {
    std::array<std::uint8_t, 8> b{};
    fill(b);
    return load_be64(b.data());
  }
  [[nodiscard]] std::uint32_t u32() { return static_cast<std::uint32_t>(u64()); }
  // Uniform in [0, bound); bound > 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>((static_cast<Wide>(u64()) * bound) >> 64);
  }
};

// xoshiro256** seeded by splitmix64: fast and repeatable, and no secret.
class SeededRng final : public Rng {
 public:
  explicit SeededRng(std::uint64_t seed);
  void fill(MutableByteView out) override;
  [[nodiscard]] bool deterministic() const override { return true; }

 private:
  std::uint64_t next();
  std::array<std::uint64_t, 4> state_{};
};

}  // namespace qanat
