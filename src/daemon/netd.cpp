#include "daemon/netd.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "daemon/netd_protection.hpp"
#include "daemon/sandbox.hpp"
#include "io/netd_protocol.hpp"
#include "io/tun_device.hpp"

namespace qanat::daemon {

namespace {

constexpr std::size_t kTunsInStore = 256;  // one for every VRF that there can be
constexpr const char* kHelperUser = "qanat";

// Carries commands out. Descriptors leave through `Outcome::fd`.
class Netd {
 public:
  explicit Netd(const io::Log& log) : log_(log) {}

  // Before the rights go: where only root may open /dev/net/tun, a few are opened now for later.
  void stock_tuns() {
    while (tuns_.size() < kTunsInStore) {
      auto control = io::open_tun_control();
      if (!control) {
        log_.error("tun-unavailable", control.error());
        return;
      }
      tuns_.push_back(std::move(*control));
    }
  }

  struct Outcome {
    Status status;
    io::UniqueFd fd;
  };
  Outcome carry_out(const io::NetdCommand& command) {
    return std::visit([this](const auto& c) { return this->run(c); }, command);
  }

 private:
  static Outcome hand_over(Result<io::UniqueFd> fd) {
    if (!fd) return {std::unexpected(std::move(fd).error()), {}};
    return {{}, std::move(*fd)};
  }
  static Outcome run(const io::OpenUdp& c) { return hand_over(io::open_udp_socket(c.local, c.mark, c.reuse_port)); }
  static Outcome run(const io::OpenEsp& c) { return hand_over(io::open_esp_socket(c.family, c.mark)); }
  Outcome run(const io::OpenTun& c) { return hand_over(open_tun(c)); }
  Outcome run(const gateway::SetProtection& c) {
    protection_ = c;
    return {apply_protection(c, TunState::Required), {}};
  }
  Outcome run(const gateway::PurgeProtection&) {
    protection_.reset();
    return {purge_protection(), {}};
  }
  Outcome run(const gateway::ChangeBarriers& c) {
    return {apply_barriers(c, protection_ ? &*protection_ : nullptr), {}};
  }
  static Outcome run(const gateway::SetNat& c) { return {apply_nat(c), {}}; }

  Result<io::UniqueFd> open_tun(const io::OpenTun& c) {
    auto control = io::open_tun_control();
    if (!control && !tuns_.empty()) {
      control = std::move(tuns_.back());
      tuns_.pop_back();
    }
    if (!control) return control;
    QANAT_ASSIGN(io::UniqueFd tun, io::attach_tun(std::move(*control), c.name, c.queue));
    QANAT_TRY(configure_tun(c.name, c.mtu));
    return tun;
  }

  const io::Log& log_;
  std::vector<io::UniqueFd> tuns_;
  std::optional<gateway::SetProtection> protection_;
};

// Keeps what its commands need, as another user than root.
Status drop_rights(const io::Log& log) {
  const UserIds ids = find_user(kHelperUser);
  if (!ids.found) log.debug("helper-user-missing", {{"user", kHelperUser}, {"uid", ids.uid}});
  return become(ids, {.kept = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE}, .ambient = {CAP_NET_ADMIN}});
}

// False when the peer has gone.
bool send_answer(int socket, const io::NetdAnswer& answer, int fd) {
  Bytes frame = io::encode_answer(answer);
  iovec iov{frame.data(), frame.size()};
  alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &iov;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  while (true) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0) return true;
    if (errno == EAGAIN || errno == ENOBUFS) {
      pollfd p{socket, POLLOUT, 0};
      (void)::poll(&p, 1, 1000);
    } else if (errno != EINTR) {
      return false;
    }
  }
}

// Only qanatd's going ends us: a Ctrl-C or a stop of the whole group must not take the helper away before it.
void ignore_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT}) std::signal(signal, SIG_IGN);
}

}  // namespace

int run_netd(io::UniqueFd socket, const io::Log& log) {
  (void)::prctl(PR_SET_NAME, "qanat-netd", 0, 0, 0);
  ignore_signals();
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) return 1;
  Netd netd(log);
  netd.stock_tuns();
  if (const Status dropped = drop_rights(log); !dropped) {
    log.error("helper-rights-not-dropped", dropped.error());
    return 1;
  }

  io::RequestAssembler assembler;
  std::vector<std::uint8_t> frame(io::kMaxFrame + 1);  // one more shows a frame that is too long
  while (true) {
    const ssize_t size = ::recv(socket.get(), frame.data(), frame.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return 0;  // qanatd has gone. Everything stays as it is.
    auto request = assembler.add_frame(ByteView{frame}.first(static_cast<std::size_t>(size)));
    if (request && !*request) continue;
    io::NetdAnswer answer;
    io::UniqueFd fd;
    if (!request) {
      log.error("helper-command-refused", request.error());
      answer = {assembler.failed_request(), std::unexpected(request.error())};
    } else {
      auto outcome = netd.carry_out((*request)->command);
      if (!outcome.status)
        log.warning("helper-command-failed",
                    {{"where", outcome.status.error().where}, {"detail", outcome.status.error().detail}});
      answer = {(*request)->request, std::move(outcome.status)};
      fd = std::move(outcome.fd);
    }
    if (!send_answer(socket.get(), answer, fd.get())) return 0;
  }
}

Status apply_protection_once(const gateway::SetProtection& protection) {
  QANAT_TRY(io::check_command(protection));
  return apply_protection(protection, TunState::Optional);
}

Status purge_once(const gateway::PurgeProtection& purge) {
  QANAT_TRY(io::check_command(purge));
  return purge_protection();
}

}  // namespace qanat::daemon
