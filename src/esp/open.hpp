// InboundSa: one direction of one ESP SA, as its receiver (RFC 4303 3.4): replay check, decryption in place, replay
// commit only when the ICV has verified, trailer.
#pragma once

#include <expected>

#include "esp/drop_reason.hpp"
#include "esp/key_cache.hpp"
#include "esp/overhead.hpp"
#include "esp/replay_window.hpp"
#include "esp/sa_limits.hpp"
#include "ipsec/child_sa_params.hpp"

namespace qanat::esp {

// An authenticated packet. `payload` lies in the datagram; TFC padding may follow the inner packet in it
// (RFC 4303 2.7), so the length in the inner IP header decides.
struct Opened {
  MutableByteView payload;
  std::uint8_t next_header = 0;  // 4, 41 or 59
  bool newest = false;           // its number is higher than all before
};

class InboundSa {
 public:
  // Error{Internal} for a suite without cipher or a KEYMAT of another length, Error{LocalPolicy} for ESN without a
  // replay window: the high half of a number can only be inferred from the window. `keys` outlives the SA.
  [[nodiscard]] static Result<InboundSa> create(const ipsec::SaDirection& direction, KeyCache& keys);

  // `datagram` from the SPI on, which the caller has matched; afterwards its content is unspecified. A reason that
  // comes before the ICV (TooShort, Alignment, Replay, HardLimit, AuthFailed) has changed nothing in this SA.
  [[nodiscard]] std::expected<Opened, DropReason> open(MutableByteView datagram);

  [[nodiscard]] const ReplayWindow& window() const { return window_; }
  [[nodiscard]] SaMeter& meter() { return meter_; }
  [[nodiscard]] const SaMeter& meter() const { return meter_; }

  // Asks the processor for the key and the window that the next open() is going to read.
  void prefetch() const {
    key_.prefetch();
    window_.prefetch();
  }

 private:
  InboundSa(const ipsec::SaDirection& direction, SaKey key);

  SaKey key_;
  SaMeter meter_;
  ReplayWindow window_;
  ipsec::EspSpi spi_;
  EspLayout layout_;
  bool esn_;
};
static_assert(sizeof(InboundSa) == 96, "an inbound SA's hot half and what the path adds to it share two cache lines");

}  // namespace qanat::esp
