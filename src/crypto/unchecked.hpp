// The constructors that the known-answer tests use: like the public ones, but without asking for the verdict of those
// tests. Internal to crypto/.
#pragma once

#include <memory>

#include "crypto/hmac.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/packet_cipher.hpp"

namespace qanat::crypto {

[[nodiscard]] Result<std::unique_ptr<KeyExchange>> create_key_exchange_unchecked(KeId id, Rng& rng);
[[nodiscard]] Result<KeReply> respond_unchecked(KeId id, ByteView initiator_value, Rng& rng);

// Which of the two backends can serve the suite in this process (build, CPU).
[[nodiscard]] bool backend_serves(PacketBackend backend, const CipherSuite& suite);
[[nodiscard]] Result<std::unique_ptr<PacketCipher>> create_packet_cipher_unchecked(const CipherSuite& suite,
                                                                                   ByteView keymat,
                                                                                   PacketBackend backend);

// The halves of the above, a file each.
[[nodiscard]] Result<std::unique_ptr<PacketCipher>> create_openssl_packet_cipher(const CipherSuite& suite,
                                                                                 ByteView keymat);
[[nodiscard]] bool ipsec_mb_serves(const CipherSuite& suite);
[[nodiscard]] Result<std::unique_ptr<PacketCipher>> create_ipsec_mb_packet_cipher(const CipherSuite& suite,
                                                                                  ByteView keymat);

[[nodiscard]] constexpr HashId integ_hash(IntegId id) {
  return id == IntegId::AUTH_HMAC_SHA2_256_128   ? HashId::Sha256
         : id == IntegId::AUTH_HMAC_SHA2_384_192 ? HashId::Sha384
                                                 : HashId::Sha512;
}

}  // namespace qanat::crypto
