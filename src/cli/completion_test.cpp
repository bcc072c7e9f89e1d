// What a shell offers, asked of a real shell.
#include "cli/completion.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <variant>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "cli/command_line.hpp"

namespace qanat::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class Completion : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "qanat-completion-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    std::ofstream{folder_ / "qanat.bash"} << bash_completion(command_tree());
    std::ofstream{folder_ / "_qanat"} << zsh_completion(command_tree());
    // A qanat that has two tunnels.
    std::ofstream{folder_ / "qanat"} << "#!/bin/sh\n[ \"$*\" = 'completion tunnels' ] && printf 'berlin\\nparis\\n'\n";
    std::filesystem::permissions(folder_ / "qanat", std::filesystem::perms::owner_all);
    std::ofstream{folder_ / "site.toml"} << "\n";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::vector<std::string> lines_of(const std::string& command) const {
    const std::string whole = "cd " + folder_.string() + " && PATH=.:$PATH && " + command;
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(whole.c_str(), "r"), ::pclose};
    std::vector<std::string> out;
    std::array<char, 1024> line{};
    while (pipe && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
      out.emplace_back(line.data());
      out.back().erase(out.back().find_last_not_of('\n') + 1);
    }
    return out;
  }
  // What bash offers for the last of these words.
  [[nodiscard]] std::vector<std::string> offered(const std::string& words) const {
    return lines_of("bash -c '. ./qanat.bash; COMP_WORDS=(qanat " + words +
                    "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _qanat 2>/dev/null; ((${#COMPREPLY[@]} == 0)) || "
                    "printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
  }
  std::filesystem::path folder_;
};

TEST_F(Completion, CommandsByTheirBeginning) {
  EXPECT_THAT(offered("sta"), UnorderedElementsAre("status"));
  EXPECT_THAT(offered("\"\""),
              AllOf(Contains("status"), Contains("posture"), Contains("pki"), Not(Contains("completion"))));
  EXPECT_THAT(offered("pki \"\""), AllOf(Contains("ca"), Contains("issue"), Contains("show"), Contains("crl")));
  EXPECT_THAT(offered("--socket /run/x route g"), UnorderedElementsAre("get"));
}

TEST_F(Completion, Options) {
  EXPECT_THAT(offered("rekey berlin --"), UnorderedElementsAre("--help", "--ike", "--reauth", "--socket", "--json"));
  EXPECT_THAT(offered("posture --cs"), UnorderedElementsAre("--csv"));
}

TEST_F(Completion, TunnelsWhereATunnelIsMeant) {
  EXPECT_THAT(offered("down \"\""), AllOf(Contains("berlin"), Contains("paris")));
  EXPECT_THAT(offered("status be"), UnorderedElementsAre("berlin"));
  EXPECT_THAT(offered("check be"), IsEmpty());
}

TEST_F(Completion, Files) {
  EXPECT_THAT(offered("check si"), UnorderedElementsAre("site.toml"));
  EXPECT_THAT(offered("check x.toml --diff --old si"), UnorderedElementsAre("site.toml"));
  EXPECT_THAT(offered("watch --interval si"), IsEmpty());
}

// Every command that the help names is one that is completed.
TEST(CommandTree, HasWhatTheHelpHas) {
  const auto help = std::get<Stop>(parse_command_line({"--help"})).out;
  const CommandNode root = command_tree();
  EXPECT_GT(root.children.size(), 15U);
  for (const CommandNode& child : root.children) {
    EXPECT_NE(help.find("\n  " + child.name + " "), std::string::npos) << child.name;
    EXPECT_FALSE(child.does.empty()) << child.name;
  }
  EXPECT_EQ(help.find("completion"), std::string::npos) << "a hidden command";
}

TEST_F(Completion, ZshTakesIt) {
  if (std::system("command -v zsh >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no zsh";
  EXPECT_THAT(lines_of("zsh -n _qanat 2>&1"), IsEmpty());
  // Its functions in the place of _describe: what would be offered.
  const std::string fake = "_describe() { local a=${@[-1]}; print -l -- \"${(P@)a}\" }; _files() { print FILES }; ";
  const auto at = [&](const std::string& words) {
    return lines_of("zsh -fc '" + fake + "words=(qanat " + words + "); CURRENT=$#words; . ./_qanat'");
  };
  EXPECT_THAT(at("\"\""), AllOf(Contains("status:Every configured tunnel; with NAME, everything about one"),
                                Not(Contains(::testing::StartsWith("completion")))));
  EXPECT_THAT(at("down \"\""), UnorderedElementsAre("berlin", "paris"));
  EXPECT_THAT(at("check \"\""), UnorderedElementsAre("FILES"));
  EXPECT_THAT(at("posture --"), Contains("--csv:Print comma-separated values"));
}

}  // namespace
}  // namespace qanat::cli
