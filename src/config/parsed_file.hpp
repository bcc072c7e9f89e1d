// What a file that the configuration names holds, turned into something. Internal to config/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/section.hpp"

namespace qanat::config {

// What is wrong has been reported when there is nothing.
template <typename Read, typename Parse>
auto parsed_file(Section& section, std::string_view key, const Placed<std::string>& path, const Read& read, Parse parse)
    -> std::optional<typename decltype(parse(ByteView{}))::value_type> {
  const auto octets = read(path.value);
  if (!octets) {
    section.refuse_text(key, path, octets.error().detail);
    return std::nullopt;
  }
  auto parsed = parse(octets->expose());
  if (!parsed) {
    section.refuse_text(key, path, parsed.error().detail);
    return std::nullopt;
  }
  return *std::move(parsed);
}

}  // namespace qanat::config
