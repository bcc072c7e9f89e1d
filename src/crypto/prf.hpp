// prf and prf+ of RFC 7296 2.13 over HMAC-SHA2, and an incremental form for IntAuth (RFC 9242 3.3.2).
#pragma once

#include <initializer_list>
#include <memory>

#include "base/bytes.hpp"
#include "base/iana.hpp"
#include "base/secret.hpp"

namespace qanat::crypto {

// True when implemented and its known-answer test has passed.
[[nodiscard]] bool prf_available(PrfId id);
// Preferred key size and output size in octets: 32, 48 or 64; 0 for a PRF that we do not have.
[[nodiscard]] std::size_t prf_size(PrfId id);

// prf(key, part | part | ...). The PRF must be available: negotiation has seen to that.
[[nodiscard]] SecretBytes prf(PrfId id, ByteView key, std::initializer_list<ByteView> parts);
// prf+(key, part | part | ...) to `size` octets, at most 255 times the PRF's size.
[[nodiscard]] SecretBytes prf_plus(PrfId id, ByteView key, std::initializer_list<ByteView> parts, std::size_t size);

class PrfStream {
 public:
  PrfStream(PrfId id, ByteView key);
  ~PrfStream();
  PrfStream(PrfStream&&) noexcept;
  PrfStream& operator=(PrfStream&&) noexcept;
  void update(ByteView part);
  [[nodiscard]] SecretBytes finish();  // once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::crypto
