#include "pki/certificate.hpp"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "base/text.hpp"
#include "crypto/digest.hpp"
#include "pki/x509.hpp"
#include "wire/distinguished_name.hpp"

namespace qanat::pki {

namespace {

constexpr const char* kWhere = "certificate";
constexpr std::size_t kMaxNames = 256;  // subjectAltNames that are looked at

std::string name_text(const X509_NAME* name) {
  const Bytes der = der_of(i2d_X509_NAME, name);
  if (der.size() <= 1024) {
    if (const auto text = wire::decode_dn(der)) return *text;
  }
  const MemoryBio out{BIO_new(BIO_s_mem())};
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0) return "unreadable name";
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return printable(std::string_view{text, static_cast<std::size_t>(std::max(size, 0L))}, 512);
}

void add_names(const X509* x509, std::vector<wire::Identity>& to) {
  const GeneralNames names{static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr))};
  const int count = names ? std::min<int>(sk_GENERAL_NAME_num(names.get()), kMaxNames) : 0;
  for (int i = 0; i < count; ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type != GEN_DNS && type != GEN_EMAIL && type != GEN_IPADD) continue;
    const ByteView octets = octets_of(static_cast<const ASN1_STRING*>(value));
    if (octets.empty()) continue;
    if (type == GEN_DNS) to.push_back({wire::IdType::ID_FQDN, to_bytes(octets)});
    if (type == GEN_EMAIL) to.push_back({wire::IdType::ID_RFC822_ADDR, to_bytes(octets)});
    if (type == GEN_IPADD && octets.size() == 4) to.push_back({wire::IdType::ID_IPV4_ADDR, to_bytes(octets)});
    if (type == GEN_IPADD && octets.size() == 16) to.push_back({wire::IdType::ID_IPV6_ADDR, to_bytes(octets)});
  }
}

}  // namespace

Result<WallTime> wall_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || !ok(ASN1_TIME_to_tm(time, &parts))) {
    crypto::clear_openssl_errors();
    return fail(ErrorKind::Malformed, kWhere, "has a date that cannot be read");
  }
  const std::chrono::year_month_day day{std::chrono::year{parts.tm_year + 1900},
                                        std::chrono::month{static_cast<unsigned>(parts.tm_mon) + 1},
                                        std::chrono::day{static_cast<unsigned>(parts.tm_mday)}};
  const std::int64_t days = std::chrono::sys_days{day}.time_since_epoch().count();
  return WallTime{((days * 24 + parts.tm_hour) * 60 + parts.tm_min) * 60 + parts.tm_sec};
}

