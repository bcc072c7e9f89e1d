// DataWorker: the thread that moves packets. It owns the packet path, the TUNs, its socket of port 4500 and the raw ESP
// sockets; it hears commands and tells events through mailboxes, and shares nothing.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "base/rng.hpp"
#include "daemon/worker_sink.hpp"
#include "io/event_loop.hpp"
#include "io/log.hpp"
#include "io/mailbox.hpp"
#include "ipsec/data_plane.hpp"
#include "wan/packet_path.hpp"

namespace qanat::daemon {

// A datagram that reached the other thread's socket of port 4500 (before steering stood, or by a short packet).
struct StrayDatagram {
  IpAddress local;
  Endpoint remote;
  std::uint8_t tos = 0;
  Bytes data;
};
// A PathError is one that the kernel put into the other thread's queue: it chooses between the sockets by a hash. What
// is too long is this thread's affair, what does not arrive the control thread's.
using ToDataWorker = std::variant<ipsec::Command, StrayDatagram, io::PathError>;
using FromDataWorker = std::variant<ipsec::Event, StrayDatagram, io::PathError>;

class DataWorker {
 public:
  // `events` is told what happens; it outlives the worker.
  DataWorker(DataSockets sockets, io::Mailbox<FromDataWorker>& events, const io::Log& log);
  ~DataWorker();  // stops and joins
  DataWorker(const DataWorker&) = delete;
  DataWorker& operator=(const DataWorker&) = delete;

  [[nodiscard]] Status start();
  io::Mailbox<ToDataWorker>& inbox() { return inbox_; }

 private:
  void run();
  void on_commands();
  void on_tun(VrfId vrf, io::TunDevice& tun);
  void on_udp(io::UdpSocket& socket);
  void on_esp(io::EspSocket& socket);
  void on_icmp(io::EspSocket& socket);
  void on_path_error(Instant now, const io::PathError& error);
  void hear_path_errors();
  void end_of_turn();

  DataSockets sockets_;
  io::Mailbox<FromDataWorker>& events_;
  const io::Log& log_;
  io::Mailbox<ToDataWorker> inbox_;
  std::unique_ptr<Rng> rng_;
  std::unique_ptr<wan::PacketPath> path_;
  std::unique_ptr<WorkerSink> sink_;
  std::unique_ptr<io::EventLoop> loop_;
  std::vector<MutableByteView> views_;
  std::thread thread_;
};

}  // namespace qanat::daemon
