// StrongId: a number that cannot be mistaken for another kind of number.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace qanat {

template <typename Tag, typename Rep = std::uint32_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}
  [[nodiscard]] constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

 private:
  Rep value_{};
};

using VrfId = StrongId<struct VrfIdTag, std::uint32_t>;          // an account's routing world; the default is 0
using TunnelId = StrongId<struct TunnelIdTag, std::uint32_t>;    // a configured tunnel, stable while the process lives
using ChildSaId = StrongId<struct ChildSaIdTag, std::uint64_t>;  // one Child SA pair, never reused on a node
using IkeSaId = StrongId<struct IkeSaIdTag, std::uint64_t>;      // one IKE SA, never reused on a node
using RequestId = StrongId<struct RequestIdTag, std::uint64_t>;  // pairs a command with its answer
using CaptureId = StrongId<struct CaptureIdTag, std::uint64_t>;  // one packet capture, never reused by a process

}  // namespace qanat

template <typename Tag, typename Rep>
struct std::hash<qanat::StrongId<Tag, Rep>> {
  std::size_t operator()(qanat::StrongId<Tag, Rep> id) const noexcept { return std::hash<Rep>{}(id.value()); }
};
