#include "daemon/route_monitor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "daemon/netd_netlink.hpp"

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "route monitor";
constexpr std::size_t kBuffer = 64 * 1024;
constexpr int kNewsBuffer = 1024 * 1024;

Result<io::UniqueFd> open_socket(std::uint32_t groups) {
  io::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.valid()) return io::system_failure(kWhere, "socket");
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  name.nl_groups = groups;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return io::system_failure(kWhere, "bind");
  const int on = 1;
  // Wishes: dumps that the kernel filters, and room for many news.
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kNewsBuffer, sizeof kNewsBuffer);
  return fd;
}

std::optional<IpAddress> address_in(const std::uint8_t* octets, std::size_t size, std::uint8_t family) {
  const std::size_t expected = family == AF_INET6 ? 16 : 4;
  if (size < expected) return std::nullopt;
  return IpAddress::from_bytes({octets, expected});
}

// A way of a route: out of which interface, to which gateway.
struct Way {
  std::uint32_t device = 0;
  std::optional<IpAddress> gateway;
  std::uint32_t weight = 1;
};

void take_attribute(const nlattr* attribute, std::uint8_t family, Way& way) {
  const auto* octets = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  const std::size_t size = mnl_attr_get_payload_len(attribute);
  switch (mnl_attr_get_type(attribute)) {
    case RTA_OIF:
      if (size == 4) way.device = mnl_attr_get_u32(attribute);
      break;
    case RTA_GATEWAY:
      way.gateway = address_in(octets, size, family);
      break;
    case RTA_VIA: {  // a gateway of the other family
      std::uint16_t other = 0;
      if (size <= sizeof other) break;
      std::memcpy(&other, octets, sizeof other);
      if (other == AF_INET || other == AF_INET6)
        way.gateway = address_in(octets + sizeof other, size - sizeof other, static_cast<std::uint8_t>(other));
      break;
    }
    default:
      break;
  }
}

template <typename Take>
void for_each_attribute(const nlattr* first, std::size_t size, Take take) {
  const auto* end = reinterpret_cast<const std::uint8_t*>(first) + size;
  for (const nlattr* a = first; mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const std::uint8_t*>(a)));
       a = mnl_attr_next(a)) {
    take(a);
  }
}

void take_ways(const nlattr* multipath, std::uint8_t family, std::vector<Way>& ways) {
  const auto* at = static_cast<const std::uint8_t*>(mnl_attr_get_payload(multipath));
  std::size_t left = mnl_attr_get_payload_len(multipath);
  static_assert(sizeof(rtnexthop) % RTNH_ALIGNTO == 0);
  while (left >= sizeof(rtnexthop)) {
    rtnexthop hop{};
    std::memcpy(&hop, at, sizeof hop);
    if (hop.rtnh_len < sizeof hop || hop.rtnh_len > left) return;
    if ((hop.rtnh_flags & RTNH_F_DEAD) == 0) {
      Way way{static_cast<std::uint32_t>(hop.rtnh_ifindex), std::nullopt, std::uint32_t{hop.rtnh_hops} + 1};
      for_each_attribute(reinterpret_cast<const nlattr*>(at + sizeof hop), hop.rtnh_len - sizeof hop,
                         [&](const nlattr* a) { take_attribute(a, family, way); });
      ways.push_back(way);
    }
    const std::size_t step = std::min<std::size_t>(RTNH_ALIGN(hop.rtnh_len), left);
    at += step;
    left -= step;
  }
}

struct Heard {
  Prefix prefix;
  std::uint8_t protocol = 0;
  std::uint8_t type = 0;
  std::uint32_t table = 0;
  std::uint32_t metric = 0;
  std::vector<Way> ways;
  bool by_nexthop_object = false;  // whose ways this message does not tell
};

// nullopt: no route of somebody else's.
std::optional<Heard> parse(const nlmsghdr& m) {
  if (m.nlmsg_len < NLMSG_LENGTH(sizeof(rtmsg))) return std::nullopt;
  rtmsg route{};
  std::memcpy(&route, mnl_nlmsg_get_payload(&m), sizeof route);
  const std::uint8_t family = route.rtm_family;
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  const bool ours = route.rtm_protocol == kOurProtocol || route.rtm_protocol == kBarrierProtocol;
  if (ours || (route.rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  Heard out;
  out.table = route.rtm_table;
  out.protocol = route.rtm_protocol;
  out.type = route.rtm_type;
  Way single;
  std::optional<IpAddress> destination;
  bool has_object = false;
  for_each_attribute(static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&m, sizeof(rtmsg))),
                     m.nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(rtmsg))), [&](const nlattr* a) {
                       const std::uint16_t type = mnl_attr_get_type(a);
                       if (type == RTA_DST) {
                         destination = address_in(static_cast<const std::uint8_t*>(mnl_attr_get_payload(a)),
                                                  mnl_attr_get_payload_len(a), family);
                       } else if (type == RTA_PRIORITY && mnl_attr_get_payload_len(a) == 4) {
                         out.metric = mnl_attr_get_u32(a);
                       } else if (type == RTA_TABLE && mnl_attr_get_payload_len(a) == 4) {
                         out.table = mnl_attr_get_u32(a);
                       } else if (type == RTA_MULTIPATH) {
                         take_ways(a, family, out.ways);
                       } else if (type == RTA_NH_ID) {
                         has_object = true;
                       } else {
                         take_attribute(a, family, single);
                       }
                     });
  const IpAddress any = family == AF_INET6 ? IpAddress::from_bytes(std::array<std::uint8_t, 16>{}) : IpAddress{};
  if (!destination) destination = any;
  out.prefix = Prefix::masked(*destination, std::min<unsigned>(route.rtm_dst_len, destination->bits()));
  if (single.device != 0 && (route.rtm_flags & RTNH_F_DEAD) == 0) out.ways.push_back(single);
  if (route.rtm_type != RTN_UNICAST && route.rtm_type != RTN_LOCAL) out.ways.clear();
  out.by_nexthop_object = has_object && out.ways.empty();
  return out;
}

