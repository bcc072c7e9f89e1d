// TunDevice: the host's side of the inner network, packets without any header before the IP one (IFF_TUN | IFF_NO_PI).
// The device lives as long as its last descriptor: when the process dies, it and its routes are gone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "io/datagram.hpp"
#include "io/fd.hpp"

namespace qanat::io {

// Makes the device. `control`: an open /dev/net/tun, which becomes the device. Needs CAP_NET_ADMIN. MTU, queue length
// and "up" are netlink's (daemon/netd_netlink.hpp).
[[nodiscard]] Result<UniqueFd> open_tun_control();
[[nodiscard]] Result<UniqueFd> attach_tun(UniqueFd control, const std::string& name);

struct TunCounters {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  std::uint64_t send_busy = 0;     // the device's queue is full
  std::uint64_t send_refused = 0;  // no IP packet, device down
  std::uint64_t receive_errors = 0;
};

class TunDevice {
 public:
  // `slot_size`: the longest packet that can be read; the MTU of a TUN may change while it lives.
  [[nodiscard]] static Result<TunDevice> adopt(UniqueFd fd, std::size_t slot_size = 65536);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }

  // Up to kBatch packets that are waiting, as views into the slab until the next call.
  [[nodiscard]] std::span<MutableByteView> receive();
  SendOutcome send(ByteView packet);

  [[nodiscard]] const TunCounters& counters() const { return counters_; }

 private:
  TunDevice() = default;
  UniqueFd fd_;
  std::string name_;
  std::size_t slot_size_ = 0;
  std::size_t stride_ = 0;
  std::unique_ptr<std::uint8_t[]> slab_;
  std::vector<MutableByteView> packets_;
  TunCounters counters_;
};

}  // namespace qanat::io
