// SystemRng: OpenSSL's DRBG behind base's Rng. Ends the process if the generator fails: nothing can be done safely
// without randomness.
#pragma once

#include "base/rng.hpp"

namespace qanat::crypto {

class SystemRng final : public Rng {
 public:
  void fill(MutableByteView out) override;
  [[nodiscard]] bool deterministic() const override { return false; }
};

}  // namespace qanat::crypto
