// The file of the control socket: stale ones, mode and group. Apart from http_server.cpp, which takes long to compile.
#include <cstring>
#include <optional>
#include <vector>

#include <grp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "io/http_server.hpp"

namespace qanat::io {

namespace {

std::optional<gid_t> find_group(const std::string& name) {
  if (name.empty()) return std::nullopt;
  std::vector<char> buffer(16 * 1024);
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return std::nullopt;
  }
  return entry.gr_gid;
}

// Removes a socket that nobody listens on.
Status remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return system_failure(path, "lstat");
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail(ErrorKind::LocalPolicy, path, "it exists and is no socket: it is left alone");
  }
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return system_failure(path, "socket");
  const int connected = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (connected == 0 || errno == EAGAIN || errno == EINPROGRESS) {
    return fail(ErrorKind::Resource, path, "another qanatd is listening on it");
  }
  if (errno != ECONNREFUSED) return system_failure(path, "connect");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_failure(path, "unlink");
  return {};
}

}  // namespace

Result<UniqueFd> open_control_socket(const std::string& path, const std::string& control_group) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.front() != '/' || path.size() >= sizeof address.sun_path) {
    return fail(ErrorKind::LocalPolicy, path, "a control socket needs an absolute path of at most 107 characters");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  // /run/qanat is systemd's to make; started by hand, it is ours.
  const std::string folder = path.substr(0, path.rfind('/'));
  if (!folder.empty() && ::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return system_failure(folder, "mkdir");
  QANAT_TRY(remove_stale(path, address));

  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return system_failure(path, "socket");
  const mode_t before = ::umask(0177);  // nobody else until the group is set
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound != 0) return system_failure(path, error == ENOENT ? "its folder does not exist" : "bind", error);
  if (const auto gid = find_group(control_group); gid && ::lchown(path.c_str(), static_cast<uid_t>(-1), *gid) != 0) {
    return system_failure(path, "chown to group " + control_group);
  }
  if (::chmod(path.c_str(), 0660) != 0) return system_failure(path, "chmod");
  if (::listen(fd.get(), 64) != 0) return system_failure(path, "listen");
  return fd;
}

Result<UniqueFd> open_tcp_listener(const Endpoint& at, const std::string& what, int backlog) {
  const std::string where = what + " at " + at.to_string();
  const bool v6 = at.address.is_v6();
  UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return system_failure(where, "socket");
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
    return system_failure(where, "SO_REUSEADDR");
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (v6) {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(at.port);
    std::memcpy(&address.sin6_addr, at.address.bytes().data(), sizeof address.sin6_addr);
    size = sizeof address;
    if (::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
      return system_failure(where, "IPV6_V6ONLY");
  } else {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    address.sin_port = htons(at.port);
    std::memcpy(&address.sin_addr, at.address.bytes().data(), sizeof address.sin_addr);
    size = sizeof address;
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0) return system_failure(where, "bind");
  if (::listen(fd.get(), backlog) != 0) return system_failure(where, "listen");
  return fd;
}

}  // namespace qanat::io
