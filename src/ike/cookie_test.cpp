#include "ike/cookie.hpp"

#include <gtest/gtest.h>

namespace qanat::ike {
namespace {

const Endpoint kPeer{IpAddress::v4(0xc0000201), 500};
const Bytes kNonce(32, 7);
constexpr std::uint64_t kSpi = 0x0102030405060708;

Instant at(std::int64_t seconds) {
  return Instant::from_ns(seconds * 1'000'000'000);
}

TEST(CookieJar, TakesItsOwnCookieBack) {
  SeededRng rng{1};
  CookieJar jar{rng};
  const Bytes cookie = jar.make(at(1), kNonce, kPeer, kSpi);
  EXPECT_LE(cookie.size(), 64U);
  EXPECT_TRUE(jar.check(at(2), cookie, kNonce, kPeer, kSpi).has_value());
}

TEST(CookieJar, BindsAddressPortNonceAndSpi) {
  SeededRng rng{1};
  CookieJar jar{rng};
  const Bytes cookie = jar.make(at(1), kNonce, kPeer, kSpi);
  EXPECT_FALSE(jar.check(at(1), cookie, Bytes(32, 8), kPeer, kSpi));
  EXPECT_FALSE(jar.check(at(1), cookie, kNonce, {IpAddress::v4(0xc0000202), 500}, kSpi));
  EXPECT_FALSE(jar.check(at(1), cookie, kNonce, {kPeer.address, 501}, kSpi));
  EXPECT_FALSE(jar.check(at(1), cookie, kNonce, kPeer, kSpi + 1));
  for (std::size_t i = 0; i < cookie.size(); ++i) {
    Bytes wrong = cookie;
    wrong[i] ^= 1;
    EXPECT_FALSE(jar.check(at(1), wrong, kNonce, kPeer, kSpi)) << i;
  }
  EXPECT_FALSE(jar.check(at(1), {}, kNonce, kPeer, kSpi));
  EXPECT_FALSE(jar.check(at(1), Bytes(64, 0), kNonce, kPeer, kSpi));
}

TEST(CookieJar, KeepsTheSecretBeforeForAWhileAndNoLonger) {
  SeededRng rng{1};
  CookieJar jar{rng};
  const Bytes cookie = jar.make(at(1), kNonce, kPeer, kSpi);
  EXPECT_TRUE(jar.check(at(120), cookie, kNonce, kPeer, kSpi).has_value());
  EXPECT_TRUE(jar.check(at(125), cookie, kNonce, kPeer, kSpi));  // the secret has changed once
  EXPECT_FALSE(jar.check(at(300), cookie, kNonce, kPeer, kSpi));
}

// The two secrets are old by the time somebody asks again: none of them counts.
TEST(CookieJar, AnIdleJarForgets) {
  SeededRng rng{1};
  CookieJar jar{rng};
  const Bytes cookie = jar.make(at(1), kNonce, kPeer, kSpi);
  EXPECT_FALSE(jar.check(at(10'000), cookie, kNonce, kPeer, kSpi));
}

TEST(CookieJar, OtherJarsCookiesAreWorthNothing) {
  SeededRng rng{1};
  SeededRng other_rng{2};
  CookieJar jar{rng};
  CookieJar other{other_rng};
  EXPECT_FALSE(jar.check(at(1), other.make(at(1), kNonce, kPeer, kSpi), kNonce, kPeer, kSpi));
}

// The difficulty is the responder's word to itself: the peer cannot change it.
TEST(CookieJar, CarriesThePuzzlesDifficulty) {
  SeededRng rng{1};
  CookieJar jar{rng};
  Bytes cookie = jar.make(at(1), kNonce, kPeer, kSpi, 18);
  EXPECT_EQ(jar.check(at(2), cookie, kNonce, kPeer, kSpi), 18);
  cookie[1] = 8;
  EXPECT_FALSE(jar.check(at(2), cookie, kNonce, kPeer, kSpi).has_value());
  EXPECT_EQ(jar.check(at(2), jar.make(at(1), kNonce, kPeer, kSpi), kNonce, kPeer, kSpi), 0);
}

TEST(CookieJar, RemembersSpentCookiesAsLongAsTheyAreGood) {
  SeededRng rng{1};
  CookieJar jar{rng};
  const Bytes cookie = jar.make(at(1), kNonce, kPeer, kSpi, 18);
  EXPECT_FALSE(jar.is_spent(cookie));
  jar.spend(at(2), cookie);
  EXPECT_TRUE(jar.is_spent(cookie));
  EXPECT_TRUE(jar.check(at(125), cookie, kNonce, kPeer, kSpi).has_value());
  EXPECT_TRUE(jar.is_spent(cookie));  // the secret has changed once
  EXPECT_FALSE(jar.check(at(250), cookie, kNonce, kPeer, kSpi).has_value());
  EXPECT_FALSE(jar.is_spent(cookie));
}

}  // namespace
}  // namespace qanat::ike
