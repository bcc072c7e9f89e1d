// In place of crypto/key_exchange.cpp: the public values are noise of the right length, and the secret is a function of
// both, so a changed value gives both sides different secrets. A NIST curve's value ends in a check of its own, because
// there damage is seen at once (RFC 6989).
#include "crypto/key_exchange.hpp"

#include <algorithm>

#include "crypto/availability.hpp"
#include "crypto/ke_internal.hpp"
#include "crypto/unchecked.hpp"
#include "testcrypto/ledger.hpp"

namespace qanat::crypto {

namespace {

constexpr std::size_t kSecret = 32;

bool is_curve_with_checks(KeId id) {
  return id == KeId::ECP_256 || id == KeId::ECP_384 || id == KeId::ECP_521;
}

std::uint8_t check_octet(KeId id, ByteView all_but_last) {
  return static_cast<std::uint8_t>(testcrypto::Mixer{static_cast<std::uint64_t>(id)}.update(all_but_last).digest()[0]);
}

Bytes fresh_value(KeId id, std::size_t size, ByteView first, Rng& rng) {
  std::array<std::uint8_t, 16> seed{};
  rng.fill(seed);
  Bytes out(size);
  testcrypto::Mixer{static_cast<std::uint64_t>(id)}.update(seed).update(first).expand(out);
  if (is_curve_with_checks(id)) out.back() = check_octet(id, ByteView{out}.first(size - 1));
  testcrypto::Ledger::instance().note_public_value(out);
  return out;
}

Status check_value(KeId id, ByteView value, std::size_t size) {
  QANAT_TRY(check_length(id, value, size));
  if (std::all_of(value.begin(), value.end(), [](std::uint8_t octet) { return octet == 0; }))
    return bad_peer_value(id, "the value is zero");
  if (is_curve_with_checks(id) && value.back() != check_octet(id, value.first(size - 1)))
    return bad_peer_value(id, "the point is not on the curve");
  return {};
}

SecretBytes secret_of(KeId id, ByteView initiator_value, ByteView responder_value) {
  SecretBytes out{kSecret};
  testcrypto::Mixer{static_cast<std::uint64_t>(id) + 1000}
      .update(initiator_value)
      .update(responder_value)
      .expand(out.expose_mutable());
  return out;
}

class FastKeyExchange final : public KeyExchange {
 public:
  FastKeyExchange(KeId id, Bytes value) : KeyExchange(id, std::move(value)) {}
  Result<SecretBytes> finish(ByteView responder_value) override {
    if (used_) return fail(ErrorKind::Internal, "key exchange " + to_string(id()), "was finished before");
    QANAT_TRY(check_value(id(), responder_value, ke_sizes(id()).responder));
    used_ = true;
    return secret_of(id(), public_value(), responder_value);
  }

 private:
  bool used_ = false;
};

}  // namespace

KeSizes ke_sizes(KeId id) {
  const auto both = [](std::size_t octets) { return KeSizes{octets, octets, kSecret}; };
  switch (id) {
    case KeId::MODP_2048:
      return both(256);
    case KeId::MODP_3072:
      return both(384);
    case KeId::MODP_4096:
      return both(512);
    case KeId::ECP_256:
      return both(64);
    case KeId::ECP_384:
      return both(96);
    case KeId::ECP_521:
      return both(132);
    case KeId::CURVE25519:
      return both(32);
    case KeId::CURVE448:
      return both(56);
    case KeId::ML_KEM_512:
      return {800, 768, kSecret};
    case KeId::ML_KEM_768:
      return {1184, 1088, kSecret};
    case KeId::ML_KEM_1024:
      return {1568, 1568, kSecret};
    case KeId::NONE:
    case KeId::MODP_1024:
    case KeId::MODP_1536:
      break;
  }
  return {};
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
  return create_key_exchange_unchecked(id, rng);
}

Result<KeReply> respond(KeId id, ByteView initiator_value, Rng& rng) {
  return respond_unchecked(id, initiator_value, rng);
}

Result<std::unique_ptr<KeyExchange>> create_key_exchange_unchecked(KeId id, Rng& rng) {
  if (!ke_available(id)) return fail(ErrorKind::Internal, "key exchange " + to_string(id), "is not available");
  return std::make_unique<FastKeyExchange>(id, fresh_value(id, ke_sizes(id).initiator, {}, rng));
}

Result<KeReply> respond_unchecked(KeId id, ByteView initiator_value, Rng& rng) {
  if (!ke_available(id)) return fail(ErrorKind::Internal, "key exchange " + to_string(id), "is not available");
  QANAT_TRY(check_value(id, initiator_value, ke_sizes(id).initiator));
  Bytes ours = fresh_value(id, ke_sizes(id).responder, initiator_value, rng);
  SecretBytes secret = secret_of(id, initiator_value, ours);
  return KeReply{.public_value = std::move(ours), .secret = std::move(secret)};
}

}  // namespace qanat::crypto
