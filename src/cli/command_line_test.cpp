#include "cli/command_line.hpp"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qanat::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

CommandLine parsed(std::vector<std::string> args) {
  auto result = parse_command_line(std::move(args));
  const auto* line = std::get_if<CommandLine>(&result);
  EXPECT_NE(line, nullptr) << std::get<Stop>(result).error;
  return line ? *line : CommandLine{};
}

Stop stopped(std::vector<std::string> args) {
  auto result = parse_command_line(std::move(args));
  const auto* stop = std::get_if<Stop>(&result);
  EXPECT_NE(stop, nullptr);
  return stop ? *stop : Stop{};
}

TEST(CommandLine, Commands) {
  EXPECT_EQ(parsed({"status"}).command, Command::Status);
  EXPECT_EQ(parsed({"status"}).name, "");
  EXPECT_EQ(parsed({"status", "berlin"}).name, "berlin");
  EXPECT_EQ(parsed({"up", "berlin"}).command, Command::Up);
  EXPECT_EQ(parsed({"down", "berlin"}).command, Command::Down);
  EXPECT_EQ(parsed({"rekey", "berlin"}).command, Command::Rekey);
  EXPECT_EQ(parsed({"rekey", "berlin"}).rekey, CommandLine::Rekey::Child);
  EXPECT_EQ(parsed({"rekey", "berlin", "--ike"}).rekey, CommandLine::Rekey::Ike);
  EXPECT_EQ(parsed({"rekey", "berlin", "--reauth"}).rekey, CommandLine::Rekey::Reauth);
  EXPECT_EQ(parsed({"check", "a.toml"}).file, "a.toml");
  EXPECT_EQ(parsed({"genpsk"}).file, "");
  EXPECT_EQ(parsed({"genpsk", "-o", "a.psk"}).file, "a.psk");
  EXPECT_EQ(parsed({"purge"}).command, Command::Purge);
  EXPECT_EQ(parsed({"version"}).command, Command::Version);
}

TEST(CommandLine, OptionsStandBeforeOrAfterTheCommand) {
  EXPECT_TRUE(parsed({"--json", "status"}).json);
  EXPECT_TRUE(parsed({"status", "--json"}).json);
  EXPECT_EQ(parsed({"--socket", "/tmp/q", "status", "berlin"}).socket, "/tmp/q");
  EXPECT_EQ(parsed({"up", "berlin", "--socket=/tmp/q"}).socket, "/tmp/q");
  EXPECT_EQ(parsed({"status"}).socket, kDefaultSocket);
}

TEST(CommandLine, SocketFromTheEnvironment) {
  ASSERT_EQ(::setenv("QANAT_SOCKET", "/tmp/env.sock", 1), 0);
  EXPECT_EQ(parsed({"status"}).socket, "/tmp/env.sock");
  EXPECT_EQ(parsed({"status", "--socket", "/tmp/q"}).socket, "/tmp/q");
  ::unsetenv("QANAT_SOCKET");
}

TEST(CommandLine, Help) {
  const Stop help = stopped({"--help"});
  EXPECT_EQ(help.exit_code, kOk);
  EXPECT_THAT(help.out,
              AllOf(HasSubstr("status"), HasSubstr("genpsk"), HasSubstr("--socket"), HasSubstr("Exit codes")));
  EXPECT_THAT(stopped({"up", "--help"}).out, HasSubstr("The tunnel"));
}

TEST(CommandLine, MistakesAreNamed) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "no command given"},
      {{"stauts"}, "unknown command 'stauts'; did you mean 'status'?"},
      {{"--json", "frobnicate"}, "unknown command 'frobnicate'"},
      {{"up"}, "NAME is required; see: qanat up --help"},
      {{"check"}, "FILE is required"},
      {{"status", "a", "b"}, "see: qanat status --help"},
      {{"status", "--jsn"}, "--jsn"},
      {{"genpsk", "-o"}, "see: qanat genpsk --help"},
      {{"status", "--socket", ""}, "--socket"},
      {{"status", "--socket", std::string(200, 'x')}, "1 to 107 characters"},
      {{"sta\x1btus"}, "sta\\x1btus"}};
  for (const auto& [args, message] : cases) {
    const Stop stop = stopped(args);
    EXPECT_EQ(stop.exit_code, kUsage) << message;
    EXPECT_THAT(stop.error, HasSubstr(message));
    EXPECT_EQ(stop.error.find('\n'), std::string::npos) << "one line";
  }
  EXPECT_TRUE(stopped({"stauts", "--json"}).json);
}

}  // namespace
}  // namespace qanat::cli
