// DataWorker: a thread that moves packets. It owns a packet path, a queue of each TUN, a socket of port 4500 and raw
// ESP sockets; it hears commands and tells events through mailboxes, hands packets of tunnels that another worker owns
// to it, and shares nothing.
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "base/rng.hpp"
#include "daemon/handover_box.hpp"
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
using ToDataWorker = std::variant<ipsec::Command, StrayDatagram, io::PathError, wan::TunnelNews>;
using FromDataWorker = std::variant<ipsec::Event, StrayDatagram, io::PathError, wan::TunnelNews>;

// One for each worker of the gateway; they outlive all of them.
using HandoverBoxes = std::vector<std::unique_ptr<HandoverBox>>;

class DataWorker {
 public:
  // `index`: which of the workers that have `boxes`. `events` is told what happens; it outlives the worker.
  DataWorker(std::uint32_t index, DataSockets sockets, const HandoverBoxes& boxes, io::Mailbox<FromDataWorker>& events,
             const io::Log& log);
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
  // What other workers had for this one is older than what its own sockets bring now.
  void take_handed();
  void hand_over();
  void end_of_turn();

  std::uint32_t index_;
  DataSockets sockets_;
  const HandoverBoxes& boxes_;
  std::vector<HandoverBox::Message> handed_;  // what is delivered of it lies there until the end of the turn
  io::Mailbox<FromDataWorker>& events_;
  std::vector<FromDataWorker> said_;  // of this turn
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
