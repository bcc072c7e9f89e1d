// Making certificates: what `qanat pki` writes. Pure but for the key generator, which is OpenSSL's own.
//
// Certificates are RFC 5280 v3: random serial numbers of 159 bits, critical basicConstraints and keyUsage,
// subjectKeyIdentifier and authorityKeyIdentifier; those of gateways have ipsecIKE and nothing else as their use, those
// of the API's listener serverAuth.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "crypto/signature.hpp"
#include "pki/certificate.hpp"

namespace qanat::pki {

struct KeyChoice {
  crypto::KeyKind kind = crypto::KeyKind::MlDsa65;
  std::size_t rsa_bits = 3072;
};
inline constexpr std::string_view kKeyChoices =
    "mldsa65, mldsa44, mldsa87, ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, ed448, rsa-2048, rsa-3072, rsa-4096";
[[nodiscard]] Result<KeyChoice> parse_key_choice(std::string_view text);

inline constexpr int kCaDays = 3650;
inline constexpr int kLeafDays = 365;
inline constexpr int kCrlDays = 90;
inline constexpr int kMaxDays = 36'500;

struct Issued {
  crypto::PrivateKey key;
  Certificate certificate;
};

// A self-signed CA. `name`: a common name, or a DN like "CN=Example CA,O=Example".
[[nodiscard]] Result<Issued> make_ca(std::string_view name, KeyChoice key, WallTime now, int days, Rng& rng);

struct Authority {
  Certificate certificate;
  crypto::PrivateKey key;
};
// The key must be the certificate's, and the certificate a CA's.
[[nodiscard]] Result<Authority> make_authority(Certificate certificate, crypto::PrivateKey key);

// A gateway's certificate. FQDN, RFC822 and addresses become subjectAltNames, a DN becomes the subject (otherwise the
// first name is the common name); a KEY_ID is refused. It may not outlive its CA.
enum class Use : std::uint8_t { Ike, TlsServer };
[[nodiscard]] Result<Issued> issue(const Authority& ca, std::span<const wire::Identity> ids, KeyChoice key,
                                   WallTime now, int days, Rng& rng, Use use = Use::Ike);

// A new list: what `previous` has, and `revoked`, which must be of this CA. The list's number goes up by one. DER.
[[nodiscard]] Result<Bytes> make_crl(const Authority& ca, const std::optional<Crl>& previous,
                                     std::span<const Certificate> revoked, WallTime now, int days);

}  // namespace qanat::pki
