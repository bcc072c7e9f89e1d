// Hash contexts that are lent and given back: making one costs two allocations and a look-up, and a handshake hashes
// some hundred times. Internal to crypto/.
#pragma once

#include <utility>

#include "crypto/openssl.hpp"

namespace qanat::crypto {

enum class HashId : std::uint8_t { Sha1, Sha256, Sha384, Sha512 };

// The process's one fetched implementation of a hash; aborts when OpenSSL has none (a broken installation).
[[nodiscard]] const EVP_MD* evp_md(HashId id);
[[nodiscard]] std::size_t hash_size(HashId id);
[[nodiscard]] std::size_t hash_block(HashId id);
inline constexpr std::size_t kMaxHashSize = 64;
inline constexpr std::size_t kMaxHashBlock = 128;

// A context that has been started for one hash. It comes from the thread's spare ones and goes back to them, wiped:
// what it has absorbed may be a key.
class MdContext {
 public:
  explicit MdContext(HashId id);
  ~MdContext();
  MdContext(MdContext&& other) noexcept : id_(other.id_), context_(std::move(other.context_)) {}
  MdContext& operator=(MdContext&& other) noexcept {
    std::swap(id_, other.id_);  // whoever has it last gives it back, wiped
    std::swap(context_, other.context_);
    return *this;
  }
  MdContext(const MdContext&) = delete;
  MdContext& operator=(const MdContext&) = delete;

  // None of these can fail with a sound digest and no memory shortage; going on without the hash is no option.
  void update(ByteView part);
  void finish(std::uint8_t* out);          // hash_size() octets; restart() before anything else
  void restart();                          // as it was at first, with nothing of before left in it
  void become(const MdContext& absorbed);  // a copy of its state; both are of one hash

 private:
  HashId id_;
  EvpMdCtx context_;
};

}  // namespace qanat::crypto
