#include "pki/trust.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "crypto/digest.hpp"
#include "pki/x509.hpp"
#include "wire/numbers.hpp"

namespace qanat::pki {

namespace {

using CertificateStack = std::unique_ptr<STACK_OF(X509), decltype([](STACK_OF(X509) * stack) { sk_X509_free(stack); })>;

constexpr int kSecurityLevel = 2;  // OpenSSL's: 112 bits, so RSA from 2,048 bits, no SHA-1

std::unexpected<Error> refuse(std::string detail) {
  crypto::clear_openssl_errors();
  return fail(ErrorKind::AuthFailed, "peer certificate", std::move(detail),
              static_cast<std::uint16_t>(wire::NotifyType::AUTHENTICATION_FAILED));
}

// OpenSSL asks for a list of every issuer; we demand one only of issuers for which one is configured.
int tolerate_issuers_without_list(int good, X509_STORE_CTX* context) {
  if (good == 1 || X509_STORE_CTX_get_error(context) != X509_V_ERR_UNABLE_TO_GET_CRL) return good;
  const auto* crls = static_cast<const std::vector<Crl>*>(X509_STORE_CTX_get_app_data(context));
  const X509* certificate = X509_STORE_CTX_get_current_cert(context);
  const bool configured =
      certificate == nullptr || std::any_of(crls->begin(), crls->end(), [&](const Crl& crl) {
        return X509_NAME_cmp(X509_CRL_get_issuer(crl.native()), X509_get_issuer_name(certificate)) == 0;
      });
  if (configured) return 0;
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

// What OpenSSL found, and what to do about it.
std::string explain(int error, const Certificate& subject, std::span<const Certificate> presented, WallTime now) {
  const std::string name = subject.subject();
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("{} expired on {}: it must be renewed (our clock says {})", name,
                         date_text(subject.not_after()), date_text(now));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("{} is valid only from {}: is our clock right? It says {}", name,
                         date_text(subject.not_before()), date_text(now));
    case X509_V_ERR_CERT_REVOKED:
      return fmt::format("{} (serial {}) has been revoked: the peer needs another certificate", name, subject.serial());
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return fmt::format("the revocation list of {} has expired: put a new one into crl_files", subject.issuer());
    case X509_V_ERR_CRL_NOT_YET_VALID:
      return fmt::format("the revocation list of {} is not valid yet: is our clock right? It says {}", subject.issuer(),
                         date_text(now));
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
      return fmt::format("the revocation list in crl_files for the issuer {} cannot be used ({}): replace it",
                         subject.issuer(), X509_verify_cert_error_string(error));
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return fmt::format(
          "{} was issued by {}, from where no way leads to a certificate in ca_files ({} presented): put the issuer "
          "into ca_files if it is to be trusted, or have the peer send its intermediate certificates",
          name, subject.issuer(), presented.size());
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return fmt::format("more than {} certificates stand between {} and a trust anchor", kMaxIntermediates,
                         presented.front().subject());
    case X509_V_ERR_INVALID_CA:
      return fmt::format("{} issued a certificate and is no CA (basicConstraints)", name);
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
      return fmt::format("the path length that a CA above {} allows is exceeded", presented.front().subject());
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
      return fmt::format("the names of {} are outside what its CA may issue (name constraints)", name);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return fmt::format("the signature on {} is not that of {}", name, subject.issuer());
    case X509_V_ERR_CA_MD_TOO_WEAK:
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
      return fmt::format("{}: {}: SHA-1 and RSA below 2,048 bits are not accepted, it must be issued anew", name,
                         X509_verify_cert_error_string(error));
    default:
      return fmt::format("{}: {}", name, X509_verify_cert_error_string(error));
  }
}

// keyUsage and extendedKeyUsage (RFC 4945 5.1.3.2 and 5.1.3.12; serverAuth and clientAuth because many CAs know no
// other). Where an extension is absent nothing is restricted.
Status check_usage(const Certificate& certificate, bool is_leaf) {
  if (is_leaf && (X509_get_key_usage(certificate.native()) & KU_DIGITAL_SIGNATURE) == 0) {
    return refuse(fmt::format("the keyUsage of {} does not allow digitalSignature: it must be issued anew",
                              certificate.subject()));
  }
  int critical = -1;
  const ExtendedUsage usage{
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(certificate.native(), NID_ext_key_usage, &critical, nullptr))};
  if (!usage && critical == -1) return {};
  const int count = usage ? sk_ASN1_OBJECT_num(usage.get()) : 0;
  for (int i = 0; i < count; ++i) {
    const int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usage.get(), i));
    if (nid == NID_ipsec_IKE || nid == NID_anyExtendedKeyUsage || nid == NID_server_auth || nid == NID_client_auth)
      return {};
  }
  return refuse(
      fmt::format("the extendedKeyUsage of {} does not allow IKE: it needs ipsecIKE (1.3.6.1.5.5.7.3.17), "
                  "anyExtendedKeyUsage, serverAuth or clientAuth",
                  certificate.subject()));
}

