// HalfOpenTable: how many IKE SAs strangers have made us keep, overall and by source prefix (IPv4 /24, IPv6 /56), and
// what a newcomer must therefore do first (RFC 7296 2.6, RFC 8019 4).
//
// Peers that have not returned a cookie could be anybody with a forged address: they are counted apart, and their
// limits only make the next one return a cookie. A prefix whose cookies do come back is real; it may hold
// kVerifiedShare times as much, and no more, so that one network cannot take every place. The table has an entry for
// each prefix with a half-open IKE SA, and no other.
#pragma once

#include <cstdint>
#include <map>

#include "base/address.hpp"
#include "base/time.hpp"
#include "ike/config.hpp"

namespace qanat::ike {

class HalfOpenTable {
 public:
  // One IKE SA's place in the table.
  struct Standing {
    IpAddress source;  // of its IKE_SA_INIT request
    bool counted = false;
    bool verified = false;  // it has returned a cookie
  };

  explicit HalfOpenTable(const EndpointConfig& config) : config_(config) {}

  // Brings the counts up to date with one IKE SA; `half_open`: it still is.
  void update(Standing& standing, bool half_open, bool verified);

  [[nodiscard]] std::size_t total() const { return total_; }
  [[nodiscard]] std::size_t unverified() const { return unverified_; }
  [[nodiscard]] std::size_t prefixes() const { return prefixes_.size(); }

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
  struct Counts {
    std::size_t verified = 0;
    std::size_t unverified = 0;
  };
  [[nodiscard]] Counts of(const IpAddress& source) const;
  [[nodiscard]] std::size_t load_threshold() const;

  const EndpointConfig& config_;
  std::size_t total_ = 0;
  std::size_t unverified_ = 0;
  std::map<Prefix, Counts> prefixes_;
};

}  // namespace qanat::ike
