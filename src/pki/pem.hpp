// What certificate files hold: PEM with one or several objects, or one object in DER. Error{Malformed} says what the
// octets are instead and how to convert them.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/secret.hpp"

namespace qanat::pki {

inline constexpr std::size_t kMaxObjects = 64;  // certificates or lists in one file

// DER of each, in the order of the file; other kinds of objects in a PEM file are passed over. At least one.
[[nodiscard]] Result<std::vector<Bytes>> read_certificates(ByteView file);
[[nodiscard]] Result<std::vector<Bytes>> read_crls(ByteView file);
// PKCS#8 in DER, whatever form the file has (PKCS#8, SEC 1, PKCS#1). Not encrypted.
[[nodiscard]] Result<SecretBytes> read_private_key(ByteView file);

[[nodiscard]] std::string certificate_pem(ByteView der);
[[nodiscard]] std::string crl_pem(ByteView der);
[[nodiscard]] SecretBytes private_key_pem(ByteView pkcs8);

}  // namespace qanat::pki
