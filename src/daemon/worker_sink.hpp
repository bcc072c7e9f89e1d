// WorkerSink: what leaves in a turn of a data worker. ESP packets are sealed in a slab that is reused; those of one
// path with equal TOS, DF and size lie back to back there and leave as one run (UDP_SEGMENT). Packets for the host stay
// where they were decrypted until they are written, merged with their neighbours (esp/merger.hpp).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "esp/merger.hpp"
#include "io/esp_socket.hpp"
#include "io/tun_device.hpp"
#include "io/udp_socket.hpp"
#include "wan/packet_path.hpp"

namespace qanat::daemon {

struct DataSockets {
  io::TunDevice tun;
  std::vector<io::UdpSocket> udp;  // port 4500, one a family
  std::vector<io::EspSocket> esp;
  struct AccountTun {
    VrfId vrf;
    io::TunDevice tun;
  };
  std::vector<AccountTun> accounts = {};  // of the VRFs beside the default one
  std::vector<io::EspSocket> icmp = {};   // raw too, one a family: unidirectional health checks need them
};

class WorkerSink final : public wan::PacketSink {
 public:
  explicit WorkerSink(DataSockets& sockets);

  MutableByteView reserve(std::size_t size) override;
  void commit(const ipsec::OuterPath& path, std::uint8_t tos, wan::DfBit df, std::size_t size) override;
  void deliver(VrfId vrf, MutableByteView packet, const esp::InnerPacket& p) override;
  void settle() override;
  void write_tun(VrfId vrf, ByteView packet) override;
  void send_outside(const IpAddress& local, const IpAddress& remote, ByteView icmp) override;

  // Writes and sends everything.
  void flush();
  // How many packets our interfaces refused as too long since the last call.
  std::uint64_t take_too_big() { return std::exchange(too_big_, 0); }

 private:
  // The packets of one socket, in order.
  struct Lane {
    std::vector<io::OutgoingDatagram> runs;
    ipsec::OuterPath path;      // of the last run
    std::size_t datagrams = 0;  // in it
    bool open = false;          // it takes more
  };
  enum Index : std::uint8_t { Udp4, Udp6, Esp4, Esp6 };

  // The way to the host in one VRF.
  struct Exit {
    VrfId vrf;
    io::TunDevice& tun;
    esp::Merger merger;
  };
  [[nodiscard]] Exit* exit_of(VrfId vrf);
  void send_all();
  template <typename Socket>
  void send(Socket& socket, Lane& lane);

  DataSockets& sockets_;
  std::vector<Exit> exits_;  // the default VRF's first
  std::unique_ptr<std::uint8_t[]> slab_;
  std::size_t tail_ = 0;
  std::array<Lane, 4> lanes_;
  std::uint64_t too_big_ = 0;
};

}  // namespace qanat::daemon
