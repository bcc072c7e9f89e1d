#include "pki/issue.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"
#include "pki/x509.hpp"
#include "wire/distinguished_name.hpp"

namespace qanat::pki {

namespace {

using crypto::KeyKind;
using crypto::openssl_failure;

constexpr const char* kWhere = "certificate";
constexpr std::size_t kMaxCommonName = 64;  // RFC 5280, ub-common-name
constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kClockSkew = 3600;  // valid from an hour ago: the other gateway's clock may be behind

std::unexpected<Error> refuse(std::string detail) {
  return fail(ErrorKind::LocalPolicy, kWhere, std::move(detail));
}

Status check_days(int days) {
  if (days >= 1 && days <= kMaxDays) return {};
  return refuse(fmt::format("{} days: must be 1 to {}", days, kMaxDays));
}

Asn1Time asn1_time(WallTime time) {
  return Asn1Time{ASN1_TIME_set(nullptr, static_cast<time_t>(time.seconds))};
}

// "CN=" and the text with RFC 4514's escapes.
std::string common_name(std::string_view text) {
  std::string out = "CN=";
  for (const char c : text.substr(0, kMaxCommonName)) {
    if (std::string_view{",+\"\\<>;=# "}.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

Result<X509Name> name_of(ByteView der) {
  const unsigned char* at = der.data();
  X509Name name{d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size()))};
  if (!name || at != der.data() + der.size()) return refuse("its subject is no distinguished name");
  return name;
}

// Positive, never 0, at most 20 octets of DER (RFC 5280 4.1.2.2).
Result<Asn1Integer> random_serial(Rng& rng) {
  Bytes octets = rng.bytes(20);
  octets[0] = static_cast<std::uint8_t>((octets[0] & 0x7f) | 0x40);
  const crypto::BigNumber number{BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr)};
  Asn1Integer out{number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr};
  if (!out) return openssl_failure(kWhere);
  return out;
}

const EVP_MD* digest_for(KeyKind kind) {
  switch (kind) {
    case KeyKind::Rsa:
    case KeyKind::EcP256:
      return EVP_sha256();
    case KeyKind::EcP384:
      return EVP_sha384();
    case KeyKind::EcP521:
      return EVP_sha512();
    default:
      return nullptr;  // EdDSA and ML-DSA take the octets themselves
  }
}

Status add_extension(X509* to, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const Extension extension{X509V3_EXT_conf_nid(nullptr, &context, nid, value)};
  if (!extension || !ok(X509_add_ext(to, extension.get(), -1))) return openssl_failure(kWhere);
  return {};
}

Status add_names(X509* to, std::span<const wire::Identity> ids, bool critical) {
  const GeneralNames names{GENERAL_NAMES_new()};
  if (!names) return openssl_failure(kWhere);
  for (const wire::Identity& id : ids) {
    if (id.type == wire::IdType::ID_DER_ASN1_DN) continue;  // the subject
    const bool address = id.type == wire::IdType::ID_IPV4_ADDR || id.type == wire::IdType::ID_IPV6_ADDR;
    std::unique_ptr<GENERAL_NAME, FreeWith<GENERAL_NAME_free>> name{GENERAL_NAME_new()};
    std::unique_ptr<ASN1_STRING, FreeWith<ASN1_STRING_free>> text{
        ASN1_STRING_type_new(address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING)};
    if (!name || !text || !ok(ASN1_STRING_set(text.get(), id.data.data(), static_cast<int>(id.data.size()))))
      return openssl_failure(kWhere);
    const int type = address ? GEN_IPADD : id.type == wire::IdType::ID_FQDN ? GEN_DNS : GEN_EMAIL;
    GENERAL_NAME_set0_value(name.get(), type, text.release());
    if (sk_GENERAL_NAME_push(names.get(), name.get()) <= 0) return openssl_failure(kWhere);
    static_cast<void>(name.release());
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return {};
  if (!ok(X509_add1_ext_i2d(to, NID_subject_alt_name, names.get(), critical ? 1 : 0, X509V3_ADD_DEFAULT)))
    return openssl_failure(kWhere);
  return {};
}

struct Body {
  const X509_NAME* subject;
  const X509_NAME* issuer;
  const crypto::PublicKey& key;
  WallTime now;
  WallTime until;
};
Result<X509Cert> make_body(const Body& body, Rng& rng) {
  X509Cert x509{X509_new()};
  QANAT_ASSIGN(const Asn1Integer serial, random_serial(rng));
  const Asn1Time from = asn1_time({body.now.seconds - kClockSkew});
  const Asn1Time until = asn1_time(body.until);
  if (!x509 || !from || !until || !ok(X509_set_version(x509.get(), X509_VERSION_3)) ||
      !ok(X509_set_serialNumber(x509.get(), serial.get())) || !ok(X509_set1_notBefore(x509.get(), from.get())) ||
      !ok(X509_set1_notAfter(x509.get(), until.get())) || !ok(X509_set_subject_name(x509.get(), body.subject)) ||
      !ok(X509_set_issuer_name(x509.get(), body.issuer)) || !ok(X509_set_pubkey(x509.get(), body.key.native()))) {
    return openssl_failure(kWhere);
  }
  return x509;
}

Result<Certificate> finish(X509* x509, const crypto::PrivateKey& signer) {
  if (X509_sign(x509, signer.native(), digest_for(signer.kind())) <= 0) return openssl_failure(kWhere);
  return Certificate::parse(der_of(i2d_X509, x509));
}

Result<Bytes> subject_of(std::span<const wire::Identity> ids) {
  const auto dn = std::find_if(ids.begin(), ids.end(),
                               [](const wire::Identity& id) { return id.type == wire::IdType::ID_DER_ASN1_DN; });
  if (dn != ids.end()) return dn->data;
  const std::string text = ids.front().to_string();
  const bool has_kind = text.starts_with("fqdn:") || text.starts_with("rfc822:");
  return wire::encode_dn(common_name(has_kind ? text.substr(text.find(':') + 1) : text));
}

Status add_revoked(X509_CRL* crl, const ASN1_INTEGER* serial, const ASN1_TIME* at) {
  X509_REVOKED* found = nullptr;
  if (X509_CRL_get0_by_serial(crl, &found, serial) == 1) return {};  // once is enough
  std::unique_ptr<X509_REVOKED, FreeWith<X509_REVOKED_free>> entry{X509_REVOKED_new()};
  const Asn1Integer own{ASN1_INTEGER_dup(serial)};
  const Asn1Time when{ASN1_STRING_dup(at)};
  if (!entry || !own || !when || !ok(X509_REVOKED_set_serialNumber(entry.get(), own.get())) ||
      !ok(X509_REVOKED_set_revocationDate(entry.get(), when.get())) || !ok(X509_CRL_add0_revoked(crl, entry.get())))
    return openssl_failure("revocation list");
  static_cast<void>(entry.release());
  return {};
}

Result<Asn1Integer> next_number(const std::optional<Crl>& previous) {
  crypto::BigNumber number{BN_new()};
  const Asn1Integer old{
      previous ? static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(previous->native(), NID_crl_number, nullptr, nullptr))
               : nullptr};
  if (old) number.reset(ASN1_INTEGER_to_BN(old.get(), nullptr));
  if (!number || !ok(BN_add_word(number.get(), 1))) return openssl_failure("revocation list");
  Asn1Integer out{BN_to_ASN1_INTEGER(number.get(), nullptr)};
  if (!out) return openssl_failure("revocation list");
  return out;
}

}  // namespace

Result<KeyChoice> parse_key_choice(std::string_view text) {
  static constexpr std::pair<std::string_view, KeyChoice> kWords[] = {
      {"mldsa65", {KeyKind::MlDsa65, 0}},   {"mldsa44", {KeyKind::MlDsa44, 0}},   {"mldsa87", {KeyKind::MlDsa87, 0}},
      {"ecdsa-p256", {KeyKind::EcP256, 0}}, {"ecdsa-p384", {KeyKind::EcP384, 0}}, {"ecdsa-p521", {KeyKind::EcP521, 0}},
      {"ed25519", {KeyKind::Ed25519, 0}},   {"ed448", {KeyKind::Ed448, 0}},       {"rsa-2048", {KeyKind::Rsa, 2048}},
      {"rsa-3072", {KeyKind::Rsa, 3072}},   {"rsa-4096", {KeyKind::Rsa, 4096}},
  };
  for (const auto& [word, choice] : kWords) {
    if (word == text) return choice;
  }
  return fail(ErrorKind::Malformed, "key",
              fmt::format("'{}' is no kind of key: there are {}", printable(text, 40), kKeyChoices));
}

Result<Issued> make_ca(std::string_view name, KeyChoice choice, WallTime now, int days, Rng& rng) {
  QANAT_TRY(check_days(days));
  if (name.empty()) return refuse("a CA needs a name, like \"Example CA\"");
  const bool is_dn = name.find('=') != std::string_view::npos;
  if (!is_dn && name.size() > kMaxCommonName) return refuse("the name of a CA has at most 64 octets");
  QANAT_ASSIGN(const Bytes der, wire::encode_dn(is_dn ? std::string{name} : common_name(name)));
  QANAT_ASSIGN(const X509Name subject, name_of(der));
  QANAT_ASSIGN(crypto::PrivateKey key, crypto::PrivateKey::generate(choice.kind, choice.rsa_bits));
  QANAT_ASSIGN(const X509Cert x509,
               make_body({subject.get(), subject.get(), key.public_key(), now, {now.seconds + days * kDay}}, rng));
  X509* x = x509.get();
  QANAT_TRY(add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE"));
  QANAT_TRY(add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign"));
  QANAT_TRY(add_extension(x, x, NID_subject_key_identifier, "hash"));
  QANAT_TRY(add_extension(x, x, NID_authority_key_identifier, "keyid:always"));
  QANAT_ASSIGN(Certificate certificate, finish(x, key));
  return Issued{std::move(key), std::move(certificate)};
}

Result<Authority> make_authority(Certificate certificate, crypto::PrivateKey key) {
  if (!certificate.is_ca()) return refuse(fmt::format("{} is no CA", certificate.subject()));
  QANAT_ASSIGN(const crypto::PublicKey own, certificate.public_key());
  if (!crypto::same_key(own, key.public_key()))
    return refuse(fmt::format("the key is not that of {}", certificate.subject()));
  return Authority{std::move(certificate), std::move(key)};
}

Result<Issued> issue(const Authority& ca, std::span<const wire::Identity> ids, KeyChoice choice, WallTime now, int days,
                     Rng& rng, Use use) {
  QANAT_TRY(check_days(days));
  if (ids.empty()) return refuse("a gateway's certificate needs an identity, like fqdn:berlin.example.com");
  for (const wire::Identity& id : ids) {
    if (id.type == wire::IdType::ID_KEY_ID)
      return refuse(
          fmt::format("{}: no certificate can be for a key id: take fqdn:..., an address or dn:...", id.to_string()));
  }
  const WallTime until{now.seconds + days * kDay};
  if (until > ca.certificate.not_after())
    return refuse(fmt::format("{} days are longer than the CA lives, which ends on {}: take fewer days or a new CA",
                              days, date_text(ca.certificate.not_after())));
  QANAT_ASSIGN(const Bytes der, subject_of(ids));
  QANAT_ASSIGN(const X509Name subject, name_of(der));
  QANAT_ASSIGN(crypto::PrivateKey key, crypto::PrivateKey::generate(choice.kind, choice.rsa_bits));
  X509* issuer = ca.certificate.native();
  QANAT_ASSIGN(const X509Cert x509,
               make_body({subject.get(), X509_get_subject_name(issuer), key.public_key(), now, until}, rng));
  X509* x = x509.get();
  QANAT_TRY(add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE"));
  QANAT_TRY(add_extension(x, issuer, NID_key_usage, "critical,digitalSignature"));
  QANAT_TRY(add_extension(x, issuer, NID_ext_key_usage, use == Use::Ike ? "1.3.6.1.5.5.7.3.17" : "serverAuth"));
  QANAT_TRY(add_extension(x, issuer, NID_subject_key_identifier, "hash"));
  QANAT_TRY(add_extension(x, issuer, NID_authority_key_identifier, "keyid:always"));
  QANAT_TRY(add_names(x, ids, X509_NAME_entry_count(subject.get()) == 0));
  QANAT_ASSIGN(Certificate certificate, finish(x, ca.key));
  return Issued{std::move(key), std::move(certificate)};
}

Result<Bytes> make_crl(const Authority& ca, const std::optional<Crl>& previous, std::span<const Certificate> revoked,
                       WallTime now, int days) {
  constexpr const char* kList = "revocation list";
  QANAT_TRY(check_days(days));
  X509* issuer = ca.certificate.native();
  const X509Crl crl{X509_CRL_new()};
  const Asn1Time from = asn1_time({now.seconds - kClockSkew});
  const Asn1Time today = asn1_time(now);
  const Asn1Time until = asn1_time({now.seconds + days * kDay});
  if (!crl || !from || !today || !until || !ok(X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2)) ||
      !ok(X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer))) ||
      !ok(X509_CRL_set1_lastUpdate(crl.get(), from.get())) || !ok(X509_CRL_set1_nextUpdate(crl.get(), until.get())))
    return openssl_failure(kList);
  if (previous) {
    if (X509_NAME_cmp(X509_CRL_get_issuer(previous->native()), X509_get_subject_name(issuer)) != 0 ||
        X509_CRL_verify(previous->native(), ca.key.native()) != 1) {
      crypto::clear_openssl_errors();
      return fail(ErrorKind::LocalPolicy, kList, "the list that is there already was not made by this CA");
    }
    const auto* old = X509_CRL_get_REVOKED(previous->native());
    for (int i = 0; old != nullptr && i < sk_X509_REVOKED_num(old); ++i) {
      const X509_REVOKED* entry = sk_X509_REVOKED_value(old, i);
      QANAT_TRY(add_revoked(crl.get(), X509_REVOKED_get0_serialNumber(entry), X509_REVOKED_get0_revocationDate(entry)));
    }
  }
  for (const Certificate& c : revoked) {
    if (X509_verify(c.native(), ca.key.native()) != 1) {
      crypto::clear_openssl_errors();
      return fail(ErrorKind::LocalPolicy, kList, fmt::format("{} was not issued by this CA", c.subject()));
    }
    QANAT_TRY(add_revoked(crl.get(), X509_get0_serialNumber(c.native()), today.get()));
  }
  QANAT_ASSIGN(const Asn1Integer number, next_number(previous));
  if (!ok(X509_CRL_add1_ext_i2d(crl.get(), NID_crl_number, number.get(), 0, X509V3_ADD_DEFAULT)))
    return openssl_failure(kList);
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, nullptr, nullptr, crl.get(), 0);
  X509V3_set_ctx_nodb(&context);
  const Extension authority{X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always")};
  if (!authority || !ok(X509_CRL_add_ext(crl.get(), authority.get(), -1)) || !ok(X509_CRL_sort(crl.get())) ||
      X509_CRL_sign(crl.get(), ca.key.native(), digest_for(ca.key.kind())) <= 0)
    return openssl_failure(kList);
  Bytes out = der_of(i2d_X509_CRL, crl.get());
  if (out.empty()) return openssl_failure(kList);
  return out;
}

}  // namespace qanat::pki
