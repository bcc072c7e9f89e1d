// Real files and real sockets: what files.cpp and client.cpp do to the system.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/client.hpp"
#include "cli/files.hpp"

namespace qanat::cli {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

class ShellTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "qanat-cli-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text, mode_t mode) const {
    std::ofstream{path(name)} << text;
    ASSERT_EQ(::chmod(path(name).c_str(), mode), 0);
  }
  std::filesystem::path folder_;
};

TEST_F(ShellTest, NewFileIsForItsOwnerAlone) {
  const Bytes content = to_bytes(std::string_view{"secret\n"});
  const mode_t old = ::umask(0);
  EXPECT_TRUE(write_new_file(path("a.psk"), content).has_value());
  ::umask(old);
  struct stat info{};
  ASSERT_EQ(::stat(path("a.psk").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  EXPECT_EQ(*read_text_file(path("a.psk")), "secret\n");
}

TEST_F(ShellTest, NewFileNeverOverwrites) {
  write("a.psk", "old", 0600);
  const auto again = write_new_file(path("a.psk"), to_bytes(std::string_view{"new"}));
  ASSERT_FALSE(again.has_value());
  EXPECT_THAT(again.error().detail, HasSubstr("is there already and is not overwritten"));
  EXPECT_EQ(*read_text_file(path("a.psk")), "old");
  ASSERT_EQ(::symlink(path("elsewhere").c_str(), path("link.psk").c_str()), 0);
  EXPECT_FALSE(write_new_file(path("link.psk"), to_bytes(std::string_view{"new"})).has_value());
  EXPECT_FALSE(std::filesystem::exists(path("elsewhere")));
  EXPECT_THAT(write_new_file(path("no/a.psk"), {}).error().detail, HasSubstr("its folder is not there"));
}

TEST_F(ShellTest, KeyFiles) {
  write("good.psk", "key", 0600);
  write("group.psk", "key", 0640);
  write("world.psk", "key", 0644);
  const auto read = key_reader(path("qanat.toml"));
  EXPECT_EQ(read("good.psk")->size(), 3U) << "relative to the folder of the configuration";
  EXPECT_EQ(read(path("good.psk"))->size(), 3U);
  EXPECT_TRUE(read("group.psk").has_value());
  EXPECT_THAT(read("world.psk").error().detail,
              HasSubstr("mode 0644, so others than its owner may read or change it: chmod 600 "));
  EXPECT_THAT(read("missing.psk").error().detail, HasSubstr("is not there"));
  EXPECT_THAT(read(".").error().detail, HasSubstr("no regular file"));
  write("big.psk", std::string(70000, 'x'), 0600);
  EXPECT_THAT(read("big.psk").error().detail, HasSubstr("larger than 65536"));
  ASSERT_EQ(::mkfifo(path("fifo.psk").c_str(), 0600), 0);
  EXPECT_THAT(read("fifo.psk").error().detail, HasSubstr("no regular file")) << "and does not wait for a writer";
}

TEST_F(ShellTest, TextFiles) {
  write("a.toml", std::string(100'000, 'x'), 0644);
  EXPECT_EQ(read_text_file(path("a.toml"))->size(), 100'000U);
  EXPECT_THAT(read_text_file(path("none")).error().detail, HasSubstr("is not there"));
  EXPECT_THAT(read_text_file(path(".")).error().detail, HasSubstr("cannot be read"));
  EXPECT_FALSE(read_text_file("/dev/zero").has_value()) << "bounded";
}

TEST_F(ShellTest, OwnerHasNames) {
  EXPECT_EQ(owner_of("/"), "user root, group root");
  EXPECT_EQ(owner_of(path("none")), "");
}

// A daemon that answers one connection with given octets.
class FakeDaemon {
 public:
  FakeDaemon(const std::string& path, std::string answer)
      : answer_(std::move(answer)), listener_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    thread_ = std::jthread{[this] { serve(); }};
  }
  ~FakeDaemon() {
    thread_.join();
    ::close(listener_);
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;
  std::string request;

 private:
  void serve() {
    const int peer = ::accept(listener_, nullptr, nullptr);
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::read(peer, buffer, sizeof buffer);
      if (got <= 0) break;
      request.append(buffer, static_cast<std::size_t>(got));
    }
    if (answer_ == "hang") {
      while (::read(peer, buffer, sizeof buffer) > 0) {
      }
    } else {
      EXPECT_EQ(::write(peer, answer_.data(), answer_.size()), static_cast<ssize_t>(answer_.size()));
    }
    ::close(peer);
  }
  std::string answer_;
  int listener_;
  std::jthread thread_;
};

TEST_F(ShellTest, ExchangeWithADaemon) {
  std::expected<control::Reply, ClientError> reply;
  std::string request;
  {
    FakeDaemon daemon{path("q.sock"),
                      "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"};
    reply = exchange(path("q.sock"), {"POST", "/v1/tunnels/berlin/up?wait=0", ""}, 5s);
    request = daemon.request;
  }
  ASSERT_TRUE(reply.has_value()) << reply.error().detail;
  EXPECT_EQ(reply->status, 404);
  EXPECT_EQ(reply->body, "{}");
  EXPECT_THAT(request, HasSubstr("POST /v1/tunnels/berlin/up?wait=0 HTTP/1.1\r\n"));
}

TEST_F(ShellTest, ExchangeFaults) {
  const control::Request request{"GET", "/v1/status", ""};
  EXPECT_EQ(exchange(path("none.sock"), request, 5s).error().fault, ClientFault::NoSocket);
  write("file.sock", "", 0600);
  EXPECT_EQ(exchange(path("file.sock"), request, 5s).error().fault, ClientFault::NobodyListens);
  {
    FakeDaemon daemon{path("noise.sock"), "SSH-2.0-OpenSSH\r\n"};
    EXPECT_EQ(exchange(path("noise.sock"), request, 5s).error().fault, ClientFault::NoHttp);
  }
  EXPECT_EQ(exchange(path("noise.sock"), request, 5s).error().fault, ClientFault::NobodyListens)
      << "the daemon has ended";
  {
    FakeDaemon daemon{path("short.sock"), "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"};
    EXPECT_EQ(exchange(path("short.sock"), request, 5s).error().fault, ClientFault::NoHttp);
  }
  {
    FakeDaemon daemon{path("hang.sock"), "hang"};
    EXPECT_EQ(exchange(path("hang.sock"), request, 1s).error().fault, ClientFault::NoAnswer);
  }
}

}  // namespace
}  // namespace qanat::cli
