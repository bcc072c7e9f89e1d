#include "ike/cookie.hpp"

#include "crypto/prf.hpp"

namespace qanat::ike {

namespace {

constexpr Duration kSecretLifetime = 120s;
constexpr std::size_t kMacSize = 16;

}  // namespace

void CookieJar::rotate(Instant now) {
  if (!current_.empty() && now < rotate_at_) {
    return;
  }
  if (now < rotate_at_ + kSecretLifetime) {
    previous_ = std::move(current_);
  } else {
    previous_.clear();  // nobody has asked for so long that this one is too old, too
  }
  current_ = SecretBytes(32);
  rng_.fill(current_.expose_mutable());
  ++version_;
  rotate_at_ = now + kSecretLifetime;
}

Bytes CookieJar::compute(const SecretBytes& secret, std::uint8_t version, ByteView nonce_i, const Endpoint& remote,
                         std::uint64_t spi_i) const {
  std::array<std::uint8_t, 10> tail{};
  store_be16(tail.data(), remote.port);
  store_be64(tail.data() + 2, spi_i);
  const SecretBytes mac =
      crypto::prf(PrfId::PRF_HMAC_SHA2_256, secret.expose(), {nonce_i, remote.address.bytes(), tail});
  Bytes out{version};
  append(out, mac.expose().first(kMacSize));
  return out;
}

Bytes CookieJar::make(Instant now, ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i) {
  rotate(now);
  return compute(current_, version_, nonce_i, remote, spi_i);
}

bool CookieJar::check(Instant now, ByteView cookie, ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i) {
  rotate(now);
  if (cookie.size() != kMacSize + 1) {
    return false;
  }
  const bool is_current = cookie[0] == version_;
  if (!is_current && (previous_.empty() || cookie[0] != static_cast<std::uint8_t>(version_ - 1))) {
    return false;
  }
  return constant_time_equal(cookie, compute(is_current ? current_ : previous_, cookie[0], nonce_i, remote, spi_i));
}

}  // namespace qanat::ike
