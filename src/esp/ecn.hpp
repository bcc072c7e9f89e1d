// ECN through a tunnel (RFC 6040): normal mode going in, the full table of Figure 4 coming out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace qanat::esp {

enum class Ecn : std::uint8_t { NotEct = 0, Ect1 = 1, Ect0 = 2, Ce = 3 };

[[nodiscard]] constexpr Ecn ecn_of(std::uint8_t tos) {
  return static_cast<Ecn>(tos & 3U);
}

// The outer TOS or traffic class: ECN copied (RFC 6040 4.1 normal mode), DSCP copied or fixed.
[[nodiscard]] constexpr std::uint8_t encapsulated_tos(std::uint8_t inner_tos, std::optional<std::uint8_t> dscp) {
  return dscp ? static_cast<std::uint8_t>((std::uint32_t{*dscp} << 2) | (inner_tos & 3U)) : inner_tos;
}

// The inner ECN field after decapsulation (RFC 6040 4.2, Figure 4); nullopt: drop the packet.
[[nodiscard]] constexpr std::optional<Ecn> decapsulated_ecn(Ecn inner, Ecn outer) {
  switch (inner) {
    case Ecn::NotEct:
      // (!!!) for any ECT outside, but only CE says that there was congestion that the endpoints could not hear.
      return outer == Ecn::Ce ? std::nullopt : std::optional{Ecn::NotEct};
    case Ecn::Ect0:
      if (outer == Ecn::Ce || outer == Ecn::Ect1) return outer;
      return Ecn::Ect0;
    case Ecn::Ect1:
      return outer == Ecn::Ce ? Ecn::Ce : Ecn::Ect1;
    case Ecn::Ce:
      return Ecn::Ce;
  }
  return std::nullopt;
}

}  // namespace qanat::esp