std::string list_of(const std::vector<wire::Identity>& ids) {
  std::string out;
  for (std::size_t i = 0; i < ids.size() && i < 8; ++i) out += (i == 0 ? "" : ", ") + ids[i].to_string();
  return out.empty() ? "nobody" : out + (ids.size() > 8 ? ", ..." : "");
}

// Why the chain (leaf first, anchor last) does not hold against a quantum computer; empty when it does.
std::string weakness(std::span<const Certificate> chain, const crypto::PublicKey& key) {
  if (!crypto::is_quantum_safe(key.kind())) return "its key is " + key.describe();
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    if (!chain[i].has_quantum_safe_signature())
      return fmt::format("{} is signed with {}", i == 0 ? "it" : chain[i].subject(), chain[i].signed_with());
  }
  return {};
}

// The certificate as it was parsed before: OpenSSL's chain is made of the very objects that it was given.
Result<Certificate> known(const X509* x509, std::span<const Certificate> presented,
                          const std::vector<Certificate>& anchors) {
  for (const std::span<const Certificate> list : {presented, std::span{anchors}}) {
    for (const Certificate& c : list) {
      if (c.native() == x509) return c;
    }
  }
  return Certificate::parse(der_of(i2d_X509, x509));
}

Result<std::vector<Certificate>> verified_chain(X509_STORE* store, std::span<const Certificate> presented,
                                                const std::vector<Certificate>& anchors, const std::vector<Crl>& crls,
                                                WallTime now) {
  const StoreContext context{X509_STORE_CTX_new()};
  const CertificateStack others{sk_X509_new_null()};
  if (!context || !others) return crypto::openssl_failure("certificate chain");
  for (const Certificate& c : presented.subspan(1)) {
    if (sk_X509_push(others.get(), c.native()) <= 0) return crypto::openssl_failure("certificate chain");
  }
  if (!ok(X509_STORE_CTX_init(context.get(), store, presented.front().native(), others.get())))
    return crypto::openssl_failure("certificate chain");
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  unsigned long flags = X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
  if (!crls.empty()) flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
  X509_VERIFY_PARAM_set_flags(parameters, flags);
  X509_VERIFY_PARAM_set_depth(parameters, kMaxIntermediates);
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  X509_VERIFY_PARAM_set_time(parameters, static_cast<time_t>(now.seconds));
  X509_STORE_CTX_set_app_data(context.get(), const_cast<std::vector<Crl>*>(&crls));
  X509_STORE_CTX_set_verify_cb(context.get(), tolerate_issuers_without_list);

  const int result = X509_verify_cert(context.get());
  if (result != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    const X509* current = X509_STORE_CTX_get_current_cert(context.get());
    const auto culprit = current ? Certificate::parse(der_of(i2d_X509, current)) : presented.front();
    if (error == X509_V_OK) return refuse("its chain could not be checked");
    return refuse(explain(error, culprit ? *culprit : presented.front(), presented, now));
  }
  std::vector<Certificate> chain;
  const STACK_OF(X509)* built = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(built); ++i) {
    QANAT_ASSIGN(Certificate c, known(sk_X509_value(built, i), presented, anchors));
    chain.push_back(std::move(c));
  }
  if (chain.empty()) return refuse("its chain could not be checked");
  return chain;
}

}  // namespace

