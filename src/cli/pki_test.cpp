// `qanat pki` with real files: what it writes is read back by our own validator and by the openssl command.
#include "cli/pki.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/files.hpp"
#include "pki/pem.hpp"
#include "pki/trust.hpp"

namespace qanat::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Pki : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "qanat-pki-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    shell_.rng = &rng_;
    shell_.out = [this](std::string_view text) { out_ += text; };
    shell_.err = [this](std::string_view text) { err_ += text; };
    shell_.read_file = read_text_file;
    shell_.key_reader = key_reader;
    shell_.write_new_file = write_new_file;
    shell_.write_public_file = write_public_file;
    shell_.replace_public_file = replace_public_file;
    shell_.make_folder = make_folder;
    shell_.now = [this] { return now_; };
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  int go(std::vector<std::string> args) {
    out_.clear();
    err_.clear();
    args.insert(args.begin(), "pki");
    const auto parsed = parse_command_line(std::move(args));
    if (const auto* end = std::get_if<Stop>(&parsed)) return stop(*end, shell_);
    return run(std::get<CommandLine>(parsed), shell_);
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::vector<Bytes> certificates(const std::string& name) const {
    return pki::read_certificates(to_bytes(std::string_view{*read_text_file(path(name))})).value();
  }
  [[nodiscard]] std::string verdict(const std::string& leaf, std::string_view id, bool with_crl = false) const {
    std::vector<Bytes> crls;
    if (with_crl) crls = pki::read_crls(to_bytes(std::string_view{*read_text_file(path("ca/ca.crl"))})).value();
    const auto store = pki::TrustStore::create(certificates("ca/ca.crt"), crls).value();
    const auto verified = store.validate(certificates(leaf), wire::Identity::parse(id).value(), now_);
    return verified ? verified->described : "refused: " + verified.error().detail;
  }
  int make_ca(const std::string& key = "mldsa65") {
    return go({"ca", "--name", "Example CA", "--key", key, "--out", path("ca")});
  }

  SeededRng rng_{5};
  Shell shell_;
  WallTime now_ = wall_now();
  std::filesystem::path folder_;
  std::string out_;
  std::string err_;
};

