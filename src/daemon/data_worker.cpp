#include "daemon/data_worker.hpp"

#include "crypto/rng.hpp"
#include "io/clock.hpp"

namespace qanat::daemon {

// Gathers what a turn sends and hands it to the kernel in batches. The packets of one batch lie back to back in a slab
// that is reused, so nothing is allocated once it has grown.
class DataWorker::Sink final : public wan::PacketSink {
 public:
  explicit Sink(DataSockets& sockets) : sockets_(sockets) {}

  void send_esp(const ipsec::OuterPath& path, std::uint8_t tos, wan::DfBit df, ByteView esp) override {
    Batch& batch = batch_of(path);
    if (batch.used == io::kBatch) flush(batch);
    if (batch.slots.size() <= batch.used) batch.slots.emplace_back();
    Slot& slot = batch.slots[batch.used++];
    slot.data.assign(esp.begin(), esp.end());
    slot.out = {path.local.address, path.peer, tos, df == wan::DfBit::Set ? io::Df::Set : io::Df::Clear, {}};
  }
  void write_tun(VrfId, ByteView packet) override { sockets_.tun.send(packet); }

  // How many packets our interfaces refused as too long since the last call.
  std::uint64_t take_too_big() { return std::exchange(too_big_, 0); }

  void flush() {
    for (Batch* batch : {&udp4_, &udp6_, &esp4_, &esp6_}) {
      if (batch->used != 0) flush(*batch);
    }
  }

 private:
  struct Slot {
    Bytes data;
    io::OutgoingDatagram out;
  };
  struct Batch {
    ipsec::Encapsulation encapsulation{};
    io::Family family{};
    std::vector<Slot> slots;
    std::vector<io::OutgoingDatagram> outs;
    std::size_t used = 0;
  };

  Batch& batch_of(const ipsec::OuterPath& path) {
    const bool v6 = path.peer.address.is_v6();
    if (path.encapsulation == ipsec::Encapsulation::Udp) return v6 ? udp6_ : udp4_;
    return v6 ? esp6_ : esp4_;
  }

  void flush(Batch& batch) {
    batch.outs.clear();
    for (std::size_t i = 0; i < batch.used; ++i) {
      batch.outs.push_back(batch.slots[i].out);
      batch.outs.back().data = batch.slots[i].data;
    }
    batch.used = 0;
    if (batch.encapsulation == ipsec::Encapsulation::Udp) {
      for (io::UdpSocket& s : sockets_.udp) {
        if (s.local().address.is_v6() == (batch.family == io::Family::V6)) send(s, batch);
      }
    } else {
      for (io::EspSocket& s : sockets_.esp) {
        if (s.family() == batch.family) send(s, batch);
      }
    }
  }

  template <typename Socket>
  void send(Socket& socket, const Batch& batch) {
    const std::uint64_t before = socket.counters().send_too_big;
    socket.send_batch(batch.outs);
    too_big_ += socket.counters().send_too_big - before;
  }

  DataSockets& sockets_;
  std::uint64_t too_big_ = 0;
  Batch udp4_{ipsec::Encapsulation::Udp, io::Family::V4, {}, {}, 0};
  Batch udp6_{ipsec::Encapsulation::Udp, io::Family::V6, {}, {}, 0};
  Batch esp4_{ipsec::Encapsulation::Native, io::Family::V4, {}, {}, 0};
  Batch esp6_{ipsec::Encapsulation::Native, io::Family::V6, {}, {}, 0};
};

DataWorker::DataWorker(DataSockets sockets, io::Mailbox<FromDataWorker>& events, const io::Log& log)
    : sockets_(std::move(sockets)), events_(events), log_(log), rng_(std::make_unique<crypto::SystemRng>()) {
  wan::PacketPathConfig config;
  config.capabilities.native_esp = !sockets_.esp.empty();
  path_ = std::make_unique<wan::PacketPath>(config, *rng_);
  sink_ = std::make_unique<Sink>(sockets_);
}

DataWorker::~DataWorker() {
  if (thread_.joinable()) {
    loop_->stop();
    thread_.join();
  }
}

Status DataWorker::start() {
  QANAT_ASSIGN(loop_, io::EventLoop::create());
  QANAT_TRY(loop_->add(inbox_.fd(), [this] { on_commands(); }));
  QANAT_TRY(loop_->add(sockets_.tun.fd(), [this] { on_tun(); }));
  for (io::UdpSocket& s : sockets_.udp) QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_udp(s); }));
  for (io::EspSocket& s : sockets_.esp) QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_esp(s); }));
  for (io::UdpSocket& s : sockets_.udp) QANAT_TRY(s.watch_path_errors());
  for (io::EspSocket& s : sockets_.esp) QANAT_TRY(s.watch_path_errors());
  loop_->on_timer([this] {
    path_->handle_timeout(io::boot_now(), *sink_);
    end_of_turn();
  });
  thread_ = std::thread([this] { run(); });
  return {};
}

