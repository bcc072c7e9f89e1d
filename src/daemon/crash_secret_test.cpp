#include "daemon/crash_secret.hpp"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ike/crash_token.hpp"

namespace qanat::daemon {
namespace {

using ::testing::HasSubstr;

class CrashSecret : public ::testing::Test {
 protected:
  CrashSecret() : dir_(::testing::TempDir() + "crash-secret-" + std::to_string(::getpid())) {
    std::filesystem::create_directory(dir_);
  }
  ~CrashSecret() override { std::filesystem::remove_all(dir_); }
  [[nodiscard]] std::string path() const { return dir_ + "/crash.key"; }

  std::string dir_;
  SeededRng rng_{1};
};

TEST_F(CrashSecret, IsMadeOnceAndKept) {
  const auto first = load_crash_secret(dir_, rng_);
  ASSERT_TRUE(first.has_value()) << first.error().detail;
  EXPECT_EQ((*first)->size(), ike::kCrashSecretSize);
  struct stat info{};
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  const auto again = load_crash_secret(dir_, rng_);
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(equal((*again)->expose(), (*first)->expose()));
}

TEST_F(CrashSecret, WhatOthersMayReadIsRefused) {
  ASSERT_TRUE(load_crash_secret(dir_, rng_).has_value());
  ASSERT_EQ(::chmod(path().c_str(), 0640), 0);
  const auto refused = load_crash_secret(dir_, rng_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().detail, HasSubstr("0640"));
}

TEST_F(CrashSecret, AnotherSizeIsRefused) {
  for (const std::size_t size : {0U, 31U, 33U}) {
    std::ofstream{path()} << std::string(size, 'x');
    ASSERT_EQ(::chmod(path().c_str(), 0600), 0);
    EXPECT_FALSE(load_crash_secret(dir_, rng_).has_value()) << size;
  }
}

TEST_F(CrashSecret, ALinkIsNotFollowed) {
  std::filesystem::create_symlink("/dev/zero", path());
  EXPECT_FALSE(load_crash_secret(dir_, rng_).has_value());
}

TEST_F(CrashSecret, WithoutTheFolderItIsSaid) {
  const auto refused = load_crash_secret(dir_ + "/none", rng_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().where, HasSubstr("crash.key"));
}

}  // namespace
}  // namespace qanat::daemon
