#include "ipsec/selectors.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace qanat::ipsec {

TrafficSelector selector_of(const Prefix& prefix) {
  return {prefix.first(), prefix.last(), 0, 0, 65535};
}
TrafficSelector any_selector_v4() {
  return selector_of(Prefix{});
}
TrafficSelector any_selector_v6() {
  return selector_of(Prefix::masked(IpAddress::from_bytes(std::array<std::uint8_t, 16>{}), 0));
}

namespace {

bool is_opaque(const TrafficSelector& s) {
  return s.port_first == 65535 && s.port_last == 0;
}
bool any_port(const TrafficSelector& s) {
  return s.port_first == 0 && s.port_last == 65535;
}

}  // namespace

std::optional<TrafficSelector> intersect(const TrafficSelector& a, const TrafficSelector& b) {
  if (a.first.is_v4() != b.first.is_v4()) return std::nullopt;
  if (a.protocol != 0 && b.protocol != 0 && a.protocol != b.protocol) return std::nullopt;
  TrafficSelector out;
  out.first = std::max(a.first, b.first);
  out.last = std::min(a.last, b.last);
  if (out.first > out.last) return std::nullopt;
  out.protocol = a.protocol != 0 ? a.protocol : b.protocol;
  if (is_opaque(a) || is_opaque(b)) {
    // OPAQUE (RFC 4301 4.4.1.2) meets OPAQUE and ANY only.
    const TrafficSelector& other = is_opaque(a) ? b : a;
    if (!is_opaque(other) && !any_port(other)) return std::nullopt;
    out.port_first = 65535;
    out.port_last = 0;
    return out;
  }
  out.port_first = std::max(a.port_first, b.port_first);
  out.port_last = std::min(a.port_last, b.port_last);
  if (out.port_first > out.port_last) return std::nullopt;
  return out;
}

bool contains(const TrafficSelector& outer, const TrafficSelector& inner) {
  return intersect(outer, inner) == inner;
}

bool contains(const Selectors& outer, const TrafficSelector& inner) {
  return std::any_of(outer.begin(), outer.end(), [&](const TrafficSelector& s) { return contains(s, inner); });
}

bool contains(const Selectors& outer, const Selectors& inner) {
  return std::all_of(inner.begin(), inner.end(), [&](const TrafficSelector& s) { return contains(outer, s); });
}

Selectors narrow(const Selectors& offered, const Selectors& allowed) {
  constexpr std::size_t kMaxSelectors = 255;  // Number of TSs is one octet
  Selectors out;
  for (const TrafficSelector& o : offered) {
    for (const TrafficSelector& a : allowed) {
      const auto common = intersect(o, a);
      if (!common || contains(out, *common)) continue;
      std::erase_if(out, [&](const TrafficSelector& s) { return contains(*common, s); });
      out.push_back(*common);
      if (out.size() == kMaxSelectors) return out;
    }
  }
  return out;
}

std::string to_string(const TrafficSelector& s) {
  std::string out;
  for (unsigned length = 0; length <= s.first.bits() && out.empty(); ++length) {
    const Prefix p = Prefix::masked(s.first, length);
    if (p.first() == s.first && p.last() == s.last) out = p.to_string();
  }
  if (out.empty()) out = s.first.to_string() + "-" + s.last.to_string();
  if (s.protocol == 0 && any_port(s)) return out;
  const std::string protocol = s.protocol == 6    ? "tcp"
                               : s.protocol == 17 ? "udp"
                               : s.protocol == 1  ? "icmp"
                               : s.protocol == 0  ? "any"
                                                  : fmt::format("{}", s.protocol);
  const std::string ports = is_opaque(s)                  ? "/opaque"
                            : any_port(s)                 ? ""
                            : s.port_first == s.port_last ? fmt::format("/{}", s.port_first)
                                                          : fmt::format("/{}-{}", s.port_first, s.port_last);
  return fmt::format("{}[{}{}]", out, protocol, ports);
}

std::vector<std::string> to_strings(const Selectors& selectors) {
  std::vector<std::string> out;
  out.reserve(selectors.size());
  for (const TrafficSelector& s : selectors) out.push_back(to_string(s));
  return out;
}

}  // namespace qanat::ipsec
