#include "crypto/signature.hpp"

#include <algorithm>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/availability.hpp"
#include "crypto/openssl.hpp"

namespace qanat::crypto {

namespace {

using EcdsaSig = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;
using Scheme = SignatureScheme;

constexpr std::uint16_t kSha256 = 2;
constexpr std::uint16_t kSha384 = 3;
constexpr std::uint16_t kSha512 = 4;
constexpr std::uint16_t kIdentity = 5;

// id-RSASSA-PSS in the encoding of RFC 7427 A.4.3. What may be left out: the NULL behind the hashes, and the trailer.
Bytes pss_identifier(std::uint8_t hash_oid, std::uint8_t salt, bool with_null, bool with_trailer) {
  const auto wrap = [](std::uint8_t tag, const Bytes& content) {
    Bytes out{tag, static_cast<std::uint8_t>(content.size())};
    append(out, content);
    return out;
  };
  Bytes hash{0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, hash_oid};
  if (with_null) append(hash, Bytes{0x05, 0x00});
  hash = wrap(0x30, hash);
  Bytes mgf{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08};
  append(mgf, hash);
  Bytes parameters = wrap(0xa0, hash);
  append(parameters, wrap(0xa1, wrap(0x30, mgf)));
  append(parameters, Bytes{0xa2, 0x03, 0x02, 0x01, salt});
  if (with_trailer) append(parameters, Bytes{0xa3, 0x03, 0x02, 0x01, 0x01});
  Bytes out{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a};
  append(out, wrap(0x30, parameters));
  return wrap(0x30, out);
}

Bytes pkcs1_identifier(std::uint8_t last, bool with_null) {
  Bytes out{0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last};
  if (with_null) {
    out[1] = 0x0d;
    append(out, Bytes{0x05, 0x00});
  }
  return out;
}

Bytes ecdsa_identifier(std::uint8_t last) {
  return {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last};
}
Bytes eddsa_identifier(std::uint8_t last) {
  return {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, last};
}
Bytes mldsa_identifier(std::uint8_t last) {
  return {0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, last};
}

struct SchemeFacts {
  Scheme scheme;
  const char* shown;
  std::uint16_t hash;
  const char* digest;              // OpenSSL's name, nullptr for Identity
  std::vector<Bytes> identifiers;  // the first is ours
};

std::vector<Bytes> pss_forms(std::uint8_t hash_oid, std::uint8_t salt) {
  std::vector<Bytes> out;
  for (const bool trailer : {true, false}) {
    for (const bool null : {true, false}) out.push_back(pss_identifier(hash_oid, salt, null, trailer));
  }
  return out;
}
std::vector<Bytes> pkcs1_forms(std::uint8_t last) {
  return {pkcs1_identifier(last, true), pkcs1_identifier(last, false)};
}

const std::array<SchemeFacts, kSignatureSchemes>& facts() {
  static const std::array<SchemeFacts, kSignatureSchemes> kFacts{{
      {Scheme::EcdsaSha256, "ECDSA with SHA-256", kSha256, "SHA256", {ecdsa_identifier(2)}},
      {Scheme::EcdsaSha384, "ECDSA with SHA-384", kSha384, "SHA384", {ecdsa_identifier(3)}},
      {Scheme::EcdsaSha512, "ECDSA with SHA-512", kSha512, "SHA512", {ecdsa_identifier(4)}},
      {Scheme::Ed25519, "Ed25519", kIdentity, nullptr, {eddsa_identifier(0x70)}},
      {Scheme::Ed448, "Ed448", kIdentity, nullptr, {eddsa_identifier(0x71)}},
      {Scheme::RsaPssSha256, "RSA-PSS with SHA-256", kSha256, "SHA256", pss_forms(1, 32)},
      {Scheme::RsaPssSha384, "RSA-PSS with SHA-384", kSha384, "SHA384", pss_forms(2, 48)},
      {Scheme::RsaPssSha512, "RSA-PSS with SHA-512", kSha512, "SHA512", pss_forms(3, 64)},
      {Scheme::RsaPkcs1Sha256, "RSA PKCS#1 v1.5 with SHA-256", kSha256, "SHA256", pkcs1_forms(0x0b)},
      {Scheme::RsaPkcs1Sha384, "RSA PKCS#1 v1.5 with SHA-384", kSha384, "SHA384", pkcs1_forms(0x0c)},
      {Scheme::RsaPkcs1Sha512, "RSA PKCS#1 v1.5 with SHA-512", kSha512, "SHA512", pkcs1_forms(0x0d)},
      {Scheme::MlDsa44, "ML-DSA-44", kIdentity, nullptr, {mldsa_identifier(0x11)}},
      {Scheme::MlDsa65, "ML-DSA-65", kIdentity, nullptr, {mldsa_identifier(0x12)}},
      {Scheme::MlDsa87, "ML-DSA-87", kIdentity, nullptr, {mldsa_identifier(0x13)}},
  }};
  return kFacts;
}
const SchemeFacts& facts(Scheme scheme) {
  return facts()[static_cast<std::size_t>(scheme)];
}

bool is_pss(Scheme scheme) {
  return scheme >= Scheme::RsaPssSha256 && scheme <= Scheme::RsaPssSha512;
}
bool is_pkcs1(Scheme scheme) {
  return scheme >= Scheme::RsaPkcs1Sha256 && scheme <= Scheme::RsaPkcs1Sha512;
}
bool is_ecdsa(Scheme scheme) {
  return scheme <= Scheme::EcdsaSha512;
}

// Octets of a curve's order (RFC 4754 7).
std::size_t order_octets(KeyKind curve) {
  return curve == KeyKind::EcP256 ? 32 : curve == KeyKind::EcP384 ? 48 : curve == KeyKind::EcP521 ? 66 : 0;
}

bool set_padding(EVP_PKEY_CTX* context, Scheme scheme) {
  if (is_pkcs1(scheme)) return ok(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING));
  if (!is_pss(scheme)) return true;
  const EvpMd hash{EVP_MD_fetch(nullptr, facts(scheme).digest, nullptr)};
  return hash && ok(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING)) &&
         ok(EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash.get())) &&
         ok(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST));
}

