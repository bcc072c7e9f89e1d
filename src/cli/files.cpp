#include "cli/files.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace qanat::cli {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

std::string system_words(int error) {
  return std::generic_category().message(error);
}

std::unexpected<Error> trouble(const std::string& path, std::string detail) {
  return fail(ErrorKind::Resource, path, std::move(detail));
}

// The whole file; an error when it holds more than `max_size` octets.
Result<SecretBytes> read_all(int fd, const std::string& path, std::size_t max_size) {
  SecretBytes content;
  std::size_t used = 0;
  content = SecretBytes{8192};
  while (true) {
    if (used == content.size()) {
      if (used > max_size)
        return trouble(path, fmt::format("{} is larger than {} octets: is this the right file?", path, max_size));
      SecretBytes bigger{content.size() * 2};
      std::copy(content.expose().begin(), content.expose().end(), bigger.expose_mutable().begin());
      content = std::move(bigger);
    }
    const ssize_t got = ::read(fd, content.expose_mutable().data() + used, content.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return trouble(path, fmt::format("{} cannot be read: {}", path, system_words(errno)));
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  if (used > max_size)
    return trouble(path, fmt::format("{} is larger than {} octets: is this the right file?", path, max_size));
  return SecretBytes::copy_of(content.expose().first(used));
}

std::string open_error(const std::string& path, int error) {
  if (error == ENOENT) return fmt::format("{} is not there", path);
  if (error == EACCES) return fmt::format("{} may not be read by you: try again with sudo", path);
  return fmt::format("{} cannot be opened: {}", path, system_words(error));
}

Result<SecretBytes> read_octets(const std::string& path, std::size_t limit) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.get() < 0) return trouble(path, open_error(path, errno));
  return read_all(file.get(), path, limit);
}

Result<SecretBytes> read_key_file(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.get() < 0) {
    const int error = errno;
    return trouble(path, open_error(path, error) + (error == ENOENT && !path.ends_with(".key")
                                                        ? fmt::format("; make it with: qanat genpsk -o {}", path)
                                                        : ""));
  }
  struct stat info{};
  if (::fstat(file.get(), &info) != 0)
    return trouble(path, fmt::format("{} cannot be examined: {}", path, system_words(errno)));
  if (!S_ISREG(info.st_mode)) return trouble(path, fmt::format("{} is no regular file", path));
  if ((info.st_mode & 0037U) != 0) {
    return trouble(path, fmt::format("{} has mode {:04o}, so others than its owner may read or change it: chmod 600 {}",
                                     path, info.st_mode & 07777U, path));
  }
  return read_all(file.get(), path, config::kMaxSecretFile);
}

void write_all(std::FILE* stream, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

Result<std::string> read_text_file(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0) return trouble(path, open_error(path, errno));
  QANAT_ASSIGN(const SecretBytes content, read_all(file.get(), path, config::kMaxConfigSize));
  return std::string{reinterpret_cast<const char*>(content.expose().data()), content.size()};
}

config::FileReader key_reader(const std::string& config_path) {
  const auto folder = std::filesystem::path{config_path}.parent_path();
  return {[folder](const std::string& path) { return read_key_file((folder / path).string()); },
          [folder](const std::string& path) { return read_octets((folder / path).string(), config::kMaxPublicFile); }};
}

namespace {

Result<int> make_exclusively(const std::string& path, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file >= 0) return file;
  const int error = errno;
  if (error == EEXIST)
    return trouble(
        path, fmt::format("{} is there already and is not overwritten: remove it first, or take another name", path));
  if (error == ENOENT) return trouble(path, fmt::format("{} cannot be made: its folder is not there", path));
  if (error == EACCES) return trouble(path, fmt::format("{} may not be made by you: try again with sudo", path));
  return trouble(path, fmt::format("{} cannot be made: {}", path, system_words(error)));
}

// 0, or what is wrong.
int write_whole(int file, ByteView content) {
  while (!content.empty()) {
    const ssize_t put = ::write(file, content.data(), content.size());
    if (put >= 0) {
      content = content.subspan(static_cast<std::size_t>(put));
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

Status write_exclusively(const std::string& path, ByteView content, mode_t mode) {
  QANAT_ASSIGN(const int fd, make_exclusively(path, mode));
  Descriptor file{fd};
  int error = write_whole(file.get(), content);
  if (error == 0 && ::fsync(file.get()) != 0 && errno != EINVAL && errno != EROFS) error = errno;
  if (::close(file.release()) != 0 && error == 0) error = errno;
  if (error == 0) return {};
  ::unlink(path.c_str());  // half a key is no key
  return trouble(path, fmt::format("{} cannot be written: {}", path, system_words(error)));
}

}  // namespace

Status write_new_file(const std::string& path, ByteView content) {
  return write_exclusively(path, content, S_IRUSR | S_IWUSR);
}

Result<std::function<Status(ByteView)>> open_new_file(const std::string& path) {
  QANAT_ASSIGN(const int fd, make_exclusively(path, S_IRUSR | S_IWUSR));
  return [path, file = std::make_shared<Descriptor>(fd)](ByteView content) -> Status {
    const int error = write_whole(file->get(), content);
    if (error == 0) return {};
    return trouble(path, fmt::format("{} cannot be written: {}", path, system_words(error)));
  };
}

Status write_public_file(const std::string& path, ByteView content) {
  return write_exclusively(path, content, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
}

Status replace_public_file(const std::string& path, ByteView content) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());  // of a run that was interrupted
  QANAT_TRY(write_public_file(fresh, content));
  if (::rename(fresh.c_str(), path.c_str()) == 0) return {};
  const int error = errno;
  ::unlink(fresh.c_str());
  return trouble(path, fmt::format("{} cannot be replaced: {}", path, system_words(error)));
}

Status make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return trouble(path, fmt::format("the folder {} cannot be made: {}", path, error.message()));
  return {};
}

WallTime wall_now() {
  return {
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
}

std::string owner_of(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return {};
  std::array<char, 4096> buffer{};
  passwd user{};
  passwd* found_user = nullptr;
  std::string out = ::getpwuid_r(info.st_uid, &user, buffer.data(), buffer.size(), &found_user) == 0 && found_user
                        ? fmt::format("user {}", user.pw_name)
                        : fmt::format("user {}", info.st_uid);
  group its_group{};
  group* found_group = nullptr;
  out += ::getgrgid_r(info.st_gid, &its_group, buffer.data(), buffer.size(), &found_group) == 0 && found_group
             ? fmt::format(", group {}", its_group.gr_name)
             : fmt::format(", group {}", info.st_gid);
  return out;
}

Colour terminal_colour() {
  const char* no_color = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe): before any thread
  return ::isatty(STDOUT_FILENO) == 1 && (!no_color || *no_color == '\0') ? Colour::Always : Colour::Never;
}

void write_out(std::string_view text) {
  write_all(stdout, text);
}
void write_err(std::string_view text) {
  write_all(stderr, text);
}

}  // namespace qanat::cli
