// Certificates as the tests want them: right or wrong in one thing. Only for tests.
#pragma once

#include <string>
#include <vector>

#include <openssl/x509v3.h>

#include "pki/issue.hpp"
#include "pki/x509.hpp"
#include "wire/distinguished_name.hpp"

namespace qanat::pki::testing {

inline constexpr WallTime kNow{1'790'000'000};  // 2026-09-21
inline constexpr std::int64_t kDay = 86'400;

struct Made {
  crypto::PrivateKey key;
  Certificate certificate;
};
using Extensions = std::vector<std::pair<int, std::string>>;

inline const Extensions kCaExtensions{{NID_basic_constraints, "critical,CA:TRUE"},
                                      {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                      {NID_subject_key_identifier, "hash"},
                                      {NID_authority_key_identifier, "keyid"}};
inline const Extensions kLeafExtensions{{NID_basic_constraints, "critical,CA:FALSE"},
                                        {NID_key_usage, "critical,digitalSignature"},
                                        {NID_subject_key_identifier, "hash"},
                                        {NID_authority_key_identifier, "keyid"},
                                        {NID_subject_alt_name, "DNS:berlin.example.com"}};

// `base` with one extension replaced, added (or left out: an empty value).
inline Extensions with(Extensions base, int nid, const std::string& value) {
  std::erase_if(base, [nid](const auto& e) { return e.first == nid; });
  if (!value.empty()) base.emplace_back(nid, value);
  return base;
}

struct Spec {
  std::string subject;
  const Made* issuer = nullptr;  // nullptr: self-signed
  Extensions extensions = kLeafExtensions;
  crypto::KeyKind kind = crypto::KeyKind::EcP256;
  const Made* same_key_as = nullptr;
  WallTime from{kNow.seconds - kDay};
  WallTime until{kNow.seconds + 365 * kDay};
  const EVP_MD* digest = nullptr;
};

inline Made make(const Spec& spec) {
  crypto::PrivateKey key =
      spec.same_key_as ? spec.same_key_as->key : crypto::PrivateKey::generate(spec.kind, 2048).value();
  const auto name = [](const std::string& text) {
    const Bytes der = text.empty() ? Bytes{0x30, 0x00} : wire::encode_dn(text).value();
    const unsigned char* at = der.data();
    return X509Name{d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size()))};
  };
  static std::uint64_t serial = 1;
  const X509Cert x509{X509_new()};
  X509* x = x509.get();
  X509_set_version(x, X509_VERSION_3);
  const Asn1Integer number{ASN1_INTEGER_new()};
  ASN1_INTEGER_set_uint64(number.get(), ++serial);
  X509_set_serialNumber(x, number.get());
  const X509Name subject = name(spec.subject);
  X509_set_subject_name(x, subject.get());
  const X509Name issuer = name(spec.issuer ? spec.issuer->certificate.subject() : spec.subject);
  X509_set_issuer_name(x, issuer.get());
  const Asn1Time from{ASN1_TIME_set(nullptr, static_cast<time_t>(spec.from.seconds))};
  const Asn1Time until{ASN1_TIME_set(nullptr, static_cast<time_t>(spec.until.seconds))};
  X509_set1_notBefore(x, from.get());
  X509_set1_notAfter(x, until.get());
  X509_set_pubkey(x, key.native());
  for (const auto& [nid, value] : spec.extensions) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, spec.issuer ? spec.issuer->certificate.native() : x, x, nullptr, nullptr, 0);
    X509V3_set_ctx_nodb(&context);
    const Extension e{X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str())};
    ensure(e && X509_add_ext(x, e.get(), -1) == 1, "a test's extension");
  }
  const crypto::PrivateKey& signer = spec.issuer ? spec.issuer->key : key;
  const bool hashes = signer.kind() <= crypto::KeyKind::EcP521;
  ensure(X509_sign(x, signer.native(),
                   spec.digest ? spec.digest
                   : hashes    ? EVP_sha256()
                               : nullptr) > 0,
         "a test's signature");
  return {std::move(key), Certificate::parse(der_of(i2d_X509, x)).value()};
}

inline Made make_root(crypto::KeyKind kind = crypto::KeyKind::EcP256, const std::string& name = "CN=Root") {
  return make({.subject = name, .extensions = kCaExtensions, .kind = kind});
}

inline wire::Identity id(std::string_view text) {
  return wire::Identity::parse(text).value();
}

}  // namespace qanat::pki::testing