Result<TrustStore> TrustStore::create(std::span<const Bytes> anchors, std::span<const Bytes> crls) {
  TrustStore out;
  out.store_ = {X509_STORE_new(), X509_STORE_free};
  if (!out.store_) return crypto::openssl_failure("trust anchors");
  for (const Bytes& der : anchors) {
    QANAT_ASSIGN(Certificate anchor, Certificate::parse(der));
    // OpenSSL reads extensions when they are first wanted: here, before several threads share the anchor.
    static_cast<void>(X509_check_purpose(anchor.native(), -1, 0));
    crypto::clear_openssl_errors();
    if (!ok(X509_STORE_add_cert(out.store_.get(), anchor.native()))) return crypto::openssl_failure("trust anchors");
    out.anchors_.push_back(std::move(anchor));
  }
  for (const Bytes& der : crls) {
    QANAT_ASSIGN(Crl crl, Crl::parse(der));
    if (!ok(X509_STORE_add_crl(out.store_.get(), crl.native()))) return crypto::openssl_failure("revocation lists");
    out.crls_.push_back(std::move(crl));
  }
  ByteWriter all;
  for (const std::span<const Bytes> list : {anchors, crls}) {
    all.u32(static_cast<std::uint32_t>(list.size()));
    for (const Bytes& der : list) {
      all.u32(static_cast<std::uint32_t>(der.size()));
      all.bytes(der);
    }
  }
  out.fingerprint_ = crypto::sha256({all.view()});
  return out;
}

Result<Verified> TrustStore::validate(std::span<const Bytes> presented, const wire::Identity& expected, WallTime now,
                                      Requirements requirements) const {
  if (anchors_.empty()) return refuse("no certificate is trusted here: name the peer's CA with ca_files");
  if (presented.size() > kMaxPresented)
    return refuse(
        fmt::format("the peer sent {} certificates, and at most {} are looked at", presented.size(), kMaxPresented));
  std::vector<Certificate> certificates;
  for (const Bytes& der : presented) {
    auto parsed = Certificate::parse(der);
    if (!parsed)
      return refuse(
          fmt::format("certificate {} of {} {}", certificates.size() + 1, presented.size(), parsed.error().detail));
    certificates.push_back(*std::move(parsed));
  }
  if (certificates.empty()) {
    const auto pinned = std::find_if(anchors_.begin(), anchors_.end(),
                                     [&](const Certificate& c) { return !c.is_ca() && c.matches(expected); });
    if (pinned == anchors_.end())
      return refuse("the peer sent no certificate: have it send its own, or put it into ca_files");
    certificates.push_back(*pinned);
  }
  QANAT_ASSIGN(const std::vector<Certificate> chain, verified_chain(store_.get(), certificates, anchors_, crls_, now));
  const Certificate& leaf = chain.front();
  for (std::size_t i = 0; i == 0 || i + 1 < chain.size(); ++i) QANAT_TRY(check_usage(chain[i], i == 0));
  if (expected.type == wire::IdType::ID_KEY_ID)
    return refuse(
        fmt::format("the peer calls itself {}, and no certificate is for a key id: give it a local_id that "
                    "stands in its certificate",
                    expected.to_string()));
  if (!leaf.matches(expected))
    return refuse(
        fmt::format("the peer calls itself {}, and its certificate is for {}: the identity must be one of "
                    "these",
                    expected.to_string(), list_of(leaf.identities())));
  auto key = leaf.public_key();
  if (!key) return refuse("its key " + key.error().detail);
  const std::string weak = weakness(chain, *key);
  if (requirements.quantum_safe && !weak.empty())
    return refuse(
        fmt::format("pq_auth = \"require\", and the certificate {} is not quantum-safe: {}", leaf.subject(), weak));
  Verified out{*std::move(key), weak.empty(), {}, leaf.not_after()};
  for (const Certificate& c : chain) out.until = std::min(out.until, c.not_after());
  for (const Crl& crl : crls_) {
    if (const auto next = crl.next_update()) out.until = std::min(out.until, *next);
  }
  out.described =
      fmt::format("{} certificate {}, issued by {}, until {}, {}", out.key.describe(), leaf.subject(), leaf.issuer(),
                  date_text(leaf.not_after()), weak.empty() ? "quantum-safe" : "not quantum-safe: " + weak);
  return out;
}

}  // namespace qanat::pki
