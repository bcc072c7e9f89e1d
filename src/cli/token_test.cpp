#include "cli/token.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/run.hpp"

namespace qanat::cli {
namespace {

using ::testing::HasSubstr;

constexpr const char* kToken =
    R"({"id":"0123456789abcdef","name":"ci","scopes":["read","write"],"created_on":"2026-01-01","account":null,"expires_on":null})";

// What `qanat` with these words asks, answered with `body`.
struct Asked {
  int code = 0;
  control::Request request;
  std::string out;
  std::string err;
};
Asked run_with(std::vector<std::string> words, const std::string& body, int status = 200) {
  Asked asked;
  Shell shell;
  shell.exchange = [&](const std::string&, const control::Request& request,
                       std::chrono::seconds) -> std::expected<control::Reply, ClientError> {
    asked.request = request;
    return control::Reply{status, {}, body};
  };
  shell.out = [&](std::string_view text) { asked.out += text; };
  shell.err = [&](std::string_view text) { asked.err += text; };
  const auto parsed = parse_command_line(std::move(words));
  if (const auto* stopped = std::get_if<Stop>(&parsed)) {
    asked.code = stopped->exit_code;
    asked.err = stopped->error;
  } else {
    asked.code = run(std::get<CommandLine>(parsed), shell);
  }
  return asked;
}

TEST(Token, CreateShowsTheSecretAloneOnStandardOutput) {
  const Asked asked = run_with({"token", "create", "ci", "--scope", "read,write", "--account", "blue", "--days", "30"},
                               std::string{R"({"token":)"} + kToken + R"(,"secret":"qanat_x_y"})", 201);
  EXPECT_EQ(asked.code, kOk) << asked.err;
  EXPECT_EQ(asked.request.method + " " + asked.request.target, "POST /v1/tokens");
  EXPECT_EQ(asked.request.body, R"({"account":"blue","days":30,"name":"ci","scopes":["read","write"]})");
  EXPECT_EQ(asked.out, "qanat_x_y\n");
  EXPECT_THAT(asked.err, HasSubstr("0123456789abcdef  ci  scopes read,write, account all, until deleted"));
}

TEST(Token, ReadIsWhatATokenMayWithoutMore) {
  EXPECT_EQ(run_with({"token", "create", "x"}, "{}").request.body, R"({"name":"x","scopes":["read"]})");
}

TEST(Token, ListAndDelete) {
  Asked asked = run_with({"token", "list"}, std::string{R"({"tokens":[)"} + kToken + "]}");
  EXPECT_EQ(asked.request.method + " " + asked.request.target, "GET /v1/tokens");
  EXPECT_THAT(asked.out, HasSubstr("0123456789abcdef  ci"));
  EXPECT_THAT(run_with({"token", "list"}, R"({"tokens":[]})").out, HasSubstr("There is no token"));
  asked = run_with({"token", "delete", "0123456789abcdef"}, std::string{R"({"deleted":)"} + kToken + "}");
  EXPECT_EQ(asked.request.method + " " + asked.request.target, "DELETE /v1/tokens/0123456789abcdef");
  EXPECT_THAT(asked.out, HasSubstr("deleted 0123456789abcdef"));
}

TEST(Token, MistakesAreSaid) {
  EXPECT_EQ(run_with({"token", "create", "x", "--scope", "admin"}, "{}").code, kUsage);
  EXPECT_EQ(run_with({"token", "create"}, "{}").code, kUsage);
  EXPECT_EQ(run_with({"token", "create", "x", "--days", "0"}, "{}").code, kUsage);
  EXPECT_EQ(run_with({"token", "list"}, "[").code, kFailed);
  const Asked asked = run_with({"token", "delete", "x"}, R"({"error":{"code":"not_found","message":"no such"}})", 404);
  EXPECT_EQ(asked.code, kFailed);
  EXPECT_THAT(asked.err, HasSubstr("no such"));
}

}  // namespace
}  // namespace qanat::cli
