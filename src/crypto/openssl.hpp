// Owners of OpenSSL's objects, and one way to report its failures. Internal to crypto/.
//
// Most OpenSSL functions are tri-state: 1 is success, 0 and negative numbers are failures of two kinds. Everything
// here compares with 1 (ok()), so that a -1 is never taken for true.
#pragma once

#include <memory>
#include <string>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include "base/bytes.hpp"

namespace qanat::crypto {

template <auto Free>
struct FreeWith {
  template <typename T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};

using EvpPkey = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using EvpPkeyCtx = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using EvpMd = std::unique_ptr<EVP_MD, FreeWith<EVP_MD_free>>;
using EvpMdCtx = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using EvpCipher = std::unique_ptr<EVP_CIPHER, FreeWith<EVP_CIPHER_free>>;
using EvpCipherCtx = std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>>;
using BigNumber = std::unique_ptr<BIGNUM, FreeWith<BN_clear_free>>;
using BigNumberCtx = std::unique_ptr<BN_CTX, FreeWith<BN_CTX_free>>;
using EcGroup = std::unique_ptr<EC_GROUP, FreeWith<EC_GROUP_free>>;
using EcPoint = std::unique_ptr<EC_POINT, FreeWith<EC_POINT_clear_free>>;

[[nodiscard]] constexpr bool ok(int openssl_result) {
  return openssl_result == 1;
}

// Error{Internal} with OpenSSL's own reason; leaves its error queue empty.
[[nodiscard]] std::unexpected<Error> openssl_failure(std::string where);

// Forgets the errors of a refusal that we report in our own words, so that nobody reads them as their own later.
void clear_openssl_errors();

}  // namespace qanat::crypto