// A network of an interface, or an address: made by the kernel, or announced on the link. nullopt: something else.
std::optional<gateway::HostNetwork::Kind> own_kind(const Heard& heard) {
  using Kind = gateway::HostNetwork::Kind;
  if (heard.ways.size() != 1 || heard.ways.front().gateway || heard.prefix.length() == 0) return std::nullopt;
  if (!gateway::can_lie_behind_a_tunnel(heard.prefix)) return std::nullopt;
  if (heard.type == RTN_LOCAL) return heard.table == RT_TABLE_LOCAL ? std::optional{Kind::Address} : std::nullopt;
  const bool by_kernel = heard.protocol == RTPROT_KERNEL || heard.protocol == RTPROT_RA;
  return heard.table == RT_TABLE_MAIN && by_kernel ? std::optional{Kind::Connected} : std::nullopt;
}

// What is asked, one after the other. Interfaces first: the rest names them by number.
struct Question {
  std::uint16_t type = RTM_GETROUTE;
  std::uint8_t family = AF_UNSPEC;
  std::uint8_t table = RT_TABLE_UNSPEC;  // unspecified: routes through our TUNs, of any
  std::uint8_t protocol = RTPROT_UNSPEC;
};
constexpr Question kQuestions[] = {
    {.type = RTM_GETLINK},
    {.family = AF_INET},
    {.family = AF_INET6},
    {.family = AF_INET, .table = RT_TABLE_MAIN, .protocol = RTPROT_KERNEL},
    {.family = AF_INET, .table = RT_TABLE_LOCAL, .protocol = RTPROT_KERNEL},
    {.family = AF_INET6, .table = RT_TABLE_MAIN, .protocol = RTPROT_KERNEL},
    {.family = AF_INET6, .table = RT_TABLE_MAIN, .protocol = RTPROT_RA},
    {.family = AF_INET6, .table = RT_TABLE_LOCAL, .protocol = RTPROT_KERNEL},
};

}  // namespace

Result<RouteMonitor> RouteMonitor::open(std::vector<Tun> tuns) {
  QANAT_ASSIGN(io::UniqueFd news, open_socket(RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_LINK));
  QANAT_ASSIGN(io::UniqueFd answers, open_socket(0));
  return RouteMonitor{std::move(news), std::move(answers), std::move(tuns)};
}

const RouteMonitor::Tun* RouteMonitor::find(std::uint32_t index) const {
  const auto found = std::ranges::find(tuns_, index, &Tun::index);
  return found == tuns_.end() ? nullptr : &*found;
}

bool RouteMonitor::paused() const {
  return std::ranges::any_of(tuns_, [](const Tun& tun) { return !tun.up; });
}

// True when a TUN of ours is up again, or when another interface has come, changed its name, or gone up or down.
bool RouteMonitor::note_link(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return false;
  ifinfomsg link{};
  std::memcpy(&link, mnl_nlmsg_get_payload(&message), sizeof link);
  if (link.ifi_family != AF_UNSPEC) return false;  // of a bridge's port
  const auto index = static_cast<std::uint32_t>(link.ifi_index);
  Link now{.name = {}, .up = (link.ifi_flags & IFF_UP) != 0};
  for_each_attribute(static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, sizeof(ifinfomsg))),
                     message.nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(ifinfomsg))), [&](const nlattr* a) {
                       if (mnl_attr_get_type(a) != IFLA_IFNAME) return;
                       const char* text = static_cast<const char*>(mnl_attr_get_payload(a));
                       now.name.assign(text, ::strnlen(text, mnl_attr_get_payload_len(a)));
                     });
  Link& known = links_[index];
  const bool changed = known != now;
  known = std::move(now);
  const auto tun = std::ranges::find(tuns_, index, &Tun::index);
  if (tun == tuns_.end()) return changed;
  const bool was_up = std::exchange(tun->up, known.up);
  return tun->up && !was_up;
}

