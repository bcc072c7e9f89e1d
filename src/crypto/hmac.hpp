// HMAC-SHA2 with a cached key schedule, over EVP digests that are fetched once. Internal to crypto/.
#pragma once

#include "base/iana.hpp"
#include "crypto/openssl.hpp"

namespace qanat::crypto {

enum class HashId : std::uint8_t { Sha1, Sha256, Sha384, Sha512 };

// The process's one fetched implementation of a hash; aborts when OpenSSL has none (a broken installation).
[[nodiscard]] const EVP_MD* evp_md(HashId id);
[[nodiscard]] std::size_t hash_size(HashId id);

// A key that has been absorbed once; every message then costs two hash states less. Wiped on destruction
// (EVP_MD_CTX_free clears the state).
class Hmac {
 public:
  static constexpr std::size_t kMaxSize = 64;

  Hmac(HashId id, ByteView key);

  [[nodiscard]] std::size_t size() const { return size_; }
  // One message: begin, any number of updates, finish. `out` takes the first out.size() octets of the MAC, so a
  // truncated ICV is asked for by its size. None of the three allocates after the first message.
  void begin();
  void update(ByteView part);
  void finish(MutableByteView out);

 private:
  std::size_t size_;
  EvpMdCtx inner_;  // has absorbed key ^ ipad
  EvpMdCtx outer_;  // has absorbed key ^ opad
  EvpMdCtx work_;
};

}  // namespace qanat::crypto
