// What a data worker has for another one, and does with what another one had for it.
#include "wan/plane_state.hpp"

namespace qanat::wan {

using esp::DropReason;

void PacketPath::State::hand_over(TunnelId tunnel, const Origin& origin, ByteView packet, const esp::Offload& offload) {
  to_siblings[config.workers.owner_of(tunnel)].add(
      Handover::Inner{.tunnel = tunnel, .origin = origin, .offload = offload}, packet);
  handed_over += esp::packets_in(offload, packet.size());
}

void PacketPath::State::hand_over(const ipsec::OuterPath& arrived, std::uint8_t tos, ByteView datagram) {
  to_siblings[config.workers.worker_of(load_be32(datagram.data()))].add(Handover::Esp{.arrived = arrived, .tos = tos},
                                                                        datagram);
  ++handed_over;
}

std::optional<PacketPath::Leaving> PacketPath::poll_handover() {
  auto& to_siblings = state_->to_siblings;
  for (std::uint32_t worker = 0; worker < to_siblings.size(); ++worker) {
    if (!to_siblings[worker].empty()) return Leaving{worker, std::exchange(to_siblings[worker], {})};
  }
  return std::nullopt;
}

void PacketPath::handle_handover(Instant now, Handover& batch, PacketSink& sink) {
  State& s = *state_;
  s.flush(now, sink);
  batch.each([&](const Handover::Item& item, MutableByteView octets) {
    if (const auto* esp = std::get_if<Handover::Esp>(&item.what)) {
      return s.from_wire(now, esp->arrived, esp->tos, octets, sink);
    }
    const auto& inner = std::get<Handover::Inner>(item.what);
    const std::size_t count = esp::packets_in(inner.offload, octets.size());
    Tunnel* tunnel = s.find_tunnel(inner.tunnel);
    if (tunnel == nullptr) return s.drop(nullptr, DropReason::NoRoute, count);  // removed meanwhile
    const auto p = esp::parse_inner(octets);
    if (!p) return s.drop(tunnel, p.error(), count);
    s.into_tunnel(now, inner.origin, *tunnel, octets, inner.offload, *p, sink);
  });
}

void PacketPath::note_handover_lost(const Handover& batch) {
  for (const Handover::Item& item : batch.items()) {
    const auto* inner = std::get_if<Handover::Inner>(&item.what);
    if (inner == nullptr) {
      state_->drop(nullptr, DropReason::HandoverFull);
    } else {
      state_->drop(state_->find_tunnel(inner->tunnel), DropReason::HandoverFull,
                   esp::packets_in(inner->offload, item.size));
    }
  }
}

std::optional<TunnelNews> PacketPath::poll_news() {
  auto& untold = state_->untold;
  if (untold.empty()) return std::nullopt;
  const TunnelNews first = untold.front();
  untold.pop_front();
  return first;
}

void PacketPath::handle_news(const TunnelNews& news) {
  const Tunnel* tunnel = state_->find_tunnel(news.tunnel);
  if (tunnel == nullptr || state_->owns(news.tunnel)) return;
  TunnelState known = state_->states.state(news.tunnel);
  known.health = news.health;
  known.keys = news.keys;
  state_->states.set(news.tunnel, tunnel->plan.name, known);
}

}  // namespace qanat::wan