bool RouteMonitor::note_gone(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return false;
  ifinfomsg link{};
  std::memcpy(&link, mnl_nlmsg_get_payload(&message), sizeof link);
  return link.ifi_family == AF_UNSPEC && links_.erase(static_cast<std::uint32_t>(link.ifi_index)) != 0;
}

bool RouteMonitor::drain() {
  bool concerns_us = false;
  alignas(nlmsghdr) std::array<char, kBuffer> buffer;
  while (true) {
    const ssize_t size = ::recv(news_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) {
      if (errno == ENOBUFS) {
        concerns_us = true;
        for (Tun& tun : tuns_) tun.up = true;  // that it is up again may be what was lost
        continue;
      }
      if (errno == EINTR) continue;
      return concerns_us;
    }
    int left = static_cast<int>(size);
    const auto* m = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_type == RTM_NEWLINK) concerns_us = note_link(*m) || concerns_us;
      if (m->nlmsg_type == RTM_DELLINK) concerns_us = note_gone(*m) || concerns_us;
      if (concerns_us || (m->nlmsg_type != RTM_NEWROUTE && m->nlmsg_type != RTM_DELROUTE)) continue;
      const auto heard = parse(*m);
      if (!heard) continue;
      concerns_us = heard->by_nexthop_object || own_kind(*heard).has_value() || known_.contains(heard->prefix) ||
                    std::ranges::any_of(heard->ways, [&](const Way& way) { return find(way.device) != nullptr; });
    }
  }
}

Status RouteMonitor::ask() {
  const Question& question = kQuestions[question_];
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = question.type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = ++sequence_;
  if (question.type == RTM_GETLINK) {
    (void)mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
  } else {
    auto* body = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
    body->rtm_family = question.family;
    body->rtm_table = question.table;
    body->rtm_protocol = question.protocol;
    // The kernel filters by one interface; of several we filter ourselves.
    if (question.table == RT_TABLE_UNSPEC && tuns_.size() == 1) mnl_attr_put_u32(request, RTA_OIF, tuns_.front().index);
  }
  if (::send(answers_.get(), request, request->nlmsg_len, 0) < 0) return io::system_failure(kWhere, "send");
  return {};
}

Status RouteMonitor::begin() {
  found_ = {};
  interrupted_ = false;
  question_ = 0;
  QANAT_TRY(ask());
  reading_ = true;
  return {};
}

void RouteMonitor::take_answer(const nlmsghdr& message) {
  if (message.nlmsg_type == RTM_NEWLINK) (void)note_link(message);
  if (message.nlmsg_type != RTM_NEWROUTE) return;
  const auto heard = parse(message);
  if (!heard) return;
  if (kQuestions[question_].table != RT_TABLE_UNSPEC) {
    const auto kind = own_kind(*heard);
    const auto link = kind ? links_.find(heard->ways.front().device) : links_.end();
    if (link != links_.end()) found_.networks.push_back({heard->prefix, link->second.name, *kind});
    return;
  }
  if (heard->type != RTN_UNICAST) return;
  for (const Way& way : heard->ways) {
    const Tun* tun = find(way.device);
    if (tun == nullptr || !way.gateway) continue;
    found_.routes.push_back({.vrf = tun->vrf,
                             .prefix = heard->prefix,
                             .gateway = *way.gateway,
                             .metric = heard->metric,
                             .weight = way.weight,
                             .table = heard->table});
  }
}

std::optional<Result<RouteMonitor::Found>> RouteMonitor::read() {
  const auto give_up = [&](auto error) -> Result<Found> {
    reading_ = false;
    return std::unexpected(std::move(error).error());
  };
  alignas(nlmsghdr) std::array<char, kBuffer> buffer;
  const ssize_t size = ::recv(answers_.get(), buffer.data(), buffer.size(), 0);
  if (size < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    return give_up(io::system_failure(kWhere, "recv"));
  }
  int left = static_cast<int>(size);
  const auto* m = reinterpret_cast<const nlmsghdr*>(buffer.data());
  for (; mnl_nlmsg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
    if (m->nlmsg_seq != sequence_ || !reading_) continue;  // of a question that was given up
    if ((m->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
    // An error: a family that this kernel does not have has no routes either.
    if (m->nlmsg_type != NLMSG_DONE && m->nlmsg_type != NLMSG_ERROR) {
      take_answer(*m);
      continue;
    }
    if (++question_ < std::size(kQuestions)) {
      if (const Status asked = ask(); !asked) return give_up(asked);
      return std::nullopt;
    }
    if (interrupted_) {
      return give_up(Status{fail(ErrorKind::Resource, kWhere, "routes have changed while they were read")});
    }
    reading_ = false;
    known_.clear();
    for (const gateway::KernelRoute& route : found_.routes) known_.insert(route.prefix);
    return std::exchange(found_, {});
  }
  return std::nullopt;
}

}  // namespace qanat::daemon
