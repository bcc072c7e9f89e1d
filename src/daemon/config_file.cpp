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

// A relative path begins at the folder of the configuration.
std::string whole_path(const std::string& file, const std::string& path) {
  const std::size_t slash = file.rfind('/');
  return path.starts_with('/') || slash == std::string::npos ? path : file.substr(0, slash + 1) + path;
}

std::string_view view_of(const SecretBytes& text) {
  return {reinterpret_cast<const char*>(text.expose().data()), text.expose().size()};
}

config::FileReader disk_reader(const std::string& file) {
  return {[&file](const std::string& path) { return read_secret(whole_path(file, path)); },
          [&file](const std::string& path) { return read_file(whole_path(file, path), config::kMaxPublicFile); }};
}

Result<SecretBytes> copy(const Result<SecretBytes>& octets) {
  if (!octets) return std::unexpected(octets.error());
  return octets->clone();
}

}  // namespace

Result<config::LoadedConfig> read_config(const std::string& file) {
  auto text = read_file(file, config::kMaxConfigSize);
  if (!text)
    return fail(ErrorKind::LocalPolicy, text.error().where,
                fmt::format("{}; name another with -c, docs/config.md shows how to write one", text.error().detail));
  auto loaded = config::load(view_of(*text), file, disk_reader(file), io::wall_now());
  const auto& problems = loaded ? loaded->warnings : loaded.error();
  if (!problems.empty()) std::fputs(config::render_problems(problems).c_str(), stderr);
  if (!loaded) return fail(ErrorKind::LocalPolicy, file, "is not usable: nothing was started or changed");
  return std::move(*loaded);
}

ConfigFiles ConfigFiles::read(const std::string& file) {
  ConfigFiles out;
  out.text = read_file(file, config::kMaxConfigSize);
  if (!out.text) return out;
  const config::FileReader disk = disk_reader(file);
  const auto keep = [](std::map<std::string, Result<SecretBytes>>& in, const std::string& path,
                       Result<SecretBytes> octets) {
    const auto [it, fresh] = in.try_emplace(path, std::move(octets));
    return copy(it->second);
  };
  // Which files there are only the configuration says; what is wrong with it is said by whoever gets it.
  (void)config::load(
      view_of(*out.text), file,
      config::FileReader{[&](const std::string& path) { return keep(out.secrets, path, disk(path)); },
                         [&](const std::string& path) { return keep(out.others, path, disk.read_public(path)); }});
  return out;
}

std::expected<config::LoadedConfig, std::vector<config::Problem>> ConfigFiles::load(const std::string& file,
                                                                                    WallTime now) const {
  if (!text) return std::unexpected(std::vector{config::Problem{file, 0, 0, text.error().detail, {}, {}}});
  const auto find = [](const std::map<std::string, Result<SecretBytes>>& in,
                       const std::string& path) -> Result<SecretBytes> {
    const auto found = in.find(path);
    if (found == in.end()) return fail(ErrorKind::Internal, path, "was not read");
    return copy(found->second);
  };
  return config::load(view_of(*text), file,
                      config::FileReader{[&](const std::string& path) { return find(secrets, path); },
                                         [&](const std::string& path) { return find(others, path); }},
                      now);
}

}  // namespace qanat::daemon
