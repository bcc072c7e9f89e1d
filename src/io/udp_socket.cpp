#include "io/udp_socket.hpp"

#include <netinet/udp.h>

#include "io/message_batch.hpp"

namespace qanat::io {

namespace {

constexpr int kSocketBuffer = 4 * 1024 * 1024;

Status set_option(int fd, int level, int option, int value, const std::string& where, const char* what) {
  if (::setsockopt(fd, level, option, &value, sizeof value) != 0) return system_failure(where, what);
  return {};
}

}  // namespace

Result<UniqueFd> open_udp_socket(const Endpoint& local, std::uint32_t mark, ReusePort reuse_port) {
  const std::string where = "UDP socket " + local.to_string();
  const bool v6 = local.address.is_v6();
  UniqueFd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
  if (!fd.valid()) return system_failure(where, "socket");
  if (v6) QANAT_TRY(set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1, where, "IPV6_V6ONLY"));
  if (mark != 0) QANAT_TRY(set_option(fd.get(), SOL_SOCKET, SO_MARK, static_cast<int>(mark), where, "SO_MARK"));
  if (reuse_port == ReusePort::Yes) {
    QANAT_TRY(set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, where, "SO_REUSEPORT"));
  }
  // Large buffers are a wish: without the right the host's limit holds.
  for (const int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
    (void)::setsockopt(fd.get(), SOL_SOCKET, option, &kSocketBuffer, sizeof kSocketBuffer);
  }
  const SocketAddress address = to_socket_address(local);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    const int error = errno;
    return system_failure(where, error == EADDRINUSE ? "bind (does another IKE daemon run on this host?)" : "bind",
                          error);
  }
  return fd;
}

UdpSocket::UdpSocket() = default;
UdpSocket::~UdpSocket() = default;
UdpSocket::UdpSocket(UdpSocket&&) noexcept = default;
UdpSocket& UdpSocket::operator=(UdpSocket&&) noexcept = default;

Result<UdpSocket> UdpSocket::adopt(UniqueFd fd, std::size_t slot_size) {
  UdpSocket out;
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    return system_failure("UDP socket", "getsockname");
  }
  if (name.ss_family != AF_INET && name.ss_family != AF_INET6) {
    return fail(ErrorKind::Internal, "UDP socket", "the descriptor is no IP socket");
  }
  const bool v6 = name.ss_family == AF_INET6;
  QANAT_TRY(prepare_datagram_socket(fd.get(), v6, "UDP socket"));
  out.local_ = from_socket_address(name);
  out.fd_ = std::move(fd);
  out.batch_ = std::make_unique<MessageBatch>(v6, slot_size, MessageBatch::Header::None);
  return out;
}

void UdpSocket::use_segmentation() {
  int value = 0;
  socklen_t size = sizeof value;
  // A kernel that does not know the option ignores it beside a datagram, too, and would send all as one.
  if (::getsockopt(fd_.get(), IPPROTO_UDP, UDP_SEGMENT, &value, &size) == 0) batch_->use_segmentation();
  const int on = 1;
  (void)::setsockopt(fd_.get(), IPPROTO_UDP, UDP_GRO, &on, sizeof on);
}

bool UdpSocket::uses_segmentation() const {
  return batch_->uses_segmentation();
}

Status UdpSocket::watch_path_errors() {
  return queue_path_errors(fd_.get(), local_.address.is_v6(), "UDP socket");
}

std::optional<PathError> UdpSocket::next_path_error() {
  return batch_->next_path_error(fd_.get(), counters_);
}

std::span<ReceivedDatagram> UdpSocket::receive() {
  return batch_->receive(fd_.get(), counters_);
}

SendOutcome UdpSocket::send(const OutgoingDatagram& datagram) {
  return batch_->send(fd_.get(), datagram, counters_);
}

std::size_t UdpSocket::send_batch(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes) {
  return batch_->send_batch(fd_.get(), datagrams, outcomes, counters_);
}

}  // namespace qanat::io
