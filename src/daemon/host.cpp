#include "daemon/host.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

namespace qanat::daemon {

std::vector<IpAddress> host_addresses() {
  std::vector<IpAddress> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner{list, &::freeifaddrs};
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr) continue;
    if (i->ifa_addr->sa_family == AF_INET) {
      sockaddr_in a{};
      std::memcpy(&a, i->ifa_addr, sizeof a);
      out.push_back(IpAddress::v4(ntohl(a.sin_addr.s_addr)));
    } else if (i->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 a{};
      std::memcpy(&a, i->ifa_addr, sizeof a);
      out.push_back(IpAddress::from_bytes({a.sin6_addr.s6_addr, 16}));
    }
  }
  return out;
}

void adapt_to_host(model::Config& config, const std::vector<IpAddress>& ours, const io::Log& log) {
  const auto is_ours = [&](const IpAddress& a) { return std::find(ours.begin(), ours.end(), a) != ours.end(); };
  for (model::Tunnel& t : config.tunnels) {
    const bool v6 = t.peer ? t.peer->is_v6() : !config.gateway.address4;
    const std::optional<IpAddress>& address = v6 ? config.gateway.address6 : config.gateway.address4;
    if (t.local || !address || is_ours(*address)) continue;
    if (!t.local_id) t.local_id = wire::Identity::of_address(*address);
    t.local = v6 ? IpAddress::from_bytes(std::array<std::uint8_t, 16>{}) : IpAddress{};
    log.info(
        "behind-nat",
        {{"tunnel", t.name},
         {"address", address->to_string()},
         {"detail", "no interface has this address: the gateway stands behind a static NAT, or the address is wrong"}});
  }
}

}  // namespace qanat::daemon
