// What issue.hpp makes and pem.hpp reads; the command that uses both is tested in cli/.
#include "pki/issue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pki/pem.hpp"
#include "pki/pki_testing.hpp"
#include "pki/trust.hpp"

namespace qanat::pki {
namespace {

using namespace testing;
using crypto::KeyKind;
using ::testing::HasSubstr;

constexpr KeyChoice kEc{KeyKind::EcP256, 0};

std::string text(ByteView v) {
  return {reinterpret_cast<const char*>(v.data()), v.size()};
}
Bytes octets(std::string_view v) {
  return to_bytes(v);
}

TEST(Issue, serials_are_random_positive_and_of_20_octets) {
  SeededRng rng{1};
  std::string last;
  for (int i = 0; i < 20; ++i) {
    const auto ca = make_ca("X", kEc, kNow, 10, rng).value();
    EXPECT_EQ(ca.certificate.serial().size(), 40U);
    EXPECT_LT(ca.certificate.serial()[0], '8');
    EXPECT_NE(ca.certificate.serial(), last);
    last = ca.certificate.serial();
  }
}

TEST(Issue, names_with_special_characters_stay_what_they_are) {
  SeededRng rng{1};
  const auto ca = make_ca("A, B + \"C\"; <D>\\", kEc, kNow, 10, rng).value();
  EXPECT_EQ(wire::decode_dn(ca.certificate.identities().back().data).value().substr(0, 3), "CN=");
  EXPECT_EQ(ca.certificate.identities().size(), 1U);
  const auto dn = make_ca("CN=Example CA,O=Example", kEc, kNow, 10, rng).value();
  EXPECT_EQ(dn.certificate.subject(), "CN=Example CA,O=Example");
  EXPECT_FALSE(make_ca("", kEc, kNow, 10, rng).has_value());
  EXPECT_FALSE(make_ca(std::string(65, 'x'), kEc, kNow, 10, rng).has_value());
  EXPECT_FALSE(make_ca("X", kEc, kNow, 0, rng).has_value());
  EXPECT_FALSE(make_ca("X", kEc, kNow, 40'000, rng).has_value());
}

TEST(Issue, a_dn_is_the_subject_and_long_names_fit) {
  SeededRng rng{1};
  const auto made = make_ca("X", kEc, kNow, 3650, rng).value();
  const Authority ca{made.certificate, made.key};
  const auto by_dn =
      issue(ca, std::vector{id("dn:CN=berlin,O=Example"), id("fqdn:a.example")}, kEc, kNow, 5, rng).value();
  EXPECT_EQ(by_dn.certificate.subject(), "CN=berlin,O=Example");
  EXPECT_TRUE(by_dn.certificate.matches(id("fqdn:a.example")));
  const std::string name = "fqdn:" + std::string(60, 'a') + "." + std::string(60, 'b') + ".example";
  const auto longer = issue(ca, std::vector{id(name)}, kEc, kNow, 5, rng).value();
  EXPECT_TRUE(longer.certificate.matches(id(name)));
  const auto store = TrustStore::create(std::vector<Bytes>{made.certificate.der()}, {}).value();
  EXPECT_TRUE(store.validate(std::vector<Bytes>{longer.certificate.der()}, id(name), kNow).has_value());
  EXPECT_FALSE(issue(ca, {}, kEc, kNow, 5, rng).has_value());
  EXPECT_FALSE(make_authority(by_dn.certificate, by_dn.key).has_value()) << "no CA";
  EXPECT_FALSE(make_authority(made.certificate, by_dn.key).has_value()) << "another's key";
}

TEST(Pem, every_form_of_a_key_becomes_pkcs8) {
  const auto key = crypto::PrivateKey::generate(KeyKind::MlDsa65).value();
  const SecretBytes pkcs8 = key.to_pkcs8().value();
  const SecretBytes pem = private_key_pem(pkcs8.expose());
  EXPECT_TRUE(equal(read_private_key(pem.expose())->expose(), pkcs8.expose()));
  EXPECT_TRUE(equal(read_private_key(pkcs8.expose())->expose(), pkcs8.expose()));
  // SEC 1, with the parameters that `openssl ecparam -genkey` puts before it.
  const std::string good = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + [] {
    const auto ec = crypto::PrivateKey::generate(KeyKind::EcP256).value();
    Bytes der(4096);
    unsigned char* at = der.data();
    der.resize(static_cast<std::size_t>(i2d_PrivateKey(ec.native(), &at)));
    const std::string as_pkcs8 = text(private_key_pem(der).expose());
    std::string out = as_pkcs8;
    for (std::size_t p = 0; (p = out.find(" PRIVATE KEY", p)) != std::string::npos; p += 15)
      out.replace(p, 12, " EC PRIVATE KEY");
    return out;
  }();
  const auto read = read_private_key(octets(good));
  ASSERT_TRUE(read.has_value()) << read.error().detail;
  EXPECT_EQ(crypto::PrivateKey::from_pkcs8(read->expose())->kind(), KeyKind::EcP256);
}

TEST(Pem, damage_is_named) {
  const Made root = make_root();
  const std::string pem = certificate_pem(root.certificate.der());
  EXPECT_EQ(read_certificates(octets(pem + pem))->size(), 2U);
  EXPECT_EQ(read_certificates(octets("comment\r\n" + pem))->size(), 1U);
  EXPECT_EQ(read_certificates(root.certificate.der())->size(), 1U);
  EXPECT_THAT(read_certificates(octets(pem + pem.substr(0, 100))).error().detail, HasSubstr("object 2"));
  std::string many;
  for (int i = 0; i < 65; ++i) many += pem;
  EXPECT_THAT(read_certificates(octets(many)).error().detail, HasSubstr("more than 64"));
  EXPECT_THAT(read_certificates({}).error().detail, HasSubstr("is empty"));
  EXPECT_THAT(read_crls(octets(pem)).error().detail, HasSubstr("no revocation list, only: CERTIFICATE"));
  EXPECT_THAT(read_private_key(octets(pem)).error().detail, HasSubstr("no private key, only: CERTIFICATE"));
  EXPECT_THAT(read_private_key(octets("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
                                      "AES-128-CBC,00000000000000000000000000000000\n\nAAAA\n-----END EC PRIVATE "
                                      "KEY-----\n"))
                  .error()
                  .detail,
              HasSubstr("encrypted"));
}

}  // namespace
}  // namespace qanat::pki
