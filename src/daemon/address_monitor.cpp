#include "daemon/address_monitor.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "address monitor";
constexpr std::size_t kBuffer = 32 * 1024;
constexpr int kPatience = 1000;  // ms, for the kernel's answer

Result<io::UniqueFd> open_socket(std::uint32_t groups) {
  io::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.valid()) return io::system_failure(kWhere, "socket");
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  name.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return io::system_failure(kWhere, "bind");
  return fd;
}

// Sends `request` and calls `take(message)` for each message of the answer; its end is an error, a zero, or the end of
// a dump.
template <typename Take>
Status ask(int fd, nlmsghdr* request, std::uint32_t sequence, Take take) {
  request->nlmsg_seq = sequence;
  if (::send(fd, request, request->nlmsg_len, 0) < 0) return io::system_failure(kWhere, "send");
  alignas(nlmsghdr) std::array<char, kBuffer> buffer{};
  while (true) {
    pollfd ready{fd, POLLIN, 0};
    if (::poll(&ready, 1, kPatience) <= 0) return fail(ErrorKind::Resource, kWhere, "the kernel does not answer");
    const ssize_t size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0) return io::system_failure(kWhere, "recv");
    int left = static_cast<int>(size);
    const auto* m = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq != sequence) continue;  // an answer that came too late
      if (m->nlmsg_type == NLMSG_DONE) return {};
      if (m->nlmsg_type == NLMSG_ERROR) {
        nlmsgerr error{};
        std::memcpy(&error, mnl_nlmsg_get_payload(m), sizeof error);
        if (error.error == 0) return {};
        return io::system_failure(kWhere, "the kernel refuses", -error.error);
      }
      take(*m);
      if ((m->nlmsg_flags & NLM_F_MULTI) == 0) return {};
    }
  }
}

template <typename Body>
Body body_of(const nlmsghdr& m) {
  Body out{};
  std::memcpy(&out, mnl_nlmsg_get_payload(&m), sizeof out);
  return out;
}

template <typename Take>
void for_each_attribute(const nlmsghdr& m, unsigned header, Take take) {
  mnl_attr_parse(
      &m, header,
      [](const nlattr* attribute, void* data) {
        (*static_cast<Take*>(data))(attribute);
        return MNL_CB_OK;
      },
      &take);
}

std::optional<IpAddress> address_in(const nlattr* attribute, std::uint8_t family) {
  const std::size_t size = family == AF_INET6 ? 16 : 4;
  if (mnl_attr_get_payload_len(attribute) != size) return std::nullopt;
  return IpAddress::from_bytes({static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute)), size});
}

}  // namespace

Result<AddressMonitor> AddressMonitor::open(std::uint32_t mark) {
  QANAT_ASSIGN(io::UniqueFd events,
               open_socket(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE));
  QANAT_ASSIGN(io::UniqueFd questions, open_socket(0));
  return AddressMonitor{std::move(events), std::move(questions), mark};
}

// What was said does not matter, only that something was: a full queue (ENOBUFS) says it, too.
void AddressMonitor::drain() {
  std::array<char, kBuffer> buffer{};
  while (::recv(events_.get(), buffer.data(), buffer.size(), 0) >= 0 || errno == ENOBUFS || errno == EINTR) {
  }
}

Result<AddressMonitor::Addresses> AddressMonitor::addresses() {
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETADDR;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  auto* body = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)));
  body->ifa_family = AF_UNSPEC;
  Addresses out;
  QANAT_TRY(ask(questions_.get(), request, ++sequence_, [&](const nlmsghdr& m) {
    if (m.nlmsg_type != RTM_NEWADDR || m.nlmsg_len < NLMSG_LENGTH(sizeof(ifaddrmsg))) return;
    const auto info = body_of<ifaddrmsg>(m);
    if (info.ifa_family != AF_INET && info.ifa_family != AF_INET6) return;
    std::uint32_t flags = info.ifa_flags;
    std::optional<IpAddress> any;
    std::optional<IpAddress> local;  // IPv4's; the other one is the far end of a point-to-point link
    for_each_attribute(m, sizeof(ifaddrmsg), [&](const nlattr* attribute) {
      const std::uint16_t type = mnl_attr_get_type(attribute);
      if (type == IFA_ADDRESS) any = address_in(attribute, info.ifa_family);
      if (type == IFA_LOCAL) local = address_in(attribute, info.ifa_family);
      if (type == IFA_FLAGS && mnl_attr_get_payload_len(attribute) == 4) flags = mnl_attr_get_u32(attribute);
    });
    const bool reachable = info.ifa_scope < RT_SCOPE_LINK;
    const bool ready = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED)) == 0;
    if (!local) local = any;
    if (local) (reachable && ready ? out.usable : out.rest).push_back(*local);
  }));
  return out;
}

Result<std::optional<IpAddress>> AddressMonitor::source_for(const IpAddress& remote) {
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  request->nlmsg_flags = NLM_F_REQUEST;
  auto* body = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  body->rtm_family = remote.is_v6() ? AF_INET6 : AF_INET;
  body->rtm_dst_len = static_cast<std::uint8_t>(remote.bits());
  mnl_attr_put(request, RTA_DST, remote.size(), remote.bytes().data());
  if (mark_ != 0) mnl_attr_put_u32(request, RTA_MARK, mark_);
  std::optional<IpAddress> out;
  const Status asked = ask(questions_.get(), request, ++sequence_, [&](const nlmsghdr& m) {
    if (m.nlmsg_type != RTM_NEWROUTE || m.nlmsg_len < NLMSG_LENGTH(sizeof(rtmsg))) return;
    const auto info = body_of<rtmsg>(m);
    for_each_attribute(m, sizeof(rtmsg), [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == RTA_PREFSRC) out = address_in(attribute, info.rtm_family);
    });
  });
  if (!asked && asked.error().kind == ErrorKind::Resource) return std::unexpected(asked.error());
  return out;
}

}  // namespace qanat::daemon
