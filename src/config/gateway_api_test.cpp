// [gateway] api, api_certificate, api_key: what is taken, and what each mistake is told.
#include "base/rng.hpp"
#include "config/config_testing.hpp"
#include "config/diff.hpp"
#include "config/write.hpp"
#include "pki/issue.hpp"
#include "pki/pem.hpp"

namespace qanat::config {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr WallTime kNow{1'800'000'000};

// A CA and certificates of it: files of a fake disk.
class ApiSection : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    SeededRng rng{1};
    files_ = new std::map<std::string, std::string>;
    const auto made = pki::make_ca("Test CA", {crypto::KeyKind::EcP256, 0}, kNow, 3650, rng);
    ASSERT_TRUE(made);
    const auto pkcs8 = made->key.to_pkcs8();
    const auto ca = pki::make_authority(made->certificate, made->key);
    ASSERT_TRUE(pkcs8 && ca);
    (*files_)["ca.crt"] = pki::certificate_pem(made->certificate.der());
    (*files_)["ca.key"] = text(pki::private_key_pem(pkcs8->expose()));
    add(*ca, "api", crypto::KeyKind::EcP256, pki::Use::TlsServer, 365, rng);
    add(*ca, "next", crypto::KeyKind::EcP256, pki::Use::TlsServer, 365, rng);
    add(*ca, "short", crypto::KeyKind::EcP256, pki::Use::TlsServer, 5, rng);
    add(*ca, "gateway", crypto::KeyKind::EcP256, pki::Use::Ike, 365, rng);
    add(*ca, "mldsa", crypto::KeyKind::MlDsa65, pki::Use::TlsServer, 365, rng);
    (*files_)["rubbish"] = "rubbish";
  }
  static void TearDownTestSuite() { delete files_; }

  static std::string text(const SecretBytes& octets) {
    return {reinterpret_cast<const char*>(octets.expose().data()), octets.size()};
  }
  static void add(const pki::Authority& ca, const std::string& name, crypto::KeyKind kind, pki::Use use, int days,
                  Rng& rng) {
    const std::vector<wire::Identity> ids = {*wire::Identity::parse("fqdn:localhost")};
    const auto made = pki::issue(ca, ids, {kind, 0}, kNow, days, rng, use);
    ASSERT_TRUE(made) << made.error().detail;
    const auto pkcs8 = made->key.to_pkcs8();
    ASSERT_TRUE(pkcs8);
    (*files_)[name + ".crt"] = pki::certificate_pem(made->certificate.der());
    (*files_)[name + ".key"] = text(pki::private_key_pem(pkcs8->expose()));
  }
  static Result<SecretBytes> read(const std::string& path) {
    const auto found = files_->find(path);
    if (found == files_->end()) return fail(ErrorKind::Resource, path, "cannot be opened: No such file");
    return SecretBytes::copy_of({reinterpret_cast<const std::uint8_t*>(found->second.data()), found->second.size()});
  }
  static auto load_with(const std::string& lines) {
    return load("[gateway]\naddress = \"203.0.113.1\"\n" + lines, "qanat.toml", read, kNow);
  }
  static std::string said(const std::string& lines) {
    const auto loaded = load_with(lines);
    return render_problems(loaded ? loaded->warnings : loaded.error());
  }
  static std::string lines(const std::string& certificate, const std::string& key,
                           const std::string& at = "127.0.0.1:8443") {
    return "api = \"" + at + "\"\napi_certificate = \"" + certificate + "\"\napi_key = \"" + key + "\"\n";
  }

  static std::map<std::string, std::string>* files_;
};
std::map<std::string, std::string>* ApiSection::files_ = nullptr;

// Whatever the gateway has of its own is written with it, and its files are no tunnel's.
TEST_F(ApiSection, IsWrittenAsItWasRead) {
  (*files_)["new.key"] = "qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
  (*files_)["old.key"] = "qpsk1-AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n";
  const auto loaded = load_with(lines("api.crt", "api.key") +
                                "store_key_file = \"new.key\"\nstore_key_file_before = \"old.key\"\n"
                                "webhooks = true\nwebhook_ca = \"api.crt\"\n");
  ASSERT_TRUE(loaded) << render_problems(loaded.error());
  const Written written = write(loaded->config);
  for (const WrittenFile& file : written.files) {
    EXPECT_TRUE(file.name.starts_with('_')) << file.name;
    EXPECT_EQ(file.secret, file.name.ends_with(".key")) << file.name;
    (*files_)[file.name] = text(file.octets);
  }
  const auto again = load(written.text, "written.toml", read, kNow);
  ASSERT_TRUE(again) << render_problems(again.error()) << written.text;
  EXPECT_EQ(again->config, loaded->config) << written.text;
}

