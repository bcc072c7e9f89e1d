// cert_file, key_file, ca_files, crl_files and pq_auth, with certificates made on the spot.
#include <map>

#include <fmt/format.h>

#include "config/config_testing.hpp"
#include "pki/issue.hpp"
#include "pki/pem.hpp"

namespace qanat::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kGateway;
using ::testing::Not;

constexpr WallTime kNow{1'790'000'000};

const std::map<std::string, std::string>& files() {
  static const auto kFiles = [] {
    SeededRng rng{3};
    const auto text = [](const SecretBytes& s) {
      return std::string{reinterpret_cast<const char*>(s.expose().data()), s.size()};
    };
    const pki::KeyChoice ec{crypto::KeyKind::EcP256, 0};
    const auto made = pki::make_ca("Example CA", ec, kNow, 3650, rng).value();
    const pki::Authority ca{made.certificate, made.key};
    const std::vector ids{wire::Identity::parse("fqdn:berlin.example.com").value(),
                          wire::Identity::parse("203.0.113.1").value()};
    const auto leaf = pki::issue(ca, ids, ec, kNow, 365, rng).value();
    const auto other = pki::issue(ca, ids, ec, kNow, 365, rng).value();
    const auto big = pki::issue(ca, ids, {crypto::KeyKind::MlDsa87, 0}, kNow, 365, rng).value();
    std::map<std::string, std::string> out;
    out["ca.crt"] = pki::certificate_pem(made.certificate.der());
    out["own.crt"] = pki::certificate_pem(leaf.certificate.der());
    out["own.key"] = text(pki::private_key_pem(leaf.key.to_pkcs8().value().expose()));
    out["other.key"] = text(pki::private_key_pem(other.key.to_pkcs8().value().expose()));
    out["chain.crt"] = "a comment\n" + out["own.crt"] + out["ca.crt"];
    out["own.der"] = {leaf.certificate.der().begin(), leaf.certificate.der().end()};
    out["big.crt"] = pki::certificate_pem(big.certificate.der());
    out["big.key"] = text(pki::private_key_pem(big.key.to_pkcs8().value().expose()));
    out["ca.crl"] = pki::crl_pem(pki::make_crl(ca, std::nullopt, {}, kNow, 30).value());
    out["cut.crt"] = out["own.crt"].substr(0, out["own.crt"].size() / 2);
    out["locked.key"] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    out["empty"] = "";
    out["noise"] = "noise";
    return out;
  }();
  return kFiles;
}

// Certificates must not be asked for as secrets: everybody may read them.
FileReader reader() {
  const auto read = [](const std::string& path) -> Result<SecretBytes> {
    const auto it = files().find(path);
    if (it == files().end()) return testing::read_fake(path);
    return SecretBytes::copy_of(to_bytes(std::string_view{it->second}));
  };
  const auto secret = [read](const std::string& path) -> Result<SecretBytes> {
    if (path.ends_with(".crt") || path.ends_with(".crl"))
      return fail(ErrorKind::LocalPolicy, path, "was read as a secret");
    return read(path);
  };
  return {secret, read};
}

std::expected<LoadedConfig, std::vector<Problem>> load_tunnel(std::string_view lines) {
  return load(kGateway + "[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\n" + std::string{lines} + "\n",
              "qanat.toml", reader());
}
std::string said(std::string_view lines) {
  const auto loaded = load_tunnel(lines);
  return render_problems(loaded ? loaded->warnings : loaded.error());
}

constexpr const char* kOwn = "cert_file = \"own.crt\"\nkey_file = \"own.key\"\n";
constexpr const char* kBoth = "cert_file = \"own.crt\"\nkey_file = \"own.key\"\nca_files = [\"ca.crt\"]\n";

TEST(Credentials, both_sides_by_certificate_need_no_psk) {
  const auto loaded = load_tunnel(std::string{kBoth} + "crl_files = [\"ca.crl\"]\npq_auth = \"require\"");
  ASSERT_TRUE(loaded.has_value()) << render_problems(loaded.error());
  EXPECT_THAT(loaded->warnings, IsEmpty());
  const model::Tunnel& t = loaded->config.tunnels[0];
  EXPECT_EQ(t.credentials.certificates.size(), 1U);
  EXPECT_EQ(t.credentials.trust_anchors.size(), 1U);
  EXPECT_EQ(t.credentials.crls.size(), 1U);
  EXPECT_TRUE(crypto::PrivateKey::from_pkcs8(t.credentials.private_key->expose()).has_value());
  EXPECT_EQ(t.pq_auth, model::PqAuthPolicy::Require);
  EXPECT_TRUE(t.psk.empty());
  EXPECT_EQ(t.local_id->to_string(), "fqdn:berlin.example.com") << "the certificate's first name";
}

TEST(Credentials, chains_der_and_large_keys) {
  const auto chain =
      load_tunnel("cert_file = \"chain.crt\"\nkey_file = \"own.key\"\nca_files = [\"ca.crt\", \"chain.crt\"]");
  ASSERT_TRUE(chain.has_value()) << render_problems(chain.error());
  EXPECT_EQ(chain->config.tunnels[0].credentials.certificates.size(), 2U);
  EXPECT_EQ(chain->config.tunnels[0].credentials.trust_anchors.size(), 2U) << "no anchor twice";
  EXPECT_THAT(said("cert_file = \"own.der\"\nkey_file = \"own.key\"\nca_files = [\"ca.crt\"]"), IsEmpty());
  EXPECT_THAT(said("cert_file = \"big.crt\"\nkey_file = \"big.key\"\nca_files = [\"ca.crt\"]"), IsEmpty());
}

TEST(Credentials, one_side_by_certificate_and_the_other_by_psk) {
  EXPECT_THAT(said(std::string{kOwn} + "psk_file = \"good.psk\""), IsEmpty());
  EXPECT_THAT(said("ca_files = [\"ca.crt\"]\npsk_file = \"good.psk\""), IsEmpty());
  EXPECT_THAT(said(kOwn), AllOf(HasSubstr("error"), HasSubstr("how the peer proves itself: ca_files is missing")));
  EXPECT_THAT(said("ca_files = [\"ca.crt\"]"), AllOf(HasSubstr("error"), HasSubstr("cert_file is missing")));
  EXPECT_THAT(said(std::string{kBoth} + "psk_file = \"good.psk\""),
              AllOf(HasSubstr("warning"), HasSubstr("the PSK is not used")));
  EXPECT_THAT(said(""), AllOf(HasSubstr("psk_file is missing"), HasSubstr("cert_file, key_file and ca_files")));
}

TEST(Credentials, files_that_do_not_fit) {
  EXPECT_THAT(said("cert_file = \"own.crt\"\nca_files = [\"ca.crt\"]"), HasSubstr("cert_file without key_file"));
  EXPECT_THAT(said("key_file = \"own.key\"\npsk_file = \"good.psk\""), HasSubstr("key_file without cert_file"));
  const auto with = [](const char* cert, const char* key, const char* ca) {
    return said(fmt::format("cert_file = \"{}\"\nkey_file = \"{}\"\nca_files = [\"{}\"]", cert, key, ca));
  };
  EXPECT_THAT(with("own.crt", "other.key", "ca.crt"),
              AllOf(HasSubstr("qanat.toml:7:12: error"), HasSubstr("is not the key of the certificate"),
                    HasSubstr("CN=berlin.example.com")));
  EXPECT_THAT(with("missing.crt", "own.key", "ca.crt"), HasSubstr("cert_file = \"missing.crt\": cannot be read"));
  EXPECT_THAT(with("own.key", "own.key", "ca.crt"), HasSubstr("holds no certificate, only: PRIVATE KEY"));
  EXPECT_THAT(with("own.crt", "own.der", "ca.crt"), HasSubstr("key_file = \"own.der\""));
  EXPECT_THAT(with("own.crt", "locked.key", "ca.crt"), HasSubstr("openssl pkey"));
  EXPECT_THAT(with("cut.crt", "own.key", "ca.crt"), HasSubstr("is damaged"));
  EXPECT_THAT(with("empty", "own.key", "ca.crt"), HasSubstr("is empty"));
  EXPECT_THAT(with("noise", "own.key", "ca.crt"), HasSubstr("neither PEM"));
  EXPECT_THAT(with("", "own.key", "ca.crt"), HasSubstr("must be the path of a file"));
  EXPECT_THAT(with("own.crt", "own.key", "noise"), HasSubstr("neither PEM"));
  EXPECT_THAT(with("own.crt", "own.key", "ca.crl"), HasSubstr("holds no certificate, only: X509 CRL"));
  EXPECT_THAT(said(std::string{kBoth} + "crl_files = [\"ca.crt\"]"), HasSubstr("holds no revocation list"));
  EXPECT_THAT(said(std::string{kBoth} + "crl_files = []"), HasSubstr("must name 1 to 64 files"));
  EXPECT_THAT(said("psk_file = \"good.psk\"\ncrl_files = [\"ca.crl\"]"), HasSubstr("crl_files without ca_files"));
  EXPECT_THAT(said("cert_file = \"own.crt\"\nkey_file = \"own.key\"\nca_files = \"ca.crt\""),
              HasSubstr("an array of paths"));
}

TEST(Credentials, the_identity_stands_in_the_certificate) {
  EXPECT_THAT(said(std::string{kBoth} + "local_id = \"203.0.113.1\""), IsEmpty());
  EXPECT_THAT(said(std::string{kBoth} + "local_id = \"fqdn:paris.example.com\""),
              AllOf(HasSubstr("error"), HasSubstr("local_id fqdn:paris.example.com does not stand in the certificate"),
                    HasSubstr("fqdn:berlin.example.com, 203.0.113.1")));
}

TEST(Credentials, certificates_that_end_are_warned_of) {
  const auto said_at = [](std::optional<std::int64_t> days, std::string_view lines) {
    const auto now = days ? std::optional{WallTime{kNow.seconds + *days * 86'400}} : std::nullopt;
    const auto loaded =
        load(kGateway + "[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\n" + std::string{lines} + "\n",
             "qanat.toml", reader(), now);
    EXPECT_TRUE(loaded.has_value());
    return render_problems(loaded ? loaded->warnings : loaded.error());
  };
  EXPECT_THAT(said_at({}, kBoth), IsEmpty());
  EXPECT_THAT(said_at(300, kBoth), IsEmpty());
  EXPECT_THAT(said_at(350, kBoth), AllOf(HasSubstr(":6:1: warning: [[tunnel]] berlin: cert_file"),
                                         HasSubstr("expires in 1"), HasSubstr("qanat pki issue")));
  EXPECT_THAT(said_at(400, kBoth), HasSubstr("has expired on"));
  EXPECT_THAT(said_at(400, "psk_file = \"good.psk\"\nca_files = [\"ca.crt\"]"), Not(HasSubstr("expire")))
      << "the peer's are its own business";
}

TEST(Credentials, pq_auth) {
  EXPECT_THAT(said("psk_file = \"good.psk\"\npq_auth = \"require\""), IsEmpty());
  EXPECT_THAT(said("psk_file = \"two.psk\"\npq_auth = \"require\""), HasSubstr("was not made by qanat genpsk"));
  EXPECT_THAT(said("psk_file = \"good.psk\"\npq_auth = \"maybe\""), AllOf(HasSubstr("prefer"), HasSubstr("require")));
}

TEST(Credentials, private_keys_are_never_shown) {
  for (const char* lines : {"cert_file = \"own.key\"\nkey_file = \"own.key\"\nca_files = [\"own.key\"]",
                            "psk_file = \"own.key\"\nca_files = [\"ca.crt\"]"}) {
    const std::string key = files().at("own.key").substr(40, 20);
    EXPECT_THAT(said(lines), Not(HasSubstr(key)));
  }
}

}  // namespace
}  // namespace qanat::config
