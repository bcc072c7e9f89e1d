#include "crypto/prf.hpp"

#include <algorithm>

#include "crypto/availability.hpp"
#include "crypto/hmac.hpp"

namespace qanat::crypto {

namespace {

HashId hash_of(PrfId id) {
  switch (id) {
    case PrfId::PRF_HMAC_SHA2_256:
      return HashId::Sha256;
    case PrfId::PRF_HMAC_SHA2_384:
      return HashId::Sha384;
    case PrfId::PRF_HMAC_SHA2_512:
      return HashId::Sha512;
    case PrfId::NONE:
    case PrfId::PRF_HMAC_SHA1:
      break;
  }
  bug("a PRF that was never negotiated");
}

}  // namespace

bool prf_available(PrfId id) {
  const auto& ids = availability().prfs;
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

std::size_t prf_size(PrfId id) {
  switch (id) {
    case PrfId::PRF_HMAC_SHA2_256:
      return 32;
    case PrfId::PRF_HMAC_SHA2_384:
      return 48;
    case PrfId::PRF_HMAC_SHA2_512:
      return 64;
    case PrfId::NONE:
    case PrfId::PRF_HMAC_SHA1:
      break;
  }
  return 0;
}

SecretBytes prf(PrfId id, ByteView key, std::initializer_list<ByteView> parts) {
  SecretBytes out{prf_size(id)};
  hmac_once(hash_of(id), key, parts, out.expose_mutable());
  return out;
}

// RFC 7296 2.13: T1 = prf(K, S | 0x01), Tn = prf(K, Tn-1 | S | n).
SecretBytes prf_plus(PrfId id, ByteView key, std::initializer_list<ByteView> parts, std::size_t size) {
  Hmac hmac{hash_of(id), key};
  ensure(size <= 255 * hmac.size(), "prf+ yields at most 255 blocks");
  SecretBytes out{size};
  const MutableByteView all = out.expose_mutable();
  SecretBytes block{hmac.size()};
  std::size_t at = 0;
  for (std::uint8_t counter = 1; at < size; ++counter) {
    hmac.begin();
    if (counter > 1) hmac.update(block.expose());
    for (const ByteView part : parts) hmac.update(part);
    hmac.update(ByteView{&counter, 1});
    hmac.finish(block.expose_mutable());
    const std::size_t n = std::min(size - at, hmac.size());
    std::copy_n(block.expose().begin(), n, all.begin() + static_cast<std::ptrdiff_t>(at));
    at += n;
  }
  return out;
}

struct PrfStream::Impl {
  Hmac hmac;
  bool finished = false;
};

PrfStream::PrfStream(PrfId id, ByteView key) : impl_(std::make_unique<Impl>(Impl{Hmac{hash_of(id), key}})) {
  impl_->hmac.begin();
}
PrfStream::~PrfStream() = default;
PrfStream::PrfStream(PrfStream&&) noexcept = default;
PrfStream& PrfStream::operator=(PrfStream&&) noexcept = default;

void PrfStream::update(ByteView part) {
  ensure(!impl_->finished, "a finished PrfStream takes no more");
  impl_->hmac.update(part);
}

SecretBytes PrfStream::finish() {
  ensure(!impl_->finished, "a PrfStream finishes once");
  impl_->finished = true;
  SecretBytes out{impl_->hmac.size()};
  impl_->hmac.finish(out.expose_mutable());
  return out;
}

}  // namespace qanat::crypto
