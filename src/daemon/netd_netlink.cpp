#include "daemon/netd_netlink.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

namespace qanat::daemon {

namespace {

constexpr const char* kWhere = "rtnetlink";
constexpr std::size_t kMaxMessages = 512;  // of a batch: their answers must fit into the receive buffer
constexpr std::size_t kMaxMessage = 512;
constexpr std::size_t kReceiveBuffer = 64 * 1024;

std::uint8_t family_of(bool v6) {
  return v6 ? AF_INET6 : AF_INET;
}

// The attributes of a message by type; the last of a kind wins.
using Attributes = std::vector<const nlattr*>;

Attributes parse_attributes(const nlmsghdr* message, std::size_t header, std::size_t max_type) {
  struct Parse {
    Attributes found;
  } parse{Attributes(max_type + 1, nullptr)};
  mnl_attr_parse(
      message, static_cast<unsigned>(header),
      [](const nlattr* attribute, void* data) {
        auto& found = static_cast<Parse*>(data)->found;
        const std::size_t type = mnl_attr_get_type(attribute);
        if (type < found.size()) found[type] = attribute;
        return MNL_CB_OK;
      },
      &parse);
  return std::move(parse.found);
}

std::uint32_t u32_of(const nlattr* attribute, std::uint32_t absent) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != 4) return absent;
  return mnl_attr_get_u32(attribute);
}

std::string text_of(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const char* text = mnl_attr_get_str(attribute);
  return {text, ::strnlen(text, mnl_attr_get_payload_len(attribute))};
}

Prefix prefix_of(const nlattr* destination, std::uint8_t length, bool v6) {
  const IpAddress any = v6 ? IpAddress::from_bytes(Bytes(16, 0)) : IpAddress{};
  if (destination == nullptr || mnl_attr_get_payload_len(destination) != any.size()) return Prefix::masked(any, 0);
  const auto* octets = static_cast<const std::uint8_t*>(mnl_attr_get_payload(destination));
  return Prefix::masked(IpAddress::from_bytes(ByteView{octets, any.size()}), std::min<unsigned>(length, any.bits()));
}

std::optional<HostRoute> parse_route(const nlmsghdr* message, std::uint8_t protocol) {
  if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(rtmsg))) return std::nullopt;
  const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (route->rtm_protocol != protocol || (route->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) return std::nullopt;
  const Attributes attributes = parse_attributes(message, sizeof(rtmsg), RTA_MAX);
  HostRoute out;
  out.protocol = protocol;
  out.table = u32_of(attributes[RTA_TABLE], route->rtm_table);
  out.prefix = prefix_of(attributes[RTA_DST], route->rtm_dst_len, route->rtm_family == AF_INET6);
  out.metric = u32_of(attributes[RTA_PRIORITY], 0);
  switch (route->rtm_type) {
    case RTN_UNREACHABLE:
      out.kind = HostRoute::Kind::Unreachable;
      break;
    case RTN_THROW:
      out.kind = HostRoute::Kind::Throw;
      break;
    default:
      out.kind = HostRoute::Kind::Device;
      out.device = u32_of(attributes[RTA_OIF], 0);
  }
  return out;
}

// nullopt: no network of an interface that is there.
std::optional<gateway::HostNetwork> parse_connected(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(rtmsg))) return std::nullopt;
  const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) return std::nullopt;
  const bool by_kernel = route->rtm_protocol == RTPROT_KERNEL || route->rtm_protocol == RTPROT_RA;
  const bool forwards = route->rtm_type == RTN_UNICAST && (route->rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD)) == 0;
  if (!by_kernel || !forwards || route->rtm_dst_len == 0) return std::nullopt;
  const Attributes attributes = parse_attributes(message, sizeof(rtmsg), RTA_MAX);
  if (u32_of(attributes[RTA_TABLE], route->rtm_table) != RT_TABLE_MAIN) return std::nullopt;
  for (const int other_way : {RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH, RTA_NH_ID}) {
    if (attributes[static_cast<std::size_t>(other_way)] != nullptr) return std::nullopt;
  }
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(u32_of(attributes[RTA_OIF], 0), name.data()) == nullptr) return std::nullopt;
  return gateway::HostNetwork{prefix_of(attributes[RTA_DST], route->rtm_dst_len, route->rtm_family == AF_INET6),
                              name.data()};
}

