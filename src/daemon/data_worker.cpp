#include "daemon/data_worker.hpp"

#include "crypto/rng.hpp"
#include "io/clock.hpp"

namespace qanat::daemon {

namespace {

constexpr Duration kTimerSlack = 1ms;  // of what waits for an instant: many SAs have one each

}  // namespace

DataWorker::DataWorker(std::uint32_t index, DataSockets sockets, const HandoverBoxes& boxes,
                       io::Mailbox<FromDataWorker>& events, const io::Log& log)
    : index_(index),
      sockets_(std::move(sockets)),
      boxes_(boxes),
      events_(events),
      log_(log),
      rng_(std::make_unique<crypto::SystemRng>()) {
  wan::PacketPathConfig config;
  config.worker = index;
  config.workers = {static_cast<std::uint32_t>(boxes.size())};
  config.capabilities.native_esp = !sockets_.esp.empty();
  config.hears_outside = !sockets_.icmp.empty();
  path_ = std::make_unique<wan::PacketPath>(config, *rng_);
  sink_ = std::make_unique<WorkerSink>(sockets_);
}

DataWorker::~DataWorker() {
  if (thread_.joinable()) {
    loop_->stop();
    thread_.join();
  }
}

Status DataWorker::start() {
  QANAT_ASSIGN(loop_, io::EventLoop::create());
  loop_->set_timer_slack(kTimerSlack);
  QANAT_TRY(loop_->add(inbox_.fd(), [this] { on_commands(); }));
  QANAT_TRY(loop_->add(boxes_[index_]->fd(), [this] {
    take_handed();
    end_of_turn();
  }));
  QANAT_TRY(loop_->add(sockets_.tun.fd(), [this] { on_tun(VrfId{}, sockets_.tun); }));
  for (DataSockets::AccountTun& a : sockets_.accounts) {
    QANAT_TRY(loop_->add(a.tun.fd(), [this, &a] { on_tun(a.vrf, a.tun); }));
  }
  for (io::UdpSocket& s : sockets_.udp) QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_udp(s); }));
  for (io::EspSocket& s : sockets_.esp) QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_esp(s); }));
  for (io::EspSocket& s : sockets_.icmp) QANAT_TRY(loop_->add(s.fd(), [this, &s] { on_icmp(s); }));
  for (io::UdpSocket& s : sockets_.udp) {
    s.use_segmentation();
    QANAT_TRY(s.watch_path_errors());
  }
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
  auto messages = inbox_.take_all();  // what is delivered of a stray datagram lies there until the end of the turn
  for (ToDataWorker& message : messages) {
    if (auto* command = std::get_if<ipsec::Command>(&message)) {
      path_->post(now, std::move(*command));
    } else if (const auto* error = std::get_if<io::PathError>(&message)) {
      on_path_error(now, *error);
    } else if (const auto* news = std::get_if<wan::TunnelNews>(&message)) {
      path_->handle_news(*news);
    } else {
      auto& stray = std::get<StrayDatagram>(message);
      const ipsec::OuterPath arrived{{stray.local, io::kNatPort}, stray.remote, ipsec::Encapsulation::Udp};
      const MutableByteView view{stray.data};
      path_->handle_esp(now, arrived, stray.tos, {&view, 1}, *sink_);
    }
  }
  end_of_turn();
}

void DataWorker::on_tun(VrfId vrf, io::TunDevice& tun) {
  take_handed();
  path_->handle_tun(io::boot_now(), vrf, tun.receive(), *sink_);
  end_of_turn();
}

void DataWorker::on_udp(io::UdpSocket& socket) {
  take_handed();
  const Instant now = io::boot_now();
  for (const io::ReceivedDatagram& d : socket.receive()) {
    views_.clear();
    for (MutableByteView rest = d.data;;) {
      const MutableByteView one = d.segment != 0 ? rest.first(std::min(d.segment, rest.size())) : rest;
      if (one.size() < 4 || load_be32(one.data()) == 0) {
        said_.emplace_back(StrayDatagram{d.local, d.remote, d.tos, to_bytes(one)});
      } else {
        views_.push_back(one);
      }
      rest = rest.subspan(one.size());
      if (rest.empty()) break;
    }
    const ipsec::OuterPath arrived{{d.local, io::kNatPort}, d.remote, ipsec::Encapsulation::Udp};
    path_->handle_esp(now, arrived, d.tos, views_, *sink_);
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

void DataWorker::on_icmp(io::EspSocket& socket) {
  const Instant now = io::boot_now();
  for (const io::ReceivedDatagram& d : socket.receive())
    path_->handle_outside(now, d.local, d.remote.address, d.data, *sink_);
  end_of_turn();
}

void DataWorker::on_path_error(Instant now, const io::PathError& error) {
  if (error.unreachable) {
    said_.emplace_back(error);
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
      if (error->unreachable) continue;
      // The kernel does not say whose tunnel it is about.
      for (std::uint32_t other = 0; other < boxes_.size(); ++other) {
        if (other != index_) (void)boxes_[other]->post(*error);
      }
    }
  };
  for (io::UdpSocket& s : sockets_.udp) hear(s);
  for (io::EspSocket& s : sockets_.esp) hear(s);
  if (const std::uint64_t lost = sink_->take_too_big(); lost != 0) path_->note_too_big_lost(lost);
}

void DataWorker::take_handed() {
  if (boxes_.size() == 1) return;
  const Instant now = io::boot_now();
  handed_ = boxes_[index_]->take();
  for (HandoverBox::Message& message : handed_) {
    if (auto* batch = std::get_if<wan::Handover>(&message)) {
      path_->handle_handover(now, *batch, *sink_);
    } else {
      on_path_error(now, std::get<io::PathError>(message));
    }
  }
}

void DataWorker::hand_over() {
  while (auto leaving = path_->poll_handover()) {
    if (!boxes_[leaving->worker]->post(leaving->batch)) path_->note_handover_lost(leaving->batch);
  }
  while (const auto news = path_->poll_news()) said_.emplace_back(*news);
}

void DataWorker::end_of_turn() {
  while (auto event = path_->poll_event()) said_.emplace_back(std::move(*event));
  if (boxes_.size() > 1) hand_over();
  sink_->flush();
  handed_.clear();
  hear_path_errors();
  (void)events_.post_all(said_);  // without a limit: nothing is lost
  loop_->set_timer(path_->next_timeout());
}

}  // namespace qanat::daemon
