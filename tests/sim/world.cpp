#include "sim/world.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace qanat::sim {

void World::transmit(Datagram datagram) {
  const auto fold = [&](ByteView octets) {
    for (const std::uint8_t octet : octets) trace_ = (trace_ ^ octet) * 0x100000001b3;
  };
  std::array<std::uint8_t, 12> when{};
  store_be64(when.data(), static_cast<std::uint64_t>(now_.ns()));
  store_be16(&when[8], datagram.from.port);
  store_be16(&when[10], datagram.to.port);
  fold(when);
  fold(datagram.from.address.bytes());
  fold(datagram.to.address.bytes());
  fold(datagram.payload);
  if (std::search(datagram.payload.begin(), datagram.payload.end(), kMarker.begin(), kMarker.end()) !=
      datagram.payload.end())
    leaks.push_back(fmt::format("{} -> {} at {} ns", datagram.from.to_string(), datagram.to.to_string(), now_.ns()));
  if (filter && !filter(datagram.from, datagram.to, datagram.payload)) return;
  for (Network::Arrival& a : network.carry(now_, std::move(datagram))) wire_.emplace(a.at, std::move(a.datagram));
}

std::optional<Instant> World::next_event() const {
  std::optional<Instant> next;
  if (!wire_.empty()) next = wire_.begin()->first;
  for (const auto& node : nodes_) {
    if (!node->running()) continue;
    const auto at = node->next_timeout();
    if (at && (!next || *at < *next)) next = at;
  }
  return next;
}

void World::step() {
  ++events_;
  if (!wire_.empty() && wire_.begin()->first <= now_) {
    Datagram d = std::move(wire_.begin()->second);
    wire_.erase(wire_.begin());
    for (const auto& node : nodes_) {
      if (!node->running() || !node->has(d.to.address)) continue;
      node->receive(std::move(d));
      return;
    }
    return;
  }
  for (const auto& node : nodes_) {
    if (!node->running()) continue;
    const auto at = node->next_timeout();
    if (at && *at <= now_) {
      node->handle_timeout();
      return;
    }
  }
}

void World::run_for(Duration duration) {
  const Instant end = now_ + duration;
  for (auto next = next_event(); next && *next <= end; next = next_event()) {
    now_ = std::max(now_, *next);
    step();
  }
  now_ = end;
}

bool World::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant end = now_ + limit;
  while (!done()) {
    const auto next = next_event();
    if (!next || *next > end) return false;
    now_ = std::max(now_, *next);
    step();
  }
  return true;
}

World::World(std::uint64_t seed) : network(seed * 7919 + 1), seed_(seed) {}

Node& World::add(std::string name, model::Config config) {
  nodes_.push_back(
      std::make_unique<Node>(*this, std::move(name), std::move(config), (seed_ * 100 + nodes_.size()) * 1000));
  nodes_.back()->shards = shards;
  return *nodes_.back();
}

bool World::all_up() {
  return std::all_of(links.begin(), links.end(),
                     [](const Link& l) { return l.left->up(l.left_tunnel) && l.right->up(l.right_tunnel); });
}

}  // namespace qanat::sim
