// Certificate: an X.509 certificate that has been parsed and says who it is for. Nothing here says whether it may be
// trusted: that is trust.hpp.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "crypto/signature.hpp"
#include "wire/identity.hpp"

struct x509_st;      // OpenSSL's X509
struct X509_crl_st;  // X509_CRL

namespace qanat::pki {

inline constexpr std::size_t kMaxCertificate = std::size_t{64} << 10;  // octets of DER; one with ML-DSA-87 has 8 KiB
inline constexpr std::size_t kMaxCrl = std::size_t{2} << 20;

[[nodiscard]] std::string date_text(WallTime time);  // "2027-03-01"

class Certificate {
 public:
  // DER, all of it. Error{Malformed} for anything that is no certificate, Error{Resource} above kMaxCertificate.
  [[nodiscard]] static Result<Certificate> parse(ByteView der);

  [[nodiscard]] const Bytes& der() const { return der_; }
  [[nodiscard]] std::string subject() const;  // "CN=berlin,O=Example"; safe to print
  [[nodiscard]] std::string issuer() const;
  // The subjectAltNames that IKE has an identity for, in their order, then the subject as a DN where there is one.
  [[nodiscard]] const std::vector<wire::Identity>& identities() const { return identities_; }
  // Whether the certificate is for `id` (RFC 4945 3.1): FQDN, RFC822 and addresses are in a subjectAltName, whole and
  // without wildcards; a DN is the subject; a KEY_ID is in no certificate.
  [[nodiscard]] bool matches(const wire::Identity& id) const;
  [[nodiscard]] WallTime not_before() const { return not_before_; }
  [[nodiscard]] WallTime not_after() const { return not_after_; }
  [[nodiscard]] Bytes spki() const;
  [[nodiscard]] Result<crypto::PublicKey> public_key() const;
  [[nodiscard]] std::string signed_with() const;          // "ML-DSA-65", "ecdsa-with-SHA256"
  [[nodiscard]] bool has_quantum_safe_signature() const;  // ML-DSA or SLH-DSA
  [[nodiscard]] bool is_self_issued() const;
  [[nodiscard]] bool is_ca() const;
  // Its key usages are those of a TLS server, or it has none.
  [[nodiscard]] bool serves_tls() const;
  [[nodiscard]] std::string serial() const;       // hexadecimal
  [[nodiscard]] std::string fingerprint() const;  // SHA-256 of the DER, hexadecimal
  [[nodiscard]] x509_st* native() const { return x509_.get(); }

 private:
  std::shared_ptr<x509_st> x509_;
  Bytes der_;
  std::vector<wire::Identity> identities_;
  WallTime not_before_;
  WallTime not_after_;
};

class Crl {
 public:
  [[nodiscard]] static Result<Crl> parse(ByteView der);
  [[nodiscard]] std::string issuer() const;
  [[nodiscard]] Result<WallTime> next_update() const;  // Error when the list has no such date
  [[nodiscard]] std::size_t revoked() const;
  [[nodiscard]] X509_crl_st* native() const { return crl_.get(); }

 private:
  std::shared_ptr<X509_crl_st> crl_;
};

}  // namespace qanat::pki
