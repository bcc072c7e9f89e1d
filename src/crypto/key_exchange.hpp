// KeyExchange: (EC)DH and ML-KEM behind one face, as RFC 9370 uses them.
//
//   initiator: KeyExchange::create(id, rng) -> public_value()  ->  finish(responder's value) -> shared secret
//   responder: respond(id, initiator's value, rng) -> {public value or ciphertext, shared secret}
//
// An exchange is ephemeral and good for one use: finish() consumes it and wipes the private part. Lengths are checked
// by role (an ML-KEM initiator sends an encapsulation key, the responder a ciphertext). FIPS 203 7.2 and 7.3 input
// checks, RFC 6989 point checks and the all-zero check of RFC 7748 are done here: a bad peer value is
// Error{PeerMisbehaved, INVALID_SYNTAX}.
#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/iana.hpp"
#include "base/rng.hpp"
#include "base/secret.hpp"

namespace qanat::crypto {

struct KeSizes {
  std::size_t initiator = 0;  // octets of KEi's data
  std::size_t responder = 0;  // octets of KEr's data
  std::size_t secret = 0;     // octets of the shared secret
};
// nullopt-like zero sizes for a method that we do not have.
[[nodiscard]] KeSizes ke_sizes(KeId id);
// True when the method is implemented and has passed its known-answer test in this process.
[[nodiscard]] bool ke_available(KeId id);

class KeyExchange {
 public:
  [[nodiscard]] static Result<std::unique_ptr<KeyExchange>> create(KeId id, Rng& rng);
  virtual ~KeyExchange() = default;
  KeyExchange(const KeyExchange&) = delete;
  KeyExchange& operator=(const KeyExchange&) = delete;

  [[nodiscard]] KeId id() const { return id_; }
  [[nodiscard]] ByteView public_value() const { return public_value_; }
  // Consumes the private part when it succeeds: a further call is Error{Internal}. A value that fails its checks leaves
  // it: in IKE_SA_INIT it may be a stranger's, and the true answer still comes (RFC 6989 2.5).
  [[nodiscard]] virtual Result<SecretBytes> finish(ByteView responder_value) = 0;

 protected:
  KeyExchange(KeId id, Bytes public_value) : id_(id), public_value_(std::move(public_value)) {}

 private:
  KeId id_;
  Bytes public_value_;
};

struct KeReply {
  Bytes public_value;
  SecretBytes secret;
};
[[nodiscard]] Result<KeReply> respond(KeId id, ByteView initiator_value, Rng& rng);

}  // namespace qanat::crypto
