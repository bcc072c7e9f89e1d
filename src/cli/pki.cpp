#include "cli/pki.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/status_json.hpp"
#include "pki/issue.hpp"
#include "pki/pem.hpp"
#include "pki/trust.hpp"

namespace qanat::cli {

namespace {

using nlohmann::json;

int report(const CommandLine& line, Shell& shell, const Error& error) {
  const std::string message = error.kind == ErrorKind::Resource ? error.detail : error.where + ": " + error.detail;
  if (line.json) {
    shell.out(control::to_json(control::ApiError{"pki_failed", message}));
  } else {
    shell.err(fmt::format("qanat: {}\n", clean(message)));
  }
  return kFailed;
}

std::string path_in(const std::string& folder, const std::string& name) {
  return folder.empty() || folder == "." ? name : folder + (folder.ends_with('/') ? "" : "/") + name;
}

// "berlin.example.com" of fqdn:berlin.example.com: letters, digits, '.', '_' and '-' only, and no leading dot.
std::string file_name_of(const wire::Identity& id) {
  std::string text = id.to_string();
  if (const auto colon = text.find(':'); id.type != wire::IdType::ID_IPV6_ADDR && colon != std::string::npos)
    text.erase(0, colon + 1);
  for (char& c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (!plain) c = '_';
  }
  if (text.empty() || text.front() == '.' || text.front() == '-') text.insert(0, 1, '_');
  return text.substr(0, 100);
}

ByteView octets(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <typename T>
Result<T> at(const std::string& path, Result<T> result) {
  if (!result) result.error().where = path;
  return result;
}

Result<pki::Authority> load_authority(Shell& shell, const std::string& folder) {
  const std::string cert_path = path_in(folder, "ca.crt");
  const std::string key_path = path_in(folder, "ca.key");
  QANAT_ASSIGN(const std::string cert, shell.read_file(cert_path));
  QANAT_ASSIGN(const SecretBytes key_file, shell.key_reader("")(key_path));
  QANAT_ASSIGN(const std::vector<Bytes> ders, at(cert_path, pki::read_certificates(octets(cert))));
  QANAT_ASSIGN(pki::Certificate certificate, at(cert_path, pki::Certificate::parse(ders.front())));
  QANAT_ASSIGN(const SecretBytes pkcs8, at(key_path, pki::read_private_key(key_file.expose())));
  QANAT_ASSIGN(crypto::PrivateKey key, at(key_path, crypto::PrivateKey::from_pkcs8(pkcs8.expose())));
  return at(folder, pki::make_authority(std::move(certificate), std::move(key)));
}

// The key first, for its owner alone; neither file may be there already.
Status write_pair(Shell& shell, const pki::Issued& made, const std::string& cert_path, const std::string& key_path) {
  if (shell.read_file(cert_path)) {
    return fail(ErrorKind::Resource, cert_path,
                cert_path + " is there already and is not overwritten: remove it first, or take another --out");
  }
  QANAT_ASSIGN(const SecretBytes pkcs8, made.key.to_pkcs8());
  QANAT_TRY(shell.write_new_file(key_path, pki::private_key_pem(pkcs8.expose()).expose()));
  const std::string pem = pki::certificate_pem(made.certificate.der());
  return shell.write_public_file(cert_path, octets(pem));
}

std::string kind_text(const crypto::PublicKey& key) {
  return fmt::format("{}, {}", key.describe(),
                     crypto::is_quantum_safe(key.kind()) ? "quantum-safe" : "not quantum-safe");
}

Result<std::string> make_ca(const PkiLine& pki, Shell& shell, json& out) {
  QANAT_ASSIGN(const pki::KeyChoice key, pki::parse_key_choice(pki.key));
  QANAT_ASSIGN(const pki::Issued made,
               pki::make_ca(pki.name, key, shell.now(), pki.days == 0 ? pki::kCaDays : pki.days, *shell.rng));
  QANAT_TRY(shell.make_folder(pki.out));
  const std::string cert = path_in(pki.out, "ca.crt");
  const std::string secret = path_in(pki.out, "ca.key");
  QANAT_TRY(write_pair(shell, made, cert, secret));
  out = {{"certificate", cert}, {"key", secret}};
  return fmt::format(
      "wrote {} and {} ({}, until {})\n"
      "  {} goes to every gateway: ca_files = [\"ca.crt\"]\n"
      "  {} stays here: whoever has it can be any of your gateways\n"
      "  next: qanat pki issue --ca {} --id fqdn:berlin.example.com --out DIR\n",
      cert, secret, kind_text(made.key.public_key()), pki::date_text(made.certificate.not_after()), cert, secret,
      pki.out);
}

// For the listener of the API.
Result<std::string> write_tls(const PkiLine& pki, Shell& shell, const pki::Issued& made, const wire::Identity& id,
                              json& out) {
  QANAT_TRY(shell.make_folder(pki.out));
  const std::string base = path_in(pki.out, file_name_of(id));
  QANAT_TRY(write_pair(shell, made, base + ".crt", base + ".key"));
  const bool quantum_safe = crypto::is_quantum_safe(made.key.kind());
  out = {{"certificate", base + ".crt"}, {"key", base + ".key"}, {"quantum_safe", quantum_safe}};
  return fmt::format(
      "wrote {}.crt and {}.key ({}, until {})\n"
      "In [gateway]:\n  api             = \"127.0.0.1:8443\"\n  api_certificate = \"{}.crt\"\n"
      "  api_key         = \"{}.key\"\n"
      "Clients trust {}: curl --cacert, NODE_EXTRA_CA_CERTS, SSL_CERT_FILE.\n{}",
      base, base, made.key.public_key().describe(), pki::date_text(made.certificate.not_after()), base, base,
      path_in(pki.ca, "ca.crt"),
      quantum_safe ? "Browsers do not know such keys yet: take --key ecdsa-p256 for them, of the CA too.\n" : "");
}

Result<std::string> issue(const PkiLine& pki, Shell& shell, json& out) {
  QANAT_ASSIGN(const pki::KeyChoice key, pki::parse_key_choice(pki.key));
  std::vector<wire::Identity> ids;
  for (const std::string& text : pki.ids) {
    QANAT_ASSIGN(wire::Identity id, wire::Identity::parse(text));
    ids.push_back(std::move(id));
  }
  QANAT_ASSIGN(const pki::Authority ca, load_authority(shell, pki.ca));
  QANAT_ASSIGN(const pki::Issued made, pki::issue(ca, ids, key, shell.now(), pki.days == 0 ? pki::kLeafDays : pki.days,
                                                  *shell.rng, pki.tls ? pki::Use::TlsServer : pki::Use::Ike));
  if (pki.tls) return write_tls(pki, shell, made, ids.front(), out);
  // What a peer will say of it, before it is handed out.
  QANAT_ASSIGN(const pki::TrustStore trust, pki::TrustStore::create(std::vector<Bytes>{ca.certificate.der()}, {}));
  QANAT_ASSIGN(const pki::Verified verified,
               trust.validate(std::vector<Bytes>{made.certificate.der()}, ids.front(), shell.now()));
  QANAT_TRY(shell.make_folder(pki.out));
  const std::string base = file_name_of(ids.front());
  const std::string cert = path_in(pki.out, base + ".crt");
  const std::string secret = path_in(pki.out, base + ".key");
  QANAT_TRY(write_pair(shell, made, cert, secret));
  out = {{"certificate", cert}, {"key", secret}, {"quantum_safe", verified.quantum_safe}};
  const std::string id = ids.front().to_string();
  return fmt::format(
      "wrote {} and {}\n  {}\n"
      "On that gateway, beside {}, in [[tunnel]]:\n"
      "  cert_file = \"{}.crt\"\n  key_file  = \"{}.key\"\n  ca_files  = [\"ca.crt\"]\n  local_id  = \"{}\"\n"
      "On its peers:\n  ca_files  = [\"ca.crt\"]\n  remote_id = \"{}\"\n"
      "Copy the key by a safe way (scp), and remove it here afterwards.\n",
      cert, secret, verified.described, path_in(pki.ca, "ca.crt"), base, base, id, id);
}

Result<std::string> make_crl(const PkiLine& pki, Shell& shell, json& out) {
  QANAT_ASSIGN(const pki::Authority ca, load_authority(shell, pki.ca));
  const std::string path = path_in(pki.ca, "ca.crl");
  std::optional<pki::Crl> previous;
  if (const auto old = shell.read_file(path)) {
    QANAT_ASSIGN(const std::vector<Bytes> ders, at(path, pki::read_crls(octets(*old))));
    QANAT_ASSIGN(previous, at(path, pki::Crl::parse(ders.front())));
  }
  std::vector<pki::Certificate> revoked;
  for (const std::string& file : pki.files) {
    QANAT_ASSIGN(const std::string text, shell.read_file(file));
    QANAT_ASSIGN(const std::vector<Bytes> ders, at(file, pki::read_certificates(octets(text))));
    QANAT_ASSIGN(pki::Certificate certificate, at(file, pki::Certificate::parse(ders.front())));
    revoked.push_back(std::move(certificate));
  }
  QANAT_ASSIGN(const Bytes der,
               at(path, pki::make_crl(ca, previous, revoked, shell.now(), pki.days == 0 ? pki::kCrlDays : pki.days)));
  QANAT_ASSIGN(const pki::Crl made, pki::Crl::parse(der));
  const std::string pem = pki::crl_pem(der);
  QANAT_TRY(shell.replace_public_file(path, octets(pem)));
  QANAT_ASSIGN(const WallTime until, made.next_update());
  out = {{"crl", path}, {"revoked", made.revoked()}, {"next_update", pki::date_text(until)}};
  return fmt::format(
      "wrote {}: {} revoked, good until {}\n"
      "  copy it to every gateway: crl_files = [\"ca.crl\"], then there: qanat reload\n"
      "  make a new one before that day (qanat pki crl --ca {}): with an expired list no peer is believed\n",
      path, plural(made.revoked(), "certificate"), pki::date_text(until), pki.ca);
}

json describe(const pki::Certificate& c) {
  json ids = json::array();
  for (const wire::Identity& id : c.identities()) ids.push_back(id.to_string());
  const auto key = c.public_key();
  return {{"subject", c.subject()},
          {"issuer", c.issuer()},
          {"identities", ids},
          {"ca", c.is_ca()},
          {"key", key ? key->describe() : key.error().detail},
          {"signed_with", c.signed_with()},
          {"quantum_safe_key", key && crypto::is_quantum_safe(key->kind())},
          {"quantum_safe_signature", c.has_quantum_safe_signature()},
          {"not_before", pki::date_text(c.not_before())},
          {"not_after", pki::date_text(c.not_after())},
          {"serial", c.serial()},
          {"sha256", c.fingerprint()}};
}

std::string page(const pki::Certificate& c, WallTime now) {
  const auto key = c.public_key();
  std::string ids;
  for (const wire::Identity& id : c.identities()) ids += (ids.empty() ? "" : ", ") + id.to_string();
  const char* when = now < c.not_before() ? " (not yet)" : now > c.not_after() ? " (expired)" : "";
  const bool safe_key = key && crypto::is_quantum_safe(key->kind());
  const char* safe = !safe_key                        ? "no: its key is not"
                     : c.has_quantum_safe_signature() ? "yes: key and signature"
                                                      : "its key is, the signature on it is not";
  return fmt::format(
      "  subject       {}\n  issuer        {}\n  identities    {}\n  use           {}\n  key           {}\n"
      "  signed with   {}\n  quantum-safe  {}\n  valid         {} to {}{}\n  serial        {}\n  sha256        {}\n",
      c.subject(), c.issuer(), ids.empty() ? "none" : ids, c.is_ca() ? "CA" : "gateway or host",
      key ? key->describe() : "this key " + key.error().detail, c.signed_with(), safe, pki::date_text(c.not_before()),
      pki::date_text(c.not_after()), when, c.serial(), c.fingerprint());
}

// One file of any of the three kinds.
Result<std::string> show_file(const std::string& file, Shell& shell, json& out) {
  QANAT_ASSIGN(const std::string text, shell.read_file(file));
  json entry{{"file", file}};
  std::string shown = file + ":\n";
  const auto certificates = pki::read_certificates(octets(text));
  if (certificates) {
    entry["certificates"] = json::array();
    for (const Bytes& der : *certificates) {
      QANAT_ASSIGN(const pki::Certificate c, at(file, pki::Certificate::parse(der)));
      entry["certificates"].push_back(describe(c));
      shown += (shown.ends_with(":\n") ? "" : "\n") + page(c, shell.now());
    }
  } else if (const auto crls = pki::read_crls(octets(text))) {
    for (const Bytes& der : *crls) {
      QANAT_ASSIGN(const pki::Crl crl, at(file, pki::Crl::parse(der)));
      const auto until = crl.next_update();
      const std::string end = until ? pki::date_text(*until) : "an unknown day";
      entry["crls"].push_back({{"issuer", crl.issuer()}, {"revoked", crl.revoked()}, {"next_update", end}});
      shown +=
          fmt::format("  revocation list of {}: {} revoked, good until {}{}\n", crl.issuer(),
                      plural(crl.revoked(), "certificate"), end, until && *until < shell.now() ? " (expired)" : "");
    }
  } else if (const auto pkcs8 = pki::read_private_key(octets(text))) {
    QANAT_ASSIGN(const crypto::PrivateKey key, at(file, crypto::PrivateKey::from_pkcs8(pkcs8->expose())));
    entry["private_key"] = key.public_key().describe();
    shown += fmt::format("  private key, {}\n", kind_text(key.public_key()));
  } else {
    return at(file, Result<std::string>{std::unexpected(certificates.error())});
  }
  out.push_back(std::move(entry));
  return shown;
}

Result<std::string> show(const PkiLine& pki, Shell& shell, json& out) {
  std::string text;
  out = json::array();
  for (const std::string& file : pki.files) {
    QANAT_ASSIGN(const std::string shown, show_file(file, shell, out));
    text += (text.empty() ? "" : "\n") + shown;
  }
  return text;
}

Result<std::string> run_verb(const PkiLine& pki, Shell& shell, json& out) {
  switch (pki.verb) {
    case PkiVerb::Ca:
      return make_ca(pki, shell, out);
    case PkiVerb::Issue:
      return issue(pki, shell, out);
    case PkiVerb::Show:
      return show(pki, shell, out);
    case PkiVerb::Crl:
      return make_crl(pki, shell, out);
  }
  bug("a pki verb");
}

}  // namespace

int pki_command(const CommandLine& line, Shell& shell) {
  json out;
  const auto text = run_verb(line.pki, shell, out);
  if (!text) return report(line, shell, text.error());
  shell.out(line.json ? out.dump(2, ' ', false, json::error_handler_t::replace) + "\n" : *text);
  return kOk;
}

}  // namespace qanat::cli
