// What the oracles ask of an SaInfo: the Child SAs that carry traffic, and those that the packet path still holds.
#pragma once

#include <vector>

#include "ike/status.hpp"

namespace qanat::sim {

// Every Child SA of which the packet path holds something.
[[nodiscard]] inline const std::vector<ike::ChildInfo>& all_children(const ike::SaInfo& sa) {
  return sa.children;
}

// Those in normal use: neither being made nor on their way out.
[[nodiscard]] inline std::vector<ike::ChildInfo> live_children(const ike::SaInfo& sa) {
  std::vector<ike::ChildInfo> out = sa.children;
  std::erase_if(out, [](const ike::ChildInfo& child) { return child.state != ike::ChildState::Live; });
  return out;
}

}  // namespace qanat::sim
