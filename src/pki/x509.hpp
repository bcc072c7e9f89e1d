// Owners of OpenSSL's X.509 objects. Internal to pki/.
#pragma once

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/time.hpp"
#include "crypto/openssl.hpp"

namespace qanat::pki {

using crypto::FreeWith;
using crypto::ok;

using X509Cert = std::unique_ptr<X509, FreeWith<X509_free>>;
using X509Crl = std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>>;
using X509Name = std::unique_ptr<X509_NAME, FreeWith<X509_NAME_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;
using Asn1Time = std::unique_ptr<ASN1_TIME, FreeWith<ASN1_TIME_free>>;
using Asn1Integer = std::unique_ptr<ASN1_INTEGER, FreeWith<ASN1_INTEGER_free>>;
using ExtendedUsage = std::unique_ptr<EXTENDED_KEY_USAGE, FreeWith<EXTENDED_KEY_USAGE_free>>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, FreeWith<X509_EXTENSION_free>>;
using MemoryBio = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;

[[nodiscard]] inline ByteView octets_of(const ASN1_STRING* text) {
  const int size = ASN1_STRING_length(text);
  return size <= 0 ? ByteView{} : ByteView{ASN1_STRING_get0_data(text), static_cast<std::size_t>(size)};
}

// DER of an object by its i2d function; empty when it cannot be written.
template <typename Parameter, typename Object>
[[nodiscard]] Bytes der_of(int (*i2d)(Parameter*, unsigned char**), Object* object) {
  const int size = i2d(object, nullptr);
  if (size <= 0) return {};
  Bytes out(static_cast<std::size_t>(size));
  unsigned char* at = out.data();
  return i2d(object, &at) == size ? out : Bytes{};
}

// Error{Malformed} for a time that is no date.
[[nodiscard]] Result<WallTime> wall_time(const ASN1_TIME* time);

}  // namespace qanat::pki
