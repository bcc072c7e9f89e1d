// EspSocket: a raw socket of IP protocol 50, IPv4 or IPv6, in batches. The kernel writes and reads the IP header; what
// goes in and comes out begins with the SPI. Every such socket of a host receives every ESP packet.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "io/datagram.hpp"
#include "io/fd.hpp"

namespace qanat::io {

class MessageBatch;

enum class Family : std::uint8_t { V4, V6 };

// As the helper opens it: needs CAP_NET_RAW, and CAP_NET_ADMIN for a mark that is not 0.
[[nodiscard]] Result<UniqueFd> open_esp_socket(Family family, std::uint32_t mark);
// The same for ICMP or ICMPv6, of which it hears echo replies only: they answer unidirectional health checks. An
// EspSocket adopts it as well; its datagrams begin with the ICMP type.
[[nodiscard]] Result<UniqueFd> open_icmp_socket(Family family, std::uint32_t mark);

class EspSocket {
 public:
  [[nodiscard]] static Result<EspSocket> adopt(UniqueFd fd, std::size_t slot_size = 65536);
  ~EspSocket();
  EspSocket(EspSocket&&) noexcept;
  EspSocket& operator=(EspSocket&&) noexcept;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Family family() const { return family_; }

  [[nodiscard]] std::span<ReceivedDatagram> receive();  // as UdpSocket::receive, ports 0
  SendOutcome send(const OutgoingDatagram& datagram);   // ports are ignored
  std::size_t send_batch(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes = {});

  [[nodiscard]] Status watch_path_errors();  // both as UdpSocket's
  [[nodiscard]] std::optional<PathError> next_path_error();

  [[nodiscard]] const SocketCounters& counters() const { return counters_; }

 private:
  EspSocket();
  UniqueFd fd_;
  Family family_ = Family::V4;
  SocketCounters counters_;
  std::unique_ptr<MessageBatch> batch_;
};

}  // namespace qanat::io