// Empty views have no address, and OpenSSL takes no null pointer for some of its arguments.
const unsigned char* address_of(ByteView v) {
  static constexpr unsigned char kNothing = 0;
  return v.empty() ? &kNothing : v.data();
}

}  // namespace

std::string to_string(Scheme scheme) {
  return facts(scheme).shown;
}
std::uint16_t hash_algorithm(Scheme scheme) {
  return facts(scheme).hash;
}
bool signature_available(Scheme scheme) {
  const auto& served = availability().signatures;
  return std::find(served.begin(), served.end(), scheme) != served.end();
}

std::span<const Scheme> schemes_of(KeyKind kind) {
  static constexpr std::array kRsa{Scheme::RsaPssSha256,   Scheme::RsaPssSha384,   Scheme::RsaPssSha512,
                                   Scheme::RsaPkcs1Sha256, Scheme::RsaPkcs1Sha384, Scheme::RsaPkcs1Sha512};
  static constexpr std::array kP256{Scheme::EcdsaSha256, Scheme::EcdsaSha384, Scheme::EcdsaSha512};
  static constexpr std::array kP384{Scheme::EcdsaSha384, Scheme::EcdsaSha512, Scheme::EcdsaSha256};
  static constexpr std::array kP521{Scheme::EcdsaSha512, Scheme::EcdsaSha384, Scheme::EcdsaSha256};
  static constexpr std::array kEd25519{Scheme::Ed25519};
  static constexpr std::array kEd448{Scheme::Ed448};
  static constexpr std::array kMlDsa44{Scheme::MlDsa44};
  static constexpr std::array kMlDsa65{Scheme::MlDsa65};
  static constexpr std::array kMlDsa87{Scheme::MlDsa87};
  switch (kind) {
    case KeyKind::Rsa:
      return kRsa;
    case KeyKind::EcP256:
      return kP256;
    case KeyKind::EcP384:
      return kP384;
    case KeyKind::EcP521:
      return kP521;
    case KeyKind::Ed25519:
      return kEd25519;
    case KeyKind::Ed448:
      return kEd448;
    case KeyKind::MlDsa44:
      return kMlDsa44;
    case KeyKind::MlDsa65:
      return kMlDsa65;
    case KeyKind::MlDsa87:
      return kMlDsa87;
  }
  return {};
}

bool fits(Scheme scheme, KeyKind kind) {
  const auto all = schemes_of(kind);
  return std::find(all.begin(), all.end(), scheme) != all.end();
}

ByteView algorithm_identifier(Scheme scheme) {
  return facts(scheme).identifiers.front();
}

std::optional<Scheme> scheme_of(ByteView algorithm_identifier) {
  for (const SchemeFacts& known : facts()) {
    for (const Bytes& form : known.identifiers) {
      if (equal(form, algorithm_identifier)) return known.scheme;
    }
  }
  return std::nullopt;
}

