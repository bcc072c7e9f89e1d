#include "crypto/ml_kem.hpp"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "crypto/ke_internal.hpp"
#include "crypto/pkey_context.hpp"

namespace qanat::crypto::ml_kem {

namespace {

const char* name(KeId id) {
  switch (id) {
    case KeId::ML_KEM_512:
      return "ML-KEM-512";
    case KeId::ML_KEM_768:
      return "ML-KEM-768";
    default:
      return "ML-KEM-1024";
  }
}

// OpenSSL's parameters point to mutable octets, which it only reads here.
OSSL_PARAM octets(const char* key, ByteView value) {
  return OSSL_PARAM_construct_octet_string(key, const_cast<std::uint8_t*>(value.data()), value.size());
}

Result<EvpPkey> generate_with_seed(KeId id, ByteView seed) {
  const EvpPkeyCtx context{EVP_PKEY_CTX_new_from_name(nullptr, name(id), nullptr)};
  if (context == nullptr || !ok(EVP_PKEY_keygen_init(context.get()))) return openssl_failure(to_string(id));
  const std::array<OSSL_PARAM, 2> params{octets(OSSL_PKEY_PARAM_ML_KEM_SEED, seed), OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (!ok(EVP_PKEY_CTX_set_params(context.get(), params.data())) || !ok(EVP_PKEY_generate(context.get(), &key)))
    return openssl_failure(to_string(id));
  return EvpPkey{key};
}

}  // namespace

Sizes sizes(KeId id) {
  switch (id) {
    case KeId::ML_KEM_512:
      return {.encapsulation_key = 800, .decapsulation_key = 1632, .ciphertext = 768};
    case KeId::ML_KEM_768:
      return {.encapsulation_key = 1184, .decapsulation_key = 2400, .ciphertext = 1088};
    case KeId::ML_KEM_1024:
      return {.encapsulation_key = 1568, .decapsulation_key = 3168, .ciphertext = 1568};
    default:
      return {};
  }
}

Result<EvpPkey> generate(KeId id) {
  EvpPkey key = generate_key(name(id));
  if (key == nullptr) return openssl_failure(to_string(id));
  return key;
}

Result<EvpPkey> generate_from_seed(KeId id, ByteView d_and_z) {
  ensure(d_and_z.size() == kSeed, "an ML-KEM seed has 64 octets");
  return generate_with_seed(id, d_and_z);
}

Result<Bytes> encapsulation_key(KeId id, const EvpPkey& key) {
  Bytes out(sizes(id).encapsulation_key);
  std::size_t size = out.size();
  if (!ok(EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size)) || size != out.size())
    return openssl_failure(to_string(id));
  return out;
}

Result<EvpPkey> import_encapsulation_key(KeId id, ByteView ek) {
  QANAT_TRY(check_length(id, ek, sizes(id).encapsulation_key));
  EvpPkey key = import_public_key(name(id), ek);
  if (key == nullptr) {
    clear_openssl_errors();
    return bad_peer_value(id, "the encapsulation key fails the modulus check (FIPS 203 7.2)");
  }
  return key;
}

Result<EvpPkey> import_decapsulation_key(KeId id, ByteView dk) {
  QANAT_TRY(check_length(id, dk, sizes(id).decapsulation_key));
  EvpPkey key{EVP_PKEY_new_raw_private_key_ex(nullptr, name(id), nullptr, dk.data(), dk.size())};
  if (key == nullptr) {
    clear_openssl_errors();
    return bad_peer_value(id, "the decapsulation key fails the hash check (FIPS 203 7.3)");
  }
  return key;
}

Result<SecretBytes> export_decapsulation_key(KeId id, const EvpPkey& key) {
  SecretBytes out{sizes(id).decapsulation_key};
  std::size_t size = out.size();
  if (!ok(EVP_PKEY_get_raw_private_key(key.get(), out.expose_mutable().data(), &size)) || size != out.size()) {
    return openssl_failure(to_string(id));
  }
  return out;
}

Result<KeReply> encapsulate(KeId id, const EvpPkey& key, ByteView m) {
  ensure(m.empty() || m.size() == kEncapsRandom, "ML-KEM encapsulation takes 32 octets of randomness");
  const std::array<OSSL_PARAM, 2> params{octets(OSSL_KEM_PARAM_IKME, m), OSSL_PARAM_construct_end()};
  const EvpPkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr)};
  if (context == nullptr || !ok(EVP_PKEY_encapsulate_init(context.get(), m.empty() ? nullptr : params.data()))) {
    return openssl_failure(to_string(id));
  }
  KeReply reply{.public_value = Bytes(sizes(id).ciphertext), .secret = SecretBytes{kSecret}};
  std::size_t ciphertext_size = reply.public_value.size();
  std::size_t secret_size = reply.secret.size();
  if (!ok(EVP_PKEY_encapsulate(context.get(), reply.public_value.data(), &ciphertext_size,
                               reply.secret.expose_mutable().data(), &secret_size)) ||
      ciphertext_size != reply.public_value.size() || secret_size != reply.secret.size()) {
    return openssl_failure(to_string(id));
  }
  return reply;
}

Result<SecretBytes> decapsulate(KeId id, const EvpPkey& key, ByteView ciphertext) {
  QANAT_TRY(check_length(id, ciphertext, sizes(id).ciphertext));
  const EvpPkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr)};
  SecretBytes secret{kSecret};
  std::size_t size = secret.size();
  if (context == nullptr || !ok(EVP_PKEY_decapsulate_init(context.get(), nullptr)) ||
      !ok(EVP_PKEY_decapsulate(context.get(), secret.expose_mutable().data(), &size, ciphertext.data(),
                               ciphertext.size())) ||
      size != secret.size()) {
    return openssl_failure(to_string(id));
  }
  return secret;
}

}  // namespace qanat::crypto::ml_kem
