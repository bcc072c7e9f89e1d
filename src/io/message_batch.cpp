#include "io/message_batch.hpp"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>

#include "base/result.hpp"
#include "io/fd.hpp"

namespace qanat::io {

namespace {

constexpr std::size_t kReceiveOctets = std::size_t{512} * 1024;

template <typename T>
T* as(sockaddr_storage& storage) {
  return reinterpret_cast<T*>(&storage);
}
template <typename T>
const T* as(const sockaddr_storage& storage) {
  return reinterpret_cast<const T*>(&storage);
}

IpAddress from_in_addr(const in_addr& a) {
  return IpAddress::v4(ntohl(a.s_addr));
}
IpAddress from_in6_addr(const in6_addr& a) {
  return IpAddress::from_bytes(ByteView{a.s6_addr, 16});
}
in_addr to_in_addr(const IpAddress& a) {
  return in_addr{htonl(a.v4_host_order())};
}
in6_addr to_in6_addr(const IpAddress& a) {
  in6_addr out{};
  std::memcpy(out.s6_addr, a.bytes().data(), 16);
  return out;
}

// What a queued error says about the path's MTU, if it does.
std::optional<PathError> too_big(const sock_extended_err& e) {
  if (e.ee_errno != EMSGSIZE) return std::nullopt;
  PathError out;
  out.mtu = e.ee_info;
  if (e.ee_origin == SO_EE_ORIGIN_LOCAL) return out;
  out.origin = PathError::Origin::Icmp;
  const bool v4 = e.ee_origin == SO_EE_ORIGIN_ICMP && e.ee_type == ICMP_UNREACH && e.ee_code == ICMP_UNREACH_NEEDFRAG;
  const bool v6 = e.ee_origin == SO_EE_ORIGIN_ICMP6 && e.ee_type == ICMP6_PACKET_TOO_BIG && e.ee_code == 0;
  if (v4 || v6) return out;
  return std::nullopt;
}

// Any other ICMP error: "unreachable", "time exceeded" and their kind.
std::optional<PathError> not_arrived(const sock_extended_err& e) {
  if (e.ee_errno == EMSGSIZE || (e.ee_origin != SO_EE_ORIGIN_ICMP && e.ee_origin != SO_EE_ORIGIN_ICMP6))
    return std::nullopt;
  PathError out;
  out.origin = PathError::Origin::Icmp;
  out.unreachable = true;
  return out;
}

// Errors that belong to the call itself; any other may be one of an earlier datagram that was waiting.
bool is_busy(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS || error == ENOMEM;
}

// The first control message; the next one is found with CMSG_NXTHDR.
template <typename T>
void put_control(msghdr& header, cmsghdr*& at, int level, int type, const T& value) {
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof(T));
  std::memcpy(CMSG_DATA(at), &value, sizeof(T));
  header.msg_controllen += CMSG_SPACE(sizeof(T));
  at = reinterpret_cast<cmsghdr*>(static_cast<std::uint8_t*>(header.msg_control) + header.msg_controllen);
}

}  // namespace

SocketAddress to_socket_address(const Endpoint& endpoint) {
  SocketAddress out;
  if (endpoint.address.is_v4()) {
    auto* in = as<sockaddr_in>(out.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(endpoint.port);
    in->sin_addr = to_in_addr(endpoint.address);
    out.size = sizeof(sockaddr_in);
  } else {
    auto* in = as<sockaddr_in6>(out.storage);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(endpoint.port);
    in->sin6_addr = to_in6_addr(endpoint.address);
    out.size = sizeof(sockaddr_in6);
  }
  return out;
}

Endpoint from_socket_address(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET6) {
    const auto* in = as<sockaddr_in6>(storage);
    return {from_in6_addr(in->sin6_addr), ntohs(in->sin6_port)};
  }
  const auto* in = as<sockaddr_in>(storage);
  return {from_in_addr(in->sin_addr), ntohs(in->sin_port)};
}

Status prepare_datagram_socket(int fd, bool v6, const char* where) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return system_failure(where, "O_NONBLOCK");
  const int on = 1;
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (::setsockopt(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof on) != 0) {
    return system_failure(where, "asking for packet information");
  }
  if (::setsockopt(fd, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, &on, sizeof on) != 0) {
    return system_failure(where, "asking for the TOS octet");
  }
  return {};
}

