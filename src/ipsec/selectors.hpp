// Traffic selectors: what may pass through a Child SA (RFC 4301 4.4.1, RFC 7296 2.9), as sets of ranges.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wire/ts_payload.hpp"

namespace qanat::ipsec {

using wire::TrafficSelector;
using Selectors = std::vector<TrafficSelector>;

[[nodiscard]] TrafficSelector selector_of(const Prefix& prefix);
[[nodiscard]] TrafficSelector any_selector_v4();
[[nodiscard]] TrafficSelector any_selector_v6();

[[nodiscard]] std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b);
[[nodiscard]] bool contains(const TrafficSelector& outer, const TrafficSelector& inner);
[[nodiscard]] bool contains(const Selectors& outer, const TrafficSelector& inner);
[[nodiscard]] bool contains(const Selectors& outer, const Selectors& inner);

// The responder's answer: everything of `offered` that `allowed` permits, the part of the first offered selector
// first (RFC 7296 2.9); empty when nothing is left.
[[nodiscard]] Selectors narrow(const Selectors& offered, const Selectors& allowed);

// "10.1.0.0/16", "10.0.0.1-10.0.0.9", "10.1.0.0/16[tcp/443]".
[[nodiscard]] std::string to_string(const TrafficSelector& selector);
[[nodiscard]] std::vector<std::string> to_strings(const Selectors& selectors);

}  // namespace qanat::ipsec
