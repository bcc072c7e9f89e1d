// ML-KEM as a key exchange: KEi is an encapsulation key, KEr a ciphertext (draft-ietf-ipsecme-ikev2-mlkem). Key pair
// and encapsulation are fresh for every exchange, as that document demands.
#include "crypto/ke_internal.hpp"
#include "crypto/ml_kem.hpp"

namespace qanat::crypto {

namespace {

class MlKemInitiator final : public KeyExchange {
 public:
  MlKemInitiator(KeId id, Bytes encapsulation_key, EvpPkey key)
      : KeyExchange(id, std::move(encapsulation_key)), key_(std::move(key)) {}

  Result<SecretBytes> finish(ByteView responder_value) override {
    if (key_ == nullptr) return fail(ErrorKind::Internal, "key exchange " + to_string(id()), "was finished before");
    Result<SecretBytes> secret = ml_kem::decapsulate(id(), key_, responder_value);
    if (secret) key_.reset();
    return secret;
  }

 private:
  EvpPkey key_;  // OpenSSL wipes it when it goes
};

}  // namespace

KeSizes ml_kem_sizes(KeId id) {
  if (!is_ml_kem(id)) return {};
  const ml_kem::Sizes sizes = ml_kem::sizes(id);
  return {.initiator = sizes.encapsulation_key, .responder = sizes.ciphertext, .secret = ml_kem::kSecret};
}

Result<std::unique_ptr<KeyExchange>> create_ml_kem(KeId id, Rng& rng) {
  EvpPkey key;
  if (rng.deterministic()) {
    SecretBytes seed{ml_kem::kSeed};
    rng.fill(seed.expose_mutable());
    QANAT_ASSIGN(key, ml_kem::generate_from_seed(id, seed.expose()));
  } else {
    QANAT_ASSIGN(key, ml_kem::generate(id));
  }
  QANAT_ASSIGN(Bytes encapsulation_key, ml_kem::encapsulation_key(id, key));
  return std::make_unique<MlKemInitiator>(id, std::move(encapsulation_key), std::move(key));
}

Result<KeReply> respond_ml_kem(KeId id, ByteView initiator_value, Rng& rng) {
  QANAT_ASSIGN(const EvpPkey key, ml_kem::import_encapsulation_key(id, initiator_value));
  SecretBytes m;
  if (rng.deterministic()) {
    m = SecretBytes{ml_kem::kEncapsRandom};
    rng.fill(m.expose_mutable());
  }
  return ml_kem::encapsulate(id, key, m.expose());
}

}  // namespace qanat::crypto