std::optional<HostRule> parse_rule(const nlmsghdr* message) {
  if (message->nlmsg_type != RTM_NEWRULE || message->nlmsg_len < NLMSG_LENGTH(sizeof(fib_rule_hdr)))
    return std::nullopt;
  const auto* rule = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
  if (rule->family != AF_INET && rule->family != AF_INET6) return std::nullopt;
  const Attributes attributes = parse_attributes(message, sizeof(fib_rule_hdr), FRA_MAX);
  const nlattr* protocol = attributes[FRA_PROTOCOL];
  if (protocol == nullptr || mnl_attr_get_payload_len(protocol) != 1 || mnl_attr_get_u8(protocol) != kOurProtocol) {
    return std::nullopt;
  }
  HostRule out;
  out.v6 = rule->family == AF_INET6;
  out.preference = u32_of(attributes[FRA_PRIORITY], 0);
  out.table = rule->action == FR_ACT_UNREACHABLE ? 0 : u32_of(attributes[FRA_TABLE], rule->table);
  if (attributes[FRA_FWMARK] != nullptr)
    ((rule->flags & FIB_RULE_INVERT) != 0 ? out.not_mark : out.mark) = u32_of(attributes[FRA_FWMARK], 0);
  out.in = text_of(attributes[FRA_IIFNAME]);
  out.out = text_of(attributes[FRA_OIFNAME]);
  out.without_default = u32_of(attributes[FRA_SUPPRESS_PREFIXLEN], 0xffffffffU) == 0;
  return out;
}

void put_route(nlmsghdr* message, const HostRoute& route) {
  auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
  header->rtm_family = family_of(!route.prefix.is_v4());
  header->rtm_dst_len = static_cast<std::uint8_t>(route.prefix.length());
  header->rtm_table = RT_TABLE_UNSPEC;  // the attribute holds it
  header->rtm_protocol = route.protocol;
  header->rtm_scope = RT_SCOPE_UNIVERSE;
  switch (route.kind) {
    case HostRoute::Kind::Unreachable:
      header->rtm_type = RTN_UNREACHABLE;
      break;
    case HostRoute::Kind::Throw:
      header->rtm_type = RTN_THROW;
      break;
    case HostRoute::Kind::Device:
      header->rtm_type = RTN_UNICAST;
      if (route.prefix.is_v4()) header->rtm_scope = RT_SCOPE_LINK;
      break;
  }
  mnl_attr_put_u32(message, RTA_TABLE, route.table);
  const ByteView octets = route.prefix.address().bytes();
  if (route.prefix.length() > 0) mnl_attr_put(message, RTA_DST, octets.size(), octets.data());
  if (route.metric != 0) mnl_attr_put_u32(message, RTA_PRIORITY, route.metric);
  if (route.kind == HostRoute::Kind::Device) mnl_attr_put_u32(message, RTA_OIF, route.device);
}

void put_rule(nlmsghdr* message, const HostRule& rule) {
  auto* header = static_cast<fib_rule_hdr*>(mnl_nlmsg_put_extra_header(message, sizeof(fib_rule_hdr)));
  header->family = family_of(rule.v6);
  header->action = rule.table == 0 ? FR_ACT_UNREACHABLE : FR_ACT_TO_TBL;
  header->flags = rule.not_mark ? FIB_RULE_INVERT : 0;
  if (rule.table != 0) mnl_attr_put_u32(message, FRA_TABLE, rule.table);
  mnl_attr_put_u32(message, FRA_PRIORITY, rule.preference);
  mnl_attr_put_u8(message, FRA_PROTOCOL, kOurProtocol);
  if (const auto mark = rule.not_mark ? rule.not_mark : rule.mark) {
    mnl_attr_put_u32(message, FRA_FWMARK, *mark);
    mnl_attr_put_u32(message, FRA_FWMASK, 0xffffffffU);
  }
  if (!rule.in.empty()) mnl_attr_put_strz(message, FRA_IIFNAME, rule.in.c_str());
  if (!rule.out.empty()) mnl_attr_put_strz(message, FRA_OIFNAME, rule.out.c_str());
  if (rule.without_default) mnl_attr_put_u32(message, FRA_SUPPRESS_PREFIXLEN, 0);
}

