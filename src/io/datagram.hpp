// What the UDP and the raw ESP socket have in common: a datagram with its addresses and its TOS octet, and how sending
// can end. Nothing a network does to a datagram is an error of the process: each ending is a counter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.hpp"
#include "base/bytes.hpp"

namespace qanat::io {

// The ports of IKE and of IKE and ESP behind NATs (RFC 7296 2, RFC 3948): the helper opens no others, and the filter
// lets no others through.
inline constexpr std::uint16_t kIkePort = 500;
inline constexpr std::uint16_t kNatPort = 4500;

inline constexpr std::size_t kBatch = 64;  // datagrams in one recvmmsg or sendmmsg

// A view into the socket's slab: valid, and the reader's to change, until the next receive().
struct ReceivedDatagram {
  IpAddress local;       // where it was sent to
  Endpoint remote;       // port 0 for raw ESP
  std::uint8_t tos = 0;  // TOS or Traffic Class: DSCP and ECN
  MutableByteView data;  // UDP payload, or the ESP packet without its IP header
  // Not 0: `data` is several datagrams one behind the other, each as long as this, the last at most (UDP_GRO).
  std::size_t segment = 0;
};

// The don't-fragment bit of IPv4. With IPv6: Set refuses what is longer than the interface's MTU, Clear lets our own
// kernel fragment it, for the interface and for what the kernel knows of the path.
enum class Df : std::uint8_t { Clear, Set };

struct OutgoingDatagram {
  IpAddress local;  // source address; unspecified lets the kernel choose
  Endpoint remote;
  std::uint8_t tos = 0;
  Df df = Df::Clear;
  ByteView data;
  // Not 0: `data` is a run of datagrams one behind the other, each as long as this, the last at most. At most
  // kMaxRunDatagrams and kMaxRunOctets; they leave in one system call, where that can be (UDP_SEGMENT).
  std::size_t segment = 0;
};

inline constexpr std::size_t kMaxRunDatagrams = 64;  // UDP_MAX_SEGMENTS of every kernel that has it
inline constexpr std::size_t kMaxRunOctets = 65507;  // with an IPv4 and a UDP header: 65,535

[[nodiscard]] constexpr std::size_t datagrams_in(std::size_t octets, std::size_t segment) {
  return segment == 0 || octets <= segment ? 1 : (octets + segment - 1) / segment;
}

enum class SendOutcome : std::uint8_t {
  Sent,
  Busy,     // EAGAIN, ENOBUFS: the queue is full, dropped
  TooBig,   // EMSGSIZE: longer than the interface (with Df::Set), dropped
  Refused,  // everything else: no route, an ICMP error that was waiting, a rule of the host; dropped
};

// That a datagram which we sent was longer than its path lets through, or did not arrive, as the socket's error queue
// tells it. Who sent
// the ICMP message is not known: whether to believe it is decided in wan/.
struct PathError {
  enum class Origin : std::uint8_t { Interface, Icmp };
  Origin origin = Origin::Interface;        // Interface: our own kernel refused to send
  bool unreachable = false;                 // Icmp: not about a length, the datagram did not arrive at all
  std::uint32_t mtu = 0;                    // of the interface, or as the message says
  IpAddress local;                          // where the message was sent to; unspecified for Origin::Interface
  IpAddress remote;                         // where the datagram was sent to
  std::optional<std::uint32_t> first_word;  // of the payload (an SPI, with ESP), when that much of it was quoted
};

struct SocketCounters {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  std::uint64_t receive_truncated = 0;  // longer than a slot: dropped
  std::uint64_t receive_malformed = 0;  // raw: shorter than its IP header; or no address came with it
  std::uint64_t receive_errors = 0;     // an ICMP error or another that receiving reported
  std::uint64_t icmp_ignored = 0;       // errors in the queue that say nothing about a path
  std::uint64_t send_busy = 0;
  std::uint64_t send_too_big = 0;
  std::uint64_t send_refused = 0;
};

}  // namespace qanat::io
