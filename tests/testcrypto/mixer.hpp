// Mixer: a fast 128-bit digest of octets for the crypto double. It spreads; it protects nothing.
#pragma once

#include <array>
#include <bit>

#include "base/bytes.hpp"
#include "base/rng.hpp"

namespace qanat::testcrypto {

using Digest = std::array<std::uint64_t, 2>;

class Mixer {
 public:
  explicit Mixer(std::uint64_t domain) : a_(domain ^ 0x9e3779b97f4a7c15), b_(domain + 0xd1b54a32d192ed03) {}

  // How the octets are cut into calls makes no difference.
  Mixer& update(ByteView octets) {
    for (std::size_t i = 0; i < octets.size();) {
      if (held_ == 0 && octets.size() - i >= 8) {
        word(load_be64(&octets[i]));
        i += 8;
        continue;
      }
      partial_ = (partial_ << 8) | octets[i++];
      if (++held_ == 8) {
        word(partial_);
        partial_ = 0;
        held_ = 0;
      }
    }
    size_ += octets.size();
    return *this;
  }
  Mixer& number(std::uint64_t value) {
    std::array<std::uint8_t, 8> octets{};
    store_be64(octets.data(), value);
    return update(octets);
  }
  [[nodiscard]] Digest digest() const {
    Mixer last = *this;
    last.word(partial_);
    last.word(size_);
    last.word(0);
    return {last.a_, last.b_};
  }
  // As many octets as wanted, all of them a function of everything that went in.
  void expand(MutableByteView out) const {
    const Digest d = digest();
    for (std::size_t i = 0, n = 0; i < out.size(); i += 8, ++n) {
      std::array<std::uint8_t, 8> octets{};
      store_be64(octets.data(), fold(d[0] + n * 0x9e3779b97f4a7c15, d[1] ^ (n << 32)));
      std::memcpy(&out[i], octets.data(), std::min<std::size_t>(8, out.size() - i));
    }
  }

 private:
  static std::uint64_t fold(std::uint64_t x, std::uint64_t y) {
    const Wide product = static_cast<Wide>(x ^ 0x2d358dccaa6c78a5) * (y ^ 0x8bb84b93962eacc9);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  void word(std::uint64_t w) {
    a_ = fold(a_ ^ w, b_);
    b_ = fold(std::rotl(b_, 23) + w, a_ ^ 0x4b33a62ed433d4a3);
  }

  std::uint64_t a_;
  std::uint64_t b_;
  std::uint64_t partial_ = 0;
  std::size_t held_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace qanat::testcrypto
