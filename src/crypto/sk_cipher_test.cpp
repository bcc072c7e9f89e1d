#include "crypto/sk_cipher.hpp"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include "crypto/availability.hpp"

namespace qanat::crypto {
namespace {

Bytes hex(std::string_view text) {
  return from_hex(text).value();
}

std::vector<CipherSuite> all_suites() {
  return availability().suites;
}

struct Keys {
  Bytes sk_e;
  Bytes sk_a;
};
Keys keys_for(const CipherSuite& suite, std::uint64_t seed) {
  SeededRng rng{seed};
  const CipherSizes sizes = cipher_sizes(suite);
  return {.sk_e = rng.bytes(sizes.encr_key), .sk_a = rng.bytes(sizes.integ_key)};
}

class SkCipherEach : public testing::TestWithParam<CipherSuite> {};
INSTANTIATE_TEST_SUITE_P(Suites, SkCipherEach, testing::ValuesIn(all_suites()), [](const auto& tested) {
  std::string name = to_string(tested.param);
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
});

TEST(SkCipher, there_are_thirteen_suites) {
  EXPECT_EQ(all_suites().size(), 13U);
}

TEST_P(SkCipherEach, opens_what_it_sealed) {
  const Keys keys = keys_for(GetParam(), 1);
  auto sealer = SkCipher::create(GetParam(), keys.sk_e, keys.sk_a).value();
  auto opener = SkCipher::create(GetParam(), keys.sk_e, keys.sk_a).value();
  const CipherSizes sizes = sealer.sizes();
  SeededRng rng{2};
  for (std::size_t blocks = 0; blocks < 70; ++blocks) {
    const Bytes associated = rng.bytes(32 + blocks);
    const Bytes iv = rng.bytes(sizes.iv);
    const Bytes plain = rng.bytes(blocks * sizes.block);
    Bytes text = plain;
    Bytes icv(sizes.icv);
    ASSERT_TRUE(sealer.seal(associated, iv, text, icv).has_value());
    EXPECT_TRUE(plain.size() < 16 || text != plain);
    ASSERT_TRUE(opener.open(associated, iv, text, icv).has_value());
    EXPECT_EQ(text, plain);
  }
}

TEST_P(SkCipherEach, refuses_a_change_of_any_octet) {
  const Keys keys = keys_for(GetParam(), 3);
  auto cipher = SkCipher::create(GetParam(), keys.sk_e, keys.sk_a).value();
  const CipherSizes sizes = cipher.sizes();
  SeededRng rng{4};
  const Bytes associated = rng.bytes(32);
  const Bytes iv = rng.bytes(sizes.iv);
  const Bytes plain = rng.bytes(96);
  Bytes sealed = plain;
  Bytes icv(sizes.icv);
  ASSERT_TRUE(cipher.seal(associated, iv, sealed, icv).has_value());

  const auto refused = [&](const Bytes& a, const Bytes& i, Bytes t, const Bytes& c) {
    const Status status = cipher.open(a, i, t, c);
    return !status && status.error().kind == ErrorKind::AuthFailed;
  };
  const auto each_octet = [](const Bytes& original, const auto& test) {
    for (std::size_t at = 0; at < original.size(); ++at) {
      for (const std::uint8_t mask : {std::uint8_t{0x01}, std::uint8_t{0x80}}) {
        Bytes bad = original;
        bad[at] ^= mask;
        EXPECT_TRUE(test(bad)) << at;
      }
    }
  };
  each_octet(associated, [&](const Bytes& bad) { return refused(bad, iv, sealed, icv); });
  each_octet(iv, [&](const Bytes& bad) { return refused(associated, bad, sealed, icv); });
  each_octet(sealed, [&](const Bytes& bad) { return refused(associated, iv, bad, icv); });
  each_octet(icv, [&](const Bytes& bad) { return refused(associated, iv, sealed, bad); });
  EXPECT_TRUE(refused({}, iv, sealed, icv));
  EXPECT_TRUE(refused(associated, iv, {}, icv));
  EXPECT_TRUE(
      refused(associated, iv, Bytes(sealed.begin(), sealed.end() - static_cast<std::ptrdiff_t>(sizes.block)), icv));

  // Refusals leave the cipher sound and OpenSSL's error queue empty.
  EXPECT_EQ(ERR_peek_error(), 0U);
  Bytes text = sealed;
  ASSERT_TRUE(cipher.open(associated, iv, text, icv).has_value());
  EXPECT_EQ(text, plain);
}

TEST_P(SkCipherEach, another_key_opens_nothing) {
  const Keys keys = keys_for(GetParam(), 5);
  const Keys other = keys_for(GetParam(), 6);
  auto sealer = SkCipher::create(GetParam(), keys.sk_e, keys.sk_a).value();
  auto opener = SkCipher::create(GetParam(), other.sk_e, other.sk_a).value();
  Bytes text(64);
  Bytes icv(sealer.sizes().icv);
  const Bytes iv(sealer.sizes().iv);
  ASSERT_TRUE(sealer.seal({}, iv, text, icv).has_value());
  EXPECT_FALSE(opener.open({}, iv, text, icv).has_value());
}

TEST_P(SkCipherEach, refuses_keys_of_the_wrong_size) {
  const Keys keys = keys_for(GetParam(), 7);
  const ByteView sk_e = keys.sk_e;
  Bytes longer = keys.sk_e;
  longer.push_back(0);
  EXPECT_FALSE(SkCipher::create(GetParam(), sk_e.first(sk_e.size() - 1), keys.sk_a).has_value());
  EXPECT_FALSE(SkCipher::create(GetParam(), longer, keys.sk_a).has_value());
  longer = keys.sk_a;
  longer.push_back(0);
  EXPECT_FALSE(SkCipher::create(GetParam(), sk_e, longer).has_value());
}

// RFC 7634 appendix B: an INFORMATIONAL with one notification, without padding.
TEST(SkCipher, meets_rfc_7634_appendix_b) {
  Bytes key;
  for (unsigned i = 0x80; i <= 0x9f; ++i) key.push_back(static_cast<std::uint8_t>(i));
  append(key, hex("a0a1a2a3"));
  auto cipher =
      SkCipher::create({.encr = EncrId::ENCR_CHACHA20_POLY1305, .key_bits = 256, .integ = IntegId::NONE}, key, {})
          .value();
  Bytes text = hex("0000000c000040010000000a00");
  Bytes icv(16);
  ASSERT_TRUE(cipher
                  .seal(hex("c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d72e202500000000090000004529000029"),
                        hex("1011121314151617"), text, icv)
                  .has_value());
  EXPECT_EQ(to_hex(text), "610394701f8d017f7c12924889");
  EXPECT_EQ(to_hex(icv), "6b71bfe25236efd7cdc67066906315b2");
}

TEST(SkCipher, a_broken_block_from_the_peer_is_refused_and_not_a_bug) {
  const CipherSuite suite{.encr = EncrId::ENCR_AES_CBC, .key_bits = 256, .integ = IntegId::AUTH_HMAC_SHA2_256_128};
  const Keys keys = keys_for(suite, 8);
  auto cipher = SkCipher::create(suite, keys.sk_e, keys.sk_a).value();
  for (std::size_t size = 1; size < 16; ++size) {
    Bytes text(size);
    EXPECT_EQ(cipher.open({}, Bytes(16), text, Bytes(16)).error().kind, ErrorKind::AuthFailed);
  }
}

TEST(SkCipher, does_not_pretend) {
  EXPECT_FALSE(SkCipher::create({.encr = EncrId::ENCR_3DES, .key_bits = 0, .integ = IntegId::AUTH_HMAC_SHA1_96},
                                Bytes(24), Bytes(20))
                   .has_value());
  EXPECT_FALSE(SkCipher::create({}, {}, {}).has_value());
}

}  // namespace
}  // namespace qanat::crypto
