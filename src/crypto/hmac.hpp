// HMAC-SHA2 with a cached key schedule, over EVP digests that are fetched once. Internal to crypto/.
#pragma once

#include <initializer_list>

#include "base/iana.hpp"
#include "crypto/md_context.hpp"

namespace qanat::crypto {

// A key that has been absorbed once; every message then costs two hash blocks less. Wiped on destruction.
class Hmac {
 public:
  static constexpr std::size_t kMaxSize = kMaxHashSize;

  Hmac(HashId id, ByteView key);

  [[nodiscard]] std::size_t size() const { return size_; }
  // One message: begin, any number of updates, finish. `out` takes the first out.size() octets of the MAC, so a
  // truncated ICV is asked for by its size. None of the three allocates after the first message.
  void begin();
  void update(ByteView part);
  void finish(MutableByteView out);

 private:
  std::size_t size_;
  MdContext inner_;  // has absorbed key ^ ipad
  MdContext outer_;  // has absorbed key ^ opad
  MdContext work_;
};

// One message under a key that is not used again: no state is kept, and none is copied.
void hmac_once(HashId id, ByteView key, std::initializer_list<ByteView> parts, MutableByteView out);

}  // namespace qanat::crypto