void DataWorker::run() {
  if (const Status ended = loop_->run(); !ended) log_.error("data-worker-failed", ended.error());
}

void DataWorker::on_commands() {
  const Instant now = io::boot_now();
  for (ToDataWorker& message : inbox_.take_all()) {
    if (auto* command = std::get_if<ipsec::Command>(&message)) {
      path_->post(now, std::move(*command));
    } else if (const auto* error = std::get_if<io::PathError>(&message)) {
      on_path_error(now, *error);
    } else {
      auto& stray = std::get<StrayDatagram>(message);
      const ipsec::OuterPath arrived{{stray.local, io::kNatPort}, stray.remote, ipsec::Encapsulation::Udp};
      const MutableByteView view{stray.data};
      path_->handle_esp(now, arrived, stray.tos, {&view, 1}, *sink_);
    }
  }
  end_of_turn();
}

void DataWorker::on_tun() {
  const auto packets = sockets_.tun.receive();
  views_.assign(packets.begin(), packets.end());
  path_->handle_tun(io::boot_now(), VrfId{}, views_, *sink_);
  end_of_turn();
}

void DataWorker::on_udp(io::UdpSocket& socket) {
  const Instant now = io::boot_now();
  for (const io::ReceivedDatagram& d : socket.receive()) {
    if (d.data.size() < 4 || load_be32(d.data.data()) == 0) {
      events_.post(StrayDatagram{d.local, d.remote, d.tos, to_bytes(d.data)});
      continue;
    }
    const ipsec::OuterPath arrived{{d.local, io::kNatPort}, d.remote, ipsec::Encapsulation::Udp};
    path_->handle_esp(now, arrived, d.tos, {&d.data, 1}, *sink_);
  }
  end_of_turn();
}

void DataWorker::on_esp(io::EspSocket& socket) {
  const Instant now = io::boot_now();
  for (const io::ReceivedDatagram& d : socket.receive()) {
    const ipsec::OuterPath arrived{{d.local, 0}, {d.remote.address, 0}, ipsec::Encapsulation::Native};
    path_->handle_esp(now, arrived, d.tos, {&d.data, 1}, *sink_);
  }
  end_of_turn();
}

void DataWorker::on_path_error(Instant now, const io::PathError& error) {
  if (error.unreachable) {
    events_.post(error);
    return;
  }
  const bool ours = error.origin == io::PathError::Origin::Interface;
  path_->handle_too_big(now, {.source = ours ? wan::OuterTooBig::Source::Interface : wan::OuterTooBig::Source::Icmp,
                              .local = error.local,
                              .peer = error.remote,
                              .quoted_spi = error.first_word,
                              .outer_mtu = error.mtu});
}

void DataWorker::hear_path_errors() {
  const Instant now = io::boot_now();
  // The rest of a flood waits for the next turn: until then its queue keeps the descriptor ready.
  const auto hear = [&](auto& socket) {
    for (std::size_t i = 0; i < io::kBatch; ++i) {
      const auto error = socket.next_path_error();
      if (!error) return;
      on_path_error(now, *error);
    }
  };
  for (io::UdpSocket& s : sockets_.udp) hear(s);
  for (io::EspSocket& s : sockets_.esp) hear(s);
  if (const std::uint64_t lost = sink_->take_too_big(); lost != 0) path_->note_too_big_lost(lost);
}

void DataWorker::end_of_turn() {
  while (auto event = path_->poll_event()) events_.post(std::move(*event));
  sink_->flush();
  hear_path_errors();
  if (const Status armed = loop_->set_timer(path_->next_timeout()); !armed) log_.error("timer-failed", armed.error());
}

}  // namespace qanat::daemon
