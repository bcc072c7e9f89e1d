// For tests: a certificate made on the spot, and a TLS client without sockets. Internal to io/.
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "crypto/openssl.hpp"
#include "crypto/signature.hpp"
#include "io/tls.hpp"

namespace qanat::io::testing {

// Self-signed, for "localhost", one day.
inline std::shared_ptr<const TlsContext> make_context() {
  auto key = crypto::PrivateKey::generate(crypto::KeyKind::EcP256);
  EXPECT_TRUE(key);
  std::unique_ptr<X509, crypto::FreeWith<X509_free>> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
  X509_set_pubkey(certificate.get(), key->native());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  EXPECT_GT(X509_sign(certificate.get(), key->native(), EVP_sha256()), 0);
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  EXPECT_GT(size, 0);
  const std::vector<Bytes> chain = {Bytes(der, der + size)};
  OPENSSL_free(der);
  const auto pkcs8 = key->to_pkcs8();
  EXPECT_TRUE(pkcs8);
  auto context = TlsContext::create(chain, pkcs8->expose());
  EXPECT_TRUE(context) << context.error().detail;
  return *context;
}

class TlsClient {
 public:
  // `groups` as OpenSSL writes them; `newest`: the highest version that it speaks.
  explicit TlsClient(const std::string& groups = {}, int newest = TLS1_3_VERSION, const std::string& alpn = {}) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_max_proto_version(context_.get(), newest);
    if (!groups.empty()) {
      EXPECT_EQ(SSL_CTX_set1_groups_list(context_.get(), groups.c_str()), 1);
    }
    ssl_.reset(SSL_new(context_.get()));
    if (!alpn.empty()) {
      const std::string list = static_cast<char>(alpn.size()) + alpn;
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(list.data()),
                          static_cast<unsigned>(list.size()));
    }
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
  }
  // True when the handshake is done.
  bool handshake() { return SSL_do_handshake(ssl_.get()) == 1; }
  void feed(std::string_view wire) { BIO_write(SSL_get_rbio(ssl_.get()), wire.data(), static_cast<int>(wire.size())); }
  std::string take_output() {
    std::string out(BIO_ctrl_pending(SSL_get_wbio(ssl_.get())), '\0');
    if (!out.empty()) BIO_read(SSL_get_wbio(ssl_.get()), out.data(), static_cast<int>(out.size()));
    return out;
  }
  void write(std::string_view plain) {
    EXPECT_EQ(SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size())), static_cast<int>(plain.size()));
  }
  std::string read() {
    std::string out;
    char buffer[4096];
    for (int got = 0; (got = SSL_read(ssl_.get(), buffer, sizeof buffer)) > 0;)
      out.append(buffer, static_cast<std::size_t>(got));
    return out;
  }
  SSL* native() { return ssl_.get(); }

 private:
  std::unique_ptr<SSL_CTX, crypto::FreeWith<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, crypto::FreeWith<SSL_free>> ssl_;
};

}  // namespace qanat::io::testing
