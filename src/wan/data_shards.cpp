#include "wan/data_shards.hpp"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "base/secret.hpp"

namespace qanat::wan {

namespace {

using NamedCounts = std::vector<std::pair<std::string, std::uint64_t>>;

void add(NamedCounts& sum, const NamedCounts& more) {
  for (const auto& [name, count] : more) {
    const auto at = std::ranges::find(sum, name, &NamedCounts::value_type::first);
    if (at == sum.end()) {
      sum.emplace_back(name, count);
    } else {
      at->second += count;
    }
  }
}

// Both are of the same tunnels unless one came or went between the two answers. Those of the owner say how the tunnel
// fares; the others can only have dropped packets of it.
void add(std::vector<ipsec::TunnelCounters>& sum, std::vector<ipsec::TunnelCounters>&& more) {
  for (ipsec::TunnelCounters& one : more) {
    const auto at = std::ranges::lower_bound(sum, one.tunnel, {}, &ipsec::TunnelCounters::tunnel);
    if (at == sum.end() || at->tunnel != one.tunnel) {
      sum.insert(at, std::move(one));
      continue;
    }
    if (one.is_owners) std::swap(*at, one);
    add(at->drops, one.drops);
  }
}

void add(std::vector<ipsec::PolicyCounters>& sum, const std::vector<ipsec::PolicyCounters>& more) {
  for (std::size_t i = 0; i < more.size(); ++i) {
    const auto is_same = [&](const ipsec::PolicyCounters& c) { return c.vrf == more[i].vrf && c.rule == more[i].rule; };
    // All workers have the same rules, but for the moment of a change.
    const auto at = i < sum.size() && is_same(sum[i]) ? sum.begin() + static_cast<std::ptrdiff_t>(i)
                                                      : std::ranges::find_if(sum, is_same);
    if (at == sum.end()) {
      sum.push_back(more[i]);
    } else {
      at->packets += more[i].packets;
      at->bytes += more[i].bytes;
    }
  }
}

void add(ipsec::Counters& sum, ipsec::Counters&& more) {
  std::ranges::move(more.sas, std::back_inserter(sum.sas));
  add(sum.tunnels, std::move(more.tunnels));
  add(sum.policy, more.policy);
  add(sum.drops, more.drops);
  sum.handed_over += more.handed_over;
}

}  // namespace

void DataShards::post(ipsec::Command command, const Send& send) {
  if (map_.count == 1) return send(0, std::move(command));
  std::visit(
      [&](auto& c) {
        using C = std::remove_cvref_t<decltype(c)>;
        if constexpr (std::is_same_v<C, ipsec::InstallInbound> || std::is_same_v<C, ipsec::InstallOutbound>) {
          const TunnelId tunnel = c.sa.tunnel;
          send(map_.owner_of(tunnel), std::move(c));
        } else if constexpr (std::is_same_v<C, ipsec::ReserveSpi> || std::is_same_v<C, ipsec::SwitchOutbound> ||
                             std::is_same_v<C, ipsec::UpdatePeer> || std::is_same_v<C, ipsec::Ping>) {
          send(map_.owner_of(c.tunnel), c);
        } else if constexpr (std::is_same_v<C, ipsec::ReleaseSpi>) {
          send(map_.worker_of(c.spi), c);
        } else if constexpr (std::is_same_v<C, ipsec::StartCapture>) {
          if (c.tunnel) return send(map_.owner_of(*c.tunnel), c);
          captures_[c.capture] = {.packets = c.packets, .bytes = c.bytes, .running = map_.count};
          for (std::uint32_t worker = 0; worker < map_.count; ++worker) send(worker, c);
        } else {
          for (std::uint32_t worker = 0; worker < map_.count; ++worker) send(worker, c);
        }
      },
      command);
}

std::optional<ipsec::Event> DataShards::merge(ipsec::CaptureChunk&& chunk) {
  const auto at = captures_.find(chunk.capture);
  if (at == captures_.end()) return chunk;  // of one tunnel: its owner's alone
  Capture& capture = at->second;
  const bool was_over = capture.over;
  const std::optional<ipsec::CaptureEnd> its = std::exchange(chunk.end, std::nullopt);
  if (its) --capture.running;
  std::size_t taken = 0;
  while (!was_over && taken < chunk.packets.size() && capture.packets > 0 &&
         chunk.packets[taken].kept <= capture.bytes) {
    --capture.packets;
    capture.bytes -= chunk.packets[taken++].kept;
  }
  if (taken < chunk.packets.size()) {
    chunk.end = capture.packets == 0 ? ipsec::CaptureEnd::Packets : ipsec::CaptureEnd::Bytes;
    const std::size_t kept = chunk.packets[taken].begin;
    wipe(MutableByteView{chunk.octets}.subspan(kept));
    chunk.octets.resize(kept);
    chunk.packets.resize(taken);
  } else if (its == ipsec::CaptureEnd::Packets || its == ipsec::CaptureEnd::Bytes ||
             its == ipsec::CaptureEnd::TooMany || capture.running == 0) {
    chunk.end = its;
  }
  capture.over = was_over || chunk.end.has_value();
  if (capture.running == 0) captures_.erase(at);
  if (was_over) return std::nullopt;
  return chunk;
}

std::optional<ipsec::Event> DataShards::merge(ipsec::Event event) {
  if (map_.count == 1) return event;
  if (auto* chunk = std::get_if<ipsec::CaptureChunk>(&event)) return merge(std::move(*chunk));
  auto* counters = std::get_if<ipsec::Counters>(&event);
  if (counters == nullptr) return event;
  const auto [at, is_first] = counters_.try_emplace(counters->request);
  Parts& parts = at->second;
  if (is_first) {
    parts.missing = map_.count - 1;
    parts.sum = std::move(*counters);
    return std::nullopt;
  }
  add(parts.sum, std::move(*counters));
  if (--parts.missing != 0) return std::nullopt;
  ipsec::Event whole{std::move(parts.sum)};
  counters_.erase(at);
  return whole;
}

}  // namespace qanat::wan
