// [gateway] store_key_file, store_key_file_before: what the secrets of the API's objects are encrypted with on the
// disk.
#include <fmt/format.h>

#include "config/readers.hpp"

namespace qanat::config {

namespace {

std::optional<model::PresharedKey> read_key(Section& section, std::string_view name, const FileReader& read_file) {
  const auto path = section.text(name, "a path in double quotes");
  if (!path) return std::nullopt;
  const std::string make =
      fmt::format("make one with: qanat genpsk -o {}", path->value.empty() ? "/etc/qanat/store.key" : path->value);
  if (path->value.empty()) {
    section.refuse_text(name, *path, "must be the path of a file", make);
    return std::nullopt;
  }
  auto octets = read_file(path->value);
  if (!octets) {
    section.refuse_text(name, *path, octets.error().detail);
    return std::nullopt;
  }
  strip_newline(*octets);
  model::PresharedKey key{std::move(*octets)};
  if (key.is_generated()) return key;
  section.refuse_text(name, *path, "is no key of qanat genpsk: whoever steals the disk could guess it", make);
  return std::nullopt;
}

}  // namespace

void read_store_keys(Section& section, model::Gateway& gateway, const FileReader& read_file) {
  const auto key = read_key(section, "store_key_file", read_file);
  const auto before = read_key(section, "store_key_file_before", read_file);
  if (before && section.find("store_key_file") == nullptr) {
    section.problems().error(
        section.place("store_key_file_before"),
        "[gateway]: store_key_file_before without store_key_file: there is no key to change to",
        "what is encrypted stays encrypted: name the key in store_key_file, and in store_key_file_before only the one "
        "that it takes the place of");
    return;
  }
  if (key && before && *key == *before) {
    section.problems().error(section.place("store_key_file_before"),
                             "[gateway]: store_key_file_before holds the same key as store_key_file",
                             "make another with qanat genpsk -o FILE and name it in store_key_file");
    return;
  }
  if (key) gateway.store_key = *key;
  if (before) gateway.store_key_before = *before;
}

}  // namespace qanat::config