Status queue_path_errors(int fd, bool v6, const char* where) {
  const int on = 1;
  if (::setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof on) != 0) {
    return system_failure(where, "asking for ICMP errors");
  }
  return {};
}

MessageBatch::MessageBatch(bool v6, std::size_t slot_size, Header header)
    : v6_(v6),
      header_(header),
      slot_size_(slot_size),
      // Slots begin 128 octets apart modulo a page, so that their first lines do not all fall into one cache set.
      stride_((slot_size + 63) / 64 * 64 + 128),
      slab_(std::make_unique_for_overwrite<std::uint8_t[]>(stride_ * kBatch)) {
  for (std::size_t i = 0; i < kBatch; ++i) {
    in_iov_[i] = {slab_.get() + i * stride_, slot_size_};
    msghdr& in = in_[i].msg_hdr;
    in.msg_name = &in_from_[i];
    in.msg_iov = &in_iov_[i];
    in.msg_iovlen = 1;
    in.msg_control = in_control_[i].data();
    msghdr& out = out_[i].msg_hdr;
    out.msg_name = &out_to_[i].storage;
    out.msg_iov = &out_iov_[i];
    out.msg_iovlen = 1;
    out.msg_control = out_control_[i].data();
  }
}

std::span<ReceivedDatagram> MessageBatch::receive(int fd, SocketCounters& counters) {
  for (mmsghdr& message : in_) {
    message.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    message.msg_hdr.msg_controllen = kControlSize;
    message.msg_hdr.msg_flags = 0;
  }
  const auto most = static_cast<unsigned>(receive_at_once_);
  int count = ::recvmmsg(fd, in_.data(), most, MSG_DONTWAIT, nullptr);
  if (count < 0 && !is_busy(errno)) {
    // It told of a datagram that we sent; there may be others to read.
    ++counters.receive_errors;
    may_have_errors_ = true;
    count = ::recvmmsg(fd, in_.data(), most, MSG_DONTWAIT, nullptr);
  }
  if (count <= 0) {
    may_have_errors_ = true;  // woken by nothing that can be read
    return {};
  }
  std::size_t good = 0;
  std::size_t octets = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    octets += in_[i].msg_len;
    if (!parse(i, received_[good], counters)) continue;
    counters.received += datagrams_in(received_[good].data.size(), received_[good].segment);
    ++good;
  }
  // So many at once that they are still in the cache when they are worked on.
  const std::size_t average = std::max<std::size_t>(octets / static_cast<std::size_t>(count), 1);
  receive_at_once_ = std::clamp<std::size_t>(kReceiveOctets / average, 4, kBatch);
  return std::span(received_).first(good);
}

bool MessageBatch::parse(std::size_t index, ReceivedDatagram& out, SocketCounters& counters) {
  msghdr& header = in_[index].msg_hdr;
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    ++counters.receive_truncated;
    return false;
  }
  out.remote = from_socket_address(in_from_[index]);
  out.data = MutableByteView{slab_.get() + index * stride_, in_[index].msg_len};
  out.tos = 0;
  out.segment = 0;
  bool has_local = false;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.local = from_in_addr(info.ipi_addr);
      has_local = true;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.local = from_in6_addr(info.ipi6_addr);
      has_local = true;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
      out.tos = *CMSG_DATA(c);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
      int tclass = 0;
      std::memcpy(&tclass, CMSG_DATA(c), sizeof tclass);
      out.tos = static_cast<std::uint8_t>(tclass);
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
      int segment = 0;
      std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
      if (segment > 0 && static_cast<std::size_t>(segment) < out.data.size())
        out.segment = static_cast<std::size_t>(segment);
    }
  }
  bool whole = has_local;
  if (whole && header_ == Header::StripIpv4) {
    const std::size_t ip_header = out.data.empty() ? 0 : std::size_t{out.data[0] & 0x0fU} * 4;
    whole = ip_header >= sizeof(iphdr) && ip_header <= out.data.size();
    if (whole) out.data = out.data.subspan(ip_header);
  }
  if (!whole) ++counters.receive_malformed;
  return whole;
}

