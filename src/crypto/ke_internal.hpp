// What the files behind key_exchange.cpp share. Internal to crypto/.
#pragma once

#include "crypto/key_exchange.hpp"

namespace qanat::crypto {

// A value that the peer must not send (RFC 7296 3.4: the KE payload's syntax).
[[nodiscard]] inline std::unexpected<Error> bad_peer_value(KeId id, std::string detail) {
  constexpr std::uint16_t kInvalidSyntax = 7;
  return fail(ErrorKind::PeerMisbehaved, "key exchange " + to_string(id), std::move(detail), kInvalidSyntax);
}
[[nodiscard]] Status check_length(KeId id, ByteView value, std::size_t expected);

[[nodiscard]] KeSizes dh_sizes(KeId id);      // zero when not a Diffie-Hellman group of ours
[[nodiscard]] KeSizes ml_kem_sizes(KeId id);  // zero when not ML-KEM

[[nodiscard]] Result<std::unique_ptr<KeyExchange>> create_dh(KeId id, Rng& rng);
[[nodiscard]] Result<std::unique_ptr<KeyExchange>> create_ml_kem(KeId id, Rng& rng);
[[nodiscard]] Result<KeReply> respond_ml_kem(KeId id, ByteView initiator_value, Rng& rng);

}  // namespace qanat::crypto
