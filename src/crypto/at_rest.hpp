// Octets sealed for a disk or a file that travels: AES-256-GCM under a key of its own for each text, made from the
// master key and a random salt by prf+ (HMAC-SHA2-256), so that no nonce can ever repeat.
// Layout: 0x01 | salt (32) | ciphertext | ICV (16).
#pragma once

#include "base/rng.hpp"
#include "base/secret.hpp"

namespace qanat::crypto {

inline constexpr std::size_t kAtRestKey = 32;  // octets of a master key

// `associated` is authenticated and not kept: opening needs the same.
[[nodiscard]] Result<Bytes> seal_at_rest(ByteView key, ByteView associated, ByteView text, Rng& rng);
// Error{AuthFailed}: another key, other associated octets, or changed on the disk. Error{Malformed}: no sealed text.
[[nodiscard]] Result<SecretBytes> open_at_rest(ByteView key, ByteView associated, ByteView sealed);

}  // namespace qanat::crypto
