#include "io/tls.hpp"

#include <algorithm>
#include <array>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "crypto/openssl.hpp"
#include "crypto/signature.hpp"

namespace qanat::io {

namespace {

using crypto::ok;

// Of the macros that are SSL_CTX_ctrl beneath.
bool done(long result) {
  return result == 1;
}

constexpr const char* kWhere = "TLS of the API";
constexpr std::size_t kRecord = std::size_t{16} << 10;

// RFC 7301: http/1.1 where the client asks; a client that wants something else alone is told so.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                    void*) {
  constexpr std::string_view kProtocol = "http/1.1";
  for (unsigned at = 0; at < in_size; at += 1U + in[at]) {
    const std::string_view offered{reinterpret_cast<const char*>(in) + at + 1,
                                   std::min<std::size_t>(in[at], in_size - at - 1)};
    if (offered != kProtocol) continue;
    *out = in + at + 1;
    *out_size = static_cast<unsigned char>(kProtocol.size());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

using X509Ptr = std::unique_ptr<X509, crypto::FreeWith<X509_free>>;

Result<X509Ptr> parse_certificate(const Bytes& der) {
  const unsigned char* at = der.data();
  X509Ptr out(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!out) return crypto::openssl_failure(kWhere);
  return out;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::create(std::span<const Bytes> chain, ByteView pkcs8) {
  if (chain.empty()) return fail(ErrorKind::LocalPolicy, kWhere, "there is no certificate");
  auto out = std::make_shared<TlsContext>();
  out->context_ = {SSL_CTX_new(TLS_server_method()), [](SSL_CTX* c) { SSL_CTX_free(c); }};
  SSL_CTX* const context = out->context_.get();
  if (context == nullptr) return crypto::openssl_failure(kWhere);
  // A slash: whoever can do the first is asked for it, even if its first message has only the second.
  const std::string groups = std::string{kHybridGroup} + "/" + std::string{kClassicalGroup};
  if (!done(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)) ||
      !done(SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION)) ||
      !done(SSL_CTX_set1_groups_list(context, groups.c_str())) ||
      !ok(SSL_CTX_set_ciphersuites(context,
                                   "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")) ||
      !ok(SSL_CTX_set_num_tickets(context, 0)))
    return crypto::openssl_failure(kWhere);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);  // clients prove themselves with a token
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);

  QANAT_ASSIGN(const X509Ptr leaf, parse_certificate(chain.front()));
  QANAT_ASSIGN(const crypto::PrivateKey key, crypto::PrivateKey::from_pkcs8(pkcs8));
  if (!ok(SSL_CTX_use_certificate(context, leaf.get())) || !ok(SSL_CTX_use_PrivateKey(context, key.native())) ||
      !ok(SSL_CTX_check_private_key(context)))
    return crypto::openssl_failure(kWhere);
  for (const Bytes& der : chain.subspan(1)) {
    QANAT_ASSIGN(const X509Ptr link, parse_certificate(der));
    if (!done(SSL_CTX_add1_chain_cert(context, link.get()))) return crypto::openssl_failure(kWhere);
  }
  return std::shared_ptr<const TlsContext>(std::move(out));
}

TlsChannel::TlsChannel(const std::shared_ptr<const TlsContext>& context)
    : context_(context), ssl_(SSL_new(context->native()), [](SSL* s) { SSL_free(s); }) {
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  if (!ssl_ || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    throw std::bad_alloc();  // this connection's trouble alone: the server goes on
  }
  SSL_set_bio(ssl_.get(), in, out);
  SSL_set_accept_state(ssl_.get());
}

Status TlsChannel::feed(ByteView wire, std::string& plain) {
  ERR_clear_error();
  if (!wire.empty() &&
      BIO_write(SSL_get_rbio(ssl_.get()), wire.data(), static_cast<int>(wire.size())) != static_cast<int>(wire.size()))
    return fail(ErrorKind::Resource, kWhere, "out of memory");
  if (!open_) {
    const int result = SSL_do_handshake(ssl_.get());
    if (!ok(result)) {
      if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return {};
      auto failure = crypto::openssl_failure(kWhere);
      failure.error().kind = ErrorKind::PeerIncompatible;
      return failure;
    }
    open_ = true;
  }
  return read(plain);
}

Status TlsChannel::read(std::string& plain) {
  std::array<char, kRecord> record{};
  while (true) {
    const int got = SSL_read(ssl_.get(), record.data(), static_cast<int>(record.size()));
    if (got > 0) {
      plain.append(record.data(), static_cast<std::size_t>(got));
      continue;
    }
    const int why = SSL_get_error(ssl_.get(), got);
    if (why == SSL_ERROR_WANT_READ) return {};
    if (why == SSL_ERROR_ZERO_RETURN) {
      peer_done_ = true;
      return {};
    }
    auto failure = crypto::openssl_failure(kWhere);
    failure.error().kind = ErrorKind::PeerMisbehaved;
    return failure;
  }
}

Status TlsChannel::write(std::string_view plain) {
  ERR_clear_error();
  while (!plain.empty()) {
    const int put = SSL_write(ssl_.get(), plain.data(), static_cast<int>(std::min(plain.size(), kRecord)));
    if (put <= 0) return crypto::openssl_failure(kWhere);
    plain.remove_prefix(static_cast<std::size_t>(put));
  }
  return {};
}

void TlsChannel::close() {
  ERR_clear_error();
  if (open_) (void)SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::string TlsChannel::take_output() {
  BIO* const out = SSL_get_wbio(ssl_.get());
  std::string wire(BIO_ctrl_pending(out), '\0');
  if (wire.empty()) return wire;
  const int got = BIO_read(out, wire.data(), static_cast<int>(wire.size()));
  wire.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return wire;
}

std::string TlsChannel::group() const {
  const char* name = open_ ? SSL_get0_group_name(ssl_.get()) : nullptr;
  if (name == nullptr) return {};
  return std::string{name} == "x25519" ? std::string{kClassicalGroup} : std::string{name};  // OpenSSL's spelling
}

}  // namespace qanat::io
