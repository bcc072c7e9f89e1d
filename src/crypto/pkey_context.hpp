// Public-key contexts that are set up once in a thread for key types without parameters (X25519, ML-KEM): making a key
// otherwise begins with a look-up by name that costs as much as many hashes. They hold no key. Internal to crypto/.
#pragma once

#include "crypto/openssl.hpp"

namespace qanat::crypto {

// A fresh key pair from the library's own generator; nullptr: OpenSSL failed. `type` is a literal.
[[nodiscard]] EvpPkey generate_key(const char* type);
// A public key from its raw octets; nullptr: OpenSSL refuses them.
[[nodiscard]] EvpPkey import_public_key(const char* type, ByteView octets);

}  // namespace qanat::crypto
