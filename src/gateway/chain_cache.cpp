#include "gateway/chain_cache.hpp"

#include "crypto/digest.hpp"

namespace qanat::gateway {

ChainCache::Key ChainCache::key_of(const pki::TrustStore& trust, std::span<const Bytes> presented,
                                   const wire::Identity& expected, pki::Requirements requirements) {
  ByteWriter in;
  in.bytes(trust.fingerprint());
  in.u8(requirements.quantum_safe ? 1 : 0);
  in.u8(static_cast<std::uint8_t>(expected.type));
  in.u32(static_cast<std::uint32_t>(expected.data.size()));
  in.bytes(expected.data);
  for (const Bytes& der : presented) {
    in.u32(static_cast<std::uint32_t>(der.size()));
    in.bytes(der);
  }
  return crypto::sha256({in.view()});
}

const pki::Verified* ChainCache::find(const Key& key, WallTime now) {
  const auto found = index_.find(key);
  if (found == index_.end()) return nullptr;
  const auto entry = found->second;
  if (now < entry->since || now > entry->verified.until) {
    entries_.erase(entry);
    index_.erase(found);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return &entry->verified;
}

void ChainCache::keep(const Key& key, WallTime now, pki::Verified verified) {
  if (limit_ == 0 || index_.contains(key)) return;
  if (entries_.size() == limit_) {
    index_.erase(entries_.back().key);
    entries_.pop_back();
  }
  entries_.push_front({key, now, std::move(verified)});
  index_.emplace(key, entries_.begin());
}

}  // namespace qanat::gateway