std::string name_of(const HostRoute& route) {
  return "route " + route.prefix.to_string() + " in table " + std::to_string(route.table);
}
std::string name_of(const HostRule& rule) {
  return std::string(rule.v6 ? "IPv6" : "IPv4") + " rule " + std::to_string(rule.preference);
}

bool already_there(int error) {
  return error == EEXIST;
}
bool already_gone(int error) {
  return error == ESRCH || error == ENOENT || error == ENODEV;
}

}  // namespace

// Messages that are sent in as few system calls as possible; each is acknowledged, and the first refusal ends it.
class RouteSocket::Batch {
 public:
  explicit Batch(RouteSocket& socket) : socket_(socket) {}

  nlmsghdr* begin(std::uint16_t type, std::uint16_t flags) {
    buffer_.resize(used_ + kMaxMessage);
    nlmsghdr* message = mnl_nlmsg_put_header(buffer_.data() + used_);
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    message->nlmsg_seq = socket_.sequence_++;
    return message;
  }
  // `harmless`: an error that means that the wish is fulfilled already.
  Status commit(const nlmsghdr* message, std::string name, bool (*harmless)(int)) {
    used_ += NLMSG_ALIGN(message->nlmsg_len);
    names_.push_back(std::move(name));
    harmless_ = harmless;
    return names_.size() >= kMaxMessages ? flush() : Status{};
  }

  Status flush() {
    if (names_.empty()) return {};
    const std::uint32_t first = socket_.sequence_ - static_cast<std::uint32_t>(names_.size());
    if (::send(socket_.fd_.get(), buffer_.data(), used_, 0) < 0) return io::system_failure(kWhere, "send");
    Status status;
    std::size_t answered = 0;
    std::vector<std::uint8_t> answer(kReceiveBuffer);
    while (answered < names_.size()) {
      const ssize_t size = ::recv(socket_.fd_.get(), answer.data(), answer.size(), 0);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return io::system_failure(kWhere, "receiving the kernel's answer");
      int left = static_cast<int>(size);
      const auto* message = reinterpret_cast<const nlmsghdr*>(answer.data());
      for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
        const std::uint32_t index = message->nlmsg_seq - first;
        if (message->nlmsg_type != NLMSG_ERROR || index >= names_.size()) continue;
        ++answered;
        const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        if (error != 0 && !harmless_(error) && status) status = io::system_failure(kWhere, names_[index], error);
      }
    }
    used_ = 0;
    names_.clear();
    return status;
  }

 private:
  RouteSocket& socket_;
  std::vector<std::uint8_t> buffer_;
  std::size_t used_ = 0;
  std::vector<std::string> names_;
  bool (*harmless_)(int) = [](int) { return false; };
};

namespace {

// Sends one dump request and hands every message of the answer to `each`.
Status dump(int fd, std::vector<std::uint8_t>& request, std::uint32_t sequence,
            const std::function<void(const nlmsghdr*)>& each) {
  auto* header = reinterpret_cast<nlmsghdr*>(request.data());
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header->nlmsg_seq = sequence;
  if (::send(fd, request.data(), header->nlmsg_len, 0) < 0) return io::system_failure(kWhere, "send");
  std::vector<std::uint8_t> answer(kReceiveBuffer);
  while (true) {
    const ssize_t size = ::recv(fd, answer.data(), answer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return io::system_failure(kWhere, "reading the kernel's table");
    int left = static_cast<int>(size);
    const auto* message = reinterpret_cast<const nlmsghdr*>(answer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence) continue;
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        // A family or a table that this kernel does not have holds nothing of ours.
        if (error == ENOENT || error == EOPNOTSUPP || error == EAFNOSUPPORT) return {};
        return io::system_failure(kWhere, "reading the kernel's table", error);
      }
      each(message);
    }
  }
}

}  // namespace

