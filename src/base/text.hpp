// Text that is safe to show, and the nearest known word for a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace qanat {

// What a peer sent, for a log or a terminal: printable ASCII as it is, all else as \xNN, cut at `limit` octets.
[[nodiscard]] std::string printable(ByteView text, std::size_t limit = 128);
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 128);

// The candidate with the smallest edit distance, empty when none is near (distance over a third of the word).
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace qanat
