// AddressMonitor: which addresses the host has, and from which it would send to a peer; and when that changes. Through
// rtnetlink, which tells everybody: no right is needed, but the sockets are opened before the sandbox forbids it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

class AddressMonitor {
 public:
  // `mark`: of our outer packets, as routing sees it.
  [[nodiscard]] static Result<AddressMonitor> open(std::uint32_t mark);

  // Readable when addresses or routes have changed, or may have.
  [[nodiscard]] int fd() const { return events_.get(); }
  void drain();

  struct Addresses {
    std::vector<IpAddress> usable;  // that others can reach and that are ready
    std::vector<IpAddress> rest;    // loopback, link-local, tentative or deprecated
  };
  [[nodiscard]] Result<Addresses> addresses();
  // nullopt: there is no route.
  [[nodiscard]] Result<std::optional<IpAddress>> source_for(const IpAddress& remote);

 private:
  AddressMonitor(io::UniqueFd events, io::UniqueFd questions, std::uint32_t mark)
      : events_(std::move(events)), questions_(std::move(questions)), mark_(mark) {}

  io::UniqueFd events_;
  io::UniqueFd questions_;
  std::uint32_t mark_;
  std::uint32_t sequence_ = 0;
};

}  // namespace qanat::daemon
