// Handover: packets that one data worker read and another one has to seal or to open, because it owns the tunnel. The
// octets of a batch lie one behind the other, so a batch costs two allocations, whatever it holds.
//
// Whoever carries batches keeps the order of those from one worker to another, and may throw one away when too many
// wait (PacketPath::note_handover_lost): never silently.
#pragma once

#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/strong_id.hpp"
#include "esp/offload.hpp"
#include "ipsec/child_sa_params.hpp"
#include "wan/health.hpp"

namespace qanat::wan {

// An inner packet on its way into a tunnel: where it came from (there errors about it go), and what its route demands.
struct Origin {
  enum class Kind : std::uint8_t { Tun, Tunnel, Ourselves } kind = Kind::Tun;
  VrfId vrf;
  TunnelId tunnel;  // of Kind::Tunnel
  bool hybrid_only = false;
};

class Handover {
 public:
  // Routed into `tunnel`, not judged by the packet policy yet where it came from the host.
  struct Inner {
    TunnelId tunnel;
    Origin origin;
    esp::Offload offload;
  };
  // As it came from the wire: a run that the kernel merged may hold SPIs of several workers.
  struct Esp {
    ipsec::OuterPath arrived;
    std::uint8_t tos = 0;
  };
  struct Item {
    std::variant<Inner, Esp> what;
    std::size_t size = 0;
  };

  void add(std::variant<Inner, Esp> what, ByteView octets) {
    items_.push_back({std::move(what), octets.size()});
    octets_.insert(octets_.end(), octets.begin(), octets.end());
  }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] std::span<const Item> items() const { return items_; }
  // Memory that it takes, in octets.
  [[nodiscard]] std::size_t size() const { return octets_.size() + items_.size() * sizeof(Item); }
  // use(item, its octets), in order.
  template <typename Use>
  void each(const Use& use) {
    std::size_t at = 0;
    for (const Item& item : items_) {
      use(item, MutableByteView{octets_}.subspan(at, item.size));
      at += item.size;
    }
  }

 private:
  std::vector<Item> items_;
  Bytes octets_;
};

// What all workers have to know of a tunnel in order to steer, told by its owner.
struct TunnelNews {
  TunnelId tunnel;
  HealthState health = HealthState::Down;
  ipsec::KeySafety keys = ipsec::KeySafety::None;
};

}  // namespace qanat::wan