TEST_F(Pki, a_ca_and_a_gateway_in_two_commands) {
  ASSERT_EQ(go({"ca", "--name", "Example CA", "--out", path("ca")}), kOk) << err_;
  EXPECT_THAT(out_,
              AllOf(HasSubstr("ML-DSA-65, quantum-safe"), HasSubstr("ca_files"), HasSubstr("qanat pki issue --ca")));
  ASSERT_EQ(
      go({"issue", "--ca", path("ca"), "--id", "fqdn:berlin.example.com", "--id", "192.0.2.1", "--out", path("out")}),
      kOk)
      << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("cert_file = \"berlin.example.com.crt\""), HasSubstr("key_file  = "),
                          HasSubstr("remote_id = \"fqdn:berlin.example.com\"")));
  struct stat info{};
  for (const char* key : {"ca/ca.key", "out/berlin.example.com.key"}) {
    ASSERT_EQ(::stat(path(key).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U) << key;
  }
  for (const char* id : {"fqdn:berlin.example.com", "192.0.2.1", "dn:CN=berlin.example.com"})
    EXPECT_THAT(verdict("out/berlin.example.com.crt", id), AllOf(HasSubstr("until"), HasSubstr(", quantum-safe")))
        << id;
  EXPECT_THAT(verdict("out/berlin.example.com.crt", "fqdn:paris.example.com"), HasSubstr("refused"));
  const auto ca = pki::Certificate::parse(certificates("ca/ca.crt")[0]).value();
  const auto leaf = pki::Certificate::parse(certificates("out/berlin.example.com.crt")[0]).value();
  EXPECT_TRUE(ca.is_ca());
  EXPECT_FALSE(leaf.is_ca());
  EXPECT_EQ(ca.serial().size(), 40U);
  EXPECT_NE(ca.serial(), leaf.serial());
  EXPECT_EQ(leaf.not_after().seconds, now_.seconds + 365 * 86'400LL);
  EXPECT_EQ(ca.not_after().seconds, now_.seconds + 3650 * 86'400LL);
}

TEST_F(Pki, nothing_is_overwritten) {
  ASSERT_EQ(make_ca("ed25519"), kOk);
  const std::string before = *read_text_file(path("ca/ca.crt"));
  EXPECT_EQ(make_ca("ed25519"), kFailed);
  EXPECT_THAT(err_, HasSubstr("is not overwritten"));
  std::filesystem::remove(path("ca/ca.crt"));
  EXPECT_EQ(make_ca("ed25519"), kFailed) << "the key alone is reason enough";
  EXPECT_FALSE(std::filesystem::exists(path("ca/ca.crt")));
  std::ofstream{path("ca/ca.crt")} << before;
  const std::vector<std::string> issue{"issue", "--ca", path("ca"), "--id", "fqdn:a", "--out", path("out")};
  EXPECT_EQ(go(issue), kOk) << err_;
  EXPECT_EQ(go(issue), kFailed);
}

TEST_F(Pki, every_kind_of_key) {
  for (const char* key :
       {"mldsa44", "mldsa65", "mldsa87", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448", "rsa-2048"}) {
    SCOPED_TRACE(key);
    std::filesystem::remove_all(path("ca"));
    ASSERT_EQ(make_ca(key), kOk) << err_;
    const bool safe = std::string_view{key}.starts_with("mldsa");
    const std::string out = path(std::string{"of-"} + key);
    ASSERT_EQ(go({"issue", "--ca", path("ca"), "--id", "rfc822:ops@example.com", "--out", out}), kOk) << err_;
    EXPECT_THAT(verdict(std::string{"of-"} + key + "/ops_example.com.crt", "rfc822:ops@example.com"),
                HasSubstr(safe ? ", quantum-safe" : "not quantum-safe: it is signed with"))
        << "";
    ASSERT_EQ(go({"issue", "--ca", path("ca"), "--key", key, "--id", "2001:db8::1", "--out", out}), kOk) << err_;
    EXPECT_THAT(verdict(std::string{"of-"} + key + "/2001_db8__1.crt", "2001:db8::1"), Not(HasSubstr("refused")));
  }
}

TEST_F(Pki, revocation) {
  ASSERT_EQ(make_ca("ecdsa-p256"), kOk);
  for (const char* id : {"fqdn:a", "fqdn:b", "fqdn:c"})
    ASSERT_EQ(go({"issue", "--ca", path("ca"), "--key", "ecdsa-p256", "--id", id, "--out", path("out")}), kOk);
  ASSERT_EQ(go({"crl", "--ca", path("ca")}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("0 certificates revoked"));
  EXPECT_THAT(verdict("out/a.crt", "fqdn:a", true), Not(HasSubstr("refused")));
  ASSERT_EQ(go({"crl", "--ca", path("ca"), "--revoke", path("out/a.crt")}), kOk) << err_;
  EXPECT_THAT(verdict("out/a.crt", "fqdn:a", true), HasSubstr("revoked"));
  ASSERT_EQ(go({"crl", "--ca", path("ca"), "--revoke", path("out/b.crt"), "--revoke", path("out/a.crt")}), kOk) << err_;
  EXPECT_THAT(out_, HasSubstr("2 certificates revoked")) << "the list keeps what it had, and nothing twice";
  EXPECT_THAT(verdict("out/a.crt", "fqdn:a", true), HasSubstr("revoked"));
  EXPECT_THAT(verdict("out/b.crt", "fqdn:b", true), HasSubstr("revoked"));
  EXPECT_THAT(verdict("out/c.crt", "fqdn:c", true), Not(HasSubstr("refused")));
  now_.seconds += 91 * 86'400LL;
  EXPECT_THAT(verdict("out/c.crt", "fqdn:c", true), HasSubstr("revocation list of CN=Example CA has expired"));
  EXPECT_EQ(go({"show", path("ca/ca.crl")}), kOk);
  EXPECT_THAT(out_,
              AllOf(HasSubstr("revocation list of CN=Example CA: 2 certificates revoked"), HasSubstr("(expired)")));
  std::filesystem::rename(path("ca"), path("old"));
  ASSERT_EQ(make_ca("ecdsa-p256"), kOk);
  EXPECT_EQ(go({"crl", "--ca", path("ca"), "--revoke", path("out/a.crt")}), kFailed);
  EXPECT_THAT(err_, HasSubstr("was not issued by this CA"));
}

TEST_F(Pki, show) {
  ASSERT_EQ(make_ca(), kOk);
  ASSERT_EQ(go({"issue", "--ca", path("ca"), "--key", "ecdsa-p384", "--id", "fqdn:a.example", "--out", path("out")}),
            kOk);
  EXPECT_EQ(go({"show", path("ca/ca.crt"), path("out/a.example.crt"), path("out/a.example.key")}), kOk) << err_;
  EXPECT_THAT(out_, AllOf(HasSubstr("CN=Example CA"), HasSubstr("yes: key and signature"),
                          HasSubstr("no: its key is not"), HasSubstr("fqdn:a.example, dn:CN=a.example"),
                          HasSubstr("private key, ECDSA P-384"), HasSubstr("sha256")));
  EXPECT_EQ(go({"--json", "show", path("out/a.example.crt")}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"quantum_safe_key\": false"), HasSubstr("\"quantum_safe_signature\": true")));
  std::ofstream{path("noise")} << "noise";
  EXPECT_EQ(go({"show", path("noise")}), kFailed);
  EXPECT_THAT(err_, AllOf(HasSubstr("noise"), HasSubstr("neither PEM")));
}

TEST_F(Pki, mistakes_are_explained) {
  EXPECT_EQ(go({"ca", "--name", "X", "--key", "des", "--out", path("ca")}), kFailed);
  EXPECT_THAT(err_, AllOf(HasSubstr("'des' is no kind of key"), HasSubstr("mldsa65")));
  EXPECT_EQ(go({"issue", "--ca", path("nowhere"), "--id", "fqdn:a"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("ca.crt is not there"));
  ASSERT_EQ(make_ca("ed25519"), kOk);
  EXPECT_EQ(go({"issue", "--ca", path("ca"), "--id", "keyid:a", "--out", path("out")}), kFailed);
  EXPECT_THAT(err_, HasSubstr("key id"));
  EXPECT_EQ(go({"issue", "--ca", path("ca"), "--id", "fqdn:a", "--days", "9999", "--out", path("out")}), kFailed);
  EXPECT_THAT(err_, HasSubstr("longer than the CA lives"));
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  ASSERT_EQ(::chmod(path("ca/ca.key").c_str(), 0644), 0);
  EXPECT_EQ(go({"issue", "--ca", path("ca"), "--id", "fqdn:a", "--out", path("out")}), kFailed);
  EXPECT_THAT(err_, HasSubstr("chmod 600"));
  EXPECT_EQ(go({"ca"}), kUsage);
  EXPECT_EQ(go({"issue", "--ca", path("ca")}), kUsage);
  EXPECT_EQ(go({}), kUsage);
  EXPECT_EQ(go({"issue", "--help"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("--id"), HasSubstr("--ca")));
}

TEST_F(Pki, the_openssl_command_agrees) {
  if (std::system("openssl version >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs the openssl command";
  for (const char* key : {"ecdsa-p256", "ed25519", "rsa-2048"}) {  // every OpenSSL knows these
    std::filesystem::remove_all(path("ca"));
    std::filesystem::remove_all(path("out"));
    ASSERT_EQ(make_ca(key), kOk);
    ASSERT_EQ(go({"issue", "--ca", path("ca"), "--key", key, "--id", "fqdn:a.example", "--out", path("out")}), kOk);
    ASSERT_EQ(go({"crl", "--ca", path("ca")}), kOk);
    const std::string verify = "openssl verify -x509_strict -check_ss_sig -crl_check -CRLfile " + path("ca/ca.crl") +
                               " -CAfile " + path("ca/ca.crt") + " -verify_hostname a.example " +
                               path("out/a.example.crt") + " >/dev/null 2>&1";
    EXPECT_EQ(std::system(verify.c_str()), 0) << key;
    ASSERT_EQ(go({"crl", "--ca", path("ca"), "--revoke", path("out/a.example.crt")}), kOk);
    EXPECT_NE(std::system(verify.c_str()), 0) << key;
  }
}

}  // namespace
}  // namespace qanat::cli
