// Allowance: so many in each period and no more. Strangers do not decide how much we send, ask or write.
#pragma once

#include "base/time.hpp"

namespace qanat::ike {

class Allowance {
 public:
  constexpr Allowance(unsigned count, Duration period) : count_(count), period_(period) {}
  [[nodiscard]] bool take(Instant now) {
    if (now >= since_ + period_) {
      since_ = now;
      taken_ = 0;
    }
    if (taken_ >= count_) return false;
    ++taken_;
    return true;
  }

 private:
  unsigned count_;
  Duration period_;
  Instant since_;
  unsigned taken_ = 0;
};

}  // namespace qanat::ike
