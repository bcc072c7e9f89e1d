#include "crypto/key_exchange.hpp"

#include <algorithm>

#include "crypto/availability.hpp"
#include "crypto/ke_internal.hpp"
#include "crypto/unchecked.hpp"

namespace qanat::crypto {

KeSizes ke_sizes(KeId id) {
  return is_ml_kem(id) ? ml_kem_sizes(id) : dh_sizes(id);
}

bool ke_available(KeId id) {
  const auto& ids = availability().key_exchanges;
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

Status check_length(KeId id, ByteView value, std::size_t expected) {
  if (value.size() == expected) return {};
  return bad_peer_value(
      id, "the value has " + std::to_string(value.size()) + " octets instead of " + std::to_string(expected));
}

Result<std::unique_ptr<KeyExchange>> KeyExchange::create(KeId id, Rng& rng) {
  if (!ke_available(id)) return fail(ErrorKind::Internal, "key exchange " + to_string(id), "is not available");
  return create_key_exchange_unchecked(id, rng);
}

Result<KeReply> respond(KeId id, ByteView initiator_value, Rng& rng) {
  if (!ke_available(id)) return fail(ErrorKind::Internal, "key exchange " + to_string(id), "is not available");
  return respond_unchecked(id, initiator_value, rng);
}

Result<std::unique_ptr<KeyExchange>> create_key_exchange_unchecked(KeId id, Rng& rng) {
  if (ke_sizes(id).initiator == 0)
    return fail(ErrorKind::Internal, "key exchange " + to_string(id), "is not implemented");
  return is_ml_kem(id) ? create_ml_kem(id, rng) : create_dh(id, rng);
}

Result<KeReply> respond_unchecked(KeId id, ByteView initiator_value, Rng& rng) {
  if (is_ml_kem(id)) return respond_ml_kem(id, initiator_value, rng);
  // A peer's bad length must not cost us a key pair.
  QANAT_TRY(check_length(id, initiator_value, ke_sizes(id).initiator));
  QANAT_ASSIGN(const std::unique_ptr<KeyExchange> ours, create_key_exchange_unchecked(id, rng));
  QANAT_ASSIGN(SecretBytes secret, ours->finish(initiator_value));
  return KeReply{.public_value = to_bytes(ours->public_value()), .secret = std::move(secret)};
}

}  // namespace qanat::crypto
