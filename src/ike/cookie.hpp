// Stateless cookies (RFC 7296 2.6): version | HMAC-SHA2-256(secret, Ni | address | port | SPIi), two secrets in
// rotation.
#pragma once

#include "base/address.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

namespace qanat::ike {

class CookieJar {
 public:
  explicit CookieJar(Rng& rng) : rng_(rng) {}
  [[nodiscard]] Bytes make(Instant now, ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i);
  [[nodiscard]] bool check(Instant now, ByteView cookie, ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i);

 private:
  void rotate(Instant now);
  [[nodiscard]] Bytes compute(const SecretBytes& secret, std::uint8_t version, ByteView nonce_i, const Endpoint& remote,
                              std::uint64_t spi_i) const;

  Rng& rng_;
  SecretBytes current_;
  SecretBytes previous_;
  std::uint8_t version_ = 0;
  Instant rotate_at_;
};

}  // namespace qanat::ike
