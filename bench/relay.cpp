// The relay row: our own sockets and TUN, with their batches, runs and super-packets, and a memcpy in place of the
// packet path. What a tunnel cannot be faster than with this I/O. Octets are added and taken off as ESP in UDP with
// AES-GCM would.
//
//   relay TUN LOCAL PEER        prints "ready"; ends with its input
#include <unistd.h>

#include "daemon/worker_sink.hpp"
#include "esp/segmenter.hpp"
#include "io/event_loop.hpp"
#include "namespaces.hpp"

namespace {

using namespace qanat;

constexpr std::size_t kFront = 16;  // SPI, sequence number, IV
constexpr std::size_t kBack = 18;   // pad length, next header, ICV

class Relay {
 public:
  Relay(io::TunDevice tun, io::UdpSocket udp, IpAddress local, IpAddress peer)
      : sockets_{std::move(tun), {}, {}},
        path_{{local, io::kNatPort}, {peer, io::kNatPort}, ipsec::Encapsulation::Udp} {
    udp.use_segmentation();
    sockets_.udp.push_back(std::move(udp));
  }

  Status run() {
    QANAT_ASSIGN(auto loop, io::EventLoop::create());
    QANAT_TRY(loop->add(sockets_.tun.fd(), [this] { on_tun(); }));
    QANAT_TRY(loop->add(sockets_.udp.front().fd(), [this] { on_udp(); }));
    QANAT_TRY(loop->add(STDIN_FILENO, [&] { loop->stop(); }));
    return loop->run();
  }

 private:
  void on_tun() {
    for (const esp::OffloadPacket& read : sockets_.tun.receive()) {
      const auto p = esp::parse_inner(read.packet);
      if (!p) continue;
      if (read.offload.kind == esp::Offload::Kind::None) {
        if (read.offload.needs_checksum && !esp::complete_checksum(read.packet, read.offload)) continue;
        const MutableByteView room = sink_.reserve(p->size + kFront + kBack);
        std::memcpy(&room[kFront], read.packet.data(), p->size);
        leave(room, p->size, p->tos);
      } else if (auto segments = esp::Segmenter::create(read.packet.first(p->size), *p, read.offload)) {
        while (!segments->done()) {
          const MutableByteView room = sink_.reserve(segments->next_size() + kFront + kBack);
          leave(room, segments->next(room.subspan(kFront)), p->tos);
        }
      }
    }
    sink_.flush();
  }

  void leave(MutableByteView room, std::size_t size, std::uint8_t tos) {
    store_be32(room.data(), 4242);
    sink_.commit(path_, tos, wan::DfBit::Clear, size + kFront + kBack);
  }

  void on_udp() {
    for (const io::ReceivedDatagram& d : sockets_.udp.front().receive()) {
      for (MutableByteView rest = d.data; !rest.empty();) {
        const MutableByteView one = d.segment != 0 ? rest.first(std::min(d.segment, rest.size())) : rest;
        rest = rest.subspan(one.size());
        if (one.size() <= kFront + kBack) continue;
        const MutableByteView packet = one.first(one.size() - kFront - kBack);
        std::memmove(packet.data(), &one[kFront], packet.size());
        if (const auto p = esp::parse_inner(packet)) sink_.deliver(VrfId{}, packet.first(p->size), *p);
      }
    }
    sink_.flush();
  }

  daemon::DataSockets sockets_;
  daemon::WorkerSink sink_{sockets_};
  ipsec::OuterPath path_;
};

Status relay(const std::string& name, IpAddress local, IpAddress peer) {
  QANAT_ASSIGN(auto control, io::open_tun_control());
  QANAT_ASSIGN(auto fd, io::attach_tun(std::move(control), name));
  QANAT_ASSIGN(auto tun, io::TunDevice::adopt(std::move(fd)));
  QANAT_ASSIGN(auto bound, io::open_udp_socket({local, io::kNatPort}, 0, io::ReusePort::No));
  QANAT_ASSIGN(auto udp, io::UdpSocket::adopt(std::move(bound)));
  Relay both{std::move(tun), std::move(udp), local, peer};
  std::puts("ready");
  std::fflush(stdout);
  return both.run();
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
