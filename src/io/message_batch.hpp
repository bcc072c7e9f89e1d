// MessageBatch: the slab and the headers for recvmmsg and sendmmsg, filled once and used again and again. Internal to
// the UDP and the ESP socket.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <netinet/in.h>
#include <sys/socket.h>

#include "io/datagram.hpp"

namespace qanat::io {

// An address as the kernel wants it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};
[[nodiscard]] SocketAddress to_socket_address(const Endpoint& endpoint);
[[nodiscard]] Endpoint from_socket_address(const sockaddr_storage& storage);

// Asks for what receive() needs with every datagram: local address and TOS. Also non-blocking.
[[nodiscard]] Status prepare_datagram_socket(int fd, bool v6, const char* where);
// Asks the kernel to queue what goes wrong on the way.
[[nodiscard]] Status queue_path_errors(int fd, bool v6, const char* where);

class MessageBatch {
 public:
  enum class Header : std::uint8_t { None, StripIpv4 };

  MessageBatch(bool v6, std::size_t slot_size, Header header);

  // Runs leave in one piece from now on, as long as the socket can do it.
  void use_segmentation() { segmentation_ = true; }
  [[nodiscard]] bool uses_segmentation() const { return segmentation_; }

  [[nodiscard]] std::span<ReceivedDatagram> receive(int fd, SocketCounters& counters);
  SendOutcome send(int fd, const OutgoingDatagram& datagram, SocketCounters& counters);
  std::size_t send_batch(int fd, std::span<const OutgoingDatagram> datagrams, std::span<SendOutcome> outcomes,
                         SocketCounters& counters);
  [[nodiscard]] std::optional<PathError> next_path_error(int fd, SocketCounters& counters);

 private:
  static constexpr std::size_t kControlSize = 128;
  using Control = std::array<std::uint8_t, kControlSize>;

  [[nodiscard]] bool parse(std::size_t index, ReceivedDatagram& out, SocketCounters& counters);
  // What one message of a sendmmsg carries: a datagram, or octets of a run from `begin` on.
  struct Piece {
    std::size_t index = 0;
    std::size_t begin = 0;
    std::size_t size = 0;
    std::size_t datagrams = 1;
  };
  [[nodiscard]] bool right_family(const OutgoingDatagram& datagram) const;
  [[nodiscard]] Piece next_piece(std::span<const OutgoingDatagram> datagrams, std::size_t index, std::size_t begin,
                                 bool singly) const;
  void fill(std::size_t index, const OutgoingDatagram& datagram, const Piece& piece);
  [[nodiscard]] bool select_df(int fd, Df df);
  SendOutcome count_failure(int error, std::size_t datagrams, SocketCounters& counters);

  bool v6_;
  Header header_;
  bool may_have_errors_ = false;  // what sending or receiving saw last may have left something in the error queue
  std::size_t slot_size_;
  std::size_t stride_;
  std::unique_ptr<std::uint8_t[]> slab_;
  std::array<mmsghdr, kBatch> in_{};
  std::array<iovec, kBatch> in_iov_{};
  std::array<sockaddr_storage, kBatch> in_from_{};
  alignas(cmsghdr) std::array<Control, kBatch> in_control_{};
  std::array<ReceivedDatagram, kBatch> received_{};
  std::size_t receive_at_once_ = kBatch;

  std::array<mmsghdr, kBatch> out_{};
  std::array<iovec, kBatch> out_iov_{};
  std::array<SocketAddress, kBatch> out_to_{};
  alignas(cmsghdr) std::array<Control, kBatch> out_control_{};
  std::array<Piece, kBatch> pieces_{};
  bool segmentation_ = false;
  enum class DfState : std::uint8_t { Unknown, Clear, Set } df_ = DfState::Unknown;
};

}  // namespace qanat::io
