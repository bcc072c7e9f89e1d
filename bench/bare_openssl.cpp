#include "bare_openssl.hpp"

#include <array>
#include <memory>
#include <string_view>

#include <openssl/evp.h>

namespace qanat::bench {

namespace {

using Pkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using PkeyCtx = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using MdCtx = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

Pkey make_key(const char* type) {
  return {std::string_view{type} == "P-256" ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", type)
                                            : EVP_PKEY_Q_keygen(nullptr, nullptr, type),
          EVP_PKEY_free};
}
Bytes public_of(const Pkey& key) {
  Bytes out(2048);
  std::size_t size = out.size();
  EVP_PKEY_get_raw_public_key(key.get(), out.data(), &size);
  out.resize(size);
  return out;
}

struct Bare {
  Pkey x25519 = make_key("X25519");
  Bytes x25519_peer = public_of(make_key("X25519"));
  Pkey mlkem = make_key("ML-KEM-768");
  Bytes mlkem_public = public_of(mlkem);
  Bytes ciphertext = Bytes(1088);
  std::array<std::uint8_t, 32> secret{};

  void keygen(const char* type) { static_cast<void>(make_key(type)); }
  void x25519_derive() {
    const Pkey peer{EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, x25519_peer.data(), x25519_peer.size()),
                    EVP_PKEY_free};
    const PkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, x25519.get(), nullptr), EVP_PKEY_CTX_free};
    EVP_PKEY_derive_init(context.get());
    EVP_PKEY_derive_set_peer_ex(context.get(), peer.get(), 0);
    std::size_t size = secret.size();
    EVP_PKEY_derive(context.get(), secret.data(), &size);
  }
  void mlkem_encaps() {
    const Pkey peer{
        EVP_PKEY_new_raw_public_key_ex(nullptr, "ML-KEM-768", nullptr, mlkem_public.data(), mlkem_public.size()),
        EVP_PKEY_free};
    const PkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, peer.get(), nullptr), EVP_PKEY_CTX_free};
    EVP_PKEY_encapsulate_init(context.get(), nullptr);
    std::size_t size = ciphertext.size();
    std::size_t secret_size = secret.size();
    EVP_PKEY_encapsulate(context.get(), ciphertext.data(), &size, secret.data(), &secret_size);
  }
  void mlkem_decaps() {
    const PkeyCtx context{EVP_PKEY_CTX_new_from_pkey(nullptr, mlkem.get(), nullptr), EVP_PKEY_CTX_free};
    EVP_PKEY_decapsulate_init(context.get(), nullptr);
    std::size_t size = secret.size();
    EVP_PKEY_decapsulate(context.get(), secret.data(), &size, ciphertext.data(), ciphertext.size());
  }
};

struct BareSigner {
  explicit BareSigner(Proof proof)
      : key(make_key(proof == Proof::MlDsa65 ? "ML-DSA-65" : "P-256")),
        digest(proof == Proof::MlDsa65 ? nullptr : "SHA256") {
    sign();
  }
  Pkey key;
  const char* digest;
  Bytes message = Bytes(600, 7);
  Bytes signature;

  void sign() {
    const MdCtx context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
    EVP_DigestSignInit_ex(context.get(), nullptr, digest, nullptr, nullptr, key.get(), nullptr);
    signature.resize(4096);
    std::size_t size = signature.size();
    EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size());
    signature.resize(size);
  }
  void verify() {
    const MdCtx context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
    EVP_DigestVerifyInit_ex(context.get(), nullptr, digest, nullptr, nullptr, key.get(), nullptr);
    EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size());
  }
};

struct Sums {
  Bare ke;
  BareSigner ecdsa{Proof::EcdsaP256};
  BareSigner mldsa{Proof::MlDsa65};

  void of(Proof proof, Who who) {
    ke.keygen("X25519");
    ke.x25519_derive();
    if (who == Who::Initiator) {
      ke.keygen("ML-KEM-768");
      ke.mlkem_decaps();
    } else {
      ke.mlkem_encaps();
    }
    if (proof == Proof::Psk) return;
    BareSigner& signer = proof == Proof::EcdsaP256 ? ecdsa : mldsa;
    signer.sign();
    signer.verify();
  }
};
Sums& sums() {
  static Sums all;
  return all;
}

}  // namespace

std::vector<BareOperation> bare_operations() {
  Bare& ke = sums().ke;
  BareSigner& ecdsa = sums().ecdsa;
  BareSigner& mldsa = sums().mldsa;
  ke.mlkem_encaps();
  return {{"x25519_keygen", [&ke] { ke.keygen("X25519"); }},
          {"x25519_derive", [&ke] { ke.x25519_derive(); }},
          {"mlkem768_keygen", [&ke] { ke.keygen("ML-KEM-768"); }},
          {"mlkem768_encaps", [&ke] { ke.mlkem_encaps(); }},
          {"mlkem768_decaps", [&ke] { ke.mlkem_decaps(); }},
          {"ecdsa_p256_sign", [&ecdsa] { ecdsa.sign(); }},
          {"ecdsa_p256_verify", [&ecdsa] { ecdsa.verify(); }},
          {"mldsa65_sign", [&mldsa] { mldsa.sign(); }},
          {"mldsa65_verify", [&mldsa] { mldsa.verify(); }},
          {"sum/psk/responder", [] { bare_sum(Proof::Psk, Who::Responder); }},
          {"sum/psk/initiator", [] { bare_sum(Proof::Psk, Who::Initiator); }},
          {"sum/ecdsa/responder", [] { bare_sum(Proof::EcdsaP256, Who::Responder); }},
          {"sum/mldsa65/responder", [] { bare_sum(Proof::MlDsa65, Who::Responder); }}};
}

void bare_sum(Proof proof, Who who) {
  sums().of(proof, who);
}

}  // namespace qanat::bench
