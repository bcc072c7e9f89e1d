// The kernel's routing through rtnetlink: links, routes and rules. Everything made here carries our own protocol
// number, so that a later process finds all of it, whatever table an older config used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "gateway/host_networks.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

inline constexpr std::uint8_t kOurProtocol = 81;                 // 'Q'; rt_protos of iproute2 has no such number
inline constexpr std::uint8_t kBarrierProtocol = 82;             // barriers beside routes of somebody else's
inline constexpr std::uint32_t kLowestPreference = 4294967295U;  // the highest metric: after every other route

struct HostRoute {
  enum class Kind : std::uint8_t { Unreachable, Throw, Device };
  std::uint32_t table = 0;
  Prefix prefix;
  Kind kind = Kind::Unreachable;
  std::uint32_t device = 0;  // interface index, for Device
  std::uint32_t metric = 0;  // 0 for IPv4's best, IPv6 makes 1024 of it
  std::uint8_t protocol = kOurProtocol;
  friend auto operator<=>(const HostRoute&, const HostRoute&) = default;
};

struct HostRule {
  bool v6 = false;
  std::uint32_t preference = 0;
  std::uint32_t table = 0;                     // 0: no table, the packet is unreachable here
  std::optional<std::uint32_t> not_mark = {};  // "not fwmark M"
  bool without_default = false;                // suppress_prefixlength 0
  // Of the packets of an account only; one of them.
  std::optional<std::uint32_t> mark = {};
  std::string in = {};   // that come by this interface
  std::string out = {};  // of sockets that are bound to it
  friend auto operator<=>(const HostRule&, const HostRule&) = default;
};

struct LinkInfo {
  std::uint32_t index = 0;
  bool is_tun = false;
};

class RouteSocket {
 public:
  [[nodiscard]] static Result<RouteSocket> open();

  [[nodiscard]] Result<std::optional<LinkInfo>> find_link(const std::string& name);
  // Up, with this MTU and queue length.
  [[nodiscard]] Status set_link_up(std::uint32_t index, std::uint16_t mtu, std::uint32_t queue_length);
  // No automatic IPv6 address: nothing of the kernel's own goes into the tunnel. Fails where IPv6 is off.
  [[nodiscard]] Status set_no_auto_address(std::uint32_t index);

  [[nodiscard]] Result<std::vector<HostRoute>> our_routes(std::uint8_t protocol = kOurProtocol);
  [[nodiscard]] Result<std::vector<HostRule>> our_rules();
  // Of the main table: made by the kernel for an interface's address, or announced on its link.
  [[nodiscard]] Result<std::vector<gateway::HostNetwork>> connected_networks();
  // In the given order; stops at the first that fails. Adding what exists and removing what does not is no error.
  enum class Existing : std::uint8_t { Replace, Keep };  // a route of the same prefix, table and metric
  [[nodiscard]] Status add_routes(const std::vector<HostRoute>& routes, Existing existing = Existing::Replace);
  [[nodiscard]] Status remove_routes(const std::vector<HostRoute>& routes);
  [[nodiscard]] Status add_rules(const std::vector<HostRule>& rules);
  [[nodiscard]] Status remove_rules(const std::vector<HostRule>& rules);

 private:
  explicit RouteSocket(io::UniqueFd fd) : fd_(std::move(fd)) {}
  class Batch;
  io::UniqueFd fd_;
  std::uint32_t sequence_ = 1;
};

}  // namespace qanat::daemon
