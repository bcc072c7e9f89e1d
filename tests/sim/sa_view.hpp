// What the oracles ask of an SaInfo: the Child SAs that carry traffic, and those that the packet path still holds.
#pragma once

#include <vector>

#include "ike/status.hpp"

namespace qanat::sim {

// Every Child SA of which the packet path holds something.
template <typename Sa>
[[nodiscard]] std::vector<ike::ChildInfo> all_children(const Sa& sa) {
  if constexpr (requires { sa.children; }) {
    return {sa.children.begin(), sa.children.end()};
  } else {
    return sa.child ? std::vector<ike::ChildInfo>{*sa.child} : std::vector<ike::ChildInfo>{};
  }
}

// Those in normal use: neither being made nor on their way out.
template <typename Child>
[[nodiscard]] bool is_live(const Child& child) {
  if constexpr (requires { child.state; }) {
    return child.state == decltype(child.state)::Live;
  } else {
    return true;
  }
}

[[nodiscard]] inline std::vector<ike::ChildInfo> live_children(const ike::SaInfo& sa) {
  std::vector<ike::ChildInfo> out = all_children(sa);
  std::erase_if(out, [](const ike::ChildInfo& child) { return !is_live(child); });
  return out;
}

}  // namespace qanat::sim