TEST_F(ApiSection, AListenerWithItsCertificate) {
  const auto loaded = load_with(lines("api.crt", "api.key", "[::1]:8443"));
  ASSERT_TRUE(loaded) << render_problems(loaded.error());
  EXPECT_EQ(loaded->config.gateway.api, (Endpoint{*IpAddress::parse("::1"), 8443}));
  EXPECT_EQ(loaded->config.gateway.api_credentials.certificates.size(), 1U);
  ASSERT_NE(loaded->config.gateway.api_credentials.private_key, nullptr);
  EXPECT_THAT(said(lines("api.crt", "api.key")), Not(HasSubstr("api")));
  EXPECT_FALSE(load_with("")->config.gateway.api);
}

TEST_F(ApiSection, AllThreeOrNone) {
  EXPECT_THAT(said("api = \"127.0.0.1:8443\"\n"),
              HasSubstr("qanat.toml:3:7: error: [gateway]: api without api_certificate"));
  EXPECT_THAT(said("api = \"127.0.0.1:8443\"\napi_certificate = \"api.crt\"\n"), HasSubstr("api without api_key"));
  EXPECT_THAT(said("api_certificate = \"api.crt\"\napi_key = \"api.key\"\n"),
              HasSubstr("[gateway]: api_key without api: nobody would see it"));
}

TEST_F(ApiSection, MistakesAreNamed) {
  for (const char* bad : {"8443", "127.0.0.1", "localhost:8443", "::1:8443", "127.0.0.1:0", "127.0.0.1:65536", ""})
    EXPECT_THAT(said(lines("api.crt", "api.key", bad)), HasSubstr("must be an address and a port")) << bad;
  EXPECT_THAT(said(lines("api.crt", "api.key") + "metrics = \"127.0.0.1:8443\"\n"),
              HasSubstr("metrics listens already"));
  EXPECT_THAT(said(lines("no.crt", "api.key")), HasSubstr("cannot be opened: No such file"));
  EXPECT_THAT(said(lines("rubbish", "api.key")), HasSubstr("error: [gateway]: api_certificate = \"rubbish\""));
  EXPECT_THAT(said(lines("api.crt", "rubbish")), HasSubstr("error: [gateway]: api_key = \"rubbish\""));
  EXPECT_THAT(said(lines("api.crt", "next.key")), HasSubstr("is not the key of the certificate in api_certificate"));
  EXPECT_THAT(said(lines("gateway.crt", "gateway.key")), HasSubstr("is not for servers of TLS"));
  EXPECT_THAT(said(lines("ca.crt", "ca.key")), HasSubstr("is not for servers of TLS"));
  EXPECT_THAT(said(lines("mldsa.crt", "mldsa.key")),
              HasSubstr("warning: [gateway]: api_certificate = \"mldsa.crt\": its "
                        "key is ML-DSA-65"));
  EXPECT_THAT(said(lines("short.crt", "short.key")), HasSubstr("warning: [gateway]: api_certificate: the certificate"));
}

TEST_F(ApiSection, AnotherCertificateIsShownInPlaceAnotherListenerIsNot) {
  const model::Config old = load_with(lines("api.crt", "api.key"))->config;
  const model::Config next = load_with(lines("next.crt", "next.key"))->config;
  auto changes = diff(old, next);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].effect, Effect::InPlace);
  EXPECT_EQ(changes[0].keys, std::vector<std::string>{"api_certificate"});
  EXPECT_EQ(without_restart(old, next).gateway.api_credentials, next.gateway.api_credentials);

  const model::Config moved = load_with(lines("next.crt", "next.key", "127.0.0.1:9443"))->config;
  changes = diff(old, moved);
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(without_restart(old, moved).gateway.api, old.gateway.api);
  const model::Config gone = load_with("")->config;
  EXPECT_EQ(without_restart(old, gone).gateway, old.gateway) << "until the restart all stays";
  EXPECT_EQ(without_restart(gone, old).gateway, gone.gateway);
  EXPECT_EQ(diff(gone, old).front().effect, Effect::Restart);
}

}  // namespace
}  // namespace qanat::config
