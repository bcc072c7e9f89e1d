// KeyCache: the expanded keys of the SA directions that carry traffic, at most a fixed number of them; all others cost
// their KEYMAT alone. An AES-256-GCM key is 36 octets and expands to about 1 KB in 100 ns, so an idle SA keeps the
// former and the first packet makes the latter.
//
// The clock algorithm chooses who makes room. Expanded keys are wiped when they leave, and when their SA goes. One
// cache for each worker: not thread-safe.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/secret.hpp"
#include "crypto/packet_cipher.hpp"

namespace qanat::esp {

class KeyCache;

// The key of one SA direction: the KEYMAT, and where the cache has it expanded. Outlived by its cache.
class SaKey {
 public:
  SaKey() = default;
  // Error{Internal} for a suite without cipher or a KEYMAT of another length.
  [[nodiscard]] static Result<SaKey> create(KeyCache& cache, const CipherSuite& suite, ByteView keymat);
  ~SaKey();
  SaKey(SaKey&&) noexcept = default;
  SaKey& operator=(SaKey&& other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(stored_, other.stored_);
    std::swap(slot_, other.slot_);
    return *this;
  }

  [[nodiscard]] const CipherSuite& suite() const { return stored_->suite; }
  // Valid until the cache is asked for another key.
  [[nodiscard]] crypto::PacketCipher& expanded();
  // Asks the processor for what expanded() is going to read.
  void prefetch() const;

 private:
  friend class KeyCache;
  struct Stored {
    SecretBytes keymat;
    CipherSuite suite;
  };

  KeyCache* cache_ = nullptr;
  std::unique_ptr<Stored> stored_;  // where it lies is the SA's name in the cache: it stays when the SA is moved
  std::uint32_t slot_ = 0;          // a hint: the slot knows whose it is
};

class KeyCache {
 public:
  // `directions`: how many expanded keys at most; at least 1.
  explicit KeyCache(std::size_t directions) : limit_(std::max<std::size_t>(directions, 1)) {}

  [[nodiscard]] std::size_t limit() const { return limit_; }
  [[nodiscard]] std::size_t size() const { return slots_.size() - free_.size(); }
  // Keys that had to be expanded.
  [[nodiscard]] std::uint64_t misses() const { return misses_; }

 private:
  friend class SaKey;
  struct Slot {
    const SaKey::Stored* owner = nullptr;  // nullptr: free, and without a cipher
    std::unique_ptr<crypto::PacketCipher> cipher;
    bool used = false;  // since the hand came by
  };

  [[nodiscard]] bool holds(std::uint32_t slot, const SaKey::Stored* owner) const {
    return slot < slots_.size() && slots_[slot].owner == owner;
  }
  // Expands the key into a slot of its own.
  [[nodiscard]] std::uint32_t take_in(const SaKey::Stored& key);
  [[nodiscard]] std::uint32_t make_room();
  void forget(std::uint32_t slot);

  std::size_t limit_;
  std::vector<Slot> slots_;          // grows up to limit_
  std::vector<std::uint32_t> free_;  // of those
  std::size_t hand_ = 0;
  std::uint64_t misses_ = 0;
};

inline crypto::PacketCipher& SaKey::expanded() {
  if (!cache_->holds(slot_, stored_.get())) slot_ = cache_->take_in(*stored_);
  KeyCache::Slot& slot = cache_->slots_[slot_];
  slot.used = true;
  return *slot.cipher;
}

}  // namespace qanat::esp
