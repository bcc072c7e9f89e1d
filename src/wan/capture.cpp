#include "wan/capture.hpp"

#include <algorithm>

#include "model/wan.hpp"

namespace qanat::wan {

using ipsec::CaptureEnd;

std::optional<esp::Ports> known_ports(const esp::InnerPacket& p) {
  return p.has_ports && model::has_port_numbers(p.protocol) ? std::optional{p.ports} : std::nullopt;
}

std::optional<esp::Ports> known_ports(const Flow& flow, Direction direction) {
  if (flow.ports != Flow::PortState::Known || !model::has_port_numbers(flow.protocol)) return std::nullopt;
  return direction == Direction::In ? esp::Ports{flow.remote_port, flow.local_port}
                                    : esp::Ports{flow.local_port, flow.remote_port};
}

bool takes(const ipsec::CaptureFilter& filter, const esp::InnerPacket& p, const std::optional<esp::Ports>& ports) {
  if (filter.protocol && *filter.protocol != p.protocol) return false;
  if (filter.source && !filter.source->contains(p.source)) return false;
  if (filter.destination && !filter.destination->contains(p.destination)) return false;
  if (filter.source_port && (!ports || ports->source != *filter.source_port)) return false;
  return !filter.destination_port || (ports && ports->destination == *filter.destination_port);
}

void CaptureSet::begin(Instant now, ipsec::StartCapture wish) {
  const CaptureId id = wish.capture;
  ipsec::CaptureChunk first{.capture = id, .tunnels = {}, .packets = {}, .octets = {}, .end = {}};
  if (running_.size() >= kMany) first.end = CaptureEnd::TooMany;
  const bool refused = first.end.has_value();
  events_.emplace_back(std::move(first));
  if (refused) return;
  Running& made = running_.emplace_back();
  made.until = now + wish.time;
  made.wish = std::move(wish);
  made.chunk.capture = id;
}

void CaptureSet::stop(CaptureId capture) {
  for (Running& one : running_) {
    if (one.wish.capture == capture) end(one, CaptureEnd::Stopped);
  }
  sweep();
}

void CaptureSet::forget(TunnelId tunnel) {
  for (Running& one : running_) {
    if (one.wish.tunnel == tunnel) end(one, CaptureEnd::TunnelGone);
  }
  sweep();
}

void CaptureSet::see(Instant now, const ipsec::TunnelPlan& tunnel, ipsec::CapturedPacket::Way way, ByteView packet,
                     const esp::InnerPacket& p, const std::optional<esp::Ports>& ports) {
  for (Running& one : running_) {
    if (one.wish.vrf != tunnel.vrf || (one.wish.tunnel && *one.wish.tunnel != tunnel.tunnel)) continue;
    if (now >= one.until || !takes(one.wish.filter, p, ports)) continue;
    const ByteView kept = packet.first(std::min<std::size_t>(packet.size(), one.wish.snap));
    if (one.bytes + kept.size() > one.wish.bytes) {
      end(one, CaptureEnd::Bytes);
      continue;
    }
    ipsec::CaptureChunk& chunk = one.chunk;
    if (chunk.packets.empty()) {
      one.chunk_since = now;
      chunk.octets.reserve(kChunk + 2048);
    }
    if (std::find(one.told.begin(), one.told.end(), tunnel.tunnel) == one.told.end()) {
      one.told.push_back(tunnel.tunnel);
      chunk.tunnels.emplace_back(tunnel.tunnel, tunnel.name);
    }
    chunk.packets.push_back({.way = way,
                             .at = now,
                             .tunnel = tunnel.tunnel,
                             .size = static_cast<std::uint32_t>(packet.size()),
                             .begin = static_cast<std::uint32_t>(chunk.octets.size()),
                             .kept = static_cast<std::uint32_t>(kept.size())});
    append(chunk.octets, kept);
    one.bytes += kept.size();
    ++one.packets;
    if (one.packets >= one.wish.packets) {
      end(one, CaptureEnd::Packets);
    } else if (chunk.octets.size() >= kChunk) {
      hand_over(one);
    }
  }
  sweep();
}

void CaptureSet::handle_timeout(Instant now) {
  for (Running& one : running_) {
    if (now >= one.until) {
      end(one, CaptureEnd::Time);
    } else if (!one.chunk.packets.empty() && now - one.chunk_since >= kPatience) {
      hand_over(one);
    }
  }
  sweep();
}

std::optional<Instant> CaptureSet::next_timeout() const {
  std::optional<Instant> next;
  for (const Running& one : running_) {
    const Instant at = one.chunk.packets.empty() ? one.until : std::min(one.until, one.chunk_since + kPatience);
    if (!next || at < *next) next = at;
  }
  return next;
}

void CaptureSet::hand_over(Running& capture) {
  const CaptureId id = capture.wish.capture;
  events_.emplace_back(std::move(capture.chunk));
  capture.chunk = {};
  capture.chunk.capture = id;
}

void CaptureSet::end(Running& capture, CaptureEnd why) {
  if (capture.chunk.end) return;
  capture.chunk.end = why;
}

// Those that have ended say so, and go.
void CaptureSet::sweep() {
  std::erase_if(running_, [&](Running& one) {
    if (!one.chunk.end) return false;
    hand_over(one);
    return true;
  });
}

}  // namespace qanat::wan
