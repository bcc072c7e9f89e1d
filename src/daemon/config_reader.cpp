#include "daemon/config_reader.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <vector>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/sandbox.hpp"
#include "daemon/sandbox_filter.hpp"

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "config reader";
constexpr const char* kReaderUser = "qanat";
constexpr std::uint64_t kMaxAnswer = std::uint64_t{512} << 20;  // 16 MiB of configuration, and thousands of key files

enum class Kind : std::uint8_t { Text, Secret, Other };

ByteView view_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// False when the other end has gone.
bool send_all(int socket, ByteView octets) {
  while (!octets.empty()) {
    const ssize_t n = ::send(socket, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    octets = octets.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

struct Item {
  Bytes head;
  ByteView octets;
};

Item item_of(Kind kind, const std::string& path, const Result<SecretBytes>& octets) {
  const ByteView body = octets ? octets->expose() : view_of(octets.error().detail);
  ByteWriter head;
  head.u8(static_cast<std::uint8_t>(kind));
  head.u8(octets ? 1 : 0);
  head.u32(static_cast<std::uint32_t>(path.size()));
  head.bytes(view_of(path));
  head.u32(static_cast<std::uint32_t>(body.size()));
  return {std::move(head).take(), body};
}

bool answer(int socket, const ConfigFiles& files) {
  std::vector<Item> items;
  items.push_back(item_of(Kind::Text, "", files.text));
  for (const auto& [path, octets] : files.secrets) items.push_back(item_of(Kind::Secret, path, octets));
  for (const auto& [path, octets] : files.others) items.push_back(item_of(Kind::Other, path, octets));
  std::uint64_t size = 0;
  for (const Item& item : items) size += item.head.size() + item.octets.size();
  ByteWriter front;
  front.u64(size);
  if (!send_all(socket, front.view())) return false;
  for (const Item& item : items) {
    if (!send_all(socket, item.head) || !send_all(socket, item.octets)) return false;
  }
  return true;
}

std::string text_of(ByteView octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

Result<ConfigFiles> parse(ByteView body) {
  ConfigFiles out;
  bool has_text = false;
  ByteReader in{body};
  while (!in.empty()) {
    QANAT_ASSIGN(const std::uint8_t kind, in.u8("kind"));
    QANAT_ASSIGN(const std::uint8_t ok, in.u8("ok"));
    QANAT_ASSIGN(const std::uint32_t path_size, in.u32("length of a path"));
    QANAT_ASSIGN(const ByteView path, in.take(path_size, "path"));
    QANAT_ASSIGN(const std::uint32_t size, in.u32("length of a file"));
    QANAT_ASSIGN(const ByteView octets, in.take(size, "file"));
    Result<SecretBytes> content = SecretBytes::copy_of(octets);
    if (ok == 0) content = fail(ErrorKind::Resource, text_of(path), text_of(octets));
    if (kind == static_cast<std::uint8_t>(Kind::Text)) {
      out.text = std::move(content);
      has_text = true;
    } else {
      auto& files = kind == static_cast<std::uint8_t>(Kind::Secret) ? out.secrets : out.others;
      files.insert_or_assign(text_of(path), std::move(content));
    }
  }
  if (!has_text) return fail(ErrorKind::Malformed, kWhere, "its answer has no configuration");
  return out;
}

[[noreturn]] void run_reader(io::UniqueFd socket, const std::string& file, io::LogOptions options) {
  if (socket.get() != 3) {
    if (::dup3(socket.get(), 3, O_CLOEXEC) != 3) ::_exit(1);
    socket = io::UniqueFd(3);
  }
  if (::syscall(SYS_close_range, 4U, ~0U, 0) != 0) ::_exit(1);
  const io::Log log(options);
  (void)::prctl(PR_SET_NAME, "qanat-conf", 0, 0, 0);
  // Only qanatd's going ends it.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) std::signal(signal, SIG_IGN);
  const auto confine = [&]() -> Status {
    QANAT_TRY(keep_secrets_in_memory(log));
    QANAT_TRY(become(find_user(kReaderUser), {.kept = {CAP_DAC_READ_SEARCH}, .ambient = {}}));
    (void)restrict_files({});  // enter_sandbox() warns where the kernel has no Landlock
    return load_syscall_filter(Connections::None);
  };
  if (const Status confined = confine(); !confined) {
    log.error("config-reader-rights-not-dropped", confined.error());
    ::_exit(1);
  }
  serve_config(socket.get(), file);
  ::_exit(0);
}

}  // namespace

void serve_config(int socket, const std::string& file) {
  while (true) {
    std::uint8_t question = 0;
    const ssize_t n = ::recv(socket, &question, 1, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || !answer(socket, ConfigFiles::read(file))) return;
  }
}

Result<ReaderProcess> start_config_reader(const std::string& file, io::LogOptions log) {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return io::system_failure(kWhere, "socketpair");
  io::UniqueFd ours(ends[0]);
  io::UniqueFd theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return io::system_failure(kWhere, "fork");
  if (pid == 0) {
    ours.reset();
    run_reader(std::move(theirs), file, log);
  }
  return ReaderProcess{std::move(ours), pid};
}

Status ConfigReader::ask() {
  const std::uint8_t question = 1;
  while (::send(socket_.get(), &question, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    if (errno != EINTR) return io::system_failure(kWhere, "cannot be asked; restart qanatd to read the configuration");
  }
  return {};
}

std::optional<Result<ConfigFiles>> ConfigReader::poll() {
  const auto gone = [] {
    return fail(ErrorKind::Resource, kWhere, "has ended: restart qanatd to read the configuration");
  };
  while (true) {
    const bool in_front = size_octets_ < size_.size();
    const MutableByteView room =
        in_front ? MutableByteView{size_}.subspan(size_octets_) : body_->expose_mutable().subspan(received_);
    if (!room.empty()) {
      const ssize_t n = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
      if (n <= 0) return gone();
      (in_front ? size_octets_ : received_) += static_cast<std::size_t>(n);
    }
    if (size_octets_ < size_.size()) continue;
    if (!body_) {
      const std::uint64_t size = load_be64(size_.data());
      if (size > kMaxAnswer) return fail(ErrorKind::Resource, kWhere, "has more to say than a configuration can hold");
      body_.emplace(static_cast<std::size_t>(size));
    }
    if (received_ < body_->size()) continue;
    auto files = parse(body_->expose());
    body_.reset();
    received_ = 0;
    size_octets_ = 0;
    return files;
  }
}

}  // namespace qanat::daemon