void MessageBatch::fill(std::size_t index, const OutgoingDatagram& datagram, const Piece& piece) {
  // sendmmsg reads only; iovec has no const.
  out_iov_[index] = {const_cast<std::uint8_t*>(datagram.data.data()) + piece.begin, piece.size};
  out_to_[index] = to_socket_address(datagram.remote);
  msghdr& header = out_[index].msg_hdr;
  header.msg_namelen = out_to_[index].size;
  header.msg_controllen = 0;
  out_control_[index].fill(0);
  auto* at = reinterpret_cast<cmsghdr*>(out_control_[index].data());
  const int tos = datagram.tos;
  if (v6_) {
    if (!datagram.local.is_unspecified()) {
      in6_pktinfo info{};
      info.ipi6_addr = to_in6_addr(datagram.local);
      put_control(header, at, IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
    put_control(header, at, IPPROTO_IPV6, IPV6_TCLASS, tos);
  } else {
    if (!datagram.local.is_unspecified()) {
      in_pktinfo info{};
      info.ipi_spec_dst = to_in_addr(datagram.local);
      put_control(header, at, IPPROTO_IP, IP_PKTINFO, info);
    }
    put_control(header, at, IPPROTO_IP, IP_TOS, tos);
  }
  if (piece.datagrams > 1)
    put_control(header, at, IPPROTO_UDP, UDP_SEGMENT, static_cast<std::uint16_t>(datagram.segment));
}

bool MessageBatch::right_family(const OutgoingDatagram& d) const {
  return d.remote.address.is_v6() == v6_ && (d.local.is_unspecified() || d.local.is_v6() == v6_);
}

MessageBatch::Piece MessageBatch::next_piece(std::span<const OutgoingDatagram> datagrams, std::size_t index,
                                             std::size_t begin, bool singly) const {
  const OutgoingDatagram& d = datagrams[index];
  const std::size_t left = d.data.size() - begin;
  if (d.segment == 0 || left <= d.segment) return {.index = index, .begin = begin, .size = left, .datagrams = 1};
  if (singly || !segmentation_) return {.index = index, .begin = begin, .size = d.segment, .datagrams = 1};
  return {.index = index, .begin = begin, .size = left, .datagrams = datagrams_in(left, d.segment)};
}

bool MessageBatch::select_df(int fd, Df df) {
  const DfState wanted = df == Df::Set ? DfState::Set : DfState::Clear;
  if (df_ == wanted) return true;
  static_assert(IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE);
  const int mode = df == Df::Set ? IP_PMTUDISC_PROBE : v6_ ? IPV6_PMTUDISC_DONT : IP_PMTUDISC_OMIT;
  const int level = v6_ ? IPPROTO_IPV6 : IPPROTO_IP;
  if (::setsockopt(fd, level, v6_ ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &mode, sizeof mode) != 0) return false;
  df_ = wanted;
  return true;
}

std::optional<PathError> MessageBatch::next_path_error(int fd, SocketCounters& counters) {
  // A few at a time: a flood of them must not keep the reader from its packets.
  for (std::size_t i = 0; may_have_errors_ && i < kBatch; ++i) {
    std::array<std::uint8_t, 4> quoted{};
    alignas(cmsghdr) std::array<std::uint8_t, 512> control{};
    sockaddr_storage to{};
    iovec iov{quoted.data(), quoted.size()};
    msghdr header{};
    header.msg_name = &to;
    header.msg_namelen = sizeof to;
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (size < 0) {
      may_have_errors_ = false;
      return std::nullopt;
    }
    std::optional<PathError> found;
    IpAddress local;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(c), sizeof info);
        local = from_in_addr(info.ipi_addr);
      } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(c), sizeof info);
        local = from_in6_addr(info.ipi6_addr);
      } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                 (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
        sock_extended_err error{};
        std::memcpy(&error, CMSG_DATA(c), sizeof error);
        found = too_big(error);
        if (!found) found = not_arrived(error);
      }
    }
    if (!found || header.msg_namelen == 0) {
      ++counters.icmp_ignored;
      continue;
    }
    found->remote = from_socket_address(to).address;
    if (found->origin == PathError::Origin::Icmp) {
      found->local = local;
      if (static_cast<std::size_t>(size) == quoted.size()) found->first_word = load_be32(quoted.data());
    }
    return found;
  }
  return std::nullopt;
}

