// The SA payload: proposals and transforms (RFC 7296 3.3), as sent. What they mean is in ipsec/proposal.hpp.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "wire/numbers.hpp"

namespace qanat::wire {

struct Transform {
  TransformType type{};
  std::uint16_t id = 0;
  std::optional<std::uint16_t> key_length;  // attribute 14, in bits
  bool has_unknown_attribute = false;       // RFC 7296 3.3.6: such a transform cannot be chosen
  friend bool operator==(const Transform&, const Transform&) = default;
};

struct Proposal {
  std::uint8_t number = 1;
  ProtocolId protocol{};
  Bytes spi;  // 0, 4 or 8 octets; other sizes are kept so that the proposal can be skipped
  std::vector<Transform> transforms;
  friend bool operator==(const Proposal&, const Proposal&) = default;
};

struct SaPayload {
  std::vector<Proposal> proposals;
  friend bool operator==(const SaPayload&, const SaPayload&) = default;
};

// Bounds: at most 128 proposals and 255 transforms each (the count field).
[[nodiscard]] Result<SaPayload> parse_sa(ByteView body);
void write_body(ByteWriter& out, const SaPayload& payload);

}  // namespace qanat::wire
