#include "io/esp_socket.hpp"

#include <linux/icmp.h>
#include <netinet/icmp6.h>

#include "io/message_batch.hpp"

namespace qanat::io {

namespace {

constexpr const char* kWhere = "ESP socket";
constexpr int kSocketBuffer = 4 * 1024 * 1024;

// The raw socket takes a port of 0 only (IPv6 reads it as a protocol).
OutgoingDatagram without_port(const OutgoingDatagram& datagram) {
  OutgoingDatagram out = datagram;
  out.remote.port = 0;
  return out;
}

Result<UniqueFd> open_raw(Family family, int protocol, std::uint32_t mark, const char* where) {
  UniqueFd fd(::socket(family == Family::V6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd.valid()) return system_failure(where, "socket");
  if (mark != 0 && ::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    return system_failure(where, "SO_MARK");
  }
  return fd;
}

}  // namespace

Result<UniqueFd> open_icmp_socket(Family family, std::uint32_t mark) {
  constexpr const char* kIcmp = "ICMP socket";
  const bool v6 = family == Family::V6;
  QANAT_ASSIGN(UniqueFd fd, open_raw(family, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, mark, kIcmp));
  int filtered = 0;
  if (v6) {
    icmp6_filter filter{};
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    filtered = ::setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter);
  } else {
    const icmp_filter filter{.data = ~(1U << ICMP_ECHOREPLY)};
    filtered = ::setsockopt(fd.get(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter);
  }
  if (filtered != 0) return system_failure(kIcmp, "the filter for echo replies");
  return fd;
}

Result<UniqueFd> open_esp_socket(Family family, std::uint32_t mark) {
  QANAT_ASSIGN(UniqueFd fd, open_raw(family, IPPROTO_ESP, mark, kWhere));
  for (const int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
    (void)::setsockopt(fd.get(), SOL_SOCKET, option, &kSocketBuffer, sizeof kSocketBuffer);
  }
  return fd;
}

EspSocket::EspSocket() = default;
EspSocket::~EspSocket() = default;
EspSocket::EspSocket(EspSocket&&) noexcept = default;
EspSocket& EspSocket::operator=(EspSocket&&) noexcept = default;

Result<EspSocket> EspSocket::adopt(UniqueFd fd, std::size_t slot_size) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return system_failure(kWhere, "SO_DOMAIN");
  EspSocket out;
  out.family_ = domain == AF_INET6 ? Family::V6 : Family::V4;
  const bool v6 = out.family_ == Family::V6;
  QANAT_TRY(prepare_datagram_socket(fd.get(), v6, kWhere));
  out.fd_ = std::move(fd);
  const auto header = v6 ? MessageBatch::Header::None : MessageBatch::Header::StripIpv4;
  out.batch_ = std::make_unique<MessageBatch>(v6, slot_size, header);
  return out;
}

Status EspSocket::watch_path_errors() {
  return queue_path_errors(fd_.get(), family_ == Family::V6, kWhere);
}

std::optional<PathError> EspSocket::next_path_error() {
  return batch_->next_path_error(fd_.get(), counters_);
}

std::span<ReceivedDatagram> EspSocket::receive() {
  const std::span<ReceivedDatagram> received = batch_->receive(fd_.get(), counters_);
  for (ReceivedDatagram& datagram : received) datagram.remote.port = 0;  // IPv6 reports the protocol there
  return received;
}

SendOutcome EspSocket::send(const OutgoingDatagram& datagram) {
  return batch_->send(fd_.get(), without_port(datagram), counters_);
}

std::size_t EspSocket::send_batch(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes) {
  std::size_t sent = 0;
  std::array<OutgoingDatagram, kBatch> chunk;
  for (std::size_t at = 0; at < datagrams.size(); at += kBatch) {
    const std::size_t count = std::min(kBatch, datagrams.size() - at);
    for (std::size_t i = 0; i < count; ++i) chunk[i] = without_port(datagrams[at + i]);
    const auto places = at < outcomes.size() ? outcomes.subspan(at) : std::span<SendOutcome>{};
    sent += batch_->send_batch(fd_.get(), std::span(chunk).first(count), places, counters_);
  }
  return sent;
}

}  // namespace qanat::io
