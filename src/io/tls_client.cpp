// The client's side of TLS, for webhooks: 1.3, or 1.2 for receivers that know no better; hybrid key exchange offered
// first. The certificate is checked for the name, always.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/address.hpp"
#include "crypto/openssl.hpp"
#include "io/tls.hpp"

namespace qanat::io {

namespace {

using crypto::ok;

constexpr const char* kWhere = "TLS of a webhook";
constexpr const char* kSystemCas = "/etc/ssl/certs/ca-certificates.crt";

bool done(long result) {
  return result == 1;
}

// SSL_set_tlsext_host_name without its cast.
long set_name(SSL* ssl, std::string name) {
  return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::create_client(std::span<const Bytes> anchors) {
  auto out = std::make_shared<TlsContext>();
  out->context_ = {SSL_CTX_new(TLS_client_method()), [](SSL_CTX* c) { SSL_CTX_free(c); }};
  SSL_CTX* const context = out->context_.get();
  if (context == nullptr) return crypto::openssl_failure(kWhere);
  const std::string groups = std::string{kHybridGroup} + ":" + std::string{kClassicalGroup} + ":secp256r1:secp384r1";
  if (!done(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)) ||
      !done(SSL_CTX_set1_groups_list(context, groups.c_str())))
    return crypto::openssl_failure(kWhere);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  if (anchors.empty() && !ok(X509_STORE_load_file(store, kSystemCas))) {
    ERR_clear_error();
    return fail(ErrorKind::Resource, kSystemCas,
                "cannot be read: install ca-certificates, or name a file in [gateway] webhook_ca");
  }
  for (const Bytes& der : anchors) {
    const unsigned char* at = der.data();
    const std::unique_ptr<X509, crypto::FreeWith<X509_free>> certificate(
        d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    if (!certificate || !ok(X509_STORE_add_cert(store, certificate.get()))) return crypto::openssl_failure(kWhere);
  }
  return std::shared_ptr<const TlsContext>(std::move(out));
}

TlsChannel::TlsChannel(const std::shared_ptr<const TlsContext>& context, const std::string& server)
    : TlsChannel(context) {
  SSL* const ssl = ssl_.get();
  const bool named = !IpAddress::parse(server);
  const bool set = named ? ok(SSL_set1_host(ssl, server.c_str())) && done(set_name(ssl, server))
                         : ok(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server.c_str()));
  if (!set) throw std::bad_alloc();  // this connection's trouble alone
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  SSL_set_connect_state(ssl);
}

std::string TlsChannel::distrust() const {
  const long result = SSL_get_verify_result(ssl_.get());
  return result == X509_V_OK ? std::string{} : std::string{X509_verify_cert_error_string(result)};
}

}  // namespace qanat::io
