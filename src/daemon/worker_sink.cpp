#include "daemon/worker_sink.hpp"

#include <algorithm>

namespace qanat::daemon {

namespace {

// A few full runs: larger ones would only leave the cache before the kernel reads them.
constexpr std::size_t kSlabSize = std::size_t{256} * 1024;

}  // namespace

WorkerSink::WorkerSink(DataSockets& sockets)
    : sockets_(sockets), slab_(std::make_unique_for_overwrite<std::uint8_t[]>(kSlabSize)) {
  exits_.reserve(1 + sockets.accounts.size());
  exits_.push_back({VrfId{}, sockets.tun, esp::Merger{sockets.tun.takes_udp()}});
  for (DataSockets::AccountTun& a : sockets.accounts) exits_.push_back({a.vrf, a.tun, esp::Merger{a.tun.takes_udp()}});
  for (Lane& lane : lanes_) lane.runs.reserve(io::kBatch);
}

// VRFs are numbered from 1 on in the order of the configuration, so the first look finds it.
WorkerSink::Exit* WorkerSink::exit_of(VrfId vrf) {
  if (vrf.value() < exits_.size() && exits_[vrf.value()].vrf == vrf) return &exits_[vrf.value()];
  const auto found = std::ranges::find(exits_, vrf, &Exit::vrf);
  return found == exits_.end() ? nullptr : &*found;
}

MutableByteView WorkerSink::reserve(std::size_t size) {
  if (size > kSlabSize - tail_) send_all();
  ensure(size <= kSlabSize, "an ESP packet larger than the slab");
  return {slab_.get() + tail_, size};
}

void WorkerSink::commit(const ipsec::OuterPath& path, std::uint8_t tos, wan::DfBit df, std::size_t size) {
  const bool udp = path.encapsulation == ipsec::Encapsulation::Udp;
  const bool v6 = path.peer.address.is_v6();
  Lane& lane = lanes_[udp ? (v6 ? Udp6 : Udp4) : (v6 ? Esp6 : Esp4)];
  const io::Df outer_df = df == wan::DfBit::Set ? io::Df::Set : io::Df::Clear;
  const ByteView packet{slab_.get() + tail_, size};
  tail_ += size;
  if (lane.open) {
    io::OutgoingDatagram& run = lane.runs.back();
    if (size <= run.segment && run.data.data() + run.data.size() == packet.data() && run.tos == tos &&
        run.df == outer_df && run.data.size() + size <= io::kMaxRunOctets && lane.path == path) {
      run.data = {run.data.data(), run.data.size() + size};
      lane.open = size == run.segment && ++lane.datagrams < io::kMaxRunDatagrams;
      return;
    }
  }
  if (lane.runs.size() == io::kBatch) {
    // The packet itself lies in the slab, which stays as it is until tail_ goes back.
    const std::size_t tail = tail_;
    send_all();
    tail_ = tail;
  }
  lane.runs.push_back({path.local.address, path.peer, tos, outer_df, packet, size});
  lane.path = path;
  lane.datagrams = 1;
  lane.open = true;
}

void WorkerSink::deliver(VrfId vrf, MutableByteView packet, const esp::InnerPacket& p) {
  if (Exit* exit = exit_of(vrf)) exit->merger.add(packet, p);
}

void WorkerSink::settle() {
  for (Exit& exit : exits_) {
    if (exit.merger.empty()) continue;
    exit.merger.drain(
        [&](const esp::Offload& offload, std::span<const ByteView> pieces) { exit.tun.send(offload, pieces); });
  }
}

void WorkerSink::write_tun(VrfId vrf, ByteView packet) {
  if (Exit* exit = exit_of(vrf)) exit->tun.send(packet);
}

void WorkerSink::send_outside(const IpAddress& local, const IpAddress& remote, ByteView icmp) {
  for (io::EspSocket& s : sockets_.icmp) {
    if ((s.family() == io::Family::V6) == remote.is_v6()) (void)s.send({local, {remote, 0}, 0, io::Df::Clear, icmp});
  }
}

void WorkerSink::flush() {
  settle();
  send_all();
}

void WorkerSink::send_all() {
  for (io::UdpSocket& s : sockets_.udp) send(s, lanes_[s.local().address.is_v6() ? Udp6 : Udp4]);
  for (io::EspSocket& s : sockets_.esp) send(s, lanes_[s.family() == io::Family::V6 ? Esp6 : Esp4]);
  // What no socket is there for.
  for (Lane& lane : lanes_) {
    lane.runs.clear();
    lane.open = false;
  }
  tail_ = 0;
}

template <typename Socket>
void WorkerSink::send(Socket& socket, Lane& lane) {
  if (lane.runs.empty()) return;
  const std::uint64_t before = socket.counters().send_too_big;
  socket.send_batch(lane.runs);
  too_big_ += socket.counters().send_too_big - before;
}

}  // namespace qanat::daemon
