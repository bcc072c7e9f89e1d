// The keys of signature.hpp.
#include <openssl/core_names.h>
#include <openssl/x509.h>

#include "crypto/openssl.hpp"
#include "crypto/signature.hpp"

namespace qanat::crypto {

namespace {

using Pkcs8 = std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeWith<PKCS8_PRIV_KEY_INFO_free>>;

constexpr const char* kWhere = "key";
constexpr std::size_t kMaxKeyOctets = std::size_t{64} << 10;

struct KeyName {
  KeyKind kind;
  const char* openssl;
  const char* shown;
};
constexpr KeyName kPlainKeys[] = {
    {KeyKind::Ed25519, "ED25519", "Ed25519"},     {KeyKind::Ed448, "ED448", "Ed448"},
    {KeyKind::MlDsa44, "ML-DSA-44", "ML-DSA-44"}, {KeyKind::MlDsa65, "ML-DSA-65", "ML-DSA-65"},
    {KeyKind::MlDsa87, "ML-DSA-87", "ML-DSA-87"},
};
constexpr KeyName kCurves[] = {
    {KeyKind::EcP256, "prime256v1", "ECDSA P-256"},
    {KeyKind::EcP384, "secp384r1", "ECDSA P-384"},
    {KeyKind::EcP521, "secp521r1", "ECDSA P-521"},
};

std::unexpected<Error> refuse(std::string detail) {
  clear_openssl_errors();
  return fail(ErrorKind::AuthFailed, kWhere, std::move(detail));
}

Result<KeyKind> curve_of(EVP_PKEY* key) {
  int from_explicit = 0;
  if (!ok(EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &from_explicit)))
    return openssl_failure(kWhere);
  if (from_explicit != 0) return refuse("is an EC key with its own curve parameters: only named curves are served");
  std::array<char, 64> group{};
  if (!ok(EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr))) return openssl_failure(kWhere);
  const std::string_view name{group.data()};
  for (const KeyName& known : kCurves) {
    if (name == known.openssl) return known.kind;
  }
  return refuse("is an EC key on the curve " + std::string{name} + ": P-256, P-384 and P-521 are served");
}

// An exponent of 0 or 1 makes every signature "valid", an even one none; a huge one only costs the verifier.
Status check_rsa(EVP_PKEY* key) {
  BIGNUM* raw_n = nullptr;
  BIGNUM* raw_e = nullptr;
  const bool have_n = ok(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &raw_n));
  const bool have_e = ok(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &raw_e));
  const BigNumber n{raw_n};
  const BigNumber e{raw_e};
  if (!have_n || !have_e) return openssl_failure(kWhere);
  const auto bits = static_cast<std::size_t>(BN_num_bits(n.get()));
  if (bits < kMinRsaBits || bits > kMaxRsaBits)
    return refuse("is an RSA key of " + std::to_string(bits) + " bits: 2048 to 8192 are served");
  if (BN_is_odd(n.get()) != 1) return refuse("is an RSA key with an even modulus");
  if (BN_is_odd(e.get()) != 1 || BN_is_one(e.get()) == 1 || BN_is_negative(e.get()) == 1 || BN_num_bits(e.get()) > 64)
    return refuse("is an RSA key with a public exponent that is even, 1 or longer than 64 bits");
  return {};
}

}  // namespace

Result<PublicKey> PublicKey::adopt(std::shared_ptr<evp_pkey_st> key) {
  PublicKey out;
  EVP_PKEY* native = key.get();
  out.key_ = std::move(key);
  if (EVP_PKEY_is_a(native, "RSA") == 1) {
    QANAT_TRY(check_rsa(native));
    out.kind_ = KeyKind::Rsa;
    const int size = EVP_PKEY_get_size(native);
    if (size <= 0) return openssl_failure(kWhere);
    out.rsa_octets_ = static_cast<std::size_t>(size);
    return out;
  }
  if (EVP_PKEY_is_a(native, "EC") == 1) {
    QANAT_ASSIGN(out.kind_, curve_of(native));
    return out;
  }
  for (const KeyName& known : kPlainKeys) {
    if (EVP_PKEY_is_a(native, known.openssl) == 1) {
      out.kind_ = known.kind;
      return out;
    }
  }
  const char* name = EVP_PKEY_get0_type_name(native);
  return refuse(std::string{"is a key of the kind "} + (name ? name : "unknown") +
                ": ML-DSA, ECDSA, Ed25519, Ed448 and RSA (rsaEncryption) are served");
}

