// Encrypted IKE messages: SK and SKF payloads (RFC 7296 3.14, RFC 7383, RFC 5282), sealing and opening.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.hpp"
#include "crypto/sk_cipher.hpp"
#include "wire/message.hpp"

namespace qanat::ike {

// A message that is ready to go: one datagram, or several fragments. The bytes are kept for retransmission
// (RFC 7296 2.1: bitwise identical).
struct SealedMessage {
  std::vector<Bytes> datagrams;
  Bytes auth_header;  // IntAuth's A: header and SK header with the lengths of RFC 9242 3.3.2
  Bytes plaintext;    // IntAuth's P
  wire::PayloadType first{};
};

// One direction's cipher and its IV source. An AEAD's IV is a counter under this key; CBC's is random.
class SkSealer {
 public:
  SkSealer(crypto::SkCipher cipher, CipherSuite suite) : cipher_(std::move(cipher)), suite_(suite) {}

  // Seals `payloads`. When the message would exceed `max_message` octets (IKE header to ICV) and `max_message` is
  // not 0, it is split into SKF fragments (RFC 7383 2.5). `clear` stands unencrypted in front, of the first fragment
  // only (2.5.3).
  [[nodiscard]] Result<SealedMessage> seal(const wire::IkeHeader& header, const wire::Payloads& payloads,
                                           std::size_t max_message, Rng& rng, const wire::Payloads& clear = {});
  // The same for a chain that is written already: for sending a message again in smaller fragments (RFC 7383 2.5.2).
  [[nodiscard]] Result<std::vector<Bytes>> seal_chain(const wire::IkeHeader& header, wire::PayloadType first,
                                                      ByteView chain, std::size_t max_message, Rng& rng,
                                                      const wire::Payloads& clear);

 private:
  [[nodiscard]] Result<Bytes> seal_one(const wire::IkeHeader& header, wire::PayloadType first, ByteView text,
                                       std::uint16_t number, std::uint16_t total, Rng& rng,
                                       const wire::Payloads& clear);

  crypto::SkCipher cipher_;
  CipherSuite suite_;
  std::uint64_t next_iv_ = 1;
};

// The plaintext of an SK or of one SKF payload, padding removed. Error{Malformed} before and Error{AuthFailed} when the
// ICV is checked and does not verify; Error{PeerMisbehaved, INVALID_SYNTAX} for an authentic one with bad padding.
[[nodiscard]] Result<Bytes> open_encrypted(crypto::SkCipher& cipher, ByteView datagram,
                                           const wire::EncryptedPart& part);

// IntAuth's A for a received message: the header as if unfragmented, SKF turned into SK (RFC 9242 3.3.2).
// `first_datagram` is the whole message, or the fragment with number 1.
[[nodiscard]] Bytes int_auth_header(ByteView first_datagram, const wire::EncryptedPart& part,
                                    std::size_t plaintext_size);

}  // namespace qanat::ike