std::string oid_text(ByteView algorithm_identifier) {
  const unsigned char* at = algorithm_identifier.data();
  const std::unique_ptr<X509_ALGOR, FreeWith<X509_ALGOR_free>> parsed{
      algorithm_identifier.empty() || algorithm_identifier.size() > 1024
          ? nullptr
          : d2i_X509_ALGOR(nullptr, &at, static_cast<long>(algorithm_identifier.size()))};
  clear_openssl_errors();
  if (!parsed) return {};
  const ASN1_OBJECT* oid = nullptr;
  X509_ALGOR_get0(&oid, nullptr, nullptr, parsed.get());
  std::array<char, 128> text{};
  const int size = OBJ_obj2txt(text.data(), static_cast<int>(text.size()), oid, 1);
  clear_openssl_errors();
  return size > 0 && static_cast<std::size_t>(size) < text.size() ? std::string{text.data()} : std::string{};
}

Result<Bytes> sign(const PrivateKey& key, Scheme scheme, ByteView message, Signing how) {
  constexpr const char* kWhere = "signing";
  ensure(fits(scheme, key.kind()), "a key signs with one of its own schemes");
  int deterministic = 1;
  unsigned rfc6979 = 1;
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
  if (how == Signing::Repeatable && is_quantum_safe(key.kind()))
    parameters[0] = OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_DETERMINISTIC, &deterministic);
  if (how == Signing::Repeatable && is_ecdsa(scheme))
    parameters[0] = OSSL_PARAM_construct_uint(OSSL_SIGNATURE_PARAM_NONCE_TYPE, &rfc6979);
  const EvpMdCtx context{EVP_MD_CTX_new()};
  EVP_PKEY_CTX* key_context = nullptr;  // belongs to `context`
  if (!context ||
      !ok(EVP_DigestSignInit_ex(context.get(), &key_context, facts(scheme).digest, nullptr, nullptr, key.native(),
                                parameters)) ||
      !set_padding(key_context, scheme)) {
    return openssl_failure(kWhere);
  }
  std::size_t size = 0;
  if (!ok(EVP_DigestSign(context.get(), nullptr, &size, address_of(message), message.size())))
    return openssl_failure(kWhere);
  Bytes out(size);
  if (!ok(EVP_DigestSign(context.get(), out.data(), &size, address_of(message), message.size())) || size > out.size())
    return openssl_failure(kWhere);
  out.resize(size);
  return out;
}

Verdict verify(const PublicKey& key, Scheme scheme, ByteView message, ByteView signature) {
  if (!fits(scheme, key.kind()) || signature.empty()) return Verdict::Invalid;
  if (key.kind() == KeyKind::Rsa && signature.size() != key.rsa_octets()) return Verdict::Invalid;
  const EvpMdCtx context{EVP_MD_CTX_new()};
  EVP_PKEY_CTX* key_context = nullptr;  // belongs to `context`
  int result = -1;
  if (context &&
      ok(EVP_DigestVerifyInit_ex(context.get(), &key_context, facts(scheme).digest, nullptr, nullptr, key.native(),
                                 nullptr)) &&
      set_padding(key_context, scheme)) {
    result = EVP_DigestVerify(context.get(), signature.data(), signature.size(), address_of(message), message.size());
  }
  clear_openssl_errors();
  return result == 1 ? Verdict::Valid : result == 0 ? Verdict::Invalid : Verdict::Error;
}

Result<Bytes> ecdsa_raw_of(KeyKind curve, ByteView der) {
  constexpr const char* kWhere = "ECDSA signature";
  const std::size_t half = order_octets(curve);
  ensure(half != 0, "a raw ECDSA signature is of an EC key");
  const unsigned char* at = der.data();
  const EcdsaSig parsed{d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()))};
  if (!parsed) return openssl_failure(kWhere);
  Bytes out(2 * half);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), out.data(), static_cast<int>(half)) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), out.data() + half, static_cast<int>(half)) < 0) {
    return openssl_failure(kWhere);
  }
  return out;
}

Result<Bytes> ecdsa_der_of(KeyKind curve, ByteView raw) {
  constexpr const char* kWhere = "ECDSA signature";
  const std::size_t half = order_octets(curve);
  if (half == 0 || raw.size() != 2 * half) {
    return fail(ErrorKind::Malformed, kWhere,
                "has " + std::to_string(raw.size()) + " octets where " + std::to_string(2 * half) +
                    " are due (r | s, RFC 4754)");
  }
  const EcdsaSig made{ECDSA_SIG_new()};
  BigNumber r{BN_bin2bn(raw.data(), static_cast<int>(half), nullptr)};
  BigNumber s{BN_bin2bn(raw.data() + half, static_cast<int>(half), nullptr)};
  if (!made || !r || !s || !ok(ECDSA_SIG_set0(made.get(), r.get(), s.get()))) return openssl_failure(kWhere);
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  const int size = i2d_ECDSA_SIG(made.get(), nullptr);
  if (size <= 0) return openssl_failure(kWhere);
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* at = out.data();
  if (i2d_ECDSA_SIG(made.get(), &at) != size) return openssl_failure(kWhere);
  return out;
}

}  // namespace qanat::crypto
