// Crash tokens (RFC 6290): each side gives the other a secret of the IKE SA in advance. Who has lost the IKE SA by a
// crash can make the same secret again, out of the SPIs and of a key that outlives it (5.1), and shows it in the clear;
// the other side then knows at once that the IKE SA is gone, and need not wait for liveness checks to fail.
#pragma once

#include <cstdint>

#include "base/secret.hpp"
#include "wire/payloads.hpp"

namespace qanat::ike {

inline constexpr std::size_t kCrashSecretSize = 32;

// 16 octets: an answer in the clear to an empty INFORMATIONAL stays small.
[[nodiscard]] wire::NotifyPayload crash_token(const SecretBytes& secret, std::uint64_t spi_i, std::uint64_t spi_r);
// The token in a protected message; nullptr: there is none, or none of a size that RFC 6290 5 allows.
[[nodiscard]] const wire::NotifyPayload* find_crash_token(const wire::Payloads& payloads);
// One of the first four tokens in a message in the clear is the one that the peer gave us.
[[nodiscard]] bool shows_crash_token(const wire::Payloads& payloads, ByteView token);

}  // namespace qanat::ike
