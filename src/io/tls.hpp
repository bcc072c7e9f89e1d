// TLS for the API's listener, server side, without sockets: octets from the wire in, octets for the wire out.
//
// TLS 1.3 only. Key exchange: X25519MLKEM768 when the client can, also when that costs it a second ClientHello, X25519
// otherwise; the channel says which. No resumption and no early data: every connection has fresh keys. ALPN: http/1.1.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX
struct ssl_st;      // SSL

namespace qanat::io {

inline constexpr std::string_view kHybridGroup = "X25519MLKEM768";
inline constexpr std::string_view kClassicalGroup = "X25519";

// A certificate with its key. Shared by connections and threads; never changes.
class TlsContext {
 public:
  // `chain`: DER, the leaf first; `pkcs8`: the leaf's key.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> create(std::span<const Bytes> chain, ByteView pkcs8);
  // For a client (tls_client.cpp): believes `anchors` (DER), or the system's CAs when there are none.
  [[nodiscard]] static Result<std::shared_ptr<const TlsContext>> create_client(std::span<const Bytes> anchors);
  [[nodiscard]] ssl_ctx_st* native() const { return context_.get(); }

 private:
  std::shared_ptr<ssl_ctx_st> context_;
};

// One connection. feed() what has come, append write()'s plaintext, send what take_output() gives after either.
class TlsChannel {
 public:
  explicit TlsChannel(const std::shared_ptr<const TlsContext>& context);
  // The client's side, with a context of create_client(): the server's certificate must be good for `server`, a name or
  // an address. feed({}) begins.
  TlsChannel(const std::shared_ptr<const TlsContext>& context, const std::string& server);

  // Appends what the peer says to `plain`. An error ends the connection; take_output() may still have an alert to send.
  [[nodiscard]] Status feed(ByteView wire, std::string& plain);
  [[nodiscard]] bool is_open() const { return open_; }            // the handshake is done
  [[nodiscard]] bool is_peer_done() const { return peer_done_; }  // close_notify has come
  // Only once it is open.
  [[nodiscard]] Status write(std::string_view plain);
  void close();  // says that we are done
  [[nodiscard]] std::string take_output();
  // "X25519MLKEM768" or "X25519"; empty before the channel is open.
  [[nodiscard]] std::string group() const;
  // Of a client whose handshake failed: why the server's certificate is not believed; empty: that was not it.
  [[nodiscard]] std::string distrust() const;

 private:
  [[nodiscard]] Status read(std::string& plain);

  std::shared_ptr<const TlsContext> context_;
  std::shared_ptr<ssl_st> ssl_;
  bool open_ = false;
  bool peer_done_ = false;
};

}  // namespace qanat::io
