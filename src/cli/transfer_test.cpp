#include "cli/transfer.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/tunnel.hpp"

namespace qanat::cli {
namespace {

using ::testing::HasSubstr;

// The shell's files and a daemon that takes whatever comes.
class Transfers : public ::testing::Test {
 protected:
  Transfers() {
    shell_.rng = &rng_;
    shell_.now = [] { return WallTime{1'790'000'000}; };
    shell_.out = [this](std::string_view text) { out_ += text; };
    shell_.err = [this](std::string_view text) { err_ += text; };
    shell_.read_file = [this](const std::string& path) -> Result<std::string> {
      if (files_.contains(path)) return files_[path];
      return fail(ErrorKind::Resource, path, path + " is not there");
    };
    // As the real one: a path is relative to the folder of the file that names it.
    shell_.key_reader = [this](const std::string& by) -> config::FileReader {
      const std::string folder = by.find('/') == std::string::npos ? "" : by.substr(0, by.rfind('/') + 1);
      return [this, folder](const std::string& name) -> Result<SecretBytes> {
        const std::string path = name.starts_with('/') ? name : folder + name;
        if (files_.contains(path)) return SecretBytes::copy_of(to_bytes(std::string_view{files_[path]}));
        return fail(ErrorKind::Resource, path, path + " is not there");
      };
    };
    shell_.write_new_file = [this](const std::string& path, ByteView content) -> Status {
      files_[path] = std::string{content.begin(), content.end()};
      return {};
    };
    shell_.exchange = [this](const std::string&, const control::Request& request,
                             std::chrono::seconds) -> std::expected<control::Reply, ClientError> {
      asked_ = request;
      return reply_;
    };
  }
  int run_line(std::vector<std::string> args) {
    auto line = parse_command_line(std::move(args));
    EXPECT_TRUE(std::holds_alternative<CommandLine>(line)) << std::get<Stop>(line).error;
    return run(std::get<CommandLine>(line), shell_);
  }

  SeededRng rng_{1};
  Shell shell_;
  std::map<std::string, std::string> files_;
  std::string out_;
  std::string err_;
  control::Request asked_;
  control::Reply reply_{200, {}, "[gateway]\n"};
  const std::string key_ = model::generated_psk_text(Bytes(32, 5));
};

TEST_F(Transfers, ExportPrintsOrWritesWhatTheDaemonSays) {
  EXPECT_EQ(run_line({"export"}), kOk);
  EXPECT_EQ(asked_.method + " " + asked_.target, "GET /v1/export");
  EXPECT_EQ(out_, "[gateway]\n");
  EXPECT_EQ(run_line({"export", "-o", "all.toml"}), kOk);
  EXPECT_EQ(files_["all.toml"], "[gateway]\n");
  files_["keys/bundle.key"] = key_ + "\n";
  EXPECT_EQ(run_line({"export", "--with-secrets", "keys/bundle.key", "-o", "all.bundle"}), kOk);
  EXPECT_EQ(asked_.method, "POST");
  EXPECT_EQ(asked_.body, "{\"key\":\"" + key_ + "\"}");
  EXPECT_TRUE(std::holds_alternative<Stop>(parse_command_line({"export", "--with-secrets", "keys/bundle.key"})));
  EXPECT_EQ(run_line({"export", "--with-secrets", "none.key", "-o", "x"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("none.key is not there"));
}

TEST_F(Transfers, ImportSendsAFileWithItsKeys) {
  reply_.body = "{\"imported\":2}";
  files_["a.toml"] =
      "[gateway]\naddress = \"203.0.113.1\"\n[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\n"
      "psk_file = \"/etc/qanat/some.psk\"\ninterface = \"10.0.0.0/31\"\n";
  files_["/etc/qanat/some.psk"] = "a key that is long enough\n";
  EXPECT_EQ(run_line({"import", "a.toml"}), kOk) << err_;
  EXPECT_EQ(out_, "imported 2 objects\n");
  const auto sent = control::transfer_from_json(asked_.body);
  ASSERT_TRUE(sent);
  EXPECT_THAT(sent->config, HasSubstr("psk_file = \"berlin.psk\""));
  ASSERT_EQ(sent->files.size(), 1U);
  EXPECT_EQ(sent->files[0].octets, SecretBytes::copy_of(to_bytes(std::string_view{"a key that is long enough\n"})));
  files_["bad.toml"] = "[gateway]\n";
  EXPECT_EQ(run_line({"import", "bad.toml"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("bad.toml:1"));
}

TEST_F(Transfers, ImportOpensABundle) {
  reply_.body = "{\"imported\":0}";
  control::Transfer transfer;
  transfer.config = "[gateway]\naddress = \"203.0.113.1\"\n";
  const auto sealed = control::seal_bundle(transfer, to_bytes(key_), rng_);
  ASSERT_TRUE(sealed);
  files_["all.bundle"] = std::string{sealed->begin(), sealed->end()};
  files_["keys/bundle.key"] = key_ + "\n";
  EXPECT_EQ(run_line({"import", "all.bundle", "--key", "keys/bundle.key"}), kOk) << err_;
  EXPECT_EQ(control::transfer_from_json(asked_.body)->config, transfer.config);
  EXPECT_EQ(run_line({"import", "all.bundle"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("--key FILE"));
  files_["keys/bundle.key"] = model::generated_psk_text(Bytes(32, 6));
  EXPECT_EQ(run_line({"import", "all.bundle", "--key", "keys/bundle.key"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("another key"));
}

}  // namespace
}  // namespace qanat::cli