SendOutcome MessageBatch::count_failure(int error, std::size_t datagrams, SocketCounters& counters) {
  switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
    case EINTR:
      counters.send_busy += datagrams;
      return SendOutcome::Busy;
    case EMSGSIZE:
      counters.send_too_big += datagrams;
      return SendOutcome::TooBig;
    default:
      counters.send_refused += datagrams;
      return SendOutcome::Refused;
  }
}

SendOutcome MessageBatch::send(int fd, const OutgoingDatagram& datagram, SocketCounters& counters) {
  SendOutcome outcome = SendOutcome::Refused;
  send_batch(fd, std::span(&datagram, 1), std::span(&outcome, 1), counters);
  return outcome;
}

std::size_t MessageBatch::send_batch(int fd, std::span<const OutgoingDatagram> datagrams,
                                     std::span<SendOutcome> outcomes, SocketCounters& counters) {
  std::size_t sent = 0;
  std::size_t at = 0;     // of `datagrams`
  std::size_t begin = 0;  // octets of datagrams[at] that are done with
  std::optional<std::pair<std::size_t, std::size_t>> again;
  std::optional<std::size_t> singly;  // a run that the kernel did not take in one piece
  bool unable = false;                // and said so in a way that would mean all runs
  const auto note = [&](std::size_t index, SendOutcome outcome) {
    if (index < outcomes.size()) outcomes[index] = outcome;
  };
  const auto behind = [&](const Piece& piece) {
    at = piece.index;
    begin = piece.begin + piece.size;
    if (begin >= datagrams[at].data.size()) {
      ++at;
      begin = 0;
    }
  };
  while (at < datagrams.size()) {
    const OutgoingDatagram& first = datagrams[at];
    if (!right_family(first) || !select_df(fd, first.df)) {
      counters.send_refused += datagrams_in(first.data.size() - begin, first.segment);
      note(at++, SendOutcome::Refused);
      begin = 0;
      continue;
    }
    // One system call for as many as share the don't-fragment bit.
    std::size_t count = 0;
    for (std::size_t index = at, from = begin; count < kBatch && index < datagrams.size();) {
      const OutgoingDatagram& next = datagrams[index];
      if (next.df != first.df || !right_family(next)) break;
      const Piece piece = next_piece(datagrams, index, from, singly == index);
      pieces_[count] = piece;
      fill(count++, next, piece);
      from += piece.size;
      if (from >= next.data.size()) {
        ++index;
        from = 0;
      }
    }
    const int done = ::sendmmsg(fd, out_.data(), static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done <= 0) {
      // The error belongs to the first of them (sendmmsg reports it only when nothing was sent), or to a datagram that
      // was sent long ago: then a second attempt goes well.
      const int error = errno;
      const Piece& failed = pieces_[0];
      if (!is_busy(error)) {
        may_have_errors_ = true;
        if (again != std::pair{at, begin}) {
          again = std::pair{at, begin};
          continue;
        }
        if (failed.datagrams > 1) {
          // Each alone tells more: too long for the interface, or to be cut by our kernel, or an interface (EIO) or a
          // kernel (EINVAL) that cannot do this at all.
          singly = at;
          again.reset();
          unable = error == EIO || (error == EINVAL && first.df == Df::Set);
          continue;
        }
      }
      unable = false;  // it was not the run's fault
      note(at, count_failure(error, failed.datagrams, counters));
      behind(failed);
      continue;
    }
    if (unable && singly == at) segmentation_ = false;
    unable = false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(done); ++i) {
      note(pieces_[i].index, SendOutcome::Sent);
      counters.sent += pieces_[i].datagrams;
      sent += pieces_[i].datagrams;
    }
    behind(pieces_[static_cast<std::size_t>(done) - 1]);
  }
  return sent;
}

}  // namespace qanat::io
