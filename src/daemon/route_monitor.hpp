// RouteMonitor: which routes of the host's kernel lead through one of our TUNs to a gateway, which networks and
// addresses the host has by itself, and when that changes. Through rtnetlink, which tells everybody: no right is
// needed, but the sockets are opened before the sandbox forbids it. Our own routes (netd_protection.cpp) are passed
// over.
//
// News are not believed one by one: what they say of a route that replaces another, of one way of several, or of what
// the kernel drops by itself differs by family and kernel. They only show that our TUNs may be concerned, and then all
// routes are read again, without waiting: begin(), then read() whenever answers_fd() is readable, until it gives them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "gateway/host_networks.hpp"
#include "gateway/kernel_routes.hpp"
#include "io/fd.hpp"

struct nlmsghdr;

namespace qanat::daemon {

class RouteMonitor {
 public:
  struct Tun {
    VrfId vrf;
    std::uint32_t index = 0;  // of its interface
    bool up = true;
  };
  struct Found {
    std::vector<gateway::KernelRoute> routes;
    std::vector<gateway::HostNetwork> networks;
  };
  [[nodiscard]] static Result<RouteMonitor> open(std::vector<Tun> tuns);

  // Readable when routes or interfaces have changed.
  [[nodiscard]] int news_fd() const { return news_.get(); }
  // Takes the news; true when they may concern what read() tells, or when some were lost.
  [[nodiscard]] bool drain();
  // One of our TUNs was taken down. The kernel has dropped the routes through it, and nobody has withdrawn them: what
  // was read last holds until it is up again.
  [[nodiscard]] bool paused() const;

  [[nodiscard]] int answers_fd() const { return answers_.get(); }
  [[nodiscard]] bool reading() const { return reading_; }
  // Asks for all routes.
  [[nodiscard]] Status begin();
  // Reads on. nullopt: there is more to come. An error: they changed while they were read, or some were lost; begin()
  // again, a little later.
  [[nodiscard]] std::optional<Result<Found>> read();

 private:
  RouteMonitor(io::UniqueFd news, io::UniqueFd answers, std::vector<Tun> tuns)
      : news_(std::move(news)), answers_(std::move(answers)), tuns_(std::move(tuns)) {}
  [[nodiscard]] Status ask();
  void take_answer(const nlmsghdr& message);
  [[nodiscard]] const Tun* find(std::uint32_t index) const;
  [[nodiscard]] bool note_link(const nlmsghdr& message);
  [[nodiscard]] bool note_gone(const nlmsghdr& message);

  io::UniqueFd news_;
  io::UniqueFd answers_;
  std::vector<Tun> tuns_;
  std::set<Prefix> known_;  // of the routes that were read last
  struct Link {
    std::string name;
    bool up = false;
    friend bool operator==(const Link&, const Link&) = default;
  };
  std::map<std::uint32_t, Link> links_;  // by index
  bool reading_ = false;
  std::size_t question_ = 0;  // which is being answered
  bool interrupted_ = false;  // the kernel says that it is not of one moment
  std::uint32_t sequence_ = 0;
  Found found_;
};

}  // namespace qanat::daemon
