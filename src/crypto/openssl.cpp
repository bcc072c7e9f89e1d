#include "crypto/openssl.hpp"

#include <openssl/err.h>

namespace qanat::crypto {

std::unexpected<Error> openssl_failure(std::string where) {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  std::string detail = reason == nullptr ? "OpenSSL gave no reason" : std::string{"OpenSSL: "} + reason;
  ERR_clear_error();
  return fail(ErrorKind::Internal, std::move(where), std::move(detail));
}

void clear_openssl_errors() {
  ERR_clear_error();
}

}  // namespace qanat::crypto
