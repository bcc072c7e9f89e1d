// A tunnel's interface addresses: ours as it is written, "10.255.0.0/31", and the other host of the pair, the peer's.
#pragma once

#include <string_view>

#include "base/address.hpp"

namespace qanat::model {

enum class InnerFamily : std::uint8_t { V4, V6 };

struct InterfacePair {
  IpAddress ours;
  IpAddress theirs;
  unsigned length = 0;  // /31 or /30, IPv6 /127 or /126
};

// Error: what stands behind the text in a message: "must be ...", "is the network address of ...".
[[nodiscard]] Result<InterfacePair> parse_interface_pair(std::string_view text, InnerFamily family);

}  // namespace qanat::model
