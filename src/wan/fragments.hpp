// FragmentTable: the first fragment of an inner datagram decides for the rest, whose ports nobody can see
// (RFC 4301 7, rules.md "Selectors and routes"). Bounded; a datagram is forgotten when it is whole, or after 30 s.
#pragma once

#include <expected>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "esp/inner_packet.hpp"

namespace qanat::wan {

inline constexpr Duration kFragmentLife = 30s;

// What is known of the datagram that a fragment belongs to.
struct FragmentFacts {
  bool first_seen = false;
  std::optional<esp::Ports> ports;  // of the first fragment, when its protocol has them
};

class FragmentTable {
 public:
  explicit FragmentTable(std::size_t entries) : capacity_(entries) {}

  // `scope` keeps VRFs, tunnels and directions apart; `p.fragment` is true. Every fragment is shown once.
  // FragmentOverlap: octets of it were seen before; all of its datagram is refused from then on, unless it was a mere
  // copy (RFC 5722, RFC 8200 4.5).
  [[nodiscard]] std::expected<FragmentFacts, esp::DropReason> see(Instant now, std::uint64_t scope,
                                                                  const esp::InnerPacket& p);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Key {
    std::uint64_t scope = 0;
    IpAddress source;
    IpAddress destination;
    std::uint32_t id = 0;
    std::uint8_t protocol = 0;  // IPv4 only: IPv6's later fragments need not name it alike (RFC 8200 4.5)
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const noexcept;
  };
  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t end = 0;
  };
  struct Entry {
    Instant since;
    FragmentFacts facts;
    std::vector<Range> ranges;  // sorted, apart
    std::optional<std::uint32_t> end;
    bool refused = false;
    std::list<Key>::iterator turn;
  };
  using Entries = std::unordered_map<Key, Entry, KeyHash>;
  void forget(Entries::iterator entry);
  Entries::iterator begin_entry(Instant now, const Key& key);

  std::size_t capacity_;
  Entries entries_;
  std::list<Key> order_;  // the oldest first
};

}  // namespace qanat::wan
