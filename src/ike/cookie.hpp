// Stateless cookies (RFC 7296 2.6, RFC 8019 7.1.1.3), two secrets in rotation:
//   version | difficulty | HMAC-SHA2-256(secret, Ni | address | port | SPIi | difficulty)
// `difficulty` is that of the puzzle which was given with the cookie; 0: none was.
#pragma once

#include <optional>
#include <string>
#include <unordered_set>

#include "base/address.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"
#include "base/time.hpp"

namespace qanat::ike {

class CookieJar {
 public:
  explicit CookieJar(Rng& rng) : rng_(rng) {}
  [[nodiscard]] Bytes make(Instant now, ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i,
                           std::uint8_t difficulty = 0);
  // The difficulty of the puzzle that came with it; nullopt: not our cookie, too old, or for somebody else.
  [[nodiscard]] std::optional<std::uint8_t> check(Instant now, ByteView cookie, ByteView nonce_i,
                                                  const Endpoint& remote, std::uint64_t spi_i);

  // A puzzle's solution buys one IKE SA (RFC 8019 10): its cookie is remembered as long as the cookie is good.
  void spend(Instant now, ByteView cookie);
  [[nodiscard]] bool is_spent(ByteView cookie) const;

 private:
  void rotate(Instant now);
  [[nodiscard]] Bytes compute(const SecretBytes& secret, std::uint8_t version, std::uint8_t difficulty,
                              ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i) const;

  Rng& rng_;
  SecretBytes current_;
  SecretBytes previous_;
  std::unordered_set<std::string> spent_current_;  // cookies spent while current_ and previous_ were current
  std::unordered_set<std::string> spent_previous_;
  std::uint8_t version_ = 0;
  Instant rotate_at_;
};

}  // namespace qanat::ike
