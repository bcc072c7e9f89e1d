// UdpSocket: one bound UDP socket, IPv4 or IPv6 (never both), in batches.
//
// The don't-fragment bit is a property of the socket in Linux, not of a datagram, so it is switched when a datagram
// wants the other one: PROBE (DF set) or, with IPv4, OMIT (DF clear, our kernel fragments at the interface's MTU). Both
// ignore the path MTU that the kernel learns from ICMP: what we believe of such a message is decided in wan/. Only our
// kernel can fragment IPv6, so what may be cut there (DONT) is cut as the kernel has learnt: a lie costs fragments of
// 1280, no loss.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "io/datagram.hpp"
#include "io/fd.hpp"

namespace qanat::io {

class MessageBatch;

enum class ReusePort : std::uint8_t { No, Yes };

// Opens and binds a socket as the helper does (it needs CAP_NET_ADMIN for a mark that is not 0, and for the buffers;
// CAP_NET_BIND_SERVICE for 500). IPv6 sockets are IPV6_V6ONLY.
[[nodiscard]] Result<UniqueFd> open_udp_socket(const Endpoint& local, std::uint32_t mark, ReusePort reuse_port);

class UdpSocket {
 public:
  // Takes a bound UDP socket, asks for packet information and makes it non-blocking. `slot_size`: the longest datagram
  // that can be received.
  [[nodiscard]] static Result<UdpSocket> adopt(UniqueFd fd, std::size_t slot_size = 65536);
  ~UdpSocket();
  UdpSocket(UdpSocket&&) noexcept;
  UdpSocket& operator=(UdpSocket&&) noexcept;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const Endpoint& local() const { return local_; }  // as bound; the address may be unspecified

  // Up to kBatch datagrams that are waiting; empty when there are none. The views die at the next call.
  [[nodiscard]] std::span<ReceivedDatagram> receive();

  SendOutcome send(const OutgoingDatagram& datagram);
  SendOutcome send(const IpAddress& local, const Endpoint& remote, std::uint8_t tos, Df df, ByteView data) {
    return send(OutgoingDatagram{local, remote, tos, df, data});
  }
  // In order; a datagram that cannot be sent is dropped and counted, and the rest goes on. Returns how many were sent.
  // `outcomes`, if not empty, has one place for each.
  std::size_t send_batch(std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes = {});

  // From then on what arrives may be several datagrams in one (ReceivedDatagram::segment), and a run of datagrams
  // leaves in one piece, where the kernel and the interface can do it; where they cannot, one by one.
  void use_segmentation();
  [[nodiscard]] bool uses_segmentation() const;  // false again when an interface or the kernel refused

  // From then on the kernel queues ICMP errors and refusals of its own. The queue makes the descriptor ready, so
  // whoever asks for it calls next_path_error() until empty, after every receive() and every send; it costs a system
  // call only when there may be something.
  [[nodiscard]] Status watch_path_errors();
  [[nodiscard]] std::optional<PathError> next_path_error();

  [[nodiscard]] const SocketCounters& counters() const { return counters_; }

 private:
  UdpSocket();
  UniqueFd fd_;
  Endpoint local_;
  SocketCounters counters_;
  std::unique_ptr<MessageBatch> batch_;
};

}  // namespace qanat::io
