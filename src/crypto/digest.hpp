// SHA-1, for NAT detection only (RFC 7296 2.23): nothing relies on its strength; and SHA-256.
#pragma once

#include <array>
#include <initializer_list>

#include "base/bytes.hpp"

namespace qanat::crypto {

[[nodiscard]] std::array<std::uint8_t, 20> sha1(std::initializer_list<ByteView> parts);
[[nodiscard]] std::array<std::uint8_t, 32> sha256(std::initializer_list<ByteView> parts);

}  // namespace qanat::crypto
