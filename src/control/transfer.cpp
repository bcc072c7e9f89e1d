#include "control/transfer.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "crypto/at_rest.hpp"
#include "crypto/digest.hpp"
#include "model/tunnel.hpp"

namespace qanat::control {

namespace {

using nlohmann::json;

constexpr std::size_t kMaxName = 128;

[[nodiscard]] std::unexpected<Error> wrong(std::string detail) {
  return fail(ErrorKind::Malformed, "import", std::move(detail));
}

// A name that can be written into a folder and nowhere else.
bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~' && c != '/' && c != '\\'; });
}

Result<std::vector<TransferAlert>> alerts_from_json(const json& in) {
  constexpr auto kShape = "alerts must be an array of {kind, account, id, document, secret}";
  if (!in.is_array()) return wrong(kShape);
  std::vector<TransferAlert> out;
  for (const json& one : in) {
    if (!one.is_object() || !one.contains("document") || !one["document"].is_object()) return wrong(kShape);
    TransferAlert alert;
    for (const auto& [name, text] :
         {std::pair{"kind", &alert.kind}, std::pair{"account", &alert.account}, std::pair{"id", &alert.id}}) {
      if (!one.contains(name) || !one[name].is_string()) return wrong(kShape);
      *text = one[name].get<std::string>();
    }
    alert.document = one["document"].dump(-1, ' ', false, json::error_handler_t::replace);
    if (one.contains("secret")) {
      if (!one["secret"].is_string()) return wrong(kShape);
      auto octets = from_hex(one["secret"].get_ref<const std::string&>());
      if (!octets) return wrong("the secret of a webhook must be hexadecimal digits");
      alert.secret = SecretBytes::adopt(*std::move(octets));
    }
    out.push_back(std::move(alert));
  }
  return out;
}

Result<SecretBytes> bundle_key(ByteView key) {
  if (!model::PresharedKey{SecretBytes::copy_of(key)}.is_generated())
    return fail(ErrorKind::LocalPolicy, "bundle key", "must be one that qanat genpsk has made: 256 random bits");
  const auto hash = crypto::sha256({key});
  return SecretBytes::copy_of(hash);
}

}  // namespace

SecretBytes transfer_json(const Transfer& transfer) {
  json out{{"config", transfer.config}, {"files", json::array()}};
  for (const TransferFile& file : transfer.files)
    out["files"].push_back({{"name", file.name}, {"octets", to_hex(file.octets.expose())}, {"secret", file.secret}});
  if (!transfer.alerts.empty()) out["alerts"] = json::array();
  for (const TransferAlert& alert : transfer.alerts) {
    json one{{"kind", alert.kind},
             {"account", alert.account},
             {"id", alert.id},
             {"document", json::parse(alert.document, nullptr, false)}};
    if (!alert.secret.expose().empty()) one["secret"] = to_hex(alert.secret.expose());
    out["alerts"].push_back(std::move(one));
  }
  std::string text = out.dump(-1, ' ', false, json::error_handler_t::replace);
  SecretBytes made = SecretBytes::adopt(to_bytes(text));
  wipe(text.data(), text.size());
  return made;
}

Result<Transfer> transfer_from_json(std::string_view text) {
  const json in = json::parse(text, nullptr, false);
  if (!in.is_object() || !in.contains("config") || !in["config"].is_string())
    return wrong("must be a JSON object with config, the text of a configuration file, and files");
  Transfer out;
  out.config = in["config"].get<std::string>();
  if (in.contains("alerts")) {
    QANAT_ASSIGN(out.alerts, alerts_from_json(in["alerts"]));
  }
  if (!in.contains("files")) return out;
  if (!in["files"].is_array()) return wrong("files must be an array of {name, octets, secret}");
  for (const json& one : in["files"]) {
    if (!one.is_object() || !one.contains("name") || !one["name"].is_string() || !one.contains("octets") ||
        !one["octets"].is_string())
      return wrong("files must be an array of {name, octets, secret}");
    TransferFile file;
    file.name = one["name"].get<std::string>();
    if (!is_file_name(file.name)) return wrong("the name of a file must have no '/' and not begin with '.'");
    auto octets = from_hex(one["octets"].get_ref<const std::string&>());
    if (!octets) return wrong(file.name + ": octets must be hexadecimal digits");
    file.octets = SecretBytes::adopt(*std::move(octets));
    file.secret = !one.contains("secret") || one["secret"] != false;
    out.files.push_back(std::move(file));
  }
  return out;
}

Result<Bytes> seal_bundle(const Transfer& transfer, ByteView key, Rng& rng) {
  QANAT_ASSIGN(const SecretBytes master, bundle_key(key));
  const Bytes head = to_bytes(kBundleHead);
  const SecretBytes text = transfer_json(transfer);
  QANAT_ASSIGN(const Bytes sealed, crypto::seal_at_rest(master.expose(), head, text.expose(), rng));
  Bytes out = head;
  append(out, sealed);
  return out;
}

Result<Transfer> open_bundle(ByteView bundle, ByteView key) {
  const Bytes head = to_bytes(kBundleHead);
  if (bundle.size() < head.size() || !equal(bundle.first(head.size()), head))
    return wrong("is no bundle of qanat export --with-secrets");
  QANAT_ASSIGN(const SecretBytes master, bundle_key(key));
  QANAT_ASSIGN(const SecretBytes text, crypto::open_at_rest(master.expose(), head, bundle.subspan(head.size())));
  return transfer_from_json(std::string_view{reinterpret_cast<const char*>(text.expose().data()), text.size()});
}

}  // namespace qanat::control
