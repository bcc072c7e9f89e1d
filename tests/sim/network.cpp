#include "sim/network.hpp"

#include <algorithm>

namespace qanat::sim {

namespace {

std::size_t ip_size(const Datagram& d) {
  const std::size_t header = d.to.address.is_v6() ? 40 : 20;
  return header + (d.encapsulation == ipsec::Encapsulation::Udp ? 8 : 0) + d.payload.size();
}

// What a NAT has mapped is good for one period.
void expire(Nat& nat, Instant now) {
  if (nat.rebind == Duration{}) return;
  const std::int64_t epoch = now.ns() / nat.rebind.count();
  if (epoch == nat.epoch) return;
  nat.epoch = epoch;
  nat.ports.clear();
}

const IpAddress& outside_of(const Nat& nat) {
  return nat.outside[static_cast<std::size_t>(nat.epoch) % nat.outside.size()];
}

}  // namespace

void Network::calm() {
  weather = {};
  directions.clear();
  cuts.clear();
  for (Nat& nat : nats) nat.rebind = {};
}

bool Network::chance(double probability) {
  return probability > 0 && static_cast<double>(rng_.below(1'000'000)) < probability * 1'000'000;
}

bool Network::leave_nat(Instant now, Datagram& d) {
  for (Nat& nat : nats) {
    if (!nat.inside.contains(d.from.address)) continue;
    expire(nat, now);
    if (nat.one_to_one) {
      d.from.address = outside_of(nat);
      return true;
    }
    if (d.encapsulation != ipsec::Encapsulation::Udp) return false;
    auto [port, fresh] = nat.ports.try_emplace(d.from, 0);
    if (fresh) port->second = nat.next_port++;
    d.from = {outside_of(nat), port->second};
    return true;
  }
  return true;
}

bool Network::enter_nat(Instant now, Datagram& d) {
  for (Nat& nat : nats) {
    if (std::find(nat.outside.begin(), nat.outside.end(), d.to.address) == nat.outside.end()) continue;
    expire(nat, now);
    if (d.to.address != outside_of(nat)) return false;
    if (nat.one_to_one) {
      d.to.address = *nat.inside.begin();
      return true;
    }
    const auto mapped = std::find_if(nat.ports.begin(), nat.ports.end(),
                                     [&](const auto& mapping) { return mapping.second == d.to.port; });
    if (d.encapsulation != ipsec::Encapsulation::Udp || mapped == nat.ports.end()) return false;
    d.to = mapped->first;
    return true;
  }
  return true;
}

void Network::damage(Bytes& payload) {
  if (payload.empty()) return;
  const std::size_t at = rng_.below(payload.size());
  switch (rng_.below(3)) {
    case 0:
      payload[at] ^= static_cast<std::uint8_t>(1U << rng_.below(8));
      break;
    case 1:
      payload[at] = static_cast<std::uint8_t>(payload[at] + 1 + rng_.below(255));
      break;
    default:
      payload.resize(at);
      break;
  }
}

std::vector<Network::Arrival> Network::carry(Instant now, Datagram d) {
  ++counts_.sent;
  if (!leave_nat(now, d)) {
    ++counts_.no_mapping;
    return {};
  }
  if (cuts.contains({d.from.address, d.to.address})) {
    ++counts_.cut;
    return {};
  }
  const auto own = directions.find({d.from.address, d.to.address});
  const Weather& w = own == directions.end() ? weather : own->second;
  if (ip_size(d) > w.mtu) {
    ++counts_.too_big;
    return {};
  }
  if (chance(w.loss)) {
    ++counts_.lost;
    return {};
  }
  if (!enter_nat(now, d)) {
    ++counts_.no_mapping;
    return {};
  }
  std::vector<Arrival> out;
  const bool twice = chance(w.duplicate);
  counts_.duplicated += twice ? 1 : 0;
  for (int copy = 0; copy < (twice ? 2 : 1); ++copy) {
    Arrival a{now + w.delay, d};
    if (w.jitter > Duration{})
      a.at = a.at - w.jitter +
             Duration{static_cast<std::int64_t>(rng_.below(2 * static_cast<std::uint64_t>(w.jitter.count())))};
    if (chance(w.reorder)) {
      ++counts_.reordered;
      a.at = a.at + Duration{static_cast<std::int64_t>(rng_.below(20'000'000))};
    }
    if (chance(w.corrupt)) {
      ++counts_.corrupted;
      damage(a.datagram.payload);
    }
    a.at = std::max(a.at, now);
    out.push_back(std::move(a));
  }
  return out;
}

}  // namespace qanat::sim
