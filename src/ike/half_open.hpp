// HalfOpenTable: how many IKE SAs strangers have made us keep, overall and by source prefix (IPv4 /24, IPv6 /56), and
// what a newcomer must therefore do first (RFC 7296 2.6, RFC 8019 4).
//
// Peers that have not returned a cookie could be anybody with a forged address: they are counted apart, and their
// limits only make the next one return a cookie. A prefix whose cookies do come back is real; it may hold
// kVerifiedShare times as much, and no more, so that one network cannot take every place. The table has an entry for
// each prefix with a half-open IKE SA, and no other.
//
// The limits are the gateway's. A table of one shard among several hears with each datagram what the others have
// (HalfOpenElsewhere), which may be a moment old: so of what the gateway has not yet heard of from here there may be
// one shard's share of a limit, and no more. Where shards run in one thread nothing is ever unheard, and the limits
// are exact; where they have threads, a limit can be passed by what the shards take in the same moment: a share each.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "base/address.hpp"
#include "base/time.hpp"
#include "ike/config.hpp"

namespace qanat::ike {

struct HalfOpenCounts {
  std::uint32_t verified = 0;  // they have returned a cookie
  std::uint32_t unverified = 0;
  [[nodiscard]] std::size_t total() const { return std::size_t{verified} + unverified; }
  HalfOpenCounts& operator+=(const HalfOpenCounts& more) {
    verified += more.verified;
    unverified += more.unverified;
    return *this;
  }
  HalfOpenCounts& operator-=(const HalfOpenCounts& less) {
    verified -= less.verified;
    unverified -= less.unverified;
    return *this;
  }
  friend bool operator==(const HalfOpenCounts&, const HalfOpenCounts&) = default;
};

// Shard -> whoever counts for all: what it has of that prefix now.
struct HalfOpenChanged {
  Prefix prefix;
  HalfOpenCounts here;
};

// What the gateway knew when it handed a datagram to a shard.
struct HalfOpenElsewhere {
  HalfOpenCounts others;  // of the other shards
  HalfOpenCounts heard;   // of this one, as far as it had been heard
  Prefix prefix;          // of the datagram's source; the same for it alone:
  HalfOpenCounts prefix_others;
  HalfOpenCounts prefix_heard;
};

// What counts as one source.
[[nodiscard]] Prefix half_open_prefix(const IpAddress& source);

class HalfOpenTable {
 public:
  // One IKE SA's place in the table.
  struct Standing {
    IpAddress source;  // of its IKE_SA_INIT request
    bool counted = false;
    bool verified = false;  // it has returned a cookie
  };

  explicit HalfOpenTable(const EndpointConfig& config) : config_(config) {}

  // Brings the counts up to date with one IKE SA; `half_open`: it still is. True: they have changed.
  bool update(Standing& standing, bool half_open, bool verified);
  void hear(const HalfOpenElsewhere& elsewhere) { elsewhere_ = elsewhere; }

  // Of this table alone.
  [[nodiscard]] std::size_t total() const { return own_.total(); }
  [[nodiscard]] std::size_t unverified() const { return own_.unverified; }
  [[nodiscard]] std::size_t prefixes() const { return prefixes_.size(); }
  [[nodiscard]] HalfOpenChanged news_of(const IpAddress& source) const;

  // A newcomer from `source` must return a cookie first.
  [[nodiscard]] bool wants_cookie(const IpAddress& source) const;
  // No place is left for it, overall or in its prefix.
  [[nodiscard]] bool is_full(const IpAddress& source, bool verified) const;
  // So many are in the making that they are hurried and luxuries end.
  [[nodiscard]] bool is_under_load() const;
  // How long a half-open IKE SA of `source` may wait for its peer's next message (RFC 8019 4.1).
  [[nodiscard]] Duration patience(const IpAddress& source) const;
  // Zero bits to demand of `source`: the configured ones, and one more each time that the load doubles, of all or of
  // its prefix, four at most. 0: puzzles are off.
  [[nodiscard]] std::uint8_t difficulty(const IpAddress& source) const;
  // Of 1,000 peers that leave their puzzle unsolved, this many are served (RFC 8019 7.1.5).
  [[nodiscard]] unsigned unsolved_per_mille() const;

 private:
  static constexpr std::size_t kVerifiedShare = 8;
  // What this table has, what the gateway has, and what of it the gateway had not heard of.
  struct Counts {
    HalfOpenCounts own;
    HalfOpenCounts all;
    HalfOpenCounts unheard;
  };
  [[nodiscard]] Counts of(const IpAddress& source) const;
  [[nodiscard]] Counts of_all() const;
  // Of a limit, what may be taken here before the gateway has heard of it.
  [[nodiscard]] bool is_share_used(std::size_t unheard, std::size_t limit) const;
  [[nodiscard]] std::size_t load_threshold() const;

  const EndpointConfig& config_;
  HalfOpenCounts own_;
  std::map<Prefix, HalfOpenCounts> prefixes_;
  std::optional<HalfOpenElsewhere> elsewhere_;  // nullopt: there is no other shard
};

}  // namespace qanat::ike
