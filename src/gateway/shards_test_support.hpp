// A hub and many sites, two gateways with packet paths and a wire between them: for the tests of IKE shards.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "gateway/gateway.hpp"
#include "wan/packet_path.hpp"
#include "wire/message.hpp"

namespace qanat::gateway::test {

inline constexpr std::size_t kSites = 24;
inline const IpAddress kHub = IpAddress::v4(0xc0000201);

inline IpAddress site(std::size_t i) {
  return IpAddress::v4(0xc6336400 + static_cast<std::uint32_t>(i));
}

struct Datagram {
  ike::Path path;  // as the sender has it
  Bytes payload;
  [[nodiscard]] ike::Path mirrored() const { return {path.remote, path.local}; }
};

enum class Side : std::uint8_t { Hub, HubThatBegins, Sites };

// A gateway with its packet path. The hub has a tunnel for each site; all sites live in one other gateway.
class Node final : public wan::CopyingSink {
 public:
  Node(Side side, std::size_t shards, std::uint64_t seed = 1)
      : Node(side, shards, seed,
             [this](const ike::EndpointConfig& config) { return std::make_unique<IkeShard>(config, rng_); }) {}
  Node(Side side, std::size_t shards, std::uint64_t seed, const ShardMaker& make,
       Instant begin = Instant::from_ns(1'000'000'000))
      : now(begin), rng_{100 * seed + shards}, path_({}, rng_), gateway({}, rng_, shards, make) {
    const bool is_hub = side != Side::Sites;
    model::Config config;
    config.gateway.address4 = kHub;
    for (std::size_t i = 0; i < kSites; ++i) {
      model::Tunnel t;
      t.name = "site" + std::to_string(i);
      t.start = side == Side::Hub ? model::StartMode::Respond : model::StartMode::Initiate;
      t.local = is_hub ? kHub : site(i);
      t.peer = is_hub ? site(i) : kHub;
      t.psk = model::PresharedKey{SecretBytes::copy_of(Bytes(32, static_cast<std::uint8_t>(i)))};
      t.encap = model::EncapMode::Force;
      t.routes = {Prefix::masked(IpAddress::v4(0x0a000000 + (static_cast<std::uint32_t>(i) << 16)), 16)};
      config.tunnels.push_back(std::move(t));
    }
    EXPECT_TRUE(gateway.apply(now, config).has_value());
  }
  void send_esp(const ipsec::OuterPath&, std::uint8_t, wan::DfBit, ByteView) override {}
  void write_tun(VrfId, ByteView) override {}

  void drain(std::deque<Datagram>& wire) {
    for (bool moved = true; moved;) {
      moved = false;
      while (auto out = gateway.poll()) {
        moved = true;
        if (auto* t = std::get_if<ike::Transmit>(&*out)) wire.push_back({t->path, std::move(t->datagram)});
        if (auto* p = std::get_if<PlaneOut>(&*out)) {
          if (const auto* s = std::get_if<ipsec::SwitchOutbound>(&p->command)) carries[s->tunnel] = s->child;
          path_.post(now, std::move(p->command));
        }
        if (const auto* h = std::get_if<HostOut>(&*out)) gateway.handle_host(now, {h->request, {}});
      }
      while (auto event = path_.poll_event()) gateway.handle_plane(now, *event);
    }
  }
  [[nodiscard]] std::set<std::uint64_t> shards_in_use() const {
    std::set<std::uint64_t> out;
    for (const ike::SaInfo& sa : gateway.ike_sas())
      out.insert((sa.initiator ? sa.spi_i : sa.spi_r) & (ike::kMaxShards - 1));
    return out;
  }
  [[nodiscard]] std::size_t up() const {
    std::size_t out = 0;
    for (const ike::SaInfo& sa : gateway.ike_sas()) out += sa.state == ike::SaState::Established;
    return out;
  }
  [[nodiscard]] std::uint64_t count(std::string_view name) const {
    for (const auto& [counter, value] : gateway.snapshot(now).ike_counters) {
      if (counter == name) return value;
    }
    return 0;
  }

  Instant now;
  std::map<TunnelId, ChildSaId> carries;  // what was switched to last

 private:
  SeededRng rng_;
  wan::PacketPath path_;

 public:
  Gateway gateway;
};

}  // namespace qanat::gateway::test
