// In place of crypto/prf.cpp.
#include "crypto/prf.hpp"

#include <algorithm>

#include "crypto/availability.hpp"
#include "testcrypto/mixer.hpp"

namespace qanat::crypto {

namespace {

constexpr std::uint64_t kDomain = 0x707266;  // "prf"

testcrypto::Mixer keyed(PrfId id, ByteView key) {
  testcrypto::Mixer mixer{kDomain + static_cast<std::uint64_t>(id)};
  mixer.number(key.size()).update(key);
  return mixer;
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
  ensure(prf_size(id) != 0, "a PRF that was negotiated");
  testcrypto::Mixer mixer = keyed(id, key);
  for (const ByteView part : parts) mixer.update(part);
  SecretBytes out{prf_size(id)};
  mixer.expand(out.expose_mutable());
  return out;
}

SecretBytes prf_plus(PrfId id, ByteView key, std::initializer_list<ByteView> parts, std::size_t size) {
  ensure(size <= 255 * prf_size(id), "prf+ yields at most 255 blocks");
  testcrypto::Mixer mixer = keyed(id, key);
  mixer.number(0x2b);
  for (const ByteView part : parts) mixer.update(part);
  SecretBytes out{size};
  mixer.expand(out.expose_mutable());
  return out;
}

struct PrfStream::Impl {
  PrfId id;
  testcrypto::Mixer mixer;
  bool finished = false;
};

PrfStream::PrfStream(PrfId id, ByteView key) : impl_(std::make_unique<Impl>(Impl{id, keyed(id, key)})) {}
PrfStream::~PrfStream() = default;
PrfStream::PrfStream(PrfStream&&) noexcept = default;
PrfStream& PrfStream::operator=(PrfStream&&) noexcept = default;

void PrfStream::update(ByteView part) {
  ensure(!impl_->finished, "a finished PrfStream takes no more");
  impl_->mixer.update(part);
}

SecretBytes PrfStream::finish() {
  ensure(!impl_->finished, "a PrfStream finishes once");
  impl_->finished = true;
  SecretBytes out{prf_size(impl_->id)};
  impl_->mixer.expand(out.expose_mutable());
  return out;
}

}  // namespace qanat::crypto
