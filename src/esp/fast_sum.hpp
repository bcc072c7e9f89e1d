// The one's complement sum of RFC 1071 over many octets, with the widest registers that the processor has. For what is
// summed once per packet; headers of a few words use esp/checksum.hpp.
#pragma once

#include "base/bytes.hpp"

namespace qanat::esp {

// What checksum_add(0, data) gives, folded to 16 bits.
[[nodiscard]] std::uint32_t fast_sum(ByteView data);
// The same of `from`, which is copied to `to` on the way; to.size() >= from.size(), no overlap.
[[nodiscard]] std::uint32_t copy_and_sum(MutableByteView to, ByteView from);

namespace detail {
// Without vector instructions: what fast_sum() is on other processors.
[[nodiscard]] std::uint32_t portable_sum(ByteView data);
[[nodiscard]] std::uint32_t portable_copy_and_sum(MutableByteView to, ByteView from);
}  // namespace detail

}  // namespace qanat::esp