Result<RouteSocket> RouteSocket::open() {
  io::UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.valid()) return io::system_failure(kWhere, "socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return io::system_failure(kWhere, "bind");
  }
  const int on = 1;
  const int buffer = 4 * 1024 * 1024;
  const timeval patience{10, 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) {
    return io::system_failure(kWhere, "SO_RCVTIMEO");
  }
  // Wishes: short answers, room for many of them, and dumps that the kernel filters.
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  return RouteSocket(std::move(fd));
}

Result<std::optional<LinkInfo>> RouteSocket::find_link(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) {
    if (errno == ENODEV || errno == ENXIO) return std::optional<LinkInfo>{};
    return io::system_failure("interface " + name, "looking for it");
  }
  std::vector<std::uint8_t> request(kMaxMessage);
  nlmsghdr* message = mnl_nlmsg_put_header(request.data());
  message->nlmsg_type = RTM_GETLINK;
  message->nlmsg_flags = NLM_F_REQUEST;
  message->nlmsg_seq = sequence_++;
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_family = AF_UNSPEC;
  header->ifi_index = static_cast<int>(index);
  if (::send(fd_.get(), request.data(), message->nlmsg_len, 0) < 0) return io::system_failure(kWhere, "send");
  std::vector<std::uint8_t> answer(kReceiveBuffer);
  const ssize_t size = ::recv(fd_.get(), answer.data(), answer.size(), 0);
  if (size < 0) return io::system_failure("interface " + name, "asking the kernel");
  const auto* link = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (!mnl_nlmsg_ok(link, static_cast<int>(size)) || link->nlmsg_type != RTM_NEWLINK) return std::optional<LinkInfo>{};
  LinkInfo out{index, false};
  const Attributes attributes = parse_attributes(link, sizeof(ifinfomsg), IFLA_MAX);
  if (attributes[IFLA_LINKINFO] != nullptr) {
    mnl_attr_parse_nested(
        attributes[IFLA_LINKINFO],
        [](const nlattr* attribute, void* data) {
          if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND) {
            static_cast<LinkInfo*>(data)->is_tun = text_of(attribute) == "tun";
          }
          return MNL_CB_OK;
        },
        &out);
  }
  return std::optional<LinkInfo>{out};
}

Status RouteSocket::set_link_up(std::uint32_t index, std::uint16_t mtu, std::uint32_t queue_length) {
  Batch batch(*this);
  nlmsghdr* message = batch.begin(RTM_NEWLINK, 0);
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_index = static_cast<int>(index);
  header->ifi_flags = IFF_UP;
  header->ifi_change = IFF_UP;
  mnl_attr_put_u32(message, IFLA_MTU, mtu);
  mnl_attr_put_u32(message, IFLA_TXQLEN, queue_length);
  QANAT_TRY(batch.commit(message, "setting the TUN device up", [](int) { return false; }));
  return batch.flush();
}

Status RouteSocket::set_no_auto_address(std::uint32_t index) {
  Batch batch(*this);
  nlmsghdr* message = batch.begin(RTM_NEWLINK, 0);
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_index = static_cast<int>(index);
  nlattr* families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
  nlattr* inet6 = mnl_attr_nest_start(message, AF_INET6);
  mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  mnl_attr_nest_end(message, inet6);
  mnl_attr_nest_end(message, families);
  QANAT_TRY(batch.commit(message, "IPv6 address generation", [](int) { return false; }));
  return batch.flush();
}

