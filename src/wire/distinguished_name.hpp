// Distinguished names: "CN=berlin,O=Example" <-> the DER of an X.501 Name (RFC 4514, RFC 5280 4.1.2.4), as far as
// identities need it. The order is the order in which it is written; one attribute an RDN.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace qanat::wire {

// Values are UTF8String; C and serialNumber are PrintableString, emailAddress and DC are IA5String as everybody has
// them. Escapes are RFC 4514's: a backslash before one of ,+"\<>;= # or space, or before two hexadecimal digits.
[[nodiscard]] Result<Bytes> encode_dn(std::string_view text);

// The text form, safe to print: octets outside printable ASCII become \XX. nullopt when the name holds something that
// encode_dn() could not have meant: an attribute that we have no word for, a value of another kind, an RDN of several.
[[nodiscard]] std::optional<std::string> decode_dn(ByteView der);

// True for the same attributes with the same octets in the same order. Which of the string types holds a value is not
// compared (RFC 5280 7.1): strongSwan writes PrintableString where OpenSSL writes UTF8String.
[[nodiscard]] bool same_dn(ByteView a, ByteView b);

// Octets that are equal for names that are the same_dn(), and for no others.
[[nodiscard]] std::string dn_key(ByteView der);

}  // namespace qanat::wire
