#include "model/tunnel.hpp"

#include <gtest/gtest.h>

namespace qanat::model {
namespace {

PresharedKey key_of(std::string_view text) {
  return PresharedKey{SecretBytes::copy_of(to_bytes(text))};
}

TEST(PresharedKey, GeneratedOnesAreRecognised) {
  Bytes random(32);
  for (std::size_t i = 0; i < random.size(); ++i) random[i] = static_cast<std::uint8_t>(i * 9 + 0xc3);
  const std::string text = generated_psk_text(random);
  EXPECT_EQ(text.size(), 49U);
  EXPECT_TRUE(key_of(text).is_generated());
  EXPECT_FALSE(key_of(text.substr(1)).is_generated());
  EXPECT_FALSE(key_of(text + "A").is_generated());
  EXPECT_FALSE(key_of("qpsk1-" + std::string(43, '!')).is_generated());
  EXPECT_FALSE(key_of("").is_generated());
  EXPECT_FALSE(PresharedKey{}.is_generated());
}

// base64url of RFC 4648, checked against vectors made with another implementation.
TEST(PresharedKey, TextForm) {
  EXPECT_EQ(generated_psk_text(Bytes(32, 0)), "qpsk1-" + std::string(43, 'A'));
  EXPECT_EQ(generated_psk_text(Bytes(32, 0xff)), "qpsk1-" + std::string(42, '_') + "8");
  Bytes counted(32);
  for (std::size_t i = 0; i < counted.size(); ++i) counted[i] = static_cast<std::uint8_t>(i);
  EXPECT_EQ(generated_psk_text(counted), "qpsk1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
}

TEST(PresharedKey, CopiesAreEqualAndSoAreTunnels) {
  const PresharedKey key = key_of("secret");
  const PresharedKey copy = key;
  EXPECT_EQ(key, copy);
  EXPECT_EQ(key, key_of("secret"));
  EXPECT_FALSE(key == key_of("Secret"));
  EXPECT_EQ(PresharedKey{}, key_of(""));
  Tunnel a;
  a.psk = key;
  Tunnel b = a;
  EXPECT_EQ(a, b);
  b.psk = key_of("other");
  EXPECT_FALSE(a == b);
}

TEST(PqPolicy, Words) {
  EXPECT_EQ(to_string(PqPolicy::Require), "require");
  EXPECT_EQ(to_string(PqPolicy::Prefer), "prefer");
  EXPECT_EQ(to_string(PqPolicy::Off), "off");
}

}  // namespace
}  // namespace qanat::model
