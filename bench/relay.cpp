// The relay row: our own sockets and TUN with a memcpy in place of the packet path. What a tunnel cannot be faster than
// with this I/O. Octets are added and taken off as ESP in UDP with AES-GCM would.
//
//   relay TUN LOCAL PEER        prints "ready"; ends with its input
#include <array>
#include <vector>

#include <unistd.h>

#include "io/event_loop.hpp"
#include "io/tun_device.hpp"
#include "io/udp_socket.hpp"
#include "namespaces.hpp"

namespace {

using namespace qanat;

constexpr std::size_t kFront = 16;  // SPI, sequence number, IV
constexpr std::size_t kBack = 18;   // pad length, next header, ICV
constexpr std::size_t kRoom = 2048;

class Relay {
 public:
  Relay(io::TunDevice tun, io::UdpSocket udp, IpAddress local, IpAddress peer)
      : tun_(std::move(tun)), udp_(std::move(udp)), local_(local), peer_(peer), slab_(io::kBatch * kRoom) {
    outs_.reserve(io::kBatch);
  }

  void on_tun() {
    outs_.clear();
    for (const MutableByteView packet : tun_.receive()) {
      if (packet.size() + kFront + kBack > kRoom) continue;
      std::uint8_t* slot = slab_.data() + outs_.size() * kRoom;
      store_be32(slot, 4242);
      std::memcpy(slot + kFront, packet.data(), packet.size());
      outs_.push_back({local_, {peer_, io::kNatPort}, 0, io::Df::Clear, {slot, packet.size() + kFront + kBack}});
    }
    udp_.send_batch(outs_);
  }

  void on_udp() {
    for (const io::ReceivedDatagram& datagram : udp_.receive()) {
      if (datagram.data.size() <= kFront + kBack || datagram.data.size() > kRoom) continue;
      const std::size_t size = datagram.data.size() - kFront - kBack;
      std::memcpy(slab_.data(), datagram.data.data() + kFront, size);
      tun_.send({slab_.data(), size});
    }
  }

  Status run() {
    QANAT_ASSIGN(auto loop, io::EventLoop::create());
    QANAT_TRY(loop->add(tun_.fd(), [this] { on_tun(); }));
    QANAT_TRY(loop->add(udp_.fd(), [this] { on_udp(); }));
    QANAT_TRY(loop->add(STDIN_FILENO, [&] { loop->stop(); }));
    return loop->run();
  }

 private:
  io::TunDevice tun_;
  io::UdpSocket udp_;
  IpAddress local_;
  IpAddress peer_;
  std::vector<std::uint8_t> slab_;
  std::vector<io::OutgoingDatagram> outs_;
};

Status relay(const std::string& name, IpAddress local, IpAddress peer) {
  QANAT_ASSIGN(auto control, io::open_tun_control());
  QANAT_ASSIGN(auto fd, io::attach_tun(std::move(control), name));
  QANAT_ASSIGN(auto tun, io::TunDevice::adopt(std::move(fd)));
  QANAT_ASSIGN(auto bound, io::open_udp_socket({local, io::kNatPort}, 0, io::ReusePort::No));
  QANAT_ASSIGN(auto udp, io::UdpSocket::adopt(std::move(bound)));
  std::puts("ready");
  std::fflush(stdout);
  return Relay{std::move(tun), std::move(udp), local, peer}.run();
}

}  // namespace

int main(int argc, char** argv) {
  errno = 0;
  if (argc != 4) bench::die("usage: relay TUN LOCAL PEER");
  const auto local = IpAddress::parse(argv[2]);
  const auto peer = IpAddress::parse(argv[3]);
  if (!local || !peer) bench::die("LOCAL and PEER are addresses");
  if (const Status done = relay(argv[1], *local, *peer); !done) {
    errno = 0;
    bench::die(done.error().where + ": " + done.error().detail);
  }
  return 0;
}
