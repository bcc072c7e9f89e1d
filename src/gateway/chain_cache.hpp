// ChainCache: peers' certificate chains that have been verified, so that a peer that comes again costs its own
// signature only. One worker's; bounded, the longest unused goes first.
//
// The key covers everything that the verdict depends on but time: the presented certificates, the trust anchors and
// revocation lists, the identity, what is required. So a change of anchors or lists finds nothing here. Time is checked
// at every look: from the moment of the verification to the first date on which anything in it ends. Only what was
// believed is kept; a refusal is worked out again.
#pragma once

#include <array>
#include <cstring>
#include <list>
#include <unordered_map>

#include "pki/trust.hpp"

namespace qanat::gateway {

class ChainCache {
 public:
  using Key = std::array<std::uint8_t, 32>;
  static constexpr std::size_t kChains = 512;  // 10 kB each with ML-DSA

  explicit ChainCache(std::size_t limit = kChains) : limit_(limit) {}

  [[nodiscard]] static Key key_of(const pki::TrustStore& trust, std::span<const Bytes> presented,
                                  const wire::Identity& expected, pki::Requirements requirements);
  // nullptr: not known, or not for this time. The pointer is good until the next call.
  [[nodiscard]] const pki::Verified* find(const Key& key, WallTime now);
  void keep(const Key& key, WallTime now, pki::Verified verified);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Key key{};
    WallTime since;
    pki::Verified verified;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const {
      std::size_t out = 0;
      std::memcpy(&out, key.data(), sizeof out);
      return out;
    }
  };
  std::size_t limit_;
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<Key, std::list<Entry>::iterator, Hash> index_;
};

}  // namespace qanat::gateway
