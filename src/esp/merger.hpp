// Merger: packets for the host, gathered over a batch, so that neighbours of one flow reach it as one super-packet. It
// merges only what Linux's GRO would: equal headers (DSCP, ECN, TTL, DF, options, acknowledgement, window), sequence
// numbers without a gap, equal sizes (the last may be shorter), right checksums; PSH, FIN or a shorter segment ends it.
// Nothing is copied: the payloads stay where they are, the headers of the first are rewritten in place.
// Within a flow packets keep their order.
#pragma once

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "esp/offload.hpp"

namespace qanat::esp {

class Merger {
 public:
  // UDP only where the host takes super-packets of it.
  explicit Merger(bool udp) : udp_(udp) {}

  // `p` describes `packet`, which has p.size octets and stays where it is until drain().
  void add(MutableByteView packet, const InnerPacket& p);
  [[nodiscard]] bool empty() const { return items_.empty(); }

  // Calls write(const Offload&, std::span<const ByteView> pieces) for each packet or super-packet, whose octets are
  // those of the pieces one after the other; the views live until `write` returns.
  template <typename Write>
  void drain(const Write& write) {
    for (Item& item : items_) {
      finish(item);
      write(std::as_const(offload_), std::span<const ByteView>{pieces_});
    }
    forget();
  }

 private:
  enum class Kind : std::uint8_t { Other, Tcp, Udp };
  enum class Ids : std::uint8_t { Unknown, Counting, Constant };  // IPv4 identification from packet to packet
  struct Item {
    MutableByteView first;
    std::uint32_t next_part = 0;  // 1 + index into parts_
    std::uint32_t last_part = 0;
    std::uint32_t total = 0;  // octets of the super-packet
    std::uint32_t next_sequence = 0;
    std::uint16_t transport = 0;
    std::uint16_t header = 0;   // octets before the payload
    std::uint16_t payload = 0;  // of the first
    std::uint16_t count = 1;
    Kind kind = Kind::Other;
    Ids ids = Ids::Unknown;
    std::uint8_t end_flags = 0;  // FIN and PSH of all
    bool open = false;
    bool verified = false;  // the first's checksums
  };
  struct Part {
    ByteView payload;
    std::uint32_t next = 0;
  };
  struct Slot {
    std::uint64_t epoch = 0;
    std::uint32_t item = 0;
  };
  static constexpr std::size_t kSlots = 512;

  [[nodiscard]] Item describe(MutableByteView packet, const InnerPacket& p) const;
  [[nodiscard]] bool append(Item& item, const Item& next);
  void finish(Item& item);  // into offload_ and pieces_
  void forget();

  bool udp_;
  std::vector<Item> items_;
  std::vector<Part> parts_;
  std::vector<ByteView> pieces_;
  Offload offload_;
  // The last packet of each flow that is in this batch, by a hash of the flow: what another flow overwrites there is
  // merged no further.
  std::array<Slot, kSlots> slots_{};
  std::uint64_t epoch_ = 1;
};

}  // namespace qanat::esp
