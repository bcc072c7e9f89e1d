#include "io/sqlite_ledger.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace qanat::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Ledger : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "qanat-ledger-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = (folder_ / "posture.db").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
  std::string file_;
};

const model::PostureRecord kBerlin{"berlin", 5'000'000'000, 12.5, 7, 0.25, WallTime{1'800'000'000}, std::nullopt};
const model::PostureRecord kOslo{"oslo", 0, 0, 1, 1, std::nullopt, WallTime{1'800'000'001}};

TEST_F(Ledger, RecordsComeBackAndAreReplacedByName) {
  {
    auto ledger = SqliteLedger::open(file_);
    ASSERT_TRUE(ledger) << ledger.error().detail;
    EXPECT_THAT(*(*ledger)->load(), ::testing::IsEmpty());
    ASSERT_TRUE((*ledger)->save({kOslo, kBerlin}));
    EXPECT_THAT(*(*ledger)->load(), ElementsAre(kBerlin, kOslo));
  }
  auto again = SqliteLedger::open(file_);
  ASSERT_TRUE(again) << again.error().detail;
  auto more = kBerlin;
  more.classical_bytes += 1;
  ASSERT_TRUE((*again)->save({more}));
  EXPECT_THAT(*(*again)->load(), ElementsAre(more, kOslo));
  struct stat info{};
  ASSERT_EQ(::stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(Ledger, WhatWasSavedSurvivesAKill) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto ledger = SqliteLedger::open(file_);
    if (!ledger || !(*ledger)->save({kBerlin})) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  auto ledger = SqliteLedger::open(file_);
  ASSERT_TRUE(ledger) << ledger.error().detail;
  EXPECT_THAT(*(*ledger)->load(), ElementsAre(kBerlin));
}

TEST_F(Ledger, WhatIsNoLedgerIsLeftAlone) {
  const std::string noise(5000, 'x');
  std::ofstream{file_} << noise;
  const auto ledger = SqliteLedger::open(file_);
  ASSERT_FALSE(ledger);
  EXPECT_THAT(ledger.error().where, HasSubstr("posture.db"));
  EXPECT_EQ(std::filesystem::file_size(file_), noise.size());
  EXPECT_FALSE(SqliteLedger::open((folder_ / "nowhere" / "posture.db").string()));
}

TEST_F(Ledger, OneDaemonAtATime) {
  auto first = SqliteLedger::open(file_);
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->save({kOslo}));
  EXPECT_FALSE(SqliteLedger::open(file_));
}

}  // namespace
}  // namespace qanat::io
