#include "wan/steering.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include <fmt/format.h>

#include "base/rng.hpp"

namespace qanat::wan {

namespace {

// The finaliser of splitmix64: every bit of the input moves half of those of the output.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;

std::uint64_t salt_of(std::string_view name) {
  std::uint64_t h = kGolden;
  for (const char c : name) h = mix(h ^ static_cast<std::uint8_t>(c)) + kGolden;
  return mix(h);
}

// log2(1 + i / 256) with 24 bits behind the point, bit by bit: x is squared, and each time it passes 2 is a one.
constexpr int kFraction = 24;
constexpr std::array<std::uint32_t, 257> make_logarithms() {
  std::array<std::uint32_t, 257> out{};
  for (std::uint64_t i = 0; i < 256; ++i) {
    Wide x = (Wide{256 + i} << 55);  // 63 bits behind the point
    std::uint32_t bits = 0;
    for (int b = 0; b < kFraction; ++b) {
      x = (x * x) >> 63;
      bits <<= 1;
      if ((x >> 64) != 0) {
        bits |= 1;
        x >>= 1;
      }
    }
    out[i] = bits;
  }
  out[256] = 1U << kFraction;
  return out;
}
constexpr auto kLogarithms = make_logarithms();

// -log2(h / 2^64) with 24 bits behind the point, in integers: alike on every machine.
std::uint64_t minus_log2(std::uint64_t h) {
  h |= 1;
  const int zeros = std::countl_zero(h);
  const std::uint64_t mantissa = (h << zeros) << 1;  // without its leading one
  const auto at = static_cast<std::size_t>(mantissa >> 56);
  const std::uint64_t step = kLogarithms[at + 1] - kLogarithms[at];
  const std::uint64_t log = kLogarithms[at] + ((step * ((mantissa >> 32) & 0xffffff)) >> 24);
  return (static_cast<std::uint64_t>(zeros + 1) << kFraction) - log;
}

// Weighted rendezvous hashing: each hop draws an exponential time of rate `weight` from flow and hop, the first wins
// (draft-ietf-bess-weighted-hrw). Shares are exact by weight, and no hop's draw depends on another's.
std::uint64_t draw(std::uint64_t flow, std::uint64_t salt) {
  return mix(flow ^ salt);
}
bool before(const Hop& a, std::uint64_t x, const Hop& b, std::uint64_t y) {
  if (a.weight == b.weight) return x > y;  // a larger hash is an earlier time
  const std::uint64_t left = minus_log2(x) * b.weight;
  const std::uint64_t right = minus_log2(y) * a.weight;
  return left != right ? left < right : x > y;
}

std::uint64_t sum_of(const Hop& hop, const TunnelStates::Hot& tunnel) {
  return std::uint64_t{hop.priority} + tunnel.penalty;
}

bool requires_hybrid(std::span<const Hop> hops) {
  return std::any_of(hops.begin(), hops.end(), [](const Hop& hop) { return hop.pq_require; });
}

std::string_view keys_text(KeySafety keys) {
  switch (keys) {
    case KeySafety::None:
      return "no SA";
    case KeySafety::Classical:
      return "classical keys";
    case KeySafety::Ppk:
      return "PPK";
    case KeySafety::Hybrid:
      return "hybrid keys";
  }
  return "unknown";
}

// "100", or "100 + 500000 (degraded) + 1000 (classical keys)".
std::string priority_text(const Hop& hop, const TunnelState& s) {
  std::string out = std::to_string(hop.priority);
  if (s.keys == KeySafety::None) return out + fmt::format(" + {} (no SA)", kNoSaPenalty);
  if (const auto p = health_penalty(s.health); p != 0) out += fmt::format(" + {} ({})", p, to_string(s.health));
  if (s.keys == KeySafety::Classical && s.classical_penalty != 0)
    out += fmt::format(" + {} (classical keys)", s.classical_penalty);
  return out;
}

}  // namespace

std::uint32_t penalty(const TunnelState& s) {
  if (s.keys == KeySafety::None) return kNoSaPenalty;
  const std::uint64_t sum =
      std::uint64_t{health_penalty(s.health)} + (s.keys == KeySafety::Classical ? s.classical_penalty : 0);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, UINT32_MAX));
}

void TunnelStates::set(TunnelId tunnel, std::string_view name, const TunnelState& state) {
  Cold& cold = cold_[tunnel];
  cold = {.name = std::string{name}, .state = state};
  if (cold_.size() * 2 > slots_.size()) return rebuild();
  put(tunnel, cold);
}

void TunnelStates::remove(TunnelId tunnel) {
  if (cold_.erase(tunnel) != 0) rebuild();
}

void TunnelStates::put(TunnelId tunnel, const Cold& cold) {
  std::size_t at = place(tunnel);
  while (slots_[at].used && slots_[at].tunnel != tunnel) at = (at + 1) & (slots_.size() - 1);
  const TunnelState& state = cold.state;
  const bool hybrid = state.keys == KeySafety::Hybrid || (state.keys == KeySafety::None && state.hybrid_only);
  slots_[at] = {.tunnel = tunnel,
                .used = true,
                .hot = {.salt = salt_of(cold.name), .penalty = wan::penalty(state), .hybrid = hybrid}};
}

void TunnelStates::rebuild() {
  const std::size_t size = std::bit_ceil(std::max<std::size_t>(cold_.size() * 4, 2));
  slots_.assign(size, {});
  shift_ = 32U - static_cast<unsigned>(std::countr_zero(size));
  for (const auto& [tunnel, cold] : cold_) put(tunnel, cold);
}

