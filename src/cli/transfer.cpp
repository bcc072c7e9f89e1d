#include "cli/transfer.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "config/write.hpp"

namespace qanat::cli {

Result<SecretBytes> read_bundle_key(const std::string& path, const Shell& shell) {
  QANAT_ASSIGN(SecretBytes key, shell.key_reader("")(path));  // by the folder that we are in
  ByteView text = key.expose();
  if (!text.empty() && text.back() == '\n') text = text.first(text.size() - 1);
  return SecretBytes::copy_of(text);
}

Result<control::Transfer> read_transfer(const CommandLine& line, const Shell& shell) {
  QANAT_ASSIGN(const std::string text, shell.read_file(line.file));
  if (text.starts_with(control::kBundleHead)) {
    if (line.key_file.empty())
      return fail(ErrorKind::LocalPolicy, line.file,
                  line.file + " is an encrypted bundle: name the key that it was made with, --key FILE");
    QANAT_ASSIGN(const SecretBytes key, read_bundle_key(line.key_file, shell));
    auto opened = control::open_bundle(to_bytes(text), key.expose());
    if (!opened) return fail(opened.error().kind, line.file, line.file + " " + opened.error().detail);
    return opened;
  }
  const auto loaded = config::load(text, line.file, shell.key_reader(line.file), shell.now());
  if (!loaded) return fail(ErrorKind::LocalPolicy, line.file, config::render_problems(loaded.error()));
  // Its keys travel beside it, under names of their own.
  config::Written written = config::write(loaded->config);
  control::Transfer out{std::move(written.text), {}};
  for (config::WrittenFile& file : written.files)
    out.files.push_back({std::move(file.name), std::move(file.octets), file.secret});
  return out;
}

std::string export_request(const SecretBytes& key) {
  // A key of another form is the daemon's to refuse; it must only stay JSON.
  const nlohmann::json body{{"key", std::string{key.expose().begin(), key.expose().end()}}};
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string import_text(std::string_view body) {
  const auto reply = nlohmann::json::parse(body, nullptr, false);
  const bool known = reply.is_object() && reply.contains("imported") && reply["imported"].is_number_unsigned();
  return known ? fmt::format("imported {} objects\n", reply["imported"].get<std::uint64_t>()) : "imported\n";
}

}  // namespace qanat::cli
