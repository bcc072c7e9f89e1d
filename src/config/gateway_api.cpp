// [gateway] api, api_certificate, api_key: the listener for HTTPS.
#include <fmt/format.h>

#include "config/parsed_file.hpp"
#include "config/readers.hpp"
#include "pki/certificate.hpp"
#include "pki/expiry.hpp"
#include "pki/pem.hpp"

namespace qanat::config {

namespace {

constexpr const char* kMake =
    "make one that browsers and clients take with: qanat pki issue --tls --ca DIR --id fqdn:NAME --out /etc/qanat";

// Whether a client can take `leaf` with this key.
bool check_pair(Section& section, const Placed<std::string>& cert_path, const Placed<std::string>& key_path,
                const pki::Certificate& leaf, const SecretBytes& pkcs8) {
  const auto own = leaf.public_key();
  const auto key = crypto::PrivateKey::from_pkcs8(pkcs8.expose());
  if (!own) {
    section.refuse_text("api_certificate", cert_path, fmt::format("has a key that {}", own.error().detail));
  } else if (!key) {
    section.refuse_text("api_key", key_path, key.error().detail);
  } else if (!crypto::same_key(*own, key->public_key())) {
    section.refuse_text(
        "api_key", key_path,
        fmt::format("is not the key of the certificate in api_certificate ({}, {})", leaf.subject(), own->describe()),
        "name the two files that were made together; in api_certificate the listener's own certificate stands first");
  } else if (!leaf.serves_tls()) {
    section.refuse_text(
        "api_certificate", cert_path,
        fmt::format("({}) is not for servers of TLS, so that every client would refuse it", leaf.subject()), kMake);
  } else {
    if (crypto::is_quantum_safe(key->kind()))
      section.problems().warn(cert_path.at,
                              fmt::format("[gateway]: api_certificate = {}: its key is {}, which browsers and most "
                                          "clients do not know yet",
                                          quoted(cert_path.value), own->describe()),
                              "--key ecdsa-p256 is what all of them take; the key exchange is hybrid in either case");
    return true;
  }
  return false;
}

}  // namespace

void read_api(Section& section, model::Gateway& gateway, const FileReader& read_file) {
  const auto at = section.text("api", "an address and a port in double quotes, like \"127.0.0.1:8443\"");
  const auto cert_path = section.text("api_certificate", "a path in double quotes");
  const auto key_path = section.text("api_key", "a path in double quotes");
  if (at) {
    gateway.api = parse_listener(at->value);
    if (!gateway.api)
      section.refuse_text("api", *at, "must be an address and a port, like 127.0.0.1:8443 or [::1]:8443",
                          "leave it out for no listener");
    if (gateway.api && gateway.api == gateway.metrics)
      section.refuse_text("api", *at, "is where metrics listens already", "take another port");
    for (const char* key : {"api_certificate", "api_key"}) {
      if (section.find(key) == nullptr)
        section.problems().error(at->at, fmt::format("[gateway]: api without {}: it speaks TLS only", key), kMake);
    }
  }
  const auto in_vain = [&](const char* key, const std::optional<Placed<std::string>>& path) {
    if (path && section.find("api") == nullptr)
      section.problems().error(section.place(key), fmt::format("[gateway]: {} without api: nobody would see it", key),
                               "add api = \"127.0.0.1:8443\", or leave it out");
  };
  in_vain("api_certificate", cert_path);
  in_vain("api_key", key_path);
  if (!cert_path || !key_path) return;
  auto chain = parsed_file(
      section, "api_certificate", *cert_path, [&](const std::string& path) { return read_file.read_public(path); },
      pki::read_certificates);
  auto key = parsed_file(section, "api_key", *key_path, read_file, pki::read_private_key);
  if (!chain || !key) return;
  const auto leaf = pki::Certificate::parse(chain->front());
  if (!leaf || !check_pair(section, *cert_path, *key_path, *leaf, *key)) return;
  gateway.api_credentials.certificates = *std::move(chain);
  gateway.api_credentials.private_key = std::make_shared<const SecretBytes>(*std::move(key));
}

void check_api_expiry(WallTime now, const model::Gateway& gateway, Position at, Problems& problems) {
  const auto first = pki::first_to_expire(gateway.api_credentials.certificates);
  if (const auto warning = first ? pki::expiry_warning(*first, now) : std::nullopt)
    problems.warn(at, fmt::format("[gateway]: api_certificate: {}", *warning),
                  "make another with qanat pki issue --tls, put it and its key in their places, and reload");
}

}  // namespace qanat::config
