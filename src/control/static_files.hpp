// The files of the page, as the build has put them into the program, over HTTP: types, entity tags, and a policy that
// lets a browser run and ask nothing that does not come from here.
#pragma once

#include <span>
#include <string_view>

#include "control/api.hpp"

namespace qanat::control {

struct StaticFile {
  std::string_view path;  // "/index.html"
  std::string_view content;
  std::string_view hash;  // of the content, hexadecimal
};

inline constexpr std::string_view kContentPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

// "/" is index.html. GET alone (the shell makes HEAD one).
[[nodiscard]] Reply static_reply(std::span<const StaticFile> files, const Request& request);

}  // namespace qanat::control