std::string date_text(WallTime time) {
  std::int64_t days = time.seconds / 86'400;
  if (time.seconds % 86'400 < 0) --days;
  const std::chrono::year_month_day day{
      std::chrono::sys_days{std::chrono::days{static_cast<std::chrono::days::rep>(days)}}};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

Result<Certificate> Certificate::parse(ByteView der) {
  if (der.size() > kMaxCertificate)
    return fail(ErrorKind::Resource, kWhere,
                fmt::format("has {} octets, and at most {} are read", der.size(), kMaxCertificate));
  const unsigned char* at = der.data();
  Certificate out;
  out.x509_ = {der.empty() ? nullptr : d2i_X509(nullptr, &at, static_cast<long>(der.size())), X509_free};
  crypto::clear_openssl_errors();
  if (!out.x509_) return fail(ErrorKind::Malformed, kWhere, "is no X.509 certificate in DER");
  if (at != der.data() + der.size()) return fail(ErrorKind::Malformed, kWhere, "has octets behind its end");
  QANAT_ASSIGN(out.not_before_, wall_time(X509_get0_notBefore(out.native())));
  QANAT_ASSIGN(out.not_after_, wall_time(X509_get0_notAfter(out.native())));
  out.der_ = to_bytes(der);
  add_names(out.native(), out.identities_);
  const X509_NAME* subject = X509_get_subject_name(out.native());
  if (X509_NAME_entry_count(subject) > 0)
    out.identities_.push_back({wire::IdType::ID_DER_ASN1_DN, der_of(i2d_X509_NAME, subject)});
  crypto::clear_openssl_errors();
  return out;
}

std::string Certificate::subject() const {
  return name_text(X509_get_subject_name(native()));
}
std::string Certificate::issuer() const {
  return name_text(X509_get_issuer_name(native()));
}

bool Certificate::matches(const wire::Identity& id) const {
  return id.type != wire::IdType::ID_KEY_ID && std::any_of(identities_.begin(), identities_.end(),
                                                           [&](const wire::Identity& own) { return own.matches(id); });
}

Bytes Certificate::spki() const {
  return der_of(i2d_X509_PUBKEY, X509_get_X509_PUBKEY(native()));
}

// OpenSSL has decoded it with the certificate.
Result<crypto::PublicKey> Certificate::public_key() const {
  std::shared_ptr<EVP_PKEY> key{X509_get_pubkey(native()), EVP_PKEY_free};
  crypto::clear_openssl_errors();
  if (!key) return crypto::PublicKey::from_spki(spki());  // which says what is wrong with it
  return crypto::PublicKey::adopt(std::move(key));
}

std::string Certificate::signed_with() const {
  const int nid = X509_get_signature_nid(native());
  const char* name = nid == NID_undef ? nullptr : OBJ_nid2ln(nid);
  return name ? name : "an unknown algorithm";
}

bool Certificate::has_quantum_safe_signature() const {
  const int nid = X509_get_signature_nid(native());
  static constexpr int kSafe[] = {NID_ML_DSA_44,          NID_ML_DSA_65,          NID_ML_DSA_87,
                                  NID_SLH_DSA_SHA2_128s,  NID_SLH_DSA_SHA2_128f,  NID_SLH_DSA_SHA2_192s,
                                  NID_SLH_DSA_SHA2_192f,  NID_SLH_DSA_SHA2_256s,  NID_SLH_DSA_SHA2_256f,
                                  NID_SLH_DSA_SHAKE_128s, NID_SLH_DSA_SHAKE_128f, NID_SLH_DSA_SHAKE_192s,
                                  NID_SLH_DSA_SHAKE_192f, NID_SLH_DSA_SHAKE_256s, NID_SLH_DSA_SHAKE_256f};
  return std::find(std::begin(kSafe), std::end(kSafe), nid) != std::end(kSafe);
}

bool Certificate::is_self_issued() const {
  return X509_NAME_cmp(X509_get_subject_name(native()), X509_get_issuer_name(native())) == 0;
}
bool Certificate::serves_tls() const {
  // All bits are set when there is no such extension.
  return (X509_get_key_usage(x509_.get()) & KU_DIGITAL_SIGNATURE) != 0 &&
         (X509_get_extended_key_usage(x509_.get()) & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0;
}

bool Certificate::is_ca() const {
  const bool ca = X509_check_ca(native()) == 1;
  crypto::clear_openssl_errors();
  return ca;
}

std::string Certificate::serial() const {
  const ByteView octets = octets_of(X509_get0_serialNumber(native()));
  return octets.size() > 64 ? to_hex(octets.first(64)) + "..." : to_hex(octets);
}
std::string Certificate::fingerprint() const {
  return to_hex(crypto::sha256({der_}));
}

Result<Crl> Crl::parse(ByteView der) {
  constexpr const char* kList = "revocation list";
  if (der.size() > kMaxCrl)
    return fail(ErrorKind::Resource, kList, fmt::format("has {} octets, and at most {} are read", der.size(), kMaxCrl));
  const unsigned char* at = der.data();
  Crl out;
  out.crl_ = {der.empty() ? nullptr : d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())), X509_CRL_free};
  crypto::clear_openssl_errors();
  if (!out.crl_ || at != der.data() + der.size())
    return fail(ErrorKind::Malformed, kList, "is no X.509 revocation list in DER");
  return out;
}

std::string Crl::issuer() const {
  return name_text(X509_CRL_get_issuer(native()));
}
Result<WallTime> Crl::next_update() const {
  return wall_time(X509_CRL_get0_nextUpdate(native()));
}
std::size_t Crl::revoked() const {
  const auto* list = X509_CRL_get_REVOKED(native());
  return list == nullptr ? 0 : static_cast<std::size_t>(std::max(sk_X509_REVOKED_num(list), 0));
}

}  // namespace qanat::pki
