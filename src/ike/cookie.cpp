#include "ike/cookie.hpp"

#include "crypto/prf.hpp"

namespace qanat::ike {

namespace {

constexpr Duration kSecretLifetime = 120s;
constexpr std::size_t kMacSize = 16;
constexpr std::size_t kHeadSize = 2;  // version, difficulty
// Of one secret's time: far more than the half-open limits let in.
constexpr std::size_t kMaxSpent = 65536;

}  // namespace

void CookieJar::rotate(Instant now) {
  if (!current_.empty() && now < rotate_at_) {
    return;
  }
  if (now < rotate_at_ + kSecretLifetime) {
    previous_ = std::move(current_);
    spent_previous_ = std::move(spent_current_);
  } else {
    previous_.clear();  // nobody has asked for so long that this one is too old, too
    spent_previous_.clear();
  }
  spent_current_.clear();
  current_ = SecretBytes(32);
  rng_.fill(current_.expose_mutable());
  ++version_;
  rotate_at_ = now + kSecretLifetime;
}

Bytes CookieJar::compute(const SecretBytes& secret, std::uint8_t version, std::uint8_t difficulty, ByteView nonce_i,
                         const Endpoint& remote, std::uint64_t spi_i) const {
  std::array<std::uint8_t, 11> tail{};
  store_be16(tail.data(), remote.port);
  store_be64(tail.data() + 2, spi_i);
  tail[10] = difficulty;
  const SecretBytes mac =
      crypto::prf(PrfId::PRF_HMAC_SHA2_256, secret.expose(), {nonce_i, remote.address.bytes(), tail});
  Bytes out{version, difficulty};
  append(out, mac.expose().first(kMacSize));
  return out;
}

Bytes CookieJar::make(Instant now, ByteView nonce_i, const Endpoint& remote, std::uint64_t spi_i,
                      std::uint8_t difficulty) {
  rotate(now);
  return compute(current_, version_, difficulty, nonce_i, remote, spi_i);
}

std::optional<std::uint8_t> CookieJar::check(Instant now, ByteView cookie, ByteView nonce_i, const Endpoint& remote,
                                             std::uint64_t spi_i) {
  rotate(now);
  if (cookie.size() != kHeadSize + kMacSize) {
    return std::nullopt;
  }
  const bool is_current = cookie[0] == version_;
  if (!is_current && (previous_.empty() || cookie[0] != static_cast<std::uint8_t>(version_ - 1))) {
    return std::nullopt;
  }
  const Bytes expected = compute(is_current ? current_ : previous_, cookie[0], cookie[1], nonce_i, remote, spi_i);
  return constant_time_equal(cookie, expected) ? std::optional{cookie[1]} : std::nullopt;
}

void CookieJar::spend(Instant now, ByteView cookie) {
  rotate(now);
  if (spent_current_.size() < kMaxSpent) spent_current_.emplace(cookie.begin(), cookie.end());
}

bool CookieJar::is_spent(ByteView cookie) const {
  const std::string key{cookie.begin(), cookie.end()};
  return spent_current_.contains(key) || spent_previous_.contains(key);
}

}  // namespace qanat::ike
