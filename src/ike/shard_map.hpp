// ShardMap: a gateway may have several IkeEndpoints, its shards. This says which of them a message is for, from its
// header alone.
//
// Our SPI carries its shard in the low bits. A peer's IKE_SA_INIT request has no SPI of ours yet: it goes by a keyed
// hash of the peer's, so that a retransmission, and the same request with a cookie, meet the shard that knows it, and
// nobody can choose one. The SPIs that we begin with are made so that their own hash names the shard that made them: a
// request of ours that comes back, reflected, comes to whom knows it for its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qanat::ike {

inline constexpr std::size_t kMaxShards = 64;  // what the low bits of an SPI have room for
// Who has made an id (IkeSaId, ChildSaId, RequestId) stands from this bit on: below 2^53, which JSON can carry.
inline constexpr unsigned kShardShift = 46;

struct ShardMap {
  std::uint32_t count = 1;
  std::uint64_t key = 0;  // secret

  [[nodiscard]] static constexpr std::uint32_t in_spi(std::uint64_t our_spi) {
    return static_cast<std::uint32_t>(our_spi % kMaxShards);
  }
  [[nodiscard]] static constexpr std::uint32_t in_id(std::uint64_t id) {
    return static_cast<std::uint32_t>(id >> kShardShift);
  }
  // Whom an SPI of ours belongs to. One that names no shard was never ours: the first counts what it is told then.
  [[nodiscard]] constexpr std::uint32_t of_ours(std::uint64_t our_spi) const {
    return in_spi(our_spi) < count ? in_spi(our_spi) : 0;
  }
  // Who judges an IKE_SA_INIT request (splitmix64 over a keyed SPI: it spreads, and keeps no secret but the key).
  [[nodiscard]] constexpr std::uint32_t of_new(std::uint64_t spi_i) const {
    std::uint64_t x = (spi_i ^ key) + 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return static_cast<std::uint32_t>((x ^ (x >> 31)) % count);
  }
  // Where we begin the handshakes of a tunnel: all in one place, so that none is begun twice.
  [[nodiscard]] constexpr std::uint32_t home_of(std::uint32_t tunnel) const { return tunnel % count; }
};

}  // namespace qanat::ike