Result<PublicKey> PublicKey::from_spki(ByteView der) {
  if (der.empty() || der.size() > kMaxKeyOctets) return refuse("has no size of a public key");
  const unsigned char* at = der.data();
  std::shared_ptr<EVP_PKEY> key{d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())), EVP_PKEY_free};
  if (!key) return refuse("is no public key of an algorithm that is known here");
  if (at != der.data() + der.size()) return refuse("is a public key with octets behind it");
  return adopt(std::move(key));
}

Bytes PublicKey::spki() const {
  const int size = i2d_PUBKEY(key_.get(), nullptr);
  ensure(size > 0, "a key that was read can be written");
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* at = out.data();
  ensure(i2d_PUBKEY(key_.get(), &at) == size, "a key that was read can be written");
  return out;
}

std::string PublicKey::describe() const {
  if (kind_ == KeyKind::Rsa) return "RSA-" + std::to_string(EVP_PKEY_get_bits(key_.get()));
  for (const KeyName& known : kCurves) {
    if (known.kind == kind_) return known.shown;
  }
  for (const KeyName& known : kPlainKeys) {
    if (known.kind == kind_) return known.shown;
  }
  return "unknown";
}

Result<PrivateKey> PrivateKey::from_pkcs8(ByteView der) {
  if (der.empty() || der.size() > kMaxKeyOctets) return refuse("has no size of a private key");
  const unsigned char* at = der.data();
  const Pkcs8 info{d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size()))};
  if (!info) return refuse("is no private key in PKCS#8");
  if (at != der.data() + der.size()) return refuse("is a private key with octets behind it");
  std::shared_ptr<EVP_PKEY> key{EVP_PKCS82PKEY(info.get()), EVP_PKEY_free};
  if (!key) return refuse("is no private key of an algorithm that is known here");
  PrivateKey out;
  QANAT_ASSIGN(out.public_, PublicKey::adopt(std::move(key)));
  return out;
}

Result<PrivateKey> PrivateKey::generate(KeyKind kind, std::size_t rsa_bits) {
  EVP_PKEY* made = nullptr;
  if (kind == KeyKind::Rsa) made = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", rsa_bits);
  for (const KeyName& known : kCurves) {
    if (known.kind == kind) made = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", known.openssl);
  }
  for (const KeyName& known : kPlainKeys) {
    if (known.kind == kind) made = EVP_PKEY_Q_keygen(nullptr, nullptr, known.openssl);
  }
  if (made == nullptr) return openssl_failure("key generation");
  PrivateKey out;
  QANAT_ASSIGN(out.public_, PublicKey::adopt({made, EVP_PKEY_free}));
  return out;
}

Result<SecretBytes> PrivateKey::to_pkcs8() const {
  const Pkcs8 info{EVP_PKEY2PKCS8(native())};
  if (!info) return openssl_failure(kWhere);
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
  if (size <= 0) return openssl_failure(kWhere);
  SecretBytes out(static_cast<std::size_t>(size));
  unsigned char* at = out.expose_mutable().data();
  if (i2d_PKCS8_PRIV_KEY_INFO(info.get(), &at) != size) return openssl_failure(kWhere);
  return out;
}

bool same_key(const PublicKey& a, const PublicKey& b) {
  const bool same = ok(EVP_PKEY_eq(a.native(), b.native()));
  clear_openssl_errors();
  return same;
}

}  // namespace qanat::crypto