TunnelState TunnelStates::state(TunnelId tunnel) const {
  const auto at = cold_.find(tunnel);
  return at == cold_.end() ? TunnelState{} : at->second.state;
}
std::string TunnelStates::name(TunnelId tunnel) const {
  const auto at = cold_.find(tunnel);
  return at == cold_.end() ? "tunnel " + std::to_string(tunnel.value()) : at->second.name;
}

std::uint64_t flow_hash(const esp::InnerPacket& p) {
  std::uint64_t h = kGolden;
  const auto put = [&h](std::uint64_t word) { h = mix(h ^ word) + kGolden; };
  if (p.is_v6()) {
    for (const IpAddress* address : {&p.source, &p.destination}) {
      put(load_be64(address->bytes().data()));
      put(load_be64(address->bytes().data() + 8));
    }
  } else {
    put((std::uint64_t{p.source.v4_host_order()} << 32) | p.destination.v4_host_order());
  }
  // Only the first fragment shows ports; later IPv6 fragments need not even name the same protocol (RFC 8200 4.5).
  const std::uint64_t protocol = p.fragment && p.is_v6() ? 0 : p.protocol;
  const bool ports = p.has_ports && !p.fragment;
  put((protocol << 32) | (ports ? (std::uint64_t{p.ports.source} << 16) | p.ports.destination : 0));
  return h;
}

Choice choose(std::span<const Hop> hops, const TunnelStates& states, const esp::InnerPacket& p) {
  const bool hybrid_only = requires_hybrid(hops);
  std::uint64_t lowest = UINT64_MAX;
  const Hop* best = nullptr;
  bool shared = false;
  for (const Hop& hop : hops) {
    const TunnelStates::Hot& tunnel = states.hot(hop.tunnel);
    if (hybrid_only && !tunnel.hybrid) continue;
    const std::uint64_t sum = sum_of(hop, tunnel);
    shared = sum == lowest || (shared && sum > lowest);
    if (sum >= lowest) continue;
    lowest = sum;
    best = &hop;
  }
  if (best == nullptr)
    return {.outcome = hops.empty() ? Choice::Outcome::NoHop : Choice::Outcome::PqRequired,
            .hop = nullptr,
            .hybrid_only = hybrid_only};
  if (!shared) return {.outcome = Choice::Outcome::Chosen, .hop = best, .hybrid_only = hybrid_only};

  const std::uint64_t flow = flow_hash(p);
  const Hop* const first = best;
  std::uint64_t earliest = draw(flow, states.hot(first->tunnel).salt);
  for (const Hop* hop = first + 1; hop != hops.data() + hops.size(); ++hop) {
    const TunnelStates::Hot& tunnel = states.hot(hop->tunnel);
    if (sum_of(*hop, tunnel) != lowest || (hybrid_only && !tunnel.hybrid)) continue;
    const std::uint64_t its = draw(flow, tunnel.salt);
    if (!before(*hop, its, *best, earliest)) continue;
    earliest = its;
    best = hop;
  }
  return {.outcome = Choice::Outcome::Chosen, .hop = best, .hybrid_only = hybrid_only};
}

Explanation explain(std::span<const Hop> hops, const TunnelStates& states, const esp::InnerPacket& p) {
  Explanation out{.choice = choose(hops, states, p), .summary = {}, .hops = {}};
  const Hop* chosen = out.choice.hop;
  if (chosen == nullptr) {
    out.summary = hops.empty() ? "dropped: no tunnel leads there"
                               : "dropped: the prefix requires hybrid keys (pq = \"require\"), and no tunnel has them";
  }
  const bool hybrid_only = requires_hybrid(hops);
  const std::uint64_t lowest = chosen == nullptr ? 0 : sum_of(*chosen, states.hot(chosen->tunnel));
  std::uint64_t members = 0;
  std::uint64_t weights = 0;
  for (const Hop& hop : hops) {
    const TunnelStates::Hot& tunnel = states.hot(hop.tunnel);
    if (chosen == nullptr || (hybrid_only && !tunnel.hybrid) || sum_of(hop, tunnel) != lowest) continue;
    ++members;
    weights += hop.weight;
  }
  for (const Hop& hop : hops) {
    const TunnelStates::Hot& tunnel = states.hot(hop.tunnel);
    const TunnelState state = states.state(hop.tunnel);
    std::string line = states.name(hop.tunnel) + ": ";
    if (hybrid_only && !tunnel.hybrid) {
      line += fmt::format("refused: {}, and the prefix requires hybrid ones", keys_text(state.keys));
    } else {
      line += "priority " + priority_text(hop, state);
      if (sum_of(hop, tunnel) != lowest) {
        line += fmt::format(": above {}", lowest);
      } else if (members > 1) {
        line += fmt::format(", weight {} of {}", hop.weight, weights);
      }
      if (&hop == chosen) line += ": chosen";
    }
    out.hops.push_back(std::move(line));
  }
  if (chosen != nullptr) {
    out.summary = fmt::format("through {}: {}", states.name(chosen->tunnel),
                              members > 1 ? "the flow's share among equals" : "the lowest priority");
    if (states.state(chosen->tunnel).keys == KeySafety::None) out.summary += "; held until it has an SA";
  }
  return out;
}

}  // namespace qanat::wan
