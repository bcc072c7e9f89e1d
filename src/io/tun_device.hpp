// TunDevice: the host's side of the inner network (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR). The kernel leaves to us the
// checksums and the cutting of what its TCP and UDP send, so one read brings up to 64 KB; and takes the same from us.
// The device lives as long as its last descriptor: when the process dies, it and its routes are gone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "esp/offload.hpp"
#include "io/datagram.hpp"
#include "io/fd.hpp"

namespace qanat::io {

// Makes the device. `control`: an open /dev/net/tun, which becomes the device. Needs CAP_NET_ADMIN. MTU, queue length
// and "up" are netlink's (daemon/netd_netlink.hpp).
[[nodiscard]] Result<UniqueFd> open_tun_control();
// Of a device with several queues (IFF_MULTI_QUEUE) each descriptor is one, and the first must be: a device that
// another process has is refused. The kernel keeps a flow in one queue, and moves it to where its answers are written.
enum class TunQueue : std::uint8_t { Only, First, Further };
[[nodiscard]] Result<UniqueFd> attach_tun(UniqueFd control, const std::string& name, TunQueue queue = TunQueue::Only);

struct TunCounters {
  std::uint64_t received = 0;      // reads: a super-packet is one
  std::uint64_t sent = 0;          // writes
  std::uint64_t send_busy = 0;     // the device's queue is full
  std::uint64_t send_refused = 0;  // no IP packet, device down
  std::uint64_t receive_errors = 0;
};

class TunDevice {
 public:
  // Takes a device of attach_tun() and asks for every offload that this kernel has.
  [[nodiscard]] static Result<TunDevice> adopt(UniqueFd fd);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& name() const { return name_; }
  // Super-packets of UDP can be written (kernel 6.2); those of TCP always can.
  [[nodiscard]] bool takes_udp() const { return takes_udp_; }

  // Packets that are waiting, at most kBatch and as many as the slab takes, as views into it until the next call.
  [[nodiscard]] std::span<esp::OffloadPacket> receive();
  // One packet.
  SendOutcome send(ByteView packet);
  // A packet or super-packet, whose octets are those of the pieces one after the other; at most 1,023.
  SendOutcome send(const esp::Offload& offload, std::span<const ByteView> pieces);

  [[nodiscard]] const TunCounters& counters() const { return counters_; }

 private:
  TunDevice() = default;
  UniqueFd fd_;
  std::string name_;
  bool takes_udp_ = false;
  std::unique_ptr<std::uint8_t[]> slab_;
  std::vector<esp::OffloadPacket> packets_;
  TunCounters counters_;
};

}  // namespace qanat::io
