#include "wan/ping.hpp"

#include <algorithm>

namespace qanat::wan {

Bytes PingDesk::begin(Instant now, RequestId request, TunnelId tunnel, const ProbePath& path) {
  const std::uint16_t sequence = next_sequence_++;
  open_.push_back({.request = request, .tunnel = tunnel, .path = path, .sequence = sequence, .sent = now});
  return codec_.make(tunnel, path, sequence);
}

PingDesk::Taken PingDesk::handle_packet(Instant now, TunnelId through, ByteView packet, const esp::InnerPacket& p) {
  if (open_.empty() && next_sequence_ == 0) return {};  // nobody has ever asked
  const auto answer = codec_.read(packet, p);
  if (!answer) return {};
  const auto found = std::ranges::find_if(open_, [&](const Open& open) {
    return open.sequence == answer->sequence && open.tunnel == answer->tunnel && open.tunnel == through &&
           p.source == open.path.remote && p.destination == open.path.local;
  });
  if (found == open_.end()) return {.ours = true, .ended = {}};
  Ended ended{.request = found->request, .path = found->path, .round_trip = now - found->sent};
  open_.erase(found);
  return {.ours = true, .ended = std::move(ended)};
}

std::optional<PingDesk::Ended> PingDesk::expire(Instant now) {
  if (open_.empty() || open_.front().sent + kPatience > now) return std::nullopt;
  Ended ended{.request = open_.front().request, .path = open_.front().path, .round_trip = {}};
  open_.pop_front();
  return ended;
}

std::optional<Instant> PingDesk::next_timeout() const {
  if (open_.empty()) return std::nullopt;
  return open_.front().sent + kPatience;
}

}  // namespace qanat::wan