Result<std::vector<HostRoute>> RouteSocket::our_routes(std::uint8_t protocol) {
  std::vector<HostRoute> out;
  for (const bool v6 : {false, true}) {
    std::vector<std::uint8_t> request(kMaxMessage);
    nlmsghdr* message = mnl_nlmsg_put_header(request.data());
    message->nlmsg_type = RTM_GETROUTE;
    auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
    header->rtm_family = family_of(v6);
    header->rtm_protocol = protocol;
    QANAT_TRY(dump(fd_.get(), request, sequence_++, [&](const nlmsghdr* answer) {
      auto route = parse_route(answer, protocol);
      if (route && route->prefix.is_v4() != v6) out.push_back(*route);
    }));
  }
  return out;
}

Result<std::vector<gateway::HostNetwork>> RouteSocket::connected_networks() {
  std::vector<gateway::HostNetwork> out;
  for (const bool v6 : {false, true}) {
    for (const std::uint8_t protocol : {std::uint8_t{RTPROT_KERNEL}, std::uint8_t{RTPROT_RA}}) {
      std::vector<std::uint8_t> request(kMaxMessage);
      nlmsghdr* message = mnl_nlmsg_put_header(request.data());
      message->nlmsg_type = RTM_GETROUTE;
      auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
      header->rtm_family = family_of(v6);
      header->rtm_table = RT_TABLE_MAIN;
      header->rtm_protocol = protocol;
      QANAT_TRY(dump(fd_.get(), request, sequence_++, [&](const nlmsghdr* answer) {
        auto network = parse_connected(answer);
        if (network && network->prefix.is_v4() != v6) out.push_back(std::move(*network));
      }));
    }
  }
  return out;
}

Result<std::vector<HostRule>> RouteSocket::our_rules() {
  std::vector<HostRule> out;
  for (const bool v6 : {false, true}) {
    std::vector<std::uint8_t> request(kMaxMessage);
    nlmsghdr* message = mnl_nlmsg_put_header(request.data());
    message->nlmsg_type = RTM_GETRULE;
    auto* header = static_cast<fib_rule_hdr*>(mnl_nlmsg_put_extra_header(message, sizeof(fib_rule_hdr)));
    header->family = family_of(v6);
    QANAT_TRY(dump(fd_.get(), request, sequence_++, [&](const nlmsghdr* answer) {
      const auto rule = parse_rule(answer);
      if (rule && rule->v6 == v6) out.push_back(*rule);
    }));
  }
  return out;
}

Status RouteSocket::add_routes(const std::vector<HostRoute>& routes, Existing existing) {
  Batch batch(*this);
  const std::uint16_t flags = NLM_F_CREATE | (existing == Existing::Replace ? NLM_F_REPLACE : NLM_F_EXCL);
  for (const HostRoute& route : routes) {
    nlmsghdr* message = batch.begin(RTM_NEWROUTE, flags);
    put_route(message, route);
    QANAT_TRY(batch.commit(message, name_of(route), already_there));
  }
  return batch.flush();
}

Status RouteSocket::remove_routes(const std::vector<HostRoute>& routes) {
  Batch batch(*this);
  for (const HostRoute& route : routes) {
    nlmsghdr* message = batch.begin(RTM_DELROUTE, 0);
    put_route(message, route);
    QANAT_TRY(batch.commit(message, "removing " + name_of(route), already_gone));
  }
  return batch.flush();
}

Status RouteSocket::add_rules(const std::vector<HostRule>& rules) {
  Batch batch(*this);
  for (const HostRule& rule : rules) {
    nlmsghdr* message = batch.begin(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
    put_rule(message, rule);
    QANAT_TRY(batch.commit(message, name_of(rule), already_there));
  }
  return batch.flush();
}

Status RouteSocket::remove_rules(const std::vector<HostRule>& rules) {
  Batch batch(*this);
  for (const HostRule& rule : rules) {
    nlmsghdr* message = batch.begin(RTM_DELRULE, 0);
    put_rule(message, rule);
    QANAT_TRY(batch.commit(message, "removing " + name_of(rule), already_gone));
  }
  return batch.flush();
}

}  // namespace qanat::daemon
