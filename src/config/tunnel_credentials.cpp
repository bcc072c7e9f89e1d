// Certificates of a tunnel, and whether each side has something to prove itself with.
#include <algorithm>

#include <fmt/format.h>

#include "config/parsed_file.hpp"
#include "config/readers.hpp"
#include "pki/certificate.hpp"
#include "pki/pem.hpp"

namespace qanat::config {

namespace {

using model::PqAuthPolicy;
using Credentials = model::Tunnel::Credentials;

constexpr auto kPolicies = std::to_array<std::pair<std::string_view, PqAuthPolicy>>(
    {{"prefer", PqAuthPolicy::Prefer}, {"require", PqAuthPolicy::Require}});
constexpr const char* kMakeCertificate =
    "make a CA with: qanat pki ca --name \"Example CA\" --out /etc/qanat/ca, and a certificate with: qanat pki issue "
    "--ca "
    "/etc/qanat/ca --id fqdn:NAME --out /etc/qanat";
constexpr std::size_t kMaxFiles = 64;

enum class Kind : std::uint8_t { Secret, Public };

// The file's octets, turned into something by `parse`; what is wrong has been reported when there is nothing.
template <typename Parse>
auto read_with(Section& section, std::string_view key, const Placed<std::string>& path, const FileReader& read_file,
               Kind kind, Parse parse) -> std::optional<typename decltype(parse(ByteView{}))::value_type> {
  if (path.value.empty()) {
    section.refuse_text(key, path, "must be the path of a file", kMakeCertificate);
    return std::nullopt;
  }
  return parsed_file(
      section, key, path,
      [&](const std::string& name) { return kind == Kind::Secret ? read_file(name) : read_file.read_public(name); },
      parse);
}

template <typename Parse>
std::vector<Bytes> read_list(Section& section, std::string_view key, const FileReader& read_file, Parse parse) {
  std::vector<Bytes> out;
  const auto paths = section.texts(key, fmt::format("an array of paths, like {} = [\"ca.crt\"]", key));
  if (!paths) return out;
  if (paths->empty() || paths->size() > kMaxFiles) {
    section.problems().error(section.place(key),
                             fmt::format("{}: {}: must name 1 to {} files", section.title(), key, kMaxFiles));
    return out;
  }
  for (const auto& path : *paths) {
    if (auto objects = read_with(section, key, path, read_file, Kind::Public, parse)) {
      for (Bytes& der : *objects) {
        if (std::find(out.begin(), out.end(), der) == out.end()) out.push_back(std::move(der));
      }
    }
  }
  return out;
}

void check_key(Section& section, const Placed<std::string>& key_path, const pki::Certificate& leaf,
               const SecretBytes& pkcs8) {
  const auto own = leaf.public_key();
  const auto key = crypto::PrivateKey::from_pkcs8(pkcs8.expose());
  if (!own) {
    section.problems().error(section.place("cert_file"),
                             fmt::format("{}: cert_file: its key {}", section.title(), own.error().detail));
  } else if (key && !crypto::same_key(*own, key->public_key())) {
    section.refuse_text(
        "key_file", key_path,
        fmt::format("is not the key of the certificate in cert_file ({}, {})", leaf.subject(), own->describe()),
        "name the two files that were made together; in cert_file the gateway's own certificate stands "
        "first");
  }
}

// Our identity has to stand in our certificate, or no peer believes it.
void check_identity(Section& section, model::Tunnel& tunnel, const pki::Certificate& leaf) {
  if (leaf.identities().empty()) {
    section.problems().error(section.place("cert_file"),
                             fmt::format("{}: cert_file: the certificate is for nobody: it has no subject and no "
                                         "subjectAltName",
                                         section.title()),
                             kMakeCertificate);
    return;
  }
  if (!tunnel.local_id) {
    tunnel.local_id = leaf.identities().front();
  } else if (!leaf.matches(*tunnel.local_id)) {
    std::string names;
    for (const wire::Identity& id : leaf.identities()) names += (names.empty() ? "" : ", ") + id.to_string();
    section.problems().error(
        section.place("local_id"),
        fmt::format("{}: local_id {} does not stand in the certificate, which is for {}", section.title(),
                    tunnel.local_id->to_string(), names),
        "take one of these, leave local_id out for the first of them, or issue the certificate with that name");
  }
}

void read_own(Section& section, model::Tunnel& tunnel, const FileReader& read_file) {
  const bool has_cert = section.find("cert_file") != nullptr;
  const bool has_key = section.find("key_file") != nullptr;
  const auto cert_path = section.text("cert_file", "a path in double quotes");
  const auto key_path = section.text("key_file", "a path in double quotes");
  if (has_cert != has_key) {
    section.problems().error(section.place(has_cert ? "cert_file" : "key_file"),
                             fmt::format("{}: {} without {}", section.title(), has_cert ? "cert_file" : "key_file",
                                         has_cert ? "key_file" : "cert_file"),
                             "the two belong together");
  }
  std::optional<std::vector<Bytes>> chain;
  std::optional<SecretBytes> key;
  if (cert_path) chain = read_with(section, "cert_file", *cert_path, read_file, Kind::Public, pki::read_certificates);
  if (key_path) key = read_with(section, "key_file", *key_path, read_file, Kind::Secret, pki::read_private_key);
  if (!chain || !key) return;
  const auto leaf = pki::Certificate::parse(chain->front());
  if (!leaf) return;  // read_certificates has parsed it
  check_key(section, *key_path, *leaf, *key);
  check_identity(section, tunnel, *leaf);
  tunnel.credentials.certificates = *std::move(chain);
  tunnel.credentials.private_key = std::make_shared<const SecretBytes>(*std::move(key));
}

// A side without a certificate proves itself with the PSK.
void check_psk_is_there(Section& section, const model::Tunnel& tunnel) {
  const bool cert = section.find("cert_file") != nullptr;
  const bool anchors = section.find("ca_files") != nullptr;
  const bool psk = section.find("psk") != nullptr || section.find("psk_file") != nullptr;
  if (cert && anchors && psk) {
    section.problems().warn(
        section.place(section.find("psk_file") ? "psk_file" : "psk"),
        fmt::format("{}: the PSK is not used: both sides prove themselves with certificates", section.title()),
        "remove it");
  } else if (cert && !anchors && !psk) {
    section.problems().error(
        section.place("cert_file"),
        fmt::format("{}: nothing says how the peer proves itself: ca_files is missing", section.title()),
        "name the CA of the peer's certificate with ca_files = [\"ca.crt\"], or a psk_file if the "
        "peer has a PSK");
  } else if (anchors && !cert && !psk) {
    section.problems().error(
        section.place("ca_files"),
        fmt::format("{}: this gateway has nothing to prove itself with: cert_file is missing", section.title()),
        std::string{"set cert_file and key_file, or a psk_file if the peer wants a PSK; "} + kMakeCertificate);
  }
  if (tunnel.pq_auth == PqAuthPolicy::Require && !anchors && psk && !tunnel.psk.is_generated()) {
    section.problems().error(section.place("pq_auth"),
                             fmt::format("{}: pq_auth = \"require\": the PSK was not made by qanat genpsk, so nobody "
                                         "knows how hard it is to guess",
                                         section.title()),
                             "make one of 256 random bits with: qanat genpsk, or use ML-DSA certificates (qanat pki)");
  }
}

}  // namespace

void read_credentials(Section& section, model::Tunnel& tunnel, const FileReader& read_file) {
  if (const auto policy = section.choice("pq_auth", kPolicies)) tunnel.pq_auth = policy->value;
  read_own(section, tunnel, read_file);
  tunnel.credentials.trust_anchors = read_list(section, "ca_files", read_file, pki::read_certificates);
  tunnel.credentials.crls = read_list(section, "crl_files", read_file, pki::read_crls);
  if (section.find("crl_files") && !section.find("ca_files")) {
    section.problems().error(section.place("crl_files"),
                             fmt::format("{}: crl_files without ca_files: there is no certificate to look for on the "
                                         "lists",
                                         section.title()),
                             "name the peer's CA with ca_files, or remove crl_files");
  }
  check_psk_is_there(section, tunnel);
}

}  // namespace qanat::config
