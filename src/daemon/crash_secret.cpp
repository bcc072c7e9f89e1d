#include "daemon/crash_secret.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ike/crash_token.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

using Secret = std::shared_ptr<const SecretBytes>;

Result<Secret> make(const std::string& path, Rng& rng) {
  const io::UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
  if (!fd.valid()) return io::system_failure(path, "cannot be made");
  SecretBytes secret = SecretBytes::adopt(rng.bytes(ike::kCrashSecretSize));
  const ByteView octets = secret.expose();
  if (::write(fd.get(), octets.data(), octets.size()) != static_cast<ssize_t>(octets.size()) || ::fsync(fd.get()) != 0)
    return io::system_failure(path, "cannot be written");
  return std::make_shared<const SecretBytes>(std::move(secret));
}

}  // namespace

Result<Secret> load_crash_secret(const std::string& dir, Rng& rng) {
  const std::string path = dir + "/crash.key";
  const io::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
  if (!fd.valid()) return errno == ENOENT ? make(path, rng) : io::system_failure(path, "cannot be opened");
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return io::system_failure(path, "fstat");
  if (!S_ISREG(info.st_mode) || (info.st_mode & 077) != 0) {
    return fail(
        ErrorKind::LocalPolicy, path,
        fmt::format("others than its owner may use it (mode {:04o}): remove it, and another is made at the next "
                    "start",
                    info.st_mode & 07777));
  }
  SecretBytes secret(ike::kCrashSecretSize);
  const MutableByteView octets = secret.expose_mutable();
  if (info.st_size != static_cast<off_t>(octets.size()) ||
      ::read(fd.get(), octets.data(), octets.size()) != static_cast<ssize_t>(octets.size())) {
    return fail(ErrorKind::LocalPolicy, path,
                fmt::format("it has not {} octets: remove it, and another is made at the next start", octets.size()));
  }
  return std::make_shared<const SecretBytes>(std::move(secret));
}

}  // namespace qanat::daemon
