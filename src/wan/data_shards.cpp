#include "wan/data_shards.hpp"

#include <algorithm>
#include <iterator>
#include <type_traits>

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
  sum.workers += more.workers;
  sum.handed_over += more.handed_over;
}

}  // namespace

void DataShards::post(ipsec::Command command, const Send& send) const {
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
        } else {
          for (std::uint32_t worker = 0; worker < map_.count; ++worker) send(worker, c);
        }
      },
      command);
}

std::optional<ipsec::Event> DataShards::merge(ipsec::Event event) {
  auto* counters = std::get_if<ipsec::Counters>(&event);
  if (counters == nullptr || map_.count == 1) return event;
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
