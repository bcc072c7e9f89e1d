#include "esp/key_cache.hpp"

namespace qanat::esp {

Result<SaKey> SaKey::create(KeyCache& cache, const CipherSuite& suite, ByteView keymat) {
  // What expanding would refuse is refused now: a packet finds only keys that can be expanded.
  const crypto::CipherSizes sizes = crypto::cipher_sizes(suite);
  if (sizes.encr_key == 0 || !crypto::cipher_available(suite))
    return fail(ErrorKind::Internal, to_string(suite), "is not available");
  if (keymat.size() != sizes.encr_key + sizes.integ_key)
    return fail(ErrorKind::Internal, to_string(suite), "KEYMAT of the wrong size");
  SaKey key;
  key.cache_ = &cache;
  key.stored_ = std::make_unique<Stored>(Stored{.keymat = SecretBytes::copy_of(keymat), .suite = suite});
  return key;
}

SaKey::~SaKey() {
  if (stored_ != nullptr && cache_->holds(slot_, stored_.get())) cache_->forget(slot_);
}

void SaKey::prefetch() const {
  if (!cache_->holds(slot_, stored_.get())) return;
  const auto* line = reinterpret_cast<const char*>(cache_->slots_[slot_].cipher.get());
  // All of an AES-GCM key of ipsec-mb: round keys first, the powers of the hash key that short packets use last.
  for (int i = 0; i < 17; ++i) __builtin_prefetch(line + 64 * i);
}

std::uint32_t KeyCache::take_in(const SaKey::Stored& key) {
  ++misses_;
  const std::uint32_t at = make_room();
  Slot& slot = slots_[at];
  const bool same_suite = slot.owner != nullptr && slot.owner->suite == key.suite;
  slot.owner = &key;
  // Sizes and suite were checked when the SA was made, so what is left to fail is memory.
  if (same_suite) {
    ensure(slot.cipher->rekey(key.keymat.expose()).has_value(), "expanding a packet key failed");
  } else {
    auto cipher = crypto::PacketCipher::create(key.suite, key.keymat.expose());
    ensure(cipher.has_value(), "expanding a packet key failed");
    slot.cipher = std::move(*cipher);
  }
  return at;
}

// A free slot, a new one, or that of the first key from the hand on that was not used since the hand came by.
std::uint32_t KeyCache::make_room() {
  if (!free_.empty()) {
    const std::uint32_t at = free_.back();
    free_.pop_back();
    return at;
  }
  if (slots_.size() < limit_) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  for (;; hand_ = (hand_ + 1) % slots_.size()) {
    Slot& slot = slots_[hand_];
    if (slot.used) {
      slot.used = false;
      continue;
    }
    const auto at = static_cast<std::uint32_t>(hand_);
    hand_ = (hand_ + 1) % slots_.size();
    return at;
  }
}

void KeyCache::forget(std::uint32_t slot) {
  slots_[slot] = {};
  free_.push_back(slot);
}

}  // namespace qanat::esp
