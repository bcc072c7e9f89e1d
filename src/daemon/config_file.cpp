#include "daemon/config_file.hpp"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/clock.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

Result<SecretBytes> read_file(const std::string& path, std::size_t limit) {
  const io::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd.valid()) return io::system_failure(path, "cannot be opened");
  SecretBytes out(limit + 1);
  std::size_t size = 0;
  while (size < out.size()) {
    const ssize_t n = ::read(fd.get(), out.expose_mutable().data() + size, out.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io::system_failure(path, "cannot be read");
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > limit) return fail(ErrorKind::LocalPolicy, path, fmt::format("is larger than {} octets", limit));
  return SecretBytes::copy_of(out.expose().first(size));
}

Result<SecretBytes> read_secret(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return io::system_failure(path, "cannot be opened");
  if ((st.st_mode & 0037) != 0) {
    return fail(ErrorKind::LocalPolicy, path,
                fmt::format("can be read by others, or written by its group: chmod 600 {}", path));
  }
  return read_file(path, config::kMaxSecretFile);
}

}  // namespace

Result<model::Config> read_config(const std::string& file) {
  auto text = read_file(file, config::kMaxConfigSize);
  if (!text)
    return fail(ErrorKind::LocalPolicy, text.error().where,
                fmt::format("{}; name another with -c, docs/config.md shows how to write one", text.error().detail));
  const std::size_t slash = file.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : file.substr(0, slash + 1);
  const ByteView octets = text->expose();
  const std::string_view view{reinterpret_cast<const char*>(octets.data()), octets.size()};
  const auto whole = [&folder](const std::string& path) { return path.starts_with('/') ? path : folder + path; };
  auto loaded = config::load(
      view, file,
      config::FileReader{[&](const std::string& path) { return read_secret(whole(path)); },
                         [&](const std::string& path) { return read_file(whole(path), config::kMaxPublicFile); }},
      io::wall_now());
  const auto& problems = loaded ? loaded->warnings : loaded.error();
  if (!problems.empty()) std::fputs(config::render_problems(problems).c_str(), stderr);
  if (!loaded) return fail(ErrorKind::LocalPolicy, file, "is not usable: nothing was started or changed");
  return std::move(loaded->config);
}

}  // namespace qanat::daemon
