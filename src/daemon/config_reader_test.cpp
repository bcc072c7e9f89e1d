// The reader over a real socket pair and real files, without its walls (which netns/test_reload.py shows).
#include "daemon/config_reader.hpp"

#include <filesystem>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace qanat::daemon {
namespace {

using ::testing::HasSubstr;

class Reader : public ::testing::Test {
 protected:
  Reader() : folder_(std::filesystem::temp_directory_path() / ("qanat-reader-" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(folder_);
    int ends[2] = {-1, -1};
    ensure(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "a socket pair");
    theirs_ = io::UniqueFd(ends[1]);
    reader_.emplace(io::UniqueFd(ends[0]), file());
    thread_ = std::thread([this] { serve_config(theirs_.get(), file()); });
  }
  ~Reader() override {
    reader_.reset();
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string file() const { return (folder_ / "qanat.toml").string(); }
  void write(const std::string& name, const std::string& text, std::filesystem::perms mode) {
    const auto path = folder_ / name;
    std::ofstream{path} << text;
    std::filesystem::permissions(path, mode);
  }
  void write_config(const std::string& psk_file) {
    write("qanat.toml",
          "[gateway]\naddress = \"192.0.2.1\"\n[[tunnel]]\nname = \"berlin\"\npeer = \"192.0.2.2\"\npsk_file = \"" +
              psk_file + "\"\n",
          std::filesystem::perms::owner_read);
  }
  std::expected<config::LoadedConfig, std::vector<config::Problem>> ask() {
    EXPECT_TRUE(reader_->ask().has_value());
    while (true) {
      pollfd p{reader_->fd(), POLLIN, 0};
      EXPECT_EQ(::poll(&p, 1, 10'000), 1);
      if (auto files = reader_->poll()) {
        EXPECT_TRUE(files->has_value());
        return (*files)->load(file(), WallTime{1'790'000'000});
      }
    }
  }

  std::filesystem::path folder_;
  io::UniqueFd theirs_;
  std::optional<ConfigReader> reader_;
  std::thread thread_;
};

constexpr const char* kKey = "qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

TEST_F(Reader, HandsOverTheFileAndTheKeysThatItNames) {
  write_config("berlin.psk");
  write("berlin.psk", std::string{kKey} + "\n", std::filesystem::perms::owner_read);
  const auto loaded = ask();
  ASSERT_TRUE(loaded.has_value()) << config::render_problems(loaded.error());
  ASSERT_EQ(loaded->config.tunnels.size(), 1U);
  EXPECT_TRUE(equal(loaded->config.tunnels[0].psk.expose(), to_bytes(std::string_view{kKey})));
  // And again, as it is by then.
  std::filesystem::remove(folder_ / "qanat.toml");
  write_config("paris.psk");
  const auto missing = ask();
  ASSERT_FALSE(missing.has_value());
  EXPECT_THAT(config::render_problems(missing.error()),
              HasSubstr("qanat.toml:6:12: error: [[tunnel]] berlin: psk_file"));
}

TEST_F(Reader, SaysWhatIsWrongWithTheFiles) {
  const auto absent = ask();
  ASSERT_FALSE(absent.has_value());
  EXPECT_THAT(config::render_problems(absent.error()), HasSubstr("cannot be opened"));
  write_config("open.psk");
  write("open.psk", kKey, std::filesystem::perms::all);
  const auto open = ask();
  ASSERT_FALSE(open.has_value());
  EXPECT_THAT(config::render_problems(open.error()), HasSubstr("chmod 600"));
}

TEST_F(Reader, CarriesWhatDoesNotFitOneMessage) {
  write_config("berlin.psk");
  write("berlin.psk", kKey, std::filesystem::perms::owner_read);
  std::filesystem::permissions(folder_ / "qanat.toml", std::filesystem::perms::owner_all);
  std::ofstream{folder_ / "qanat.toml", std::ios::app} << "#" << std::string(3'000'000, 'x') << "\n";
  EXPECT_TRUE(ask().has_value());
}

TEST(ConfigReader, TellsThatItsProcessHasGone) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ConfigReader reader{io::UniqueFd(ends[0]), "qanat.toml"};
  ::close(ends[1]);
  EXPECT_FALSE(reader.ask().has_value());
  const auto said = reader.poll();
  ASSERT_TRUE(said.has_value());
  ASSERT_FALSE(said->has_value());
  EXPECT_THAT(said->error().detail, HasSubstr("restart qanatd"));
}

}  // namespace
}  // namespace qanat::daemon
